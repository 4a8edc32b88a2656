"""Sides and units that a decoder gets wrong without anything looking broken: each of these was once not noticed by a test.

Found by changing the decoders by hand, one operator or field at a time.
"""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from monitor.clock import NS_PER_S
from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import BadRow, FeedOptions
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument, Registry, canonical_base
from tests.feeds.support import NOW_NS, Opened, load, of, open_session

MS = NOW_NS // 1_000_000
ISO = "2025-11-21T04:40:00.123Z"


def taker(venue: str, side: str) -> dict[str, Any]:
    """One trade of 0.25 or 25 at 84100 as the venue writes it, taken by `side`."""
    upper, title, maker = side.upper(), side.title(), "sell" if side == "buy" else "buy"
    binance = {
        "e": "aggTrade",
        "E": MS,
        "a": 1,
        "p": "84100",
        "q": "0.25",
        "f": 1,
        "l": 1,
        "T": MS,
        "m": side == "sell",
    }
    spread = {"price": 84100.0, "qty": 0.25}
    frames: dict[str, dict[str, Any]] = {
        "binance_usdm": {**binance, "s": "BTCUSDT"},
        "binance_spot": {**binance, "s": "BTCUSDT"},
        "bybit": {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": MS, "data": [{"T": MS, "s": "BTCUSDT", "S": title, "v": "0.25", "p": "84100", "i": "a"}]},
        "okx": {"arg": {"channel": "trades", "instId": "BTC-USDT-SWAP"}, "data": [{"instId": "BTC-USDT-SWAP", "px": "84100", "sz": "25", "side": side, "ts": str(MS)}]},
        "deribit": {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "trades.future.any.100ms", "data": [{"trade_seq": 1, "trade_id": "1", "timestamp": MS, "price": 84100.0, "index_price": 84000.0, "instrument_name": "BTC-PERPETUAL", "direction": side, "amount": 21025.0}]}},
        "hyperliquid": {"channel": "trades", "data": [{"coin": "BTC", "side": "B" if side == "buy" else "A", "px": "84100", "sz": "0.25", "time": MS, "tid": 1}]},
        "bitget": {"action": "update", "arg": {"instType": "usdt-futures", "topic": "publicTrade", "symbol": "BTCUSDT"}, "data": [{"i": "1", "p": "84100", "v": "0.25", "S": side, "T": str(MS)}], "ts": MS},
        "gate": {"time": MS // 1000, "channel": "futures.trades", "event": "update", "result": [{"size": 2500 if side == "buy" else -2500, "id": 1, "create_time_ms": MS, "price": "84100", "contract": "BTC_USDT"}]},
        "htx": {"ch": "market.BTC-USDT.trade.detail", "ts": MS, "tick": {"data": [{"trade_turnover": 42050.0, "price": 84100, "direction": side, "ts": MS, "id": 1}]}},
        "kraken_futures": {"feed": "trade", "product_id": "PF_XBTUSD", "uid": "a", "side": side, "type": "fill", "seq": 1, "time": MS, **spread},
        "kraken": {"channel": "trade", "type": "update", "data": [{"symbol": "BTC/USD", "side": side, "trade_id": 1, "timestamp": ISO, **spread}]},
        "coinbase": {"type": "match", "trade_id": 1, "time": ISO, "product_id": "BTC-USD", "size": "0.25", "price": "84100", "side": maker},
        "dydx": {"type": "channel_data", "channel": "v4_trades", "id": "BTC-USD", "message_id": 1, "contents": {"trades": [{"id": "a", "size": "0.25", "price": "84100", "side": upper, "createdAt": ISO, "type": "LIMIT"}]}},
        "bitmex": {"table": "trade", "action": "insert", "data": [{"timestamp": ISO, "symbol": "XBTUSD", "side": title, "size": 21025, "price": 84100}]},
    }  # fmt: skip
    return frames[venue]


TAKERS = (
    "binance_usdm", "binance_spot", "bybit", "okx", "deribit", "hyperliquid", "bitget", "gate", "htx", "kraken_futures",
    "kraken", "coinbase", "dydx", "bitmex",
)  # fmt: skip


@pytest.mark.parametrize("venue", TAKERS)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_trade_of_either_taker_side_is_worth_its_dollars(venue: str, side: str) -> None:
    opened = open_session(venue, Channel.TRADES)
    if venue == "bitmex":
        opened.push({"table": "trade", "action": "partial", "data": []})
    frame = msgspec.json.encode(taker(venue, side))
    events = of(Trade, opened.push(gzip.compress(frame) if venue == "htx" else frame))
    assert [(event.side, event.usd_micros, event.price) for event in events] == [(side, 21_025_000_000, 84100.0)]


# --- Binance ------------------------------------------------------------------------------------------------------


def usdm(*channels: Channel) -> Opened:
    return open_session("binance_usdm", *channels, connection="market")


def forced(symbol: str, product: int, **fields: str) -> dict[str, Any]:
    order = {
        "s": symbol,
        "S": "SELL",
        "q": "25",
        "p": "76000",
        "ap": "76000",
        "X": "FILLED",
        "l": "25",
        "z": "25",
        "T": MS,
    }
    return {"e": "forceOrder", "E": MS, "st": product, "o": {**order, **fields}}


def test_the_products_mark_decides_and_not_the_spelling() -> None:
    """A dated USD-M contract quoted in USD would be spelt like a COIN-M one."""
    opened = usdm()
    item = Instrument(
        venue="binance_usdm", symbol="BTCUSD_260327", base="BTC", quote="USD", settle="USD", kind="future"
    )
    opened.registry.update([item])
    (event,) = of(Liquidation, opened.push(forced("BTCUSD_260327", 1)))
    assert (event.instrument, event.usd_micros) == (item, 1_900_000_000_000)


@pytest.mark.parametrize("status", ["NEW", "CANCELED", "EXPIRED"])
def test_an_order_that_filled_nothing_is_no_liquidation(status: str) -> None:
    opened = usdm()
    assert of(Liquidation, opened.push(forced("BTCUSDT", 1, X=status))) == []
    assert opened.skipped()["not_filled"] == 1


def test_a_perpetual_without_a_rate_pays_nothing_known() -> None:
    frame = {"e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "84120.5", "i": "84135.2", "r": "", "T": 0}
    assert of(Funding, usdm().push(frame)) == []


def test_a_crossed_book_has_no_mid() -> None:
    opened = open_session("binance_usdm", connection="public")
    row = {
        "e": "bookTicker",
        "u": 1,
        "E": MS,
        "T": MS,
        "s": "BTCUSDT",
        "b": "96001.2",
        "B": "1",
        "a": "96001.1",
        "A": "1",
    }
    assert opened.push(row) == []
    assert len(of(Price, opened.push({**row, "a": "96001.4"}))) == 1


# --- Bybit --------------------------------------------------------------------------------------------------------

LINES = {"categories": ["linear", "inverse"]}


def bybit(category: str = "linear", listing: dict[str, Any] | None = None) -> Opened:
    """A session that also lists what is given."""
    opened = open_session("bybit", connection=category, extra=LINES)
    if listing is not None:
        request = next(each for each in opened.feed.metadata() if each.name.endswith(category))
        body = msgspec.json.encode({"retCode": 0, "result": {"list": [listing]}})
        opened.registry.update(opened.feed.parse_metadata(request, body)[0])
    return opened


def listing(symbol: str, kind: str, **fields: Any) -> dict[str, Any]:
    names = {"symbol": symbol, "contractType": kind, "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT"}
    return {**names, "settleCoin": "USDT", **fields}


def ticker(symbol: str, **fields: str) -> dict[str, Any]:
    return {"topic": f"tickers.{symbol}", "type": "snapshot", "data": {"symbol": symbol, **fields}, "cs": 1, "ts": MS}


def test_one_side_as_told_stands_before_half_of_both() -> None:
    frame = ticker("BTCUSDT", markPrice="100", openInterest="50", singleOpenInterest="30")
    assert [event.usd for event in of(OpenInterest, bybit().push(frame))] == [3000.0]


def test_interval_of_the_listing_holds_where_the_ticker_names_none() -> None:
    opened = bybit(listing=listing("FOURUSDT", "LinearPerpetual", baseCoin="FOUR", fundingInterval=240))
    (event,) = of(Funding, opened.push(ticker("FOURUSDT", fundingRate="0.0001", nextFundingTime=str(MS))))
    assert event.interval_h == 4.0


def test_dated_contract_pays_no_funding_whatever_it_says() -> None:
    opened = bybit(listing=listing("BTC-27MAR26", "LinearFutures", deliveryTime="1774569600000"))
    assert of(Funding, opened.push(ticker("BTC-27MAR26", fundingRate="0", lastPrice="1"))) == []
    assert opened.registry.venue("bybit")["BTC-27MAR26"].expiry_ns == 1774569600 * NS_PER_S


def test_dated_inverse_contract_is_dollars() -> None:
    row = listing("BTCUSDH26", "InverseFutures", quoteCoin="USD", settleCoin="BTC", deliveryTime="1774569600000")
    opened = bybit("inverse", row)
    frame = {"topic": "allLiquidation.BTCUSDH26", "type": "snapshot", "ts": MS,
             "data": [{"T": MS, "s": "BTCUSDH26", "S": "Buy", "v": "700", "p": "84000"}]}  # fmt: skip
    assert [event.usd_micros for event in of(Liquidation, opened.push(frame))] == [700_000_000]


def test_a_thousand_coins_are_one_unit_and_are_not_multiplied_again() -> None:
    opened = bybit(listing=listing("1000PEPEUSDT", "LinearPerpetual", baseCoin="1000PEPE"))
    frame = {"topic": "allLiquidation.1000PEPEUSDT", "type": "snapshot", "ts": MS,
             "data": [{"T": MS, "s": "1000PEPEUSDT", "S": "Sell", "v": "250000", "p": "0.0071"}]}  # fmt: skip
    assert [event.usd_micros for event in of(Liquidation, opened.push(frame))] == [1_775_000_000]


# --- the others ---------------------------------------------------------------------------------------------------


def test_two_equal_liquidations_of_one_okx_push_are_two() -> None:
    detail = {"side": "sell", "posSide": "net", "bkPx": "57102.9", "sz": "100", "bkLoss": "0", "ts": str(MS + 1)}
    row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "details": [detail, detail]}
    frame = {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [row]}
    events = of(Liquidation, open_session("okx").push(frame))
    assert len({event.key for event in events}) == 2


def test_an_order_that_bitmex_had_open_before_counts_only_by_what_is_added() -> None:
    opened = open_session("bitmex")
    order = {"orderID": "df41", "symbol": "XBTUSD", "side": "Sell", "price": 83950.5, "leavesQty": 1000}
    opened.push({"table": "liquidation", "action": "partial", "data": [order]})
    events = opened.push({"table": "liquidation", "action": "update", "data": [{**order, "leavesQty": 1500}]})
    assert [event.usd_micros for event in of(Liquidation, events)] == [500_000_000]


def test_an_index_in_bitmex_trades_is_neither_a_trade_nor_an_unknown_contract() -> None:
    """Without the exception each of its ticks asked the venue for new listings."""
    opened = open_session("bitmex", Channel.TRADES)
    opened.push({"table": "trade", "action": "partial", "data": []})
    row = {"timestamp": ISO, "symbol": ".BXBT", "side": "Buy", "size": 0, "price": 84100, "trdType": "Referential"}
    assert opened.push({"table": "trade", "action": "insert", "data": [row]}) == []
    assert opened.skipped() == {"index": 1}
    assert opened.notices(BadRow) == []


def test_a_bitmex_price_in_bitcoin_is_no_dollar_price() -> None:
    opened = open_session("bitmex")
    item = Instrument(venue="bitmex", symbol="ETHXBT", base="ETH", quote="XBT", settle="XBt", kind="future")
    opened.registry.update([item])
    row = {"symbol": "ETHXBT", "typ": "FFCCSX", "settlCurrency": "XBt", "markPrice": 0.035, "timestamp": ISO}
    assert opened.push({"table": "instrument", "action": "partial", "data": [row]}) == []
    assert opened.skipped() == {"quote_not_usd": 1}


def test_interval_of_a_bitget_contract_is_its_own() -> None:
    feed = make_feed("bitget", FeedOptions(channels=frozenset({Channel.FUNDING})))
    row = {"symbol": "XUSDT", "baseCoin": "X", "quoteCoin": "USDT", "fundInterval": "4"}
    body = msgspec.json.encode({"code": "00000", "data": [row]})
    (item,), _ = feed.parse_metadata(feed.metadata()[0], body)
    assert item.funding_interval_h == 4.0


def test_bitget_pays_hourly_from_the_moment_that_its_next_payment_is_nearer() -> None:
    """The listing is read once an hour; until then the rate of an hour passed for that of eight."""
    opened, ten, hour = open_session("bitget", Channel.FUNDING), 1763719200000, 3_600_000
    told = []
    for ts, next_at in ((ten, ten + 6 * hour), (ten + 60_000, ten + hour)):
        row = {"symbol": "BTCUSDT", "fundingRate": f"{ts / 1e17:.8f}", "nextFundingTime": str(next_at)}
        arg = {"instType": "usdt-futures", "topic": "ticker", "symbol": "BTCUSDT"}
        told += of(Funding, opened.push({"action": "snapshot", "arg": arg, "data": [row], "ts": ts}))
    assert [event.interval_h for event in told] == [8.0, 1.0]


def test_tradfi_perpetual_of_gate_is_not_crypto() -> None:
    feed = make_feed("gate", FeedOptions(channels=frozenset({Channel.PRICE})))
    row = {"name": "TSLAX_USDT", "type": "direct", "quanto_multiplier": "0.01", "contract_type": "stocks"}
    (item,), _ = feed.parse_metadata(feed.metadata()[0], msgspec.json.encode([row]))
    assert item.asset_class == "tradfi"


def test_a_liquidation_that_gate_tells_again_is_worth_what_it_was_filled_at() -> None:
    feed = make_feed("gate", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS})))
    registry = Registry()
    load(feed, registry)
    item = registry.venue("gate")["BTC_USDT"]
    (page,) = feed.gap(Channel.LIQUIDATIONS, [item], NOW_NS - 60 * NS_PER_S, NOW_NS)
    row = {
        "time": NOW_NS // NS_PER_S - 30,
        "contract": "BTC_USDT",
        "size": -1200,
        "order_price": "91000",
        "fill_price": "90000",
    }
    events, _ = feed.parse_history(page, msgspec.json.encode([row]), NOW_NS, registry)
    assert [(event.side, event.usd_micros) for event in of(Liquidation, events)] == [("short", 10_800_000_000)]


def test_turnover_of_htx_stands_before_amount_times_price() -> None:
    opened = open_session("htx", connection=-1)
    row = {"contract_code": "BTC-USDT", "direction": "sell", "volume": 432, "amount": 0.432, "trade_turnover": 36000.0,
           "price": 84000.0, "created_at": MS}  # fmt: skip
    frame = {"op": "notify", "topic": "public.*.liquidation_orders", "ts": MS, "data": [row]}
    events = opened.push(gzip.compress(msgspec.json.encode(frame)))
    assert [event.usd_micros for event in of(Liquidation, events)] == [36_000_000_000]


def test_a_price_of_zero_is_none() -> None:
    row = {"feed": "ticker", "product_id": "PF_XBTUSD", "time": MS, "markPrice": 0.0, "last": 0.0, "index": 84100.0}
    events = of(Price, open_session("kraken_futures").push(row))
    assert [(event.kind, event.value) for event in events] == [("index", 84100.0)]


@pytest.mark.parametrize(
    ("coin", "base", "units"),
    [("1MBABYDOGE", "BABYDOGE", 1_000_000), ("1000000MOG", "MOG", 1_000_000), ("10000SATS", "SATS", 10_000),
     ("1INCH", "1INCH", 1), ("10000000AIDOGE", "AIDOGE", 10_000_000), ("SHIB1000", "SHIB", 1000), ("1000", "1000", 1), ("1000X2", "1000X2", 1)],
)  # fmt: skip
def test_multipliers_of_names(coin: str, base: str, units: int) -> None:
    assert canonical_base(coin) == (base, units)


def test_younger_stablecoins_are_dollars_too() -> None:
    pairs = {
        quote: Instrument(venue="v", symbol="X", base="BTC", quote=quote, settle=quote, kind="spot").usd_quoted
        for quote in ("USD1", "RLUSD", "USDG", "USDS", "EUR", "USDX", "BTC")
    }
    assert [quote for quote, dollars in pairs.items() if dollars] == ["USD1", "RLUSD", "USDG", "USDS"]


ETHER_IN_BITCOINS = (
    ("binance_usdm", "ETHBTC"), ("binance_spot", "ETHBTC"), ("kraken", "ETH/BTC"), ("coinbase", "ETH-BTC"),
)  # fmt: skip


@pytest.mark.parametrize(("venue", "symbol"), ETHER_IN_BITCOINS)
def test_bitcoins_are_not_told_as_dollars_of_depth_or_open_interest(venue: str, symbol: str) -> None:
    """A pair that is named although it is quoted in bitcoins: 10,000 ethers at 0.035 are no 350 dollars."""
    channels = frozenset({Channel.DEPTH, Channel.OPEN_INTEREST, Channel.PRICE}) & feed_class(venue).spec.laws.keys()
    feed = make_feed(venue, FeedOptions(channels=channels, symbols=(symbol,), extra={"depth_bases": ["ETH"]}))
    registry = Registry()
    load(feed, registry)
    (item,) = feed.wanted(registry)
    assert item.quote == "BTC"
    assert [poll for poll in feed.polls([item]) if poll.symbol] == []
    assert feed.history(item, Channel.OPEN_INTEREST, 0, NOW_NS, 3600 * NS_PER_S) == []


def test_open_interest_in_another_currency_is_left_out_and_counted() -> None:
    opened = open_session("kraken_futures", symbols=["PF_XBTUSD"])
    item = Instrument(venue="kraken_futures", symbol="PV_XRPXBT", base="XRP", quote="XBT", settle="XBT", kind="perp")
    opened.registry.update([item])
    row = {"feed": "ticker", "product_id": "PV_XRPXBT", "time": MS, "markPrice": 0.00002, "openInterest": 5e6}
    assert of(OpenInterest, opened.push(row)) == []
    assert opened.skipped() == {"quote_not_usd": 1}
