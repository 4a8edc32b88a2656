"""Gate's side of the protocol. Liquidation sizes carry the position's sign here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from monitor.clock import NS_PER_S
from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dumps, ms, price_of, quantity
from monitor.testing.protocol import ClientReply, Push

_PATHS = {"usdt": "/v4/ws/usdt", "btc": "/v4/ws/btc"}
_CHANNELS = frozenset({"futures.public_liquidates", "futures.tickers", "futures.trades"})


class GateProtocol(JsonVenue):
    """One contract per subscription, or ``!all`` liquidations."""

    venue: ClassVar[str] = "gate"
    paths: ClassVar[frozenset[str]] = frozenset(_PATHS.values())

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self._liquidated: deque[tuple[str, dict[str, Any]]] = deque(maxlen=1000)

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """Echo the request with a result or an error."""
        channel, second = message.get("channel"), now_ns // NS_PER_S
        if channel == "futures.ping":
            return ClientReply((dumps({"time": second, "channel": "futures.pong", "event": "", "result": None}),))
        names = message.get("payload", [])
        echo = {"time": second, "id": message.get("id"), "channel": channel, "event": "subscribe", "payload": names}
        unknown = [name for name in names if name != "!all" and name not in self.rows]
        if channel not in _CHANNELS or unknown:
            error = {"code": 2, "message": f"unknown contract {', '.join(unknown)}"}
            return ClientReply((dumps({**echo, "error": error, "result": None}),))
        ack = dumps({**echo, "result": {"status": "success"}})
        return ClientReply((ack,), subscribed=tuple(f"{channel}:{name}" for name in names))

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Full tickers for gauges."""
        if isinstance(event, (Price, Funding, OpenInterest)):
            symbol = event.instrument.symbol
            return [_push(event, "futures.tickers", symbol, self._ticker(symbol, row))]
        if isinstance(event, Liquidation):
            size = quantity(event) * (1 if event.side == "long" else -1)
            said = {"contract": event.instrument.symbol, "size": str(size)}
            self._liquidated.append((event.instrument.category, {**said, "time": event.ts_ns // NS_PER_S}))
            body = {**said, "price": str(price_of(event)), "time": ms(event.ts_ns)}
            return [_push(event, "futures.public_liquidates", "!all", body)]
        if isinstance(event, Trade):
            size = quantity(event) * (1 if event.side == "buy" else -1)
            fill = {"contract": event.instrument.symbol, "size": str(size), "price": str(price_of(event))}
            numbered = {**fill, "id": self.number("trade"), "create_time_ms": ms(event.ts_ns)}
            return [_push(event, "futures.trades", event.instrument.symbol, numbered)]
        return []

    def _ticker(self, symbol: str, row: Row) -> dict[str, Any]:
        names = {"last": "last", "mark_price": "mark", "index_price": "index", "funding_rate": "funding"}
        found = {wire: str(row[name]) for wire, name in names.items() if name in row}
        contracts = self.coins(symbol)
        return {"contract": symbol, **found} | ({"total_size": str(contracts)} if contracts is not None else {})

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Contracts, order books and recent liquidations per settlement currency."""
        found: dict[str, Any] = {}
        for coin in _PATHS:
            mine = [item for item in self.instruments if item.category == coin]
            found[f"/api/v4/futures/{coin}/order_book"] = self._levels(query.get("contract", ""))
            found[f"/api/v4/futures/{coin}/contracts"] = [self._listing(item) for item in mine]
            found[f"/api/v4/futures/{coin}/liq_orders"] = [row for settle, row in self._liquidated if settle == coin]
        return found

    def _levels(self, symbol: str) -> dict[str, Any]:
        sides = self.book(symbol) if symbol in self.rows else ([], [])
        named = zip(("bids", "asks"), sides, strict=True)
        return {name: [{"p": str(price), "s": str(size)} for price, size in rows] for name, rows in named}

    def _listing(self, item: Instrument) -> dict[str, Any]:
        inverse = item.form == "inverse"
        return {
            "name": item.symbol,
            "type": "inverse" if inverse else "direct",
            "quanto_multiplier": "0" if inverse else str(item.contract_value),
            "funding_interval": int((item.funding_interval_h or 8) * 3600),
            "position_size": str(self.coins(item.symbol) or 0),
            "mark_price": str(self.rows[item.symbol].get("mark", 0)),
            "in_delisting": False,
        }


def _push(
    event: Price | Funding | OpenInterest | Trade | Liquidation, channel: str, name: str, row: dict[str, Any]
) -> Push:
    head = {"time": event.ts_ns // NS_PER_S, "time_ms": ms(event.ts_ns), "channel": channel, "event": "update"}
    return Push(_PATHS[event.instrument.category], f"{channel}:{name}", dumps({**head, "result": [row]}))
