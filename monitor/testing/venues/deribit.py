"""Deribit's side of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Sample, Trade
from monitor.instruments import Instrument
from monitor.testing.json_venue import JsonVenue, Row, dumps, forced_order, ms, price_of, quantity
from monitor.testing.protocol import ClientReply, Push

_PATH = "/ws/api/v2"
_NEVER_MS = 32_503_708_800_000


class DeribitProtocol(JsonVenue):
    """Full ticker rows; liquidations are fills marked ``T``."""

    venue: ClassVar[str] = "deribit"
    paths: ClassVar[frozenset[str]] = frozenset({_PATH})

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self._channels = {f"ticker.{symbol}.100ms" for symbol in self.rows}
        self._channels |= {"trades.future.any.100ms", "trades.option.any.100ms"}
        self._channels |= {f"deribit_volatility_index.{base}_usd" for base in ("btc", "eth")}

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """The volatility index has no instrument."""
        told = list(events)
        return [*super().encode(told), *(_index(event) for event in told if isinstance(event, Sample))]

    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """A refused channel is left out of the result."""
        if message.get("method") != "public/subscribe":
            return ClientReply((_reply(message, "ok"),))
        accepted = tuple(name for name in message["params"]["channels"] if name in self._channels)
        return ClientReply((_reply(message, accepted),), subscribed=accepted)

    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Tickers for gauges, trades for the rest."""
        if isinstance(event, (Price, Funding, OpenInterest)):
            symbol = event.instrument.symbol
            return [_push(f"ticker.{symbol}.100ms", self._ticker(symbol, row))]
        if isinstance(event, (Trade, Liquidation)):
            return [_push("trades.future.any.100ms", [self._trade(event)])]
        return []

    def _ticker(self, symbol: str, row: Row) -> dict[str, Any]:
        mid = row.get("mid")
        return {
            "instrument_name": symbol,
            "timestamp": int(row["ts_ms"]),
            "mark_price": row.get("mark"),
            "index_price": row.get("index"),
            "last_price": row.get("last"),
            "best_bid_price": mid,
            "best_ask_price": mid,
            "open_interest": self.coins(symbol),
            "current_funding": 0.0,
            "funding_8h": row.get("funding"),
        }

    def _trade(self, event: Trade | Liquidation) -> dict[str, Any]:
        symbol = event.instrument.symbol
        forced = isinstance(event, Liquidation)
        return {
            "trade_seq": self.number(symbol),
            "trade_id": str(self.number("")),
            "timestamp": ms(event.ts_ns),
            "price": price_of(event),
            "instrument_name": symbol,
            "index_price": price_of(event),
            "direction": forced_order(event) if isinstance(event, Liquidation) else event.side,
            "amount": quantity(event),
            **({"liquidation": "T"} if forced else {}),
        }

    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Instruments and summaries."""
        kind = query.get("kind", "future")
        items = [item for item in self.instruments if (item.kind == "option") == (kind == "option")]
        coin = query.get("currency", "any")
        mine = [item for item in items if coin in {"any", item.settle}]
        return {
            "/api/v2/public/get_order_book": {"jsonrpc": "2.0", "result": self._book(query.get("instrument_name", ""))},
            "/api/v2/public/get_instruments": {"jsonrpc": "2.0", "result": [_listing(item) for item in items]},
            "/api/v2/public/get_book_summary_by_currency": {
                "jsonrpc": "2.0",
                "result": [
                    {
                        "instrument_name": item.symbol,
                        "open_interest": self.coins(item.symbol),
                        "mark_price": self.rows[item.symbol].get("mark"),
                    }
                    for item in mine
                ],
            },
        }

    def _book(self, symbol: str) -> dict[str, Any] | None:
        if symbol not in self.rows:
            return None
        bids, asks = self.book(symbol)
        return {"bids": bids, "asks": asks, "timestamp": int(self.rows[symbol].get("ts_ms", 0))}


def _listing(item: Instrument) -> dict[str, Any]:
    perpetual = item.kind == "perp"
    return {
        "instrument_name": item.symbol,
        "kind": "option" if item.kind == "option" else "future",
        "instrument_type": "reversed" if item.form == "inverse" else "linear",
        "contract_size": Decimal(10),
        "base_currency": item.base,
        "quote_currency": item.quote,
        "counter_currency": item.quote,
        "settlement_currency": item.settle,
        "settlement_period": "perpetual" if perpetual else "month",
        "expiration_timestamp": ms(item.expiry_ns) if item.expiry_ns else _NEVER_MS,
        "is_active": item.status == "trading",
        "state": "open",
        "strike": item.strike,
        "option_type": item.option_type,
    }


def _index(event: Sample) -> Push:
    name = f"{dict(event.labels)['base'].lower()}_usd"
    row = {"volatility": event.value, "timestamp": ms(event.ts_ns), "index_name": name}
    return _push(f"deribit_volatility_index.{name}", row)


def _push(channel: str, data: Any) -> Push:
    message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return Push(_PATH, channel, dumps(message))


def _reply(message: Mapping[str, Any], result: Any) -> str:
    return dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result, "testnet": True})
