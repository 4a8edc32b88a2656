"""What each venue is asked about the past, and what its answer becomes: the local venues answer in the documented shapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec import structs

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import FeedOptions, HistoryPage
from monitor.feeds import FEEDS, feed_class, make_feed
from monitor.feeds.gate import GateFeed
from monitor.instruments import Instrument, Registry
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS
from monitor.testing.json_venue import dumps
from monitor.testing.venues.past import PAST, Asked
from monitor.venue import VenueFeed
from tests.integration.test_venues import instrument_of

NOW_NS = 1_763_700_000 * NS_PER_S // DAY_NS * DAY_NS + 7 * HOUR_NS + 90 * NS_PER_S
KEEPERS = [venue for venue in FEEDS if feed_class(venue).archives]  # type: ignore[attr-defined]
ARCHIVES = [(venue, channel) for venue in KEEPERS for channel in feed_class(venue).archives]  # type: ignore[attr-defined]


class Ramp:
    """A market whose values say when they were."""

    def value(self, instrument: Instrument, channel: Channel, ts_ns: int) -> float | None:
        day = ts_ns / DAY_NS - 20_000
        if channel is Channel.PRICE:
            return round(50_000 + day, 4)
        if instrument.kind == "spot":
            return None
        return round(day * 1e6, 2) if channel is Channel.OPEN_INTEREST else round(day * 1e-8, 8)


def venue_of(name: str) -> tuple[VenueFeed, Instrument, Registry]:
    item = instrument_of(name)
    feed = make_feed(name, FeedOptions(channels=frozenset(feed_class(name).spec.laws)))
    assert isinstance(feed, VenueFeed)
    return feed, item, Registry([item])


def answered(venue: str, item: Instrument, page: HistoryPage, told: Sequence[MarketEvent] = ()) -> bytes:
    url = urlsplit(page.request.url)
    asked = Asked(
        {item.symbol: item}, Ramp(), told, url.path, dict(parse_qsl(url.query)), NOW_NS, page.request.body or b""
    )
    reply = PAST[venue](asked)
    assert reply is not None, page.request.url
    return dumps(reply).encode()


def fetched(venue: str, channel: Channel, reach_ns: int, step_ns: int) -> tuple[Instrument, list[MarketEvent], int]:
    feed, item, registry = venue_of(venue)
    if feed.interest_in_coins and channel is Channel.OPEN_INTEREST:
        for page in feed.history(item, Channel.PRICE, NOW_NS - reach_ns, NOW_NS, step_ns):
            feed.parse_history(page, answered(venue, item, page), NOW_NS, registry)
    pages = feed.history(item, channel, NOW_NS - reach_ns, NOW_NS, step_ns)
    events = [
        event for page in pages for event in feed.parse_history(page, answered(venue, item, page), NOW_NS, registry)[0]
    ]
    return item, events, len(pages)


def value_of(event: MarketEvent) -> float:
    match event:
        case Price(value=value) | Funding(rate=value) | OpenInterest(usd=value):
            return value
        case _:
            raise AssertionError(event)


@pytest.mark.parametrize(("venue", "channel"), ARCHIVES, ids=str)
@pytest.mark.parametrize(
    ("step_ns", "reach_ns"), [(DAY_NS, 25 * DAY_NS), (HOUR_NS, 7 * DAY_NS), (MINUTE_NS, 3 * HOUR_NS)]
)
def test_every_value_stands_at_its_own_time_once(venue: str, channel: Channel, step_ns: int, reach_ns: int) -> None:
    archive = feed_class(venue).archives[channel]  # type: ignore[attr-defined]
    reach_ns = min(reach_ns, archive.keeps_ns)
    item, events, pages = fetched(venue, channel, reach_ns, step_ns)
    step_ns = archive.step_ns(step_ns)
    hours = 1 if venue == "deribit" else int(item.funding_interval_h or 8)
    every_ns = step_ns if channel is not Channel.FUNDING else hours * HOUR_NS
    first = (NOW_NS - reach_ns) // step_ns * step_ns // every_ns * every_ns + every_ns
    assert pages >= 1
    assert [event.ts_ns for event in events] == list(range(first, NOW_NS // step_ns * step_ns + 1, every_ns))
    assert all(event.backfill for event in events)  # type: ignore[union-attr]
    for event in events:
        want = Ramp().value(item, channel, event.ts_ns)
        assert value_of(event) == pytest.approx(want, rel=1e-6, abs=1.1e-8)


def test_the_documentation_names_every_venue_that_is_asked_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    named = {row[1].strip().replace("Binance USD-M, COIN-M", "Binance USD-M"): row for row in rows}
    titles = {feed_class(venue).spec.title: venue for venue in FEEDS if feed_class(venue).archives}  # type: ignore[attr-defined]
    assert {title for title in titles if title != "Binance COIN-M"} == set(named)
    for title, row in named.items():
        archives = feed_class(titles[title]).archives  # type: ignore[attr-defined]
        for cell, channel in zip(row[2:5], (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST), strict=True):
            assert (cell.strip() != "-") is (channel in archives), (title, channel)


@pytest.mark.parametrize("venue", KEEPERS)
def test_the_price_of_the_past_is_of_the_kind_that_rules_read_live(venue: str) -> None:
    kind = "last" if instrument_of(venue).kind == "spot" else "mark"
    prices = feed_class(venue).archives.get(Channel.PRICE)  # type: ignore[attr-defined]
    assert prices is None or prices.kind == kind


@pytest.mark.parametrize(("venue", "channel"), ARCHIVES, ids=str)
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'[["x"]]', b'{"code":"0","data":[[1]]}', b'{"retCode":10001}', b"\xff<html>", b"[null]"],
)
def test_any_other_answer_is_an_error_or_nothing(venue: str, channel: Channel, body: bytes) -> None:
    feed, item, registry = venue_of(venue)
    for page in feed.history(item, channel, NOW_NS - 3 * DAY_NS, NOW_NS, DAY_NS):
        try:
            events, more = feed.parse_history(page, body, NOW_NS, registry)
        except DecodeError:
            continue
        assert (events, more) == ([], [])


def test_a_rate_of_the_past_stands_for_the_hours_that_were_paid_then() -> None:
    """The listing says four hours since yesterday; before, it was eight, and half of each rate was told."""
    feed, item, registry = venue_of("binance_usdm")
    item = structs.replace(item, funding_interval_h=4.0)
    registry.update([item])
    (page,) = feed.history(item, Channel.FUNDING, NOW_NS - 3 * DAY_NS, NOW_NS, HOUR_NS)
    midnight_ns = NOW_NS // DAY_NS * DAY_NS
    hours = (-48, -40, -32, -24, -20, -16, -12, -4, 0)
    rows = [{"fundingTime": (midnight_ns + h * HOUR_NS) // NS_PER_MS + 3, "fundingRate": "0.0001"} for h in hours]
    events, _ = feed.parse_history(page, dumps(rows).encode(), NOW_NS, registry)
    told = [event.interval_h for event in events if isinstance(event, Funding)]
    assert told == [8.0, 8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 4.0, 4.0], "a hole of eight hours is no interval"


def test_a_spot_pair_has_no_funding_and_no_open_interest() -> None:
    feed, item, _ = venue_of("binance_spot")
    for channel in (Channel.FUNDING, Channel.OPEN_INTEREST):
        assert feed.history(item, channel, 0, NOW_NS, HOUR_NS) == []


def test_open_interest_in_coins_without_a_price_is_left_out() -> None:
    feed, item, registry = venue_of("bybit")
    (page,) = feed.history(item, Channel.OPEN_INTEREST, NOW_NS - 5 * HOUR_NS, NOW_NS, HOUR_NS)
    assert feed.parse_history(page, answered("bybit", item, page), NOW_NS, registry) == ([], [])


def test_the_candle_that_still_runs_is_left_out() -> None:
    feed, item, registry = venue_of("binance_usdm")
    hour_ns = NOW_NS // HOUR_NS * HOUR_NS
    (page,) = feed.history(item, Channel.PRICE, hour_ns - 2 * HOUR_NS, hour_ns + HOUR_NS, HOUR_NS)
    body = dumps([[(hour_ns + n * HOUR_NS) // 1_000_000, "1", "1", "1", "1"] for n in range(-2, 1)]).encode()
    assert [event.ts_ns for event in feed.parse_history(page, body, NOW_NS, registry)[0]] == [
        hour_ns - HOUR_NS,
        hour_ns,
    ]


def test_weight_grows_with_the_rows_that_are_asked_for() -> None:
    feed, item, _ = venue_of("binance_usdm")
    weights = [
        feed.history(item, Channel.PRICE, NOW_NS - rows * MINUTE_NS, NOW_NS, MINUTE_NS)[0].request.weight
        for rows in (50, 300, 900)
    ]
    assert weights == [1, 2, 5]


GAPS = [
    ("okx", Liquidation), ("deribit", Liquidation), ("deribit", Trade), ("bitmex", Trade), ("gate", Liquidation),
    ("kraken_futures", Liquidation), ("kraken_futures", Trade), ("dydx", Liquidation), ("dydx", Trade), ("htx", Liquidation),
    ("htx", Trade), ("okx", Trade), ("gate", Trade), ("bitget", Trade), ("bybit", Trade), ("binance_usdm", Trade),
    ("binance_coinm", Trade), ("binance_spot", Trade), ("coinbase", Trade), ("kraken", Trade),
]  # fmt: skip


def lost(item: Instrument, kind: type[MarketEvent], ts_ns: int, usd: int) -> MarketEvent:
    if kind is Trade:
        return Trade(item, "sell", usd * 1_000_000, 50_000.0, ts_ns, ts_ns)
    return Liquidation(item, "long", usd * 1_000_000, 50_000.0, ts_ns, ts_ns)


def filled(
    feed: VenueFeed, item: Instrument, registry: Registry, pages: list[HistoryPage], told: Sequence[MarketEvent]
) -> list[MarketEvent]:
    """What all pages of a gap bring; those that follow are added to them, and they end."""
    found: list[MarketEvent] = []
    for page in pages:
        assert len(pages) < 50
        events, more = feed.parse_history(page, answered(feed.spec.venue, item, page, told), NOW_NS, registry)
        found += events
        pages += more
    return found


@pytest.mark.parametrize(("venue", "kind"), GAPS, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_what_a_gap_lost_is_had_again(venue: str, kind: type[MarketEvent]) -> None:
    feed, item, registry = venue_of(venue)
    start_ns, end_ns = NOW_NS - 60 * NS_PER_S, NOW_NS - 20 * NS_PER_S
    told = [lost(item, kind, NOW_NS - ago * NS_PER_S, 1000 * ago) for ago in (70, 50, 40, 10)]
    channel = Channel.TRADES if kind is Trade else Channel.LIQUIDATIONS
    pages = feed.gap(channel, [item], start_ns, end_ns)
    found = filled(feed, item, registry, pages, told)
    assert [event.ts_ns for event in found] == [NOW_NS - 50 * NS_PER_S, NOW_NS - 40 * NS_PER_S]
    assert all(isinstance(event, kind) and event.backfill for event in found)  # type: ignore[union-attr]
    assert [event.usd_micros for event in found] == pytest.approx([50_000e6, 40_000e6], rel=1e-9)  # type: ignore[union-attr]
    assert {event.side for event in found} == {"long" if kind is Liquidation else "sell"}  # type: ignore[union-attr]


PAGED = {
    "kraken_futures": 100, "okx": 100, "dydx": 1000, "gate": 1000, "bitget": 1000, "binance_usdm": 1000, "binance_spot": 1000,
    "coinbase": 1000, "kraken": 1000, "deribit": 1000, "bitmex": 1000,
}  # fmt: skip


@pytest.mark.parametrize(("venue", "rows"), PAGED.items())
def test_a_full_page_of_a_gap_goes_on_where_it_ended(venue: str, rows: int) -> None:
    feed, item, registry = venue_of(venue)
    step_ns, count = 10 * NS_PER_MS, 2 * rows + rows // 2
    told = [lost(item, Trade, NOW_NS - ago * step_ns, 10) for ago in range(count, 0, -1)]
    start_ns, end_ns = NOW_NS - (count - 5) * step_ns - 1, NOW_NS - 5 * step_ns
    pages = feed.gap(Channel.TRADES, [item], start_ns, end_ns)
    found = [event.ts_ns for event in filled(feed, item, registry, pages, told)]
    assert sorted(found) == [event.ts_ns for event in told if start_ns < event.ts_ns <= end_ns]
    assert len(pages) == 3


@pytest.mark.parametrize("venue", ["okx", "gate"])
def test_a_cascade_that_fills_a_page_of_liquidations_is_not_cut_off(venue: str) -> None:
    """The rest was lost, and the gap called filled: a hundred of a family, a thousand of a venue are some seconds."""
    feed, item, registry = venue_of(venue)
    count, step_ns = 2_500, NS_PER_S // 2
    told = [lost(item, Liquidation, NOW_NS - ago * step_ns, 10) for ago in range(count, 0, -1)]
    start_ns, end_ns = NOW_NS - (count - 5) * step_ns - 1, NOW_NS - 7 * step_ns
    pages = feed.gap(Channel.LIQUIDATIONS, [item], start_ns, end_ns)
    found = [event.ts_ns for event in filled(feed, item, registry, pages, told)]
    second_ns = NS_PER_S if venue == "gate" else 1  # the last second of a gap is left out there
    want = [event.ts_ns // second_ns * second_ns for event in told]
    assert sorted(found) == [ts for ts in want if start_ns < ts <= end_ns // second_ns * second_ns - second_ns // 2]


def test_a_page_of_gate_that_is_full_of_one_second_is_taken_as_it_is() -> None:
    feed, item, registry = venue_of("gate")
    told = [lost(item, Liquidation, NOW_NS - 30 * NS_PER_S, 10)] * 1_000
    pages = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    assert len(filled(feed, item, registry, pages, told)) == 1_000


def test_a_position_of_gate_that_is_closed_in_part_counts_what_was_closed() -> None:
    """``size`` is the position's: 600 contracts, of which the order closed 200."""
    feed, item, registry = venue_of("gate")
    (page,) = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    row = {"time": NOW_NS // NS_PER_S - 30, "contract": item.symbol, "size": "600", "order_size": "-200", "order_price": "1", "fill_price": "50000"}  # fmt: skip
    events, _ = feed.parse_history(page, dumps([row]).encode(), NOW_NS, registry)
    (event,) = events
    assert isinstance(event, Liquidation)
    assert (event.side, event.usd_micros) == ("long", int(200 * item.contract_value * 50_000 * 1_000_000))


def test_liquidations_of_hours_are_asked_of_htx_by_the_hour() -> None:
    """The venue refuses a longer time in one request."""
    feed, item, _ = venue_of("htx")
    pages = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 5 * HOUR_NS // 2, NOW_NS)
    assert [page.end_ns - page.start_ns for page in pages] == [HOUR_NS, HOUR_NS, HOUR_NS // 2]
    assert (pages[0].start_ns, pages[-1].end_ns) == (NOW_NS - 5 * HOUR_NS // 2, NOW_NS)


def test_htx_telling_its_last_row_again_has_no_other() -> None:
    feed, item, registry = venue_of("htx")
    told = [lost(item, Liquidation, NOW_NS - 5 * NS_PER_S, 10)]
    (page,) = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    body = answered("htx", item, page, told)
    events, (again,) = feed.parse_history(page, body, NOW_NS, registry)
    assert len(events) == 1
    assert feed.parse_history(again, body, NOW_NS, registry)[1] == []


def test_trades_of_bitget_in_one_instant_go_on_before_the_least_number() -> None:
    """Numbers are text: 999 comes before 1000, though not by its letters."""
    feed, item, registry = venue_of("bitget")
    (page,) = feed.gap(Channel.TRADES, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    ts = str((NOW_NS - NS_PER_S) // NS_PER_MS)
    rows = [{"tradeId": str(n), "price": "1", "size": "1", "side": "Sell", "ts": ts} for n in range(1_998, 998, -1)]
    _, (more,) = feed.parse_history(page, dumps({"code": "00000", "data": rows}).encode(), NOW_NS, registry)
    assert dict(parse_qsl(urlsplit(more.request.url).query))["idLessThan"] == "999"


@pytest.mark.parametrize(("venue", "rows"), [("bybit", 1000), ("htx", 2000)])
def test_a_gap_that_is_older_than_the_trades_that_a_venue_keeps_is_not_called_filled(venue: str, rows: int) -> None:
    feed, item, registry = venue_of(venue)
    told = [lost(item, Trade, NOW_NS - ago * NS_PER_MS, 10) for ago in range(rows, 0, -1)]
    for before_ns, whole in ((rows * NS_PER_MS, True), ((rows + 5) * NS_PER_MS, False)):
        (page,) = feed.gap(Channel.TRADES, [item], NOW_NS - before_ns, NOW_NS)
        body = answered(venue, item, page, told)
        if whole:
            assert len(feed.parse_history(page, body, NOW_NS, registry)[0]) >= rows - 1
        else:
            with pytest.raises(DecodeError, match="gone"):
                feed.parse_history(page, body, NOW_NS, registry)


def test_htx_is_asked_on_until_it_has_no_more_liquidations() -> None:
    """The venue was seen to answer with one row a call."""
    feed, item, registry = venue_of("htx")
    told = [lost(item, Liquidation, NOW_NS - ago * NS_PER_S, 10) for ago in range(5, 0, -1)]
    pages = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    found = filled(feed, item, registry, pages, told)
    assert (len(found), len(pages)) == (5, 6)


@pytest.mark.parametrize(("venue", "kind"), GAPS, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_a_gap_with_a_row_that_cannot_be_read_is_an_error(venue: str, kind: type[MarketEvent]) -> None:
    feed, item, registry = venue_of(venue)
    start_ns, end_ns = NOW_NS - 60 * NS_PER_S, NOW_NS - 20 * NS_PER_S
    channel = Channel.TRADES if kind is Trade else Channel.LIQUIDATIONS
    told = [lost(item, kind, NOW_NS - 50 * NS_PER_S, 10_000)]
    (page, *_) = feed.gap(channel, [item], start_ns, end_ns)
    body = answered(venue, item, page, told)
    spoilt = re.sub(rb'"(price|px|p|bkPx|order_price)": ?"?[0-9.]+"?', rb'"\1":"x"', body).replace(b'"50000', b'"x')
    assert spoilt != body
    with pytest.raises(DecodeError):
        feed.parse_history(page, spoilt, NOW_NS, registry)


@pytest.mark.parametrize("venue", FEEDS)
def test_what_becomes_of_a_gap_is_said(venue: str) -> None:
    """docs/venues.md shows it; a channel that says "lost" asks for nothing, and the others ask for something."""
    feed, item, _ = venue_of(venue)
    spec = feed.spec
    said = {channel for channel in (Channel.TRADES, Channel.LIQUIDATIONS) if channel in spec.laws}
    assert set(spec.gaps) == {channel for channel in said if spec.laws[channel].kind != "not_covered"}
    for channel, words in spec.gaps.items():
        pages = feed.gap(channel, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
        assert bool(pages) is not words.startswith("lost"), (venue, channel)


def test_gate_asks_only_for_the_settlement_currency_of_the_lost_connection() -> None:
    feed, usdt, _ = venue_of("gate")
    btc = structs.replace(usdt, symbol="BTC_USD", settle="BTC", category="btc", form="inverse")
    assert isinstance(feed, GateFeed)
    names = {connection.name: connection for connection in feed.connections([usdt, btc])}
    assert list(feed.carried(names["gate/btc/0"], Channel.LIQUIDATIONS, [usdt, btc])) == [btc]
    assert list(feed.carried(names["gate/usdt/0"], Channel.TRADES, [usdt, btc])) == [usdt]


@pytest.mark.parametrize("venue", ["binance_usdm", "bybit", "hyperliquid"])
def test_where_nothing_is_kept_nothing_is_asked(venue: str) -> None:
    feed, item, _ = venue_of(venue)
    assert feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - HOUR_NS, NOW_NS) == []
