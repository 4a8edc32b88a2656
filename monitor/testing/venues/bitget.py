"""Bitget's side of the protocol (unified, v3), with its v2 REST pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dollars, dumps, ms, price_of, quantity
from monitor.testing.protocol import ClientReply, Frame, Push

_PATH = "/v3/ws/public"
_TOPICS = frozenset({"liquidation", "ticker", "publicTrade"})
_FIELDS = {"mark": "markPrice", "index": "indexPrice", "last": "lastPrice", "funding": "fundingRate"}


class BitgetProtocol(JsonVenue):
    """Tickers as snapshot and changes; liquidations by position side, in quote money."""

    venue: ClassVar[str] = "bitget"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """One answer per arg."""
        replies, good = [], []
        for arg in message.get("args", []):
            if arg.get("topic") in _TOPICS and arg.get("symbol", "") in {"", *self.rows}:
                good.append("/".join(arg.values()))
                replies.append(dumps({"event": "subscribe", "arg": arg, "connId": "local"}))
            else:
                words = {"code": 30001, "msg": "channel doesn't exist", "op": "subscribe"}
                replies.append(dumps({"event": "error", "arg": arg, **words}))
        return ClientReply(tuple(replies), subscribed=tuple(good))

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """The ticker in full."""
        parts = topic.split("/")
        if len(parts) < 3 or parts[1] != "ticker":
            return []
        symbol = parts[2]
        return [_frame(topic, "snapshot", {"symbol": symbol, **self._ticker(symbol, self.rows[symbol])}, ms(now_ns))]

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Changes for gauges."""
        if not isinstance(event, (Price, Funding, OpenInterest, Trade, Liquidation)):
            return []
        item, ts = event.instrument, ms(event.ts_ns)
        topic, data = f"{item.category}/ticker/{item.symbol}", self._ticker(item.symbol, row)
        if isinstance(event, Liquidation):
            topic, data = f"{item.category}/liquidation", _liquidation(event)
        elif isinstance(event, Trade):
            topic = f"{item.category}/publicTrade/{item.symbol}"
            sizes = {"p": str(price_of(event)), "v": str(quantity(event))}
            data = {"i": str(self.number("trade")), **sizes, "S": event.side, "T": str(ts)}
        return [Push(_PATH, topic, _frame(topic, "update", data, ts))]

    def _ticker(self, symbol: str, row: Row) -> dict[str, Any]:
        found = {wire: str(row[name]) for name, wire in _FIELDS.items() if name in row}
        if "mid" in row:
            found |= {"bid1Price": str(row["mid"]), "ask1Price": str(row["mid"])}
        if row.get("next_ms"):
            found["nextFundingTime"] = str(int(row["next_ms"]))
        coins = self.coins(symbol)
        return found | ({"openInterest": str(coins)} if coins is not None else {})

    def coins(self, symbol: str) -> float | None:
        """Coins of every line, those of inverse contracts too."""
        found, mark = super().coins(symbol), self.rows[symbol].get("mark")
        inverse = self.by_symbol[symbol].form == "inverse"
        return found / mark if inverse and found is not None and mark else None if inverse else found

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Contracts and tickers of one product line."""
        line = query.get("productType", query.get("category", "")).lower()
        items = [item for item in self.instruments if item.category == line]
        tickers = [
            {
                "symbol": item.symbol,
                "openInterest" if line == "coin-futures" else "holdingAmount": str(self.coins(item.symbol) or 0),
                "markPrice": str(self.rows[item.symbol].get("mark", 0)),
            }
            for item in items
        ]
        symbol = query.get("symbol", "")
        bids, asks = self.book(symbol) if symbol in self.rows else ([], [])
        return {
            "/api/v2/mix/market/merge-depth": {"code": "00000", "data": {"bids": bids, "asks": asks, "ts": None}},
            "/api/v2/mix/market/contracts": {"code": "00000", "data": [_listing(item) for item in items]},
            "/api/v2/mix/market/tickers": {"code": "00000", "data": tickers},
            "/api/v3/market/orderbook": {"code": "00000", "data": {"b": bids, "a": asks, "ts": None}},
            "/api/v3/market/instruments": {"code": "00000", "data": [_unified(item) for item in items]},
            "/api/v3/market/tickers": {"code": "00000", "data": tickers},
        }


def _liquidation(event: Liquidation) -> dict[str, Any]:
    side = "buy" if event.side == "long" else "sell"
    money = {"price": str(price_of(event)), "amount": str(dollars(event))}
    return {"symbol": event.instrument.symbol, "side": side, **money, "ts": str(ms(event.ts_ns))}


def _listing(item: Instrument) -> dict[str, Any]:
    units = "" if item.base_units == 1 else str(item.base_units)
    return {
        "symbol": item.symbol,
        "baseCoin": f"{units}{item.base}",
        "quoteCoin": item.quote,
        "symbolType": "perpetual" if item.kind == "perp" else "delivery",
        "symbolStatus": "normal",
        "fundInterval": str(item.funding_interval_h or 8),
        "isRwa": "YES" if item.asset_class == "tradfi" else "NO",
    }


def _unified(item: Instrument) -> dict[str, Any]:
    """A listing of v3: kind and state go by other names."""
    row = _listing(item)
    kind, _ = row.pop("symbolType"), row.pop("symbolStatus")
    return {**row, "type": kind, "symbolType": "crypto", "status": "online", "category": item.category.upper()}


def _frame(topic: str, action: str, data: dict[str, Any], ts: int) -> str:
    arg = dict(zip(("instType", "topic", "symbol"), topic.split("/"), strict=False))
    return dumps({"action": action, "arg": arg, "data": [data], "ts": ts})
