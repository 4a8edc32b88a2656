from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Depth, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Closing, FeedOptions, Refused, UnknownSymbol
from monitor.feeds import make_feed
from monitor.instruments import Instrument, Registry
from tests.feeds.support import NOW_NS, Opened, of, open_session, refuse

NOW_MS = NOW_NS // 1_000_000


def opened(*channels: Channel, **options: Any) -> Opened:
    return open_session("okx", *channels, **options)


def detail(side: str, size: str, price: str, ts: int = NOW_MS + 1, position: str = "net") -> dict[str, str]:
    return {"side": side, "posSide": position, "bkPx": price, "sz": size, "bkLoss": "0", "ccy": "", "ts": str(ts)}


def push(symbol: str, *details: dict[str, str]) -> dict[str, Any]:
    row = {"instType": "SWAP", "instId": symbol, "details": list(details)}
    return {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [row]}


def row(channel: str, symbol: str, **fields: str) -> dict[str, Any]:
    return {"arg": {"channel": channel, "instId": symbol}, "data": [{"instId": symbol, "ts": str(NOW_MS), **fields}]}


@pytest.mark.parametrize(
    ("symbol", "entry", "side", "usd_micros"),
    [
        ("BTC-USDT-SWAP", detail("sell", "10000", "57102.9"), "long", 5_710_290_000_000),  # vector 8
        ("BTC-USD-SWAP", detail("buy", "40", "84000"), "short", 4_000_000_000),  # vector 9
        ("BTC-USDT-SWAP", detail("sell", "1", "57102.9", position="short"), "long", 571_029_000),  # posSide is not read
    ],
)
def test_liquidation(symbol: str, entry: dict[str, str], side: str, usd_micros: int) -> None:
    (event,) = of(Liquidation, opened().push(push(symbol, entry)))
    assert (event.side, event.usd_micros) == (side, usd_micros)


def test_okx_push_with_three_liquidations_keeps_three() -> None:
    frame = push(
        "BTC-USDT-SWAP", detail("sell", "100", "57102.9"), detail("buy", "3", "57100.1"), detail("sell", "7", "57099")
    )
    events = of(Liquidation, opened().push(frame))
    assert [event.usd_micros for event in events] == [57_102_900_000, 1_713_003_000, 3_996_930_000]
    assert len({event.key for event in events}) == 3


def test_snapshot_on_subscribe_is_history() -> None:  # vector 21
    session = opened()
    frame = push("BTC-USDT-SWAP", detail("sell", "100", "57102.9", NOW_MS - 1), detail("buy", "3", "57100.1", NOW_MS))
    assert [event.side for event in of(Liquidation, session.push(frame))] == ["short"]
    assert session.skipped() == {"history": 1}


def ticker(at_ms: int) -> dict[str, Any]:
    row = {"instId": "BTC-USDT-SWAP", "last": "84000", "bidPx": "83999", "askPx": "84001", "ts": str(at_ms)}
    return {"arg": {"channel": "tickers", "instId": "BTC-USDT-SWAP"}, "data": [row]}


@pytest.mark.parametrize("fast_s", [3600, -3600])
def test_what_is_liquidated_live_is_no_history_because_our_clock_is_fast(fast_s: int) -> None:
    """And what is history is not live because it is slow: the tickers on the connection show the venue's time."""
    session, venue_ms = opened(), NOW_MS - fast_s * 1000
    session.push(ticker(venue_ms - 300_000))  # of a quiet instrument, when it last moved
    session.push(*[ticker(venue_ms + number) for number in range(20)])
    past, live = detail("sell", "100", "57102.9", venue_ms - 1000), detail("buy", "3", "57100.1", venue_ms + 5000)
    assert [event.side for event in of(Liquidation, session.push(push("BTC-USDT-SWAP", past, live)))] == ["short"]
    assert session.skipped() == {"history": 1}


def test_same_row_on_another_connection_has_the_same_key() -> None:
    frame = push("BTC-USDT-SWAP", detail("sell", "100", "57102.9"))
    first, second = of(Liquidation, opened().push(frame)), of(Liquidation, opened().push(frame))
    assert first[0].key == second[0].key != ""


def test_inverse_contract_is_not_multiplied_by_price() -> None:
    session = opened()
    for price in ("84000", "1"):
        assert (
            of(Liquidation, session.push(push("BTC-USD-SWAP", detail("buy", "40", price))))[0].usd_micros
            == 4_000_000_000
        )
    trade = row("trades", "BTC-USD-SWAP", px="84000", sz="3", side="buy")
    assert of(Trade, session.push(trade))[0].usd_micros == 300_000_000


def test_contract_value_has_a_multiplier() -> None:
    feed = make_feed("okx", FeedOptions(channels=frozenset({Channel.PRICE})))
    listing = {"instId": "X-USDT-SWAP", "instType": "SWAP", "state": "live", "uly": "X-USDT", "ctVal": "0.1", "ctMult": "10",
               "ctType": "linear", "settleCcy": "USDT"}  # fmt: skip
    body = msgspec.json.encode({"code": "0", "data": [listing]})
    (instrument,), _ = feed.parse_metadata(feed.metadata()[0], body)
    assert instrument.contract_value == Decimal(1)


def test_trade_is_contracts() -> None:
    (event,) = of(Trade, opened().push(row("trades", "BTC-USDT-SWAP", px="84120.1", sz="12", side="sell")))
    assert (event.side, event.usd_micros) == ("sell", 10_094_412_000)


def test_funding_interval_is_between_two_payments() -> None:
    fields = {
        "fundingRate": "-0.0000312",
        "fundingTime": "1763712000000",
        "nextFundingRate": "",
        "nextFundingTime": "1763726400000",
    }
    (event,) = of(Funding, opened().push(row("funding-rate", "BTC-USDT-SWAP", **fields)))
    assert (event.rate, event.interval_h, event.next_ns) == (-0.0000312, 4.0, 1763712000000000000)


def test_empty_strings_are_missing() -> None:
    session = opened()
    frames = [
        row("funding-rate", "BTC-USDT-SWAP", fundingRate="", fundingTime="", nextFundingTime=""),
        row("tickers", "BTC-USDT-SWAP", last="", bidPx="", askPx="1"),
        row("open-interest", "BTC-USDT-SWAP", oi="1", oiUsd=""),
    ]
    assert session.push(*frames) == []
    assert session.notices(BadRow) == []


def test_prices() -> None:
    frames = [
        row("tickers", "BTC-USDT-SWAP", last="84120.1", bidPx="84120", askPx="84121"),
        row("mark-price", "BTC-USDT-SWAP", markPx="84121.3"),
        row("index-tickers", "BTC-USDT", idxPx="84150.2"),
    ]
    events = of(Price, opened().push(*frames))
    assert [(event.kind, event.value) for event in events] == [
        ("last", 84120.1), ("mid", 84120.5), ("mark", 84121.3), ("index", 84150.2),
    ]  # fmt: skip
    assert {event.instrument.symbol for event in events} == {"BTC-USDT-SWAP"}


def test_open_interest_is_the_venues_dollars() -> None:
    events = opened().push(
        row("open-interest", "BTC-USDT-SWAP", oi="2216113.01", oiCcy="22161.1301", oiUsd="1939251795.5"),
        row("open-interest", "BTC-USD-SWAP", oi="50", oiUsd=""),
    )
    assert [event.usd for event in of(OpenInterest, events)] == [1939251795.5, 5000.0]


def test_one_bad_row_does_not_lose_the_others() -> None:
    session = opened()
    frame = push(
        "BTC-USDT-SWAP", detail("sell", "", "57102.9"), detail("hold", "1", "1"), detail("buy", "3", "57100.1")
    )
    frame["data"] += [7, {"instId": "ETH-USDT-SWAP", "details": [detail("sell", "10", "2700")]}]
    events = of(Liquidation, session.push(frame))
    assert [event.usd_micros for event in events] == [1_713_003_000, 2_700_000_000]
    assert len(session.notices(BadRow)) == 3


def test_tradfi_perpetual_is_not_crypto() -> None:
    session = opened()
    assert session.push(push("AAPL-USDT-SWAP", detail("sell", "1", "270"))) == []
    assert session.skipped() == {"tradfi": 1}


def test_unknown_symbol_is_not_guessed() -> None:
    session = opened()
    assert session.push(push("GONE-USDT-SWAP", detail("sell", "1", "270"))) == []
    assert session.notices(UnknownSymbol) == [UnknownSymbol("GONE-USDT-SWAP", Channel.LIQUIDATIONS)]


def test_each_topic_has_its_own_acknowledgement() -> None:
    session = opened(Channel.LIQUIDATIONS)
    arg = {"channel": "liquidation-orders", "instType": "SWAP"}
    session.push({"id": "1", "event": "subscribe", "arg": arg, "connId": "a"})
    assert [notice.topics for notice in session.notices(Acked)] == [("liquidation-orders:SWAP",)]
    session.session.on_tick(NOW_NS + 11_000_000_000)
    assert {notice.topic for notice in session.notices(Refused)} == {
        "liquidation-orders:FUTURES",
        "tickers:BTC-USDT-SWAP",
    }


def test_refusal_names_its_topic() -> None:
    session = opened(Channel.TRADES)
    words = "Wrong URL or channel:trades,instId:BTC-USD-SWAP doesn't exist. Please use the correct URL, channel and parameters referring to API document."
    session.push({"id": "1", "event": "error", "code": "60018", "msg": words, "connId": "a"})
    assert session.notices(Refused) == [Refused("trades:BTC-USD-SWAP", f"60018: {words}")]


def test_refusal_of_a_whole_request_refuses_all_of_it() -> None:
    session = opened(Channel.TRADES)
    session.push({"id": "1", "event": "error", "code": "60012", "msg": "Invalid request: {}", "connId": "a"})
    assert {notice.topic for notice in session.notices(Refused)} == {topic.name for topic in session.connection.topics}


def test_notice_announces_the_close() -> None:
    session = opened()
    session.push({"event": "notice", "code": "64008", "msg": "The connection will soon be closed", "connId": "a"})
    assert session.notices(Closing) == [Closing("64008: The connection will soon be closed")]


def test_ping_is_plain_text() -> None:
    session = opened()
    assert [send.frame for send in session.session.on_tick(NOW_NS + 20_000_000_000)] == ["ping"]
    assert session.push("pong", b"pong") == []


def many(count: int) -> list[Instrument]:
    return [
        Instrument(venue="okx", symbol=f"COIN{n}-USDT-SWAP", base=f"COIN{n}", quote="USDT", settle="USDT", kind="perp",
                   category="SWAP") for n in range(count)
    ]  # fmt: skip


def test_operations_keep_within_64_kilobytes() -> None:
    feed = make_feed("okx", FeedOptions(channels=frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS})))
    listed = many(300)
    connections = feed.connections(listed)
    sends = [send for connection in connections for send in feed.session(connection, Registry(listed)).on_open(NOW_NS)]
    assert all(len(send.frame.encode()) <= 64 * 1024 for send in sends)
    assert max(len(connection.topics) for connection in connections) <= 400


@pytest.mark.parametrize(("count", "polled"), [(10, False), (51, True)])
def test_many_instruments_are_polled_in_one_request(count: int, polled: bool) -> None:
    feed = make_feed("okx", FeedOptions(channels=frozenset({Channel.FUNDING, Channel.OPEN_INTEREST})))
    topics = {topic.name.split(":")[0] for connection in feed.connections(many(count)) for topic in connection.topics}
    polls = [poll.request.url.removeprefix("https://www.okx.com/api/v5/public/") for poll in feed.polls(many(count))]
    urls = ["funding-rate?instId=ANY", "open-interest?instType=SWAP", "open-interest?instType=FUTURES"]
    assert (topics, polls) == ((set(), urls) if polled else ({"funding-rate", "open-interest"}, []))


def test_polled_rows_are_the_chosen_ones() -> None:
    feed = make_feed("okx", FeedOptions(channels=frozenset({Channel.OPEN_INTEREST}), top=60))
    listed = many(70)
    poll = feed.polls(listed[:60])[0]
    rows = [{"instId": item.symbol, "oi": "1", "oiUsd": "5", "ts": "1763700000000"} for item in listed] + [
        {"instId": 3}
    ]
    bad: list[DecodeError] = []
    body = msgspec.json.encode({"code": "0", "data": rows})
    events = feed.parse_poll(poll, body, NOW_NS, Registry(listed), bad.append)
    assert len(events) == 60
    assert [error.reason for error in bad] == ["wrong_type"], "it is counted, not left out without a word"
    with pytest.raises(DecodeError, match="50011"):
        feed.parse_poll(poll, b'{"code":"50011","msg":"Too Many Requests","data":[]}', NOW_NS, Registry(listed), refuse)


def test_ranking_is_dollars() -> None:
    session = opened()
    rows = [{"instId": "BTC-USDT-SWAP", "oi": "1", "oiUsd": "5.5", "ts": "1763700000000"}]
    body = msgspec.json.encode({"code": "0", "data": rows})
    assert session.feed.parse_ranking(session.feed.ranking()[0], body, session.registry) == {"BTC-USDT-SWAP": 5.5}


def test_depth_counts_contracts() -> None:
    session = opened()
    poll = next(p for p in session.feed.polls(session.feed.wanted(session.registry)) if p.symbol == "BTC-USDT-SWAP")
    book = {"bids": [["99.9", "1000", "0", "1"]], "asks": [["100.1", "2000", "0", "1"]], "ts": "1763700000000"}
    (event,) = session.feed.parse_poll(
        poll, msgspec.json.encode({"code": "0", "data": [book]}), NOW_NS, session.registry, refuse
    )
    assert isinstance(event, Depth)
    assert event.bid_usd == pytest.approx(999.0)
    assert event.ask_usd == pytest.approx(2002.0)


def test_xperps_are_perpetuals_listed_as_futures() -> None:
    feed = make_feed("okx", FeedOptions(channels=frozenset({Channel.PRICE})))
    listing = {"instId": "X-USD-310404", "instType": "FUTURES", "state": "live", "uly": "X-USD", "ctVal": "1", "ctType": "linear",
               "settleCcy": "USD", "ruleType": "xperp", "expTime": "1900000000000"}  # fmt: skip
    (instrument,), _ = feed.parse_metadata(feed.metadata()[1], msgspec.json.encode({"code": "0", "data": [listing]}))
    assert (instrument.kind, instrument.expiry_ns) == ("perp", None)


def test_rows_without_an_argument_are_no_trades() -> None:
    opened = open_session("okx", Channel.TRADES)
    row = {"instId": "BTC-USDT-SWAP", "tradeId": "1", "px": "84000", "sz": "1", "side": "buy", "ts": "1763700002200"}
    with pytest.raises(DecodeError, match="unexpected"):
        opened.push({"data": [row]})
