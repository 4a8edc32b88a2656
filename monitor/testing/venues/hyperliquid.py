"""Hyperliquid's side of the protocol. There is no public liquidation channel, here neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from monitor.events import Depth, Funding, MarketEvent, OpenInterest, Price, Trade
from monitor.testing.json_venue import JsonVenue, Row, dumps, ms, price_of, quantity
from monitor.testing.protocol import ClientReply, Push

_PATH = "/ws"
_KINDS = frozenset({"activeAssetCtx", "trades", "bbo", "l2Book"})


class HyperliquidProtocol(JsonVenue):
    """Contexts, trades and a two-level book."""

    venue: ClassVar[str] = "hyperliquid"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One subscription a message; an error quotes it."""
        if message.get("method") == "ping":
            return ClientReply((dumps({"channel": "pong"}),))
        wanted = message.get("subscription", {})
        if wanted.get("type") not in _KINDS or wanted.get("coin") not in self.rows:
            return ClientReply((dumps({"channel": "error", "data": f"Invalid subscription {dumps(wanted)}"}),))
        ack = {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": wanted}}
        return ClientReply((dumps(ack),), subscribed=(f"{wanted['type']}:{wanted['coin']}",))

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Contexts for gauges."""
        if isinstance(event, (Price, Funding, OpenInterest)):
            coin = event.instrument.symbol
            return [_push("activeAssetCtx", coin, {"coin": coin, "ctx": self._context(coin, row)})]
        if isinstance(event, Trade):
            return [_push("trades", event.instrument.symbol, [self._trade(event)])]
        return _book(event) if isinstance(event, Depth) else []

    def _context(self, coin: str, row: Row) -> dict[str, Any]:
        names = {"funding": "funding", "markPx": "mark", "oraclePx": "index", "midPx": "mid"}
        found = {wire: str(row[name]) for wire, name in names.items() if name in row}
        coins = self.coins(coin)
        return found | ({"openInterest": str(coins)} if coins is not None else {})

    def _trade(self, event: Trade) -> dict[str, Any]:
        return {
            "coin": event.instrument.symbol,
            "side": "B" if event.side == "buy" else "A",
            "px": str(price_of(event)),
            "sz": str(quantity(event)),
            "hash": "0x0",
            "time": ms(event.ts_ns),
            "tid": self.number("tid"),
        }

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Every request is a POST with a type."""
        kind = msgspec.json.decode(body, type=dict[str, Any]).get("type") if body else None
        return super().rest(method, path, {**query, "type": str(kind)}, body, now_ns)

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The universe, with contexts when they are asked for."""
        meta = {"universe": [{"name": item.symbol, "szDecimals": 5} for item in self.instruments]}
        contexts = [self._context(item.symbol, self.rows[item.symbol]) for item in self.instruments]
        return {"/info": [meta, contexts] if query["type"] == "metaAndAssetCtxs" else meta}


def _book(event: Depth) -> list[Push]:
    coin, half = event.instrument.symbol, event.spread_ratio / 2
    bid, ask = str(100.0 * (1 - half)), str(100.0 * (1 + half))
    best = [{"px": bid, "sz": "1", "n": 1}, {"px": ask, "sz": "1", "n": 1}]
    sizes = [{"px": px, "sz": str(usd / float(px)), "n": 1} for px, usd in ((bid, event.bid_usd), (ask, event.ask_usd))]
    levels = [[sizes[0]], [sizes[1]]]
    time = ms(event.ts_ns)
    return [
        _push("bbo", coin, {"coin": coin, "time": time, "bbo": best}),
        _push("l2Book", coin, {"coin": coin, "time": time, "levels": levels}),
    ]


def _push(channel: str, coin: str, data: Any) -> Push:
    return Push(_PATH, f"{channel}:{coin}", dumps({"channel": channel, "data": data}))
