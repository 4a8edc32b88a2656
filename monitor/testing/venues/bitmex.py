"""BitMEX's side of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dollars, dumps, iso, price_of
from monitor.testing.protocol import ClientReply, Frame, Push

_PATH = "/realtime"
_TABLES = frozenset({"instrument", "liquidation", "trade"})
_SCALE = {"XBt": Decimal(100_000_000), "USDt": Decimal(1_000_000)}
_FIELDS = {"mark": "markPrice", "index": "indicativeSettlePrice", "last": "lastPrice"}


class BitmexProtocol(JsonVenue):
    """Tables: a partial on subscription, then changed fields only. A liquidation is inserted and then deleted."""

    venue: ClassVar[str] = "bitmex"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})
    greeting: ClassVar[tuple[str, ...]] = (dumps({"info": "Welcome to the BitMEX Realtime API.", "version": "local"}),)

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One answer per topic."""
        asked = message.get("args", [])
        good = tuple(name for name in asked if self._known(name))
        acks = [dumps({"success": True, "subscribe": name, "request": message}) for name in good]
        errors = [
            dumps({"status": 400, "error": f"Unknown table: {name}", "meta": {}, "request": message})
            for name in asked
            if name not in good
        ]
        return ClientReply((*acks, *errors), subscribed=good)

    def _known(self, name: str) -> bool:
        table, colon, symbol = name.partition(":")
        return table in _TABLES and (not colon or symbol in self.rows)

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """The table's ``partial``: instruments in full, no open orders, no past trades."""
        table, _, symbol = topic.partition(":")
        items = [item for item in self.instruments if symbol in {"", item.symbol}] if table == "instrument" else []
        rows = [{**_listing(item), **self._state(item, self.rows[item.symbol], now_ns)} for item in items]
        return [dumps({"table": table, "action": "partial", "keys": [], "types": {}, "data": rows})]

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Updates for gauges, inserts for the rest."""
        if isinstance(event, (Price, Funding, OpenInterest)):
            return self._told("instrument", "update", {"symbol": event.instrument.symbol, **self._change(event, row)})
        if isinstance(event, Liquidation):
            order = {"orderID": f"local-{self.number('order')}", "symbol": event.instrument.symbol}
            side = "Sell" if event.side == "long" else "Buy"
            full = {**order, "side": side, "price": price_of(event), "leavesQty": self._contracts(event)}
            return self._told("liquidation", "insert", full) + self._told("liquidation", "delete", order)
        if isinstance(event, Trade):
            fill = {"symbol": event.instrument.symbol, "side": event.side.title(), "size": self._contracts(event)}
            return self._told("trade", "insert", {**fill, "price": price_of(event), "timestamp": iso(event.ts_ns)})
        return []

    def _told(self, table: str, action: str, row: dict[str, Any]) -> list[Push]:
        frame = dumps({"table": table, "action": action, "data": [row]})
        return [Push(_PATH, table, frame), Push(_PATH, f"{table}:{row['symbol']}", frame)]

    def _change(self, event: Price | Funding | OpenInterest, row: Row) -> dict[str, Any]:
        full = self._state(event.instrument, row, event.ts_ns)
        if isinstance(event, Price):
            names = [_FIELDS[event.kind]] if event.kind in _FIELDS else ["bidPrice", "askPrice"]
        else:
            names = ["fundingRate", "fundingTimestamp"] if isinstance(event, Funding) else ["openInterest", "openValue"]
        return {name: full[name] for name in names if name in full} | {"timestamp": iso(event.ts_ns)}

    def _state(self, item: Instrument, row: Row, now_ns: int) -> dict[str, Any]:
        found: dict[str, Any] = {wire: row[kind] for kind, wire in _FIELDS.items() if kind in row}
        if "mid" in row:
            found |= {"bidPrice": row["mid"], "askPrice": row["mid"]}
        if "funding" in row:
            found |= {"fundingRate": row["funding"], "fundingTimestamp": iso(int(row["next_ms"]) * 1_000_000)}
        if "open_interest" in row:
            coins = row["open_interest"] / (self._bitcoin() if item.settle == "XBt" else 1.0)
            found |= {"openInterest": row["open_interest"], "openValue": coins * float(_SCALE[item.settle])}
        return found | {"timestamp": iso(now_ns)}

    def _bitcoin(self) -> float:
        return self.rows.get("XBTUSD", {}).get("mark", 1.0)

    def _contracts(self, event: Trade | Liquidation) -> Decimal:
        item = event.instrument
        if item.form == "inverse":
            return dollars(event) / item.contract_value
        worth = item.contract_value * price_of(event)
        return dollars(event) / (worth * Decimal(repr(self._bitcoin())) if item.form == "quanto" else worth)

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The instrument table and order books."""
        rows = [{**_listing(item), **self._state(item, self.rows[item.symbol], 0)} for item in self.instruments]
        return {"/api/v1/instrument/active": rows, "/api/v1/orderBook/L2": self._levels(query.get("symbol", ""))}

    def _levels(self, symbol: str) -> list[dict[str, Any]]:
        sides = self.book(symbol) if symbol in self.rows else ([], [])
        named = zip(("Buy", "Sell"), sides, strict=True)
        return [{"side": side, "price": price, "size": size} for side, rows in named for price, size in rows]


def _listing(item: Instrument) -> dict[str, Any]:
    multiplier = item.contract_value * _SCALE[item.settle]
    hours = item.funding_interval_h
    return {
        "symbol": item.symbol,
        "typ": "FFWCSX" if item.kind == "perp" else "FFCCSX",
        "state": "Open",
        "underlying": "XBT" if item.base == "BTC" else item.base,
        "quoteCurrency": item.quote,
        "settlCurrency": item.settle,
        "isInverse": item.form == "inverse",
        "isQuanto": item.form == "quanto",
        "multiplier": -multiplier if item.form == "inverse" else multiplier,
        "fundingInterval": (datetime(2000, 1, 1) + timedelta(hours=hours)).isoformat() + "Z" if hours else None,  # noqa: DTZ001  # the venue's notation of a duration
        "expiry": iso(item.expiry_ns) if item.expiry_ns else None,
    }
