"""Values that stand: a gauge that comes once in hours says its value again in between, so that it does not go stale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import msgspec

from monitor.clock import NS_PER_S
from monitor.events import Event, Funding, OpenInterest, Price
from monitor.feeds import FEEDS, feed_class
from monitor.instruments import Instrument
from monitor.series import SERIES

SERIES_OF = {"candles": "price", "funding": "funding", "open_interest": "open_interest"}
PACE = 0.9
"""How long before it would be stale a value is said again, as a share of that age."""


def held(arrivals: Sequence[tuple[int, Event]], kind: str, hold_ns: int) -> Iterator[tuple[int, Event]]:
    """Arrivals with each gauge's value said again until its next one, so that it does not go stale for `hold_ns`.

    Args:
        arrivals: In order of time.
        kind: What was imported.
        hold_ns: How long a value may stand without a new one.
    """
    series = SERIES_OF.get(kind)
    if not hold_ns or series is None:
        yield from arrivals
        return
    extra: list[tuple[int, Event]] = []
    last: dict[Instrument, Price | Funding | OpenInterest] = {}
    for at_ns, event in arrivals:
        if isinstance(event, Price | Funding | OpenInterest):
            extra += _repeats(last.get(event.instrument), at_ns, hold_ns, series)
            last[event.instrument] = event
    end_ns = arrivals[-1][0] if arrivals else 0
    for event in last.values():
        extra += _repeats(event, end_ns, hold_ns, series)
    yield from sorted([*arrivals, *extra], key=lambda item: item[0])


def _repeats(
    event: Price | Funding | OpenInterest | None, until_ns: int, hold_ns: int, series: str
) -> Iterator[tuple[int, Event]]:
    if event is None:
        return
    pace_ns = _pace_ns(event.instrument.venue, series)
    for at_ns in range(event.ts_ns + pace_ns, min(until_ns, event.ts_ns + hold_ns), pace_ns):
        yield at_ns, msgspec.structs.replace(event, ts_ns=at_ns, recv_ns=at_ns)


@cache
def _pace_ns(venue: str, series: str) -> int:
    """How often a value must be said: a venue that speaks every second calls it stale sooner than the series does."""
    spec = SERIES[series]
    of_venue = feed_class(venue).spec.stale_s if venue in FEEDS else {}
    return int(PACE * min(spec.stale_s, of_venue.get(spec.channel, spec.stale_s)) * NS_PER_S)
