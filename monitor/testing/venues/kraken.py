"""Kraken spot's side of the protocol (version 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.events import MarketEvent, Price, Trade
from monitor.testing.json_venue import JsonVenue, Row, dumps, iso, price_of, quantity
from monitor.testing.protocol import ClientReply, Frame, Push

_PATH = "/v2"


class KrakenProtocol(JsonVenue):
    """Full tickers and numbered trades."""

    venue: ClassVar[str] = "kraken"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})
    greeting: ClassVar[tuple[str, ...]] = (
        dumps({"channel": "status", "type": "update", "data": [{"system": "online", "api_version": "v2"}]}),
    )

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One answer per symbol."""
        if message.get("method") == "ping":
            return ClientReply((dumps({"method": "pong"}),))
        params = message.get("params", {})
        channel, echo = params.get("channel"), {"method": "subscribe", "req_id": message.get("req_id")}
        frames, good = [], []
        for symbol in params.get("symbol", []):
            if symbol in self.rows and channel in {"ticker", "trade"}:
                good.append(f"{channel}:{symbol}")
                frames.append(dumps({**echo, "result": {"channel": channel, "symbol": symbol}, "success": True}))
            else:
                words = f"Currency pair not supported {symbol}"
                frames.append(dumps({**echo, "error": words, "symbol": symbol, "success": False}))
        return ClientReply(tuple(frames), subscribed=tuple(good))

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """The ticker in full."""
        channel, _, symbol = topic.partition(":")
        if channel != "ticker":
            return []
        return [dumps({"channel": channel, "type": "snapshot", "data": [_ticker(symbol, self.rows[symbol])]})]

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Tickers for prices."""
        if isinstance(event, Price):
            symbol = event.instrument.symbol
            return [_push("ticker", symbol, _ticker(symbol, row))]
        return [_push("trade", event.instrument.symbol, self._trade(event))] if isinstance(event, Trade) else []

    def _trade(self, event: Trade) -> dict[str, Any]:
        symbol = event.instrument.symbol
        money = {"price": price_of(event), "qty": quantity(event)}
        number = {"trade_id": self.number(symbol), "timestamp": iso(event.ts_ns)}
        return {"symbol": symbol, "side": event.side, **money, **number}

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Pairs and books, under the REST list's old names."""
        old = {"BTC": "XBT", "DOGE": "XDG"}
        pairs: dict[str, Any] = {}
        books: dict[str, Any] = {}
        for item in self.instruments:
            first, _, second = item.symbol.partition("/")
            name = f"{old.get(first, first)}/{old.get(second, second)}"
            books[name.replace("/", "")] = self._levels(item.symbol)
            kind = "tokenized_asset" if item.asset_class == "tradfi" else "currency"
            pairs[name.replace("/", "")] = {"wsname": name, "aclass_base": kind, "status": "online"}
        asked = query.get("pair", "")
        return {
            "/0/public/AssetPairs": {"error": [], "result": pairs},
            "/0/public/Depth": {"error": [], "result": {asked: books[asked]} if asked in books else {}},
        }

    def _levels(self, symbol: str) -> dict[str, Any]:
        named = zip(("bids", "asks"), self.book(symbol), strict=True)
        return {name: [[str(price), str(size), 0] for price, size in rows] for name, rows in named}


def _ticker(symbol: str, row: Row) -> dict[str, Any]:
    mid = row.get("mid")
    return {"symbol": symbol, "bid": mid, "ask": mid, "last": row.get("last")}


def _push(channel: str, symbol: str, row: dict[str, Any]) -> Push:
    return Push(_PATH, f"{channel}:{symbol}", dumps({"channel": channel, "type": "update", "data": [row]}))
