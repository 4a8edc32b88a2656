"""What local venues answer about the past: candles, funding, open interest, and the events that nobody was there to hear.

Each venue's replies have its documented shape; `Past` says the values. All of it is synthetic.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.events import Channel, Liquidation, MarketEvent, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import dollars, forced_order, iso, ms, price_of, quantity
from monitor.testing.venues.state import quantity as exact_quantity
from monitor.testing.venues.state import text
from monitor.wire import iso_ns

TOLD = 20_000
"""How many events are remembered for whoever asks later."""
STEPS_MS = {
    "1": 60_000, "1m": 60_000, "5": 300_000, "5m": 300_000, "5min": 300_000, "60": 3_600_000, "1h": 3_600_000,
    "1H": 3_600_000, "D": 86_400_000, "1d": 86_400_000, "1D": 86_400_000, "1Dutc": 86_400_000,
}  # fmt: skip
"""The venues' words for the distance of values."""


class Past(Protocol):
    """The market before now."""

    def value(self, instrument: Instrument, channel: Channel, ts_ns: int) -> float | None:
        """Price per venue unit, open interest in USD, or funding per interval at an instant; None: there was none."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for the past."""

    instruments: Mapping[str, Instrument]
    past: Past
    told: Sequence[MarketEvent]
    path: str
    query: Mapping[str, str]
    now_ns: int
    body: bytes = b""

    def number(self, name: str, default: int) -> int:
        """A whole number of the query."""
        return int(self.query.get(name, default))

    def points(
        self, symbol: str, channel: Channel, span_ms: tuple[int, int], step_ms: int, later_ms: int = 0
    ) -> Iterator[tuple[int, float]]:
        """(ms, value) at whole steps of [first, last] whose value, `later_ms` later, is not in the future."""
        instrument = self.instruments.get(symbol)
        first, last = span_ms
        for at in range(-(-first // step_ms) * step_ms, last + 1, step_ms):
            at_ns = (at + later_ms) * NS_PER_MS
            value = self.past.value(instrument, channel, at_ns) if instrument and at_ns <= self.now_ns else None
            if value is not None:
                yield at, value

    def closes(self, symbol: str, first_ms: int, last_ms: int, step_ms: int) -> Iterator[tuple[int, float]]:
        """(opening, close) of the candles that have closed."""
        return self.points(symbol, Channel.PRICE, (first_ms, last_ms), step_ms, step_ms)

    def settlements(self, symbol: str, first_ms: int, last_ms: int) -> Iterator[tuple[int, float]]:
        """(settlement, rate)."""
        instrument = self.instruments.get(symbol)
        hours = instrument.funding_interval_h if instrument else None
        return self.points(symbol, Channel.FUNDING, (first_ms, last_ms), int((hours or 8.0) * 3_600_000))

    def lost(self, kind: type[MarketEvent], first_ns: int, last_ns: int) -> list[Any]:
        """Events of a kind of this venue's instruments that were told in [first, last]."""
        listed = set(map(id, self.instruments.values()))
        return [
            event
            for event in self.told
            if isinstance(event, kind) and first_ns <= event.ts_ns <= last_ns and id(event.instrument) in listed  # type: ignore[union-attr]  # `kind` has one
        ]

    def trades(self, symbol: str) -> list[Trade]:
        """All trades of one instrument that were told, oldest first."""
        mine: list[Trade] = [event for event in self.lost(Trade, 0, 1 << 63) if event.instrument.symbol == symbol]
        return sorted(mine, key=lambda event: event.ts_ns)

    def newest(self, symbol: str, until_ms: int, count: int) -> list[tuple[int, Trade]]:
        """The last `count` trades before a time, numbered from 1, newest first."""
        numbered = [(n, event) for n, event in enumerate(self.trades(symbol), 1) if ms(event.ts_ns) < until_ms]
        return numbered[::-1][:count]


def remembered(told: deque[MarketEvent], events: Sequence[MarketEvent]) -> None:
    """Keep liquidations and trades for who asks later."""
    told.extend(event for event in events if isinstance(event, Liquidation | Trade))


def _candle(opening: int, close: float, *more: Any) -> list[Any]:
    text = repr(close)
    return [opening, text, text, text, text, *more]


def _binance(asked: Asked) -> Any:
    name, query = asked.path.rpartition("/")[2], asked.query
    symbol = query.get("symbol") or f"{query.get('pair', '')}_PERP"
    first, last = asked.number("startTime", 0), asked.number("endTime", ms(asked.now_ns))
    if name in {"markPriceKlines", "klines"}:
        step = STEPS_MS[query["interval"]]
        return [_candle(at, v, "0", at + step - 1) for at, v in asked.closes(symbol, first, last, step)]
    if name == "fundingRate":
        rows = asked.settlements(symbol, first, last)
        return [{"symbol": symbol, "fundingTime": at + 3, "fundingRate": f"{v:.8f}"} for at, v in rows]
    if name == "openInterestHist":
        found = asked.points(symbol, Channel.OPEN_INTEREST, (first, last), STEPS_MS[query["period"]])
        return [
            {"timestamp": at, "sumOpenInterestValue": repr(v), "sumOpenInterest": repr(v / _worth(asked, symbol, at))}
            for at, v in found
        ]
    if name == "aggTrades":
        return _aggregated(asked, symbol)[: asked.number("limit", 500)]
    return None


def _aggregated(asked: Asked, symbol: str) -> list[dict[str, Any]]:
    """Numbered by their place in all that was told, from a time or a number on."""
    first, since_ms = asked.number("fromId", 0), asked.number("startTime", 0)
    return [
        {"a": number, "p": text(event.price), "q": text(exact_quantity(event)), "T": ms(event.ts_ns), "m": event.side == "sell"}
        for number, event in enumerate(asked.trades(symbol))
        if number >= first and ms(event.ts_ns) >= since_ms
    ]  # fmt: skip


def _worth(asked: Asked, symbol: str, at_ms: int) -> float:
    """Dollars of one contract at an instant."""
    instrument = asked.instruments[symbol]
    price = asked.past.value(instrument, Channel.PRICE, at_ms * NS_PER_MS) or 1.0
    return float(instrument.contract_value) * (1.0 if instrument.form == "inverse" else price)


def _bybit(asked: Asked) -> Any:
    name, query = asked.path.removeprefix("/v5/market/"), asked.query
    symbol = query.get("symbol", "")
    if name == "mark-price-kline":
        step = STEPS_MS[query["interval"]]
        found: list[Any] = [
            [str(at), *_candle(at, v)[1:]]
            for at, v in asked.closes(symbol, asked.number("start", 0), asked.number("end", 0), step)
        ]
    elif name == "funding/history":
        rows = asked.settlements(symbol, asked.number("startTime", 0), asked.number("endTime", 0))
        found = [{"symbol": symbol, "fundingRate": f"{v:.8f}", "fundingRateTimestamp": str(at)} for at, v in rows]
    elif name == "recent-trade":
        found = [
            {
                "execId": str(number), "symbol": symbol, "price": text(event.price), "size": text(exact_quantity(event)),
                "side": event.side.title(), "time": str(ms(event.ts_ns)),
            }
            for number, event in reversed(asked.newest(symbol, ms(asked.now_ns) + 1, asked.number("limit", 500)))
        ]  # fmt: skip
    elif name == "open-interest":
        span = asked.number("startTime", 0), asked.number("endTime", 0)
        rows = asked.points(symbol, Channel.OPEN_INTEREST, span, STEPS_MS[query["intervalTime"]])
        found = [{"openInterest": repr(_both_sides(asked, symbol, at, v)), "timestamp": str(at)} for at, v in rows]
    else:
        return None
    return {"retCode": 0, "retMsg": "OK", "result": {"symbol": symbol, "list": found[::-1]}, "time": ms(asked.now_ns)}


def _both_sides(asked: Asked, symbol: str, at_ms: int, usd: float) -> float:
    instrument = asked.instruments[symbol]
    price = asked.past.value(instrument, Channel.PRICE, at_ms * NS_PER_MS) or 1.0
    return 2 * usd / (1.0 if instrument.form == "inverse" else price)


def _okx(asked: Asked) -> Any:
    name, query = asked.path.removeprefix("/api/v5/"), asked.query
    symbol, before, after = query.get("instId", ""), asked.number("before", 0), asked.number("after", 0)
    if name == "market/history-mark-price-candles":
        step = STEPS_MS[query["bar"]]
        found: list[Any] = [
            [str(at), *_candle(at, v)[1:], "1"] for at, v in asked.closes(symbol, before + 1, after - 1, step)
        ]
    elif name == "public/funding-rate-history":
        rows = asked.settlements(symbol, before + 1, after - 1)
        found = [
            {"instId": symbol, "fundingTime": str(at), "realizedRate": f"{v:.8f}", "fundingRate": f"{v:.8f}"}
            for at, v in rows
        ]
    elif name == "rubik/stat/contracts/open-interest-history":
        span = asked.number("begin", 0) + 1, asked.number("end", 0) - 1
        rows = asked.points(symbol, Channel.OPEN_INTEREST, span, STEPS_MS[query["period"]])
        found = [[str(at), "0", "0", repr(v)] for at, v in rows]
    elif name == "public/liquidation-orders":
        found = _okx_liquidations(asked, before, after)
    elif name == "market/history-trades":
        found = _okx_trades(asked, symbol, after)
    else:
        return None
    return {"code": "0", "msg": "", "data": found[::-1]}


def _okx_liquidations(asked: Asked, before: int, after: int) -> list[Any]:
    """The newest of a family, by contract."""
    family, kind = asked.query["instFamily"], asked.query["instType"]
    told = asked.lost(Liquidation, (before + 1) * NS_PER_MS, (after - 1) * NS_PER_MS)
    mine = [e for e in told if e.instrument.symbol.startswith(f"{family}-") and e.instrument.category == kind]
    details: dict[str, list[Any]] = {}
    for event in sorted(mine, key=lambda event: -event.ts_ns)[: asked.number("limit", 100)]:
        details.setdefault(event.instrument.symbol, []).append(
            {
                "side": forced_order(event), "posSide": event.side, "bkPx": text(event.price),
                "sz": text(exact_quantity(event)), "bkLoss": "0", "ccy": "", "ts": str(ms(event.ts_ns)),
            }
        )  # fmt: skip
    return [
        {"instType": kind, "instFamily": family, "instId": symbol, "details": rows} for symbol, rows in details.items()
    ]


def _okx_trades(asked: Asked, symbol: str, after: int) -> list[Any]:
    """Before a time (type 2) or a number (type 1), oldest first."""
    by_time = asked.query["type"] == "2"
    numbered = asked.newest(symbol, after if by_time else 1 << 62, 1 << 30)
    mine = [(number, event) for number, event in numbered if by_time or number < after][: asked.number("limit", 100)]
    return [
        {
            "instId": symbol, "tradeId": str(number), "px": text(event.price), "sz": text(exact_quantity(event)),
            "side": event.side, "ts": str(ms(event.ts_ns)),
        }
        for number, event in reversed(mine)
    ]  # fmt: skip


def _deribit(asked: Asked) -> Any:
    name, query = asked.path.rpartition("/")[2], asked.query
    symbol = query.get("instrument_name", "")
    first, last = asked.number("start_timestamp", 0), asked.number("end_timestamp", 0)
    if name == "get_tradingview_chart_data":
        rows = list(asked.closes(symbol, first, last, STEPS_MS[query["resolution"]]))
        return {"result": {"status": "ok", "ticks": [at for at, _ in rows], "close": [v for _, v in rows]}}
    if name == "get_funding_rate_history":
        settled = asked.points(symbol, Channel.FUNDING, (first, last), 3_600_000)
        return {"result": [{"timestamp": at, "interest_8h": v, "interest_1h": v / 8} for at, v in settled]}
    if name == "get_last_trades_by_currency_and_time":
        events = asked.lost(Liquidation, first * NS_PER_MS, last * NS_PER_MS)
        events += asked.lost(Trade, first * NS_PER_MS, last * NS_PER_MS)
        mine = [event for event in events if event.instrument.settle == query["currency"]]
        mine.sort(key=lambda event: event.ts_ns)
        page = mine[: asked.number("count", 10)]
        return {
            "result": {"trades": [_fill(n, event) for n, event in enumerate(page)], "has_more": len(mine) > len(page)}
        }
    return None


def _fill(number: int, event: Trade | Liquidation) -> dict[str, Any]:
    forced = isinstance(event, Liquidation)
    row = {
        "trade_seq": number + 1, "trade_id": f"lost-{event.ts_ns}-{number}", "timestamp": ms(event.ts_ns),
        "price": price_of(event), "index_price": price_of(event), "instrument_name": event.instrument.symbol,
        "direction": forced_order(event) if isinstance(event, Liquidation) else event.side, "amount": quantity(event),
    }  # fmt: skip
    return {**row, "liquidation": "T"} if forced else row


def _bitmex(asked: Asked) -> Any:
    name, query = asked.path.removeprefix("/api/v1/"), asked.query
    symbol = query.get("symbol", "")
    if name not in {"trade/bucketed", "funding", "trade"}:
        return None
    first, last = ms(iso_ns(query["startTime"])), ms(iso_ns(query["endTime"]))
    if name == "trade/bucketed":
        step = STEPS_MS[query["binSize"]]
        rows = asked.points(symbol, Channel.PRICE, (first, last), step)
        return [{"timestamp": iso(at * NS_PER_MS), "symbol": symbol, "close": v} for at, v in rows]
    if name == "funding":
        rows = asked.settlements(symbol, first, last)
        return [{"timestamp": iso(at * NS_PER_MS), "symbol": symbol, "fundingRate": v} for at, v in rows]
    trades = [
        event for event in asked.lost(Trade, first * NS_PER_MS, last * NS_PER_MS) if event.instrument.symbol == symbol
    ]
    return [
        {
            "timestamp": iso(event.ts_ns), "symbol": symbol, "side": event.side.title(), "size": 0, "price": event.price,
            "trdMatchID": f"lost-{n}", "foreignNotional": float(dollars(event)), "homeNotional": float(dollars(event) / price_of(event)),
        }
        for n, event in enumerate(sorted(trades, key=lambda event: event.ts_ns)[: asked.number("count", 100)])
    ]  # fmt: skip


def _gate(asked: Asked) -> Any:
    name, query = asked.path.rpartition("/")[2], asked.query
    symbol = query.get("contract", "").removeprefix("mark_")
    first, last = asked.number("from", 0) * 1000, asked.number("to", asked.now_ns // NS_PER_S) * 1000
    if name == "candlesticks":
        rows = asked.closes(symbol, first, last, STEPS_MS[query["interval"]])
        return [{"t": at // 1000, "o": repr(v), "h": repr(v), "l": repr(v), "c": repr(v)} for at, v in rows]
    if name == "funding_rate":
        return [{"t": at // 1000, "r": f"{v:.8f}"} for at, v in asked.settlements(symbol, first, last)]
    if name == "contract_stats":
        step = STEPS_MS[query["interval"]]
        found = asked.points(
            symbol, Channel.OPEN_INTEREST, (first, first + step * asked.number("limit", 30)), step, step
        )
        return [{"time": at // 1000, "open_interest_usd": v} for at, v in found]
    if name == "trades":
        mine = [event for event in asked.trades(symbol) if first <= ms(event.ts_ns) <= last]
        start = asked.number("offset", 0)
        page = mine[::-1][start : start + asked.number("limit", 100)]
        return [
            {
                "id": n, "create_time": event.ts_ns // NS_PER_S, "create_time_ms": ms(event.ts_ns) / 1000, "contract": symbol,
                "size": _plain(quantity(event) * (1 if event.side == "buy" else -1)), "price": str(price_of(event)),
            }
            for n, event in enumerate(page)
        ]  # fmt: skip
    if name == "liq_orders" and "from" in query:
        told = asked.lost(Liquidation, first * NS_PER_MS, last * NS_PER_MS + NS_PER_S - 1)  # times are whole seconds
        return [_forced(event) for event in sorted(told, key=lambda e: -e.ts_ns)[: asked.number("limit", 100)]]
    return None


def _forced(event: Liquidation) -> dict[str, Any]:
    size = quantity(event) * (1 if event.side == "long" else -1)
    price = str(price_of(event))
    return {
        "time": event.ts_ns // NS_PER_S, "contract": event.instrument.symbol, "size": _plain(size), "order_size": _plain(-size),
        "order_price": price, "fill_price": price, "left": 0,
    }  # fmt: skip


def _plain(size: Decimal) -> Decimal | int:
    return int(size) if size == int(size) else size


def _kraken_futures(asked: Asked) -> Any:
    if asked.path.startswith("/api/charts/v1/mark/"):
        symbol, bar = asked.path.split("/")[-2:]
        rows = asked.closes(symbol, asked.number("from", 0) * 1000, asked.number("to", 0) * 1000, STEPS_MS[bar])
        return {"candles": [{"time": at, "open": repr(v), "high": repr(v), "low": repr(v), "close": repr(v), "volume": "0"} for at, v in rows], "more_candles": False}  # fmt: skip
    if asked.path.endswith("/open-interest"):
        return _kraken_interest(asked, asked.path.split("/")[-2])
    if not asked.path.endswith("/history"):
        return None
    until_ns = iso_ns(asked.query["lastTime"])
    events = [*asked.lost(Liquidation, 0, until_ns), *asked.lost(Trade, 0, until_ns)]
    mine = sorted((e for e in events if e.instrument.symbol == asked.query["symbol"]), key=lambda event: -event.ts_ns)
    return {"result": "success", "history": [_past_fill(event) for event in mine[:100]]}


def _kraken_interest(asked: Asked, symbol: str) -> Any:
    """Coins of linear contracts, dollars of inverse ones; each period by its opening, with the value at its close."""
    step_ms, instrument = asked.number("interval", 0) * 1000, asked.instruments[symbol]
    span = (asked.number("since", 0) * 1000, asked.number("to", 0) * 1000)
    found = []
    for at, usd in asked.points(symbol, Channel.OPEN_INTEREST, span, step_ms, step_ms):
        price = asked.past.value(instrument, Channel.PRICE, (at + step_ms) * NS_PER_MS) or 1.0
        amount = usd / (1.0 if instrument.form == "inverse" else price) / float(instrument.contract_value)
        found.append((at // 1000, [repr(amount)] * 4))
    return {"result": {"timestamp": [at for at, _ in found], "more": False, "data": [bar for _, bar in found]}, "errors": []}  # fmt: skip


def _past_fill(event: Trade | Liquidation) -> dict[str, Any]:
    forced = isinstance(event, Liquidation)
    return {
        "time": iso(event.ts_ns), "uid": f"lost-{event.ts_ns}-{event.usd_micros}", "price": float(price_of(event)),
        "size": float(quantity(event)), "type": "liquidation" if forced else "fill",
        "side": forced_order(event) if isinstance(event, Liquidation) else event.side,
    }  # fmt: skip


def _hyperliquid(asked: Asked) -> Any:
    message = json.loads(asked.body or b"{}")
    if message.get("type") == "candleSnapshot":
        wanted = message["req"]
        rows = asked.closes(wanted["coin"], wanted["startTime"], wanted["endTime"], STEPS_MS[wanted["interval"]])
        return [{"t": at, "s": wanted["coin"], "c": repr(v)} for at, v in rows]
    if message.get("type") == "fundingHistory":
        rows = asked.settlements(message["coin"], message["startTime"], message["endTime"])
        return [{"coin": message["coin"], "fundingRate": f"{v:.8f}", "time": at + 41} for at, v in rows]
    return None


def _dydx_trades(asked: Asked) -> Any:
    symbol, until_ns = asked.path.rpartition("/")[2], iso_ns(asked.query["createdBeforeOrAt"])
    events = [*asked.lost(Liquidation, 0, until_ns), *asked.lost(Trade, 0, until_ns)]
    mine = sorted((e for e in events if e.instrument.symbol == symbol), key=lambda event: -event.ts_ns)
    return {"trades": [_dydx_trade(event) for event in mine[: asked.number("limit", 100)]]}


def _dydx_trade(event: Trade | Liquidation) -> dict[str, Any]:
    forced = isinstance(event, Liquidation)
    side = forced_order(event) if isinstance(event, Liquidation) else event.side
    return {
        "id": f"lost-{event.ts_ns}-{event.usd_micros}", "side": side.upper(), "size": str(quantity(event)),
        "price": str(price_of(event)), "type": "LIQUIDATED" if forced else "LIMIT", "createdAt": iso(event.ts_ns),
        "createdAtHeight": "1",
    }  # fmt: skip


def _dydx(asked: Asked) -> Any:
    if "/trades/perpetualMarket/" in asked.path:
        return _dydx_trades(asked)
    if "/candles/perpetualMarkets/" not in asked.path:
        return None
    symbol, step = asked.path.rpartition("/")[2], {"1MIN": 60_000, "5MINS": 300_000, "1HOUR": 3_600_000, "1DAY": 86_400_000}[asked.query["resolution"]]  # fmt: skip
    rows = []
    for at in range(ms(iso_ns(asked.query["fromISO"])), ms(iso_ns(asked.query["toISO"])), step):
        instrument, at_ns = asked.instruments[symbol], at * NS_PER_MS
        price, close = (
            asked.past.value(instrument, Channel.PRICE, at_ns + later * step * NS_PER_MS) for later in (0, 1)
        )
        usd = asked.past.value(instrument, Channel.OPEN_INTEREST, at_ns)
        if price and close and usd is not None:
            rows.append({"startedAt": iso(at_ns), "close": repr(close), "startingOpenInterest": repr(usd / price)})
    return {"candles": rows[::-1]}


def _coinbase_trades(asked: Asked) -> Any:
    symbol, after = asked.path.split("/")[-2], asked.number("after", 1 << 62)
    numbered = [row for row in asked.newest(symbol, ms(asked.now_ns) + 1, 1 << 30) if row[0] < after]
    return [
        {
            "trade_id": number, "time": iso(event.ts_ns), "price": text(event.price), "size": text(exact_quantity(event)),
            "side": "sell" if event.side == "buy" else "buy",
        }
        for number, event in numbered[: asked.number("limit", 100)]
    ]  # fmt: skip


def _coinbase(asked: Asked) -> Any:
    if asked.path.endswith("/trades"):
        return _coinbase_trades(asked)
    if not asked.path.endswith("/candles"):
        return None
    step = asked.number("granularity", 60) * 1000
    rows = asked.closes(asked.path.split("/")[-2], asked.number("start", 0) * 1000, asked.number("end", 0) * 1000, step)
    return [[at // 1000, v, v, v, v, 1.0] for at, v in rows][::-1]


def _bitget(asked: Asked) -> Any:
    """The venue heeds the end of the time and not its start."""
    if not asked.path.endswith("/fills-history"):
        return None
    before = asked.number("idLessThan", 1 << 62)
    numbered = [
        row for row in asked.newest(asked.query["symbol"], asked.number("endTime", 0), 1 << 30) if row[0] < before
    ]
    rows = [
        {
            "tradeId": str(number), "symbol": asked.query["symbol"], "price": text(event.price),
            "size": text(exact_quantity(event)), "side": event.side.title(), "ts": str(ms(event.ts_ns)),
        }
        for number, event in numbered[: asked.number("limit", 500)]
    ]  # fmt: skip
    return {"code": "00000", "msg": "success", "data": rows}


def _htx(asked: Asked) -> Any:
    """Liquidations one row at a time, as the venue was seen to answer; trades in batches; both sides are counted."""
    if asked.path.endswith("/swap_his_open_interest"):
        return _htx_interest(asked)
    if asked.path.endswith("/market/history/trade"):
        symbol = asked.query["contract_code"]
        newest = asked.newest(symbol, ms(asked.now_ns) + 1, asked.number("size", 100))
        rows = [
            {
                "id": number, "ts": ms(event.ts_ns), "direction": event.side, "price": float(price_of(event)),
                "amount": float(2 * quantity(event)), "trade_turnover": float(2 * dollars(event)),
            }
            for number, event in newest
        ]  # fmt: skip
        return {
            "status": "ok",
            "ch": f"market.{symbol}.trade.detail",
            "data": [{"id": row["id"], "data": [row]} for row in rows],
        }
    if not asked.path.endswith("/swap_liquidation_orders"):
        return None
    first, last = asked.number("start_time", 0) * NS_PER_MS, asked.number("end_time", 0) * NS_PER_MS
    told = [
        event for event in asked.lost(Liquidation, 0, 1 << 63) if event.instrument.symbol == asked.query["contract"]
    ]
    told.sort(key=lambda event: event.ts_ns)
    left = [
        (number, event)
        for number, event in enumerate(told, 1)
        if first <= event.ts_ns <= last and number > asked.number("from_id", 0)
    ]
    orders: list[dict[str, Any]] = [
        {
            "query_id": number, "contract_code": event.instrument.symbol, "direction": forced_order(event), "offset": "close",
            "volume": float(quantity(event)), "price": float(price_of(event)), "created_at": ms(event.ts_ns),
            "trade_turnover": float(dollars(event)),
        }
        for number, event in left[:1]
    ]  # fmt: skip
    return {"code": 200, "msg": "", "data": orders, "ts": ms(asked.now_ns)}


def _htx_interest(asked: Asked) -> Any:
    symbol, now_ms = asked.query["contract_code"], ms(asked.now_ns)
    step_ms = {"60min": 3_600_000}[asked.query["period"]]
    span = (now_ms - asked.number("size", 48) * step_ms + 1, now_ms)
    rows = [
        {"volume": 1.0, "amount_type": 1, "ts": at, "value": 2 * usd}
        for at, usd in asked.points(symbol, Channel.OPEN_INTEREST, span, step_ms)
    ]
    return {"status": "ok", "data": {"contract_code": symbol, "tick": rows[::-1]}, "ts": now_ms}


def _kraken(asked: Asked) -> Any:
    if not asked.path.endswith("/public/Trades"):
        return None
    names = {
        symbol.replace("BTC", "XBT").replace("DOGE", "XDG").replace("/", ""): symbol for symbol in asked.instruments
    }
    since = asked.number("since", 0)
    mine = [event for event in asked.trades(names[asked.query["pair"]]) if event.ts_ns > since]
    page = mine[: asked.number("count", 1000)]
    rows = [
        [text(event.price), text(exact_quantity(event)), event.ts_ns / NS_PER_S, event.side[0], "m", "", n]
        for n, event in enumerate(page)
    ]
    return {"error": [], "result": {f"X{asked.query['pair']}": rows, "last": str(page[-1].ts_ns if page else since)}}


PAST: Mapping[str, Callable[[Asked], Any]] = {
    "binance_usdm": _binance,
    "binance_coinm": _binance,
    "binance_spot": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "deribit": _deribit,
    "bitmex": _bitmex,
    "gate": _gate,
    "kraken_futures": _kraken_futures,
    "hyperliquid": _hyperliquid,
    "dydx": _dydx,
    "coinbase": _coinbase,
    "bitget": _bitget,
    "htx": _htx,
    "kraken": _kraken,
}
"""Venue -> its reply to a request for the past; None where the request is for something else."""
