"""HTX's side of the protocol: gzip frames, two dialects, amounts and open interest that count both sides."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dollars, dumps, forced_order, ms, price_of
from monitor.testing.protocol import ClientReply, Frame, Push

_MARKET, _INDEX, _NOTIFICATION = "/linear-swap-ws", "/ws_index", "/linear-swap-notification"
_NOTIFIED = frozenset({"public.*.liquidation_orders", "public.*.funding_rate"})
_MARKET_KINDS = frozenset({"bbo", "detail", "trade.detail", "mark_price.1min"})


class HtxProtocol(JsonVenue):
    """Market ticks, notifications, and pings by the server."""

    venue: ClassVar[str] = "htx"
    paths: ClassVar[frozenset[str]] = frozenset({_MARKET, _INDEX, _NOTIFICATION})

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """Subscriptions of either dialect; pongs need no answer."""
        if path == _NOTIFICATION:
            return self._notified(message, now_ns)
        if "sub" not in message:
            return ClientReply()
        topic, echo = message["sub"], {"id": message.get("id"), "ts": ms(now_ns)}
        symbol, _, kind = topic.removeprefix("market.").partition(".")
        if symbol in self.rows and kind in _MARKET_KINDS:
            return ClientReply((_pack({**echo, "status": "ok", "subbed": topic}),), subscribed=(topic,))
        error = {"status": "error", "err-code": "bad-request", "err-msg": f"invalid topic {topic}"}
        return ClientReply((_pack({**echo, **error}),))

    def _notified(self, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        if message.get("op") != "sub":
            return ClientReply()
        topic = message.get("topic", "")
        echo = {"op": "sub", "cid": message.get("cid"), "topic": topic, "ts": ms(now_ns)}
        if topic in _NOTIFIED:
            return ClientReply((_pack({**echo, "err-code": 0}),), subscribed=(topic,))
        return ClientReply((_pack({**echo, "err-code": 2003, "err-msg": "invalid topic"}),))

    def pings(self, path: str, now_ns: int) -> list[Frame]:
        """Every five seconds, in the socket's dialect."""
        if ms(now_ns) // 1000 % 5:
            return []
        message = {"op": "ping", "ts": str(ms(now_ns))} if path == _NOTIFICATION else {"ping": ms(now_ns)}
        return [_pack(message)]

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Ticks and notifications; open interest is by REST only."""
        match event:
            case Price():
                return [_price(event)] if event.kind != "index" else []
            case Trade():
                both = {"trade_turnover": dollars(event) * 2, "price": price_of(event), "direction": event.side}
                return [_tick(event, "trade.detail", {"data": [{**both, "ts": ms(event.ts_ns)}]})]
            case Funding():
                rate = {"funding_rate": str(event.rate), "settlement_time": str(ms(event.next_ns))}
                return [_notify("public.*.funding_rate", event, rate)]
            case Liquidation():
                return [_notify("public.*.liquidation_orders", event, _order(event))]
            case _:
                return []

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Contracts, order books and two-sided open interest."""
        symbol = query.get("contract_code", "")
        bids, asks = self.book(symbol) if symbol in self.rows else ([], [])
        interest = [
            {"contract_code": symbol, "value": row["open_interest"] * 2}
            for symbol, row in self.rows.items()
            if "open_interest" in row
        ]
        latest = max((row.get("ts_ms", 0.0) for row in self.rows.values()), default=0.0)
        ok = {"status": "ok", "ts": int(latest)}
        tick = {"bids": bids, "asks": asks, "ts": int(latest)}
        return {
            "/linear-swap-ex/market/depth": {**ok, "tick": tick},
            "/linear-swap-api/v1/swap_contract_info": {**ok, "data": [_listing(item) for item in self.instruments]},
            "/linear-swap-api/v1/swap_open_interest": {**ok, "data": interest},
        }


def _price(event: Price) -> Push:
    if event.kind == "mark":
        return _tick(event, "mark_price.1min", {"close": str(event.value)}, _INDEX)
    if event.kind == "mid":
        return _tick(event, "bbo", {"bid": [event.value, 1], "ask": [event.value, 1]})
    return _tick(event, "detail", {"close": event.value})


def _order(event: Liquidation) -> dict[str, Any]:
    amount = dollars(event) / price_of(event)
    sizes = {"volume": amount / event.instrument.contract_value, "amount": amount, "trade_turnover": dollars(event)}
    order = {"direction": forced_order(event), "offset": "close", "price": price_of(event)}
    return {**order, **sizes, "created_at": ms(event.ts_ns)}


def _listing(item: Instrument) -> dict[str, Any]:
    return {
        "symbol": item.base,
        "contract_code": item.symbol,
        "contract_size": item.contract_value,
        "pair": f"{item.base}-{item.quote}",
        "contract_type": "swap" if item.kind == "perp" else "quarter",
        "contract_status": 1,
        "delivery_time": str(ms(item.expiry_ns)) if item.expiry_ns else "",
    }


def _tick(event: Price | Trade, kind: str, tick: dict[str, Any], path: str = _MARKET) -> Push:
    topic = f"market.{event.instrument.symbol}.{kind}"
    return Push(path, topic, _pack({"ch": topic, "ts": ms(event.ts_ns), "tick": tick}))


def _notify(topic: str, event: Funding | Liquidation, row: dict[str, Any]) -> Push:
    data = [{"contract_code": event.instrument.symbol, **row}]
    return Push(_NOTIFICATION, topic, _pack({"op": "notify", "topic": topic, "ts": ms(event.ts_ns), "data": data}))


def _pack(message: dict[str, Any]) -> bytes:
    return gzip.compress(dumps(message).encode(), 1)
