"""History on disk: one small file per instrument, channel and distance, so that a restart does not ask again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from monitor.errors import StateError
from monitor.events import Channel, Funding, MarketEvent, OpenInterest, Price, PriceKind
from monitor.instruments import Instrument
from monitor.runtime.files import write_atomically

VERSION = 1
Stretch = tuple[int, int]
"""(start, end] in unix nanoseconds."""


class Kept(msgspec.Struct):
    """What is known of one instrument's past: ``points`` by time, ``asked`` the stretches that the venue answered for.

    ``extra`` of a point is what its kind needs besides the value: hours of a funding interval, else 0.
    """

    version: int = VERSION
    asked: list[Stretch] = []
    points: list[tuple[int, float, float]] = []


class Shelf:
    """``<data_dir>/history/<venue>/<channel>-<seconds>s/<symbol>.json``."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir / "history"

    def path(self, instrument: Instrument, channel: Channel, step_ns: int) -> Path:
        """Where one past is kept; symbols of any characters are safe."""
        folder = self._dir / instrument.venue / f"{channel.value}-{step_ns // 1_000_000_000}s"
        return folder / f"{quote(instrument.key, safe='')}.json"

    def load(self, instrument: Instrument, channel: Channel, step_ns: int) -> Kept:
        """What is kept; nothing where there is no file.

        Raises:
            StateError: The file is damaged or of another version.
            OSError: It cannot be read.
        """
        path = self.path(instrument, channel, step_ns)
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{path}: {error}") from error
        if kept.version != VERSION:
            raise StateError(f"{path}: version {kept.version}, this program reads {VERSION}")
        return kept

    def store(self, instrument: Instrument, channel: Channel, step_ns: int, kept: Kept) -> None:
        """Replace what is kept.

        Raises:
            OSError: It cannot be written.
        """
        path = self.path(instrument, channel, step_ns)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(kept))


def added(kept: Kept, asked: Stretch, events: Iterable[MarketEvent], keep_since_ns: int) -> Kept:
    """What is known after one more answer; points before `keep_since_ns` are let go."""
    points = {point[0]: point for point in kept.points if point[0] > keep_since_ns}
    points |= {event.ts_ns: _point(event) for event in events}
    return Kept(VERSION, joined([*kept.asked, asked]), [points[ts_ns] for ts_ns in sorted(points)])


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Stretches in order, those that touch as one.

    >>> joined([(5, 9), (0, 3), (3, 5), (20, 30)])
    [(0, 9), (20, 30)]
    """
    out: list[Stretch] = []
    for start, end in sorted(stretches):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif end > start:
            out.append((start, end))
    return out


def missing(asked: Sequence[Stretch], start_ns: int, end_ns: int) -> list[Stretch]:
    """What of (start, end] was never asked for.

    >>> missing([(0, 9), (20, 30)], 5, 40)
    [(9, 20), (30, 40)]
    """
    out = []
    for start, end in joined(asked):
        if end <= start_ns or start >= end_ns:
            continue
        if start > start_ns:
            out.append((start_ns, start))
        start_ns = end
    return [*out, (start_ns, end_ns)] if start_ns < end_ns else out


@dataclass(frozen=True, slots=True)
class Wish:
    """One instrument's history of one channel, ``step_ns`` apart, for all rules that read it; ``kind`` is the price's."""

    instrument: Instrument
    channel: Channel
    step_ns: int
    span: Stretch
    kind: PriceKind = "mark"

    def events(self, kept: Kept, recv_ns: int) -> list[MarketEvent]:
        """The kept points of the span as backfilled events."""
        points = (point for point in kept.points if self.span[0] < point[0] <= self.span[1])
        return [self._event(*point, recv_ns) for point in points]

    def _event(self, ts_ns: int, value: float, extra: float, recv_ns: int) -> MarketEvent:
        if self.channel is Channel.PRICE:
            return Price(self.instrument, self.kind, value, ts_ns, recv_ns, backfill=True)
        if self.channel is Channel.FUNDING:
            return Funding(self.instrument, value, extra, ts_ns, recv_ns, backfill=True)
        return OpenInterest(self.instrument, value, ts_ns, recv_ns, backfill=True)


def _point(event: MarketEvent) -> tuple[int, float, float]:
    match event:
        case Price(value=value):
            return event.ts_ns, value, 0.0
        case Funding(rate=rate, interval_h=hours):
            return event.ts_ns, rate, hours
        case OpenInterest(usd=usd):
            return event.ts_ns, usd, 0.0
        case _:
            raise TypeError(f"no history is kept of {type(event).__name__}")
