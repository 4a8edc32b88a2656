"""Coinbase's side of the protocol: the Exchange feed, and the REST page of futures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.events import MarketEvent, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dumps, iso, price_of, quantity
from monitor.testing.protocol import ClientReply, Push

_CHANNELS = frozenset({"ticker", "matches", "heartbeat"})


class CoinbaseProtocol(JsonVenue):
    """Tickers and numbered matches, whose side is the maker's."""

    venue: ClassVar[str] = "coinbase"
    paths: ClassVar[frozenset[str]] = frozenset({"/", ""})

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One bad product refuses the whole message."""
        products, channels = message.get("product_ids", []), message.get("channels", [])
        bad = [name for name in products if name not in self.rows] + [c for c in channels if c not in _CHANNELS]
        if bad or message.get("type") != "subscribe":
            reason = f"{', '.join(bad)} is not a valid product"
            return ClientReply((dumps({"type": "error", "message": "Failed to subscribe", "reason": reason}),))
        listed = [{"name": channel, "product_ids": products} for channel in channels]
        topics = tuple(f"{channel}:{name}" for channel in channels for name in products)
        return ClientReply((dumps({"type": "subscriptions", "channels": listed}),), subscribed=topics)

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Tickers for prices, matches for trades, on both spellings of the root path."""
        if isinstance(event, Price):
            return _push(f"ticker:{event.instrument.symbol}", self._ticker(event, row))
        return _push(f"matches:{event.instrument.symbol}", self._match(event)) if isinstance(event, Trade) else []

    def _ticker(self, event: Price, row: Row) -> dict[str, Any]:
        mid, last = row.get("mid"), row.get("last")
        prices = {"price": last, "best_bid": mid, "best_ask": mid}
        texts = {name: str(value) for name, value in prices.items() if value is not None}
        return {"type": "ticker", "product_id": event.instrument.symbol, **texts, "time": iso(event.ts_ns)}

    def _match(self, event: Trade) -> dict[str, Any]:
        symbol = event.instrument.symbol
        maker = "sell" if event.side == "buy" else "buy"
        money = {"size": str(quantity(event)), "price": str(price_of(event)), "side": maker}
        return {
            "type": "match",
            "trade_id": self.number(symbol),
            "product_id": symbol,
            **money,
            "time": iso(event.ts_ns),
        }

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Spot products, and futures with their funding and open interest."""
        spot = [item for item in self.instruments if item.kind == "spot"]
        futures = [self._future(item) for item in self.instruments if item.kind != "spot"]
        advanced = futures if query.get("product_type") == "FUTURE" else [_advanced(item) for item in spot]
        exchange = [{"id": item.symbol, "base_currency": item.base, "quote_currency": item.quote} for item in spot]
        books = {f"/products/{item.symbol}/book": self._levels(item.symbol) for item in spot}
        return {**books, "/products": exchange, "/api/v3/brokerage/market/products": {"products": advanced}}

    def _levels(self, symbol: str) -> dict[str, Any]:
        named = zip(("bids", "asks"), self.book(symbol), strict=True)
        return {name: [[str(price), str(size), 1] for price, size in rows] for name, rows in named}

    def _future(self, item: Instrument) -> dict[str, Any]:
        row, contracts = self.rows[item.symbol], self.coins(item.symbol)
        details: dict[str, Any] = {
            "contract_size": str(item.contract_value),
            "contract_root_unit": item.base,
            "contract_expiry_type": "PERPETUAL" if item.kind == "perp" else "EXPIRING",
            "funding_rate": str(row.get("funding", "")),
            "open_interest": "" if contracts is None else str(contracts),
            "index_price": str(row.get("mark", "")),
        }
        return {"product_id": item.symbol, "product_type": "FUTURE", "future_product_details": details}


def _advanced(item: Instrument) -> dict[str, Any]:
    return {"product_id": item.symbol, "base_currency_id": item.base, "quote_currency_id": item.quote}


def _push(topic: str, message: dict[str, Any]) -> list[Push]:
    frame = dumps(message)
    return [Push("/", topic, frame), Push("", topic, frame)]
