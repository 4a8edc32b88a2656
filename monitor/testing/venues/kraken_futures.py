"""Kraken Futures' side of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from monitor.clock import NS_PER_S
from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dumps, forced_order, ms, price_of, quantity
from monitor.testing.protocol import ClientReply, Frame, Push

_PATH = "/ws/v1"
_TYPES = {"inverse": "futures_inverse", "linear": "flexible_futures", "quanto": "futures_vanilla"}


class KrakenFuturesProtocol(JsonVenue):
    """Full tickers; liquidations are trades of that type."""

    venue: ClassVar[str] = "kraken_futures"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})
    greeting: ClassVar[tuple[str, ...]] = (dumps({"event": "info", "version": 1}),)

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One answer per product."""
        feed, products = message.get("feed", ""), message.get("product_ids", [])
        if message.get("event") != "subscribe" or feed not in {"ticker", "trade"}:
            return ClientReply((dumps({"event": "error", "message": "Invalid feed"}),))
        good = [name for name in products if name in self.rows]
        acks = [dumps({"event": "subscribed", "feed": feed, "product_ids": [name]}) for name in good]
        bad = [name for name in products if name not in self.rows]
        errors = [dumps({"event": "subscribed_failed", "feed": feed, "product_ids": [name]}) for name in bad]
        return ClientReply((*acks, *errors), subscribed=tuple(f"{feed}:{name}" for name in good))

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """An empty history of trades."""
        feed, _, product = topic.partition(":")
        return [dumps({"feed": "trade_snapshot", "product_id": product, "trades": []})] if feed == "trade" else []

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Tickers for gauges, trades for the rest."""
        if isinstance(event, (Price, Funding, OpenInterest)):
            symbol = event.instrument.symbol
            return [Push(_PATH, f"ticker:{symbol}", dumps(self._ticker(symbol, row)))]
        if isinstance(event, (Trade, Liquidation)):
            symbol = event.instrument.symbol
            return [Push(_PATH, f"trade:{symbol}", dumps(self._trade(event)))]
        return []

    def _ticker(self, symbol: str, row: Row) -> dict[str, Any]:
        mid = row.get("mid")
        found = {
            "time": int(row["ts_ms"]), "feed": "ticker", "product_id": symbol, "bid": mid, "ask": mid,
            "last": row.get("last"), "index": row.get("index"), "markPrice": row.get("mark"),
            "openInterest": self.coins(symbol), "relative_funding_rate": row.get("funding"),
            "next_funding_rate_time": int(row["next_ms"]) if "next_ms" in row else None,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def _trade(self, event: Trade | Liquidation) -> dict[str, Any]:
        symbol, forced = event.instrument.symbol, isinstance(event, Liquidation)
        return {
            "feed": "trade",
            "product_id": symbol,
            "uid": f"local-{self.number('uid')}",
            "side": forced_order(event) if isinstance(event, Liquidation) else event.side,
            "type": "liquidation" if forced else "fill",
            "seq": self.number(symbol),
            "time": ms(event.ts_ns),
            "qty": quantity(event),
            "price": price_of(event),
        }

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Instruments, tickers and order books."""
        symbol = query.get("symbol", "")
        bids, asks = self.book(symbol) if symbol in self.rows else ([], [])
        tickers = [
            {"symbol": symbol, "openInterest": self.coins(symbol), "markPrice": row.get("mark")}
            for symbol, row in self.rows.items()
        ]
        listings = [_listing(item) for item in self.instruments]
        return {
            "/derivatives/api/v3/orderbook": {"result": "success", "orderBook": {"bids": bids, "asks": asks}},
            "/derivatives/api/v3/instruments": {"result": "success", "instruments": listings},
            "/derivatives/api/v3/tickers": {"result": "success", "tickers": tickers},
        }


def _listing(item: Instrument) -> dict[str, Any]:
    expiry = item.expiry_ns and datetime.fromtimestamp(item.expiry_ns // NS_PER_S, UTC).isoformat()
    return {
        "symbol": item.symbol,
        "type": _TYPES[item.form],
        "base": item.base,
        "quote": item.quote,
        "contractSize": item.contract_value,
        "tradeable": True,
        "tradfi": item.asset_class == "tradfi",
        **({"lastTradingTime": expiry} if expiry else {}),
    }
