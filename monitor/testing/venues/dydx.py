"""dYdX's side of the protocol (the indexer's socket)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.testing.json_venue import JsonVenue, Row, dumps, forced_order, iso, price_of, quantity
from monitor.testing.protocol import ClientReply, Push

_PATH = "/v4/ws"


class DydxProtocol(JsonVenue):
    """State of all markets, trades per market. Frames carry no ``message_id``: it counts per connection."""

    venue: ClassVar[str] = "dydx"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})
    greeting: ClassVar[tuple[str, ...]] = (dumps({"type": "connected", "connection_id": "local"}),)

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """``subscribed``, with the state or an empty history as its contents."""
        channel, market = message.get("channel", ""), message.get("id", "")
        if message.get("type") != "subscribe" or channel not in {"v4_markets", "v4_trades"}:
            return ClientReply((dumps({"type": "error", "message": f"Invalid channel: {channel}"}),))
        if channel == "v4_trades" and market not in self.rows:
            words = f"Invalid subscription id for channel: ({channel}-{market})"
            return ClientReply((dumps({"type": "error", "message": words}),))
        contents = {"trades": []} if market else self._markets()
        head = {"type": "subscribed", "connection_id": "local", "channel": channel}
        ack = {**head, "id": market, "contents": contents} if market else {**head, "contents": contents}
        return ClientReply((dumps(ack),), subscribed=(f"{channel}:{market}" if market else channel,))

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Changes of the market, oracle prices, trades."""
        if isinstance(event, Price) and event.kind in {"mark", "index"}:
            oracle = {"oraclePrice": str(event.value), "effectiveAt": iso(event.ts_ns)}
            return [_push("v4_markets", "", {"oraclePrices": {event.instrument.symbol: oracle}})]
        if isinstance(event, (Funding, OpenInterest)):
            symbol = event.instrument.symbol
            change = self._market(symbol, row)
            return [
                _push("v4_markets", "", {"trading": {symbol: {k: v for k, v in change.items() if k != "oraclePrice"}}})
            ]
        if isinstance(event, (Trade, Liquidation)):
            return [_push("v4_trades", event.instrument.symbol, {"trades": [self._trade(event)]})]
        return []

    def _trade(self, event: Trade | Liquidation) -> dict[str, Any]:
        side = forced_order(event) if isinstance(event, Liquidation) else event.side
        money = {"size": str(quantity(event)), "price": str(price_of(event)), "side": side.upper()}
        kind = "LIQUIDATED" if isinstance(event, Liquidation) else "LIMIT"
        return {"id": f"local-{self.number('trade')}", **money, "createdAt": iso(event.ts_ns), "type": kind}

    def _market(self, symbol: str, row: Row) -> dict[str, Any]:
        coins = self.coins(symbol)
        found = {"oraclePrice": row.get("mark"), "nextFundingRate": row.get("funding"), "openInterest": coins}
        return {name: str(value) for name, value in found.items() if value is not None}

    def _markets(self) -> dict[str, Any]:
        rows = {
            symbol: {"ticker": symbol, "status": "ACTIVE", **self._market(symbol, row)}
            for symbol, row in self.rows.items()
        }
        return {"markets": rows}

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """All markets."""
        books = {f"/v4/orderbooks/perpetualMarket/{symbol}": self._levels(symbol) for symbol in self.rows}
        return {**books, "/v4/perpetualMarkets": self._markets()}

    def _levels(self, symbol: str) -> dict[str, Any]:
        named = zip(("bids", "asks"), self.book(symbol), strict=True)
        return {name: [{"price": str(price), "size": str(size)} for price, size in rows] for name, rows in named}


def _push(channel: str, market: str, contents: dict[str, Any]) -> Push:
    head: dict[str, Any] = {"type": "channel_data", "connection_id": "local", "channel": channel, "version": "2.1.0"}
    body = {**head, "id": market, "contents": contents} if market else {**head, "contents": contents}
    return Push(_PATH, f"{channel}:{market}" if market else channel, dumps(body))
