"""What is kept of the past, what is still to be asked, and files that cannot be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import StateError
from monitor.events import Channel, Funding, MarketEvent, OpenInterest, Price
from monitor.instruments import Instrument
from monitor.past import HOUR_NS
from monitor.runtime.feeds.backfill_shelf import Kept, Shelf, Wish, added, missing

ODD = Instrument(
    venue="gate", symbol="币安/../X", base="X", quote="USDT", settle="USDT", kind="perp", funding_interval_h=4.0
)
EVENTS: list[tuple[Channel, MarketEvent]] = [
    (Channel.PRICE, Price(ODD, "mark", 1.5, HOUR_NS, 9, backfill=True)),
    (Channel.FUNDING, Funding(ODD, -0.0001, 4.0, HOUR_NS, 9, backfill=True)),
    (Channel.OPEN_INTEREST, OpenInterest(ODD, 1e9, HOUR_NS, 9, backfill=True)),
]


@pytest.mark.parametrize(("channel", "event"), EVENTS, ids=str)
def test_points_come_back_as_the_events_that_they_were(tmp_path: Path, channel: Channel, event: MarketEvent) -> None:
    shelf, wish = Shelf(tmp_path), Wish(ODD, channel, HOUR_NS, (0, 2 * HOUR_NS))
    shelf.store(ODD, channel, HOUR_NS, added(Kept(), (0, HOUR_NS), [event], 0))
    kept = shelf.load(ODD, channel, HOUR_NS)
    assert wish.events(kept, 9) == [event]
    assert missing(kept.asked, *wish.span) == [(HOUR_NS, 2 * HOUR_NS)]


def test_a_symbol_of_any_characters_stays_inside_the_folder(tmp_path: Path) -> None:
    path = Shelf(tmp_path).path(ODD, Channel.PRICE, HOUR_NS)
    assert path.parent == tmp_path / "history" / "gate" / "price-3600s"


def test_what_is_older_than_any_window_is_let_go() -> None:
    old = [Price(ODD, "mark", 1.0, hour * HOUR_NS, 0, backfill=True) for hour in range(1, 10)]
    kept = added(added(Kept(), (0, 9 * HOUR_NS), old, 0), (9 * HOUR_NS, 10 * HOUR_NS), [], 5 * HOUR_NS)
    assert [point[0] // HOUR_NS for point in kept.points] == [6, 7, 8, 9]
    assert kept.asked == [(0, 10 * HOUR_NS)]


@pytest.mark.parametrize("data", [b"", b"{", b'{"version":2}', b'{"points":[[1]]}', b"\xff"])
def test_a_file_that_cannot_be_trusted_is_said_so(tmp_path: Path, data: bytes) -> None:
    shelf = Shelf(tmp_path)
    path = shelf.path(ODD, Channel.PRICE, HOUR_NS)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(StateError, match="price-3600s"):
        shelf.load(ODD, Channel.PRICE, HOUR_NS)
