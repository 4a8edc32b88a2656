"""Bybit's side of the wire: snapshot then deltas on tickers, position sides, both-sided open interest. Synthetic data.

One bad topic refuses its whole frame: the venue does not say whether it does, and a client must cope if so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.protocol import ClientReply, Frame, Push, VenueProtocol
from monitor.testing.venues.state import Quote, Quotes, dump, interval_h, ms, next_settlement_ms, quantity, text

ARGS_CHARS = 21_000
_ROOT = "/v5/public/"
_STATUS = {"trading": "Trading", "halted": "Settling", "prelaunch": "PreLaunch", "closed": "Closed"}
_KINDS = {"linear": ("tickers", "publicTrade", "allLiquidation"), "spot": ("tickers", "publicTrade")}
_KINDS["inverse"] = _KINDS["linear"]


class BybitProtocol(VenueProtocol):
    """One path per product line."""

    venue = "bybit"

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.quotes = Quotes(instruments)

    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        """Accept the product lines."""
        return ClientReply() if path.removeprefix(_ROOT) in _KINDS else None

    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        """Subscribe, unsubscribe and ping."""
        try:
            request = json.loads(frame)
        except ValueError:
            request = None
        op = request.get("op") if isinstance(request, dict) else None
        if op == "ping":
            return _reply(request, success=True, words="pong")
        names = request.get("args") if isinstance(request, dict) else None
        if op not in {"subscribe", "unsubscribe"} or not isinstance(names, list):
            return _reply(request, success=False, words="Request not supported")
        return self._topics(path.removeprefix(_ROOT), request, [str(name) for name in names], topics)

    def _topics(
        self, category: str, request: dict[str, Any], names: list[str], topics: frozenset[str]
    ) -> ClientReply:  # fmt: skip
        done = _reply(request, success=True, words="subscribe" if category == "spot" else "")
        if request["op"] == "unsubscribe":
            return ClientReply(done.frames, unsubscribed=tuple(names))
        bad = [name for name in names if not self._exists(category, name)]
        if bad:
            return _reply(request, success=False, words=f"Invalid topic: {','.join(bad)}")
        if category == "spot" and len(names) > 10:
            return _reply(request, success=False, words="args size >10")
        if len(dump(sorted(topics.union(names)))) > ARGS_CHARS:
            return _reply(request, success=False, words="args length > 21000")
        return ClientReply(done.frames, subscribed=tuple(names))

    def _exists(self, category: str, topic: str) -> bool:
        kind, _, symbol = topic.partition(".")
        return kind in _KINDS[category] and self._quote(category, symbol) is not None

    def _quote(self, category: str, symbol: str) -> Quote | None:
        quote = self.quotes.get(self.venue, f"spot:{symbol}" if category == "spot" else symbol)
        return quote if quote is not None and quote.instrument.category == category else None

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """The whole ticker; other topics begin with what happens next."""
        kind, _, symbol = topic.partition(".")
        category = path.removeprefix(_ROOT)
        quote = self._quote(category, symbol)
        if kind != "tickers" or quote is None:
            return []
        return [_frame(topic, "snapshot", _ticker(quote), quote.ts_ns or now_ns)]

    # --- events to frames -----------------------------------------------------------------------------------------

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """A delta of the changed ticker fields, a trade or a liquidation per event."""
        pushes = []
        for event in events:
            quote = self.quotes.take(event)
            if quote is None:
                continue
            push = self._push(event, quote)
            if push is not None:
                pushes.append(push)
        return pushes

    def _push(self, event: MarketEvent, quote: Quote) -> Push | None:
        symbol, path = quote.instrument.symbol, f"{_ROOT}{quote.instrument.category}"
        if isinstance(event, Trade):
            topic, data = f"publicTrade.{symbol}", [_trade(event)]
        elif isinstance(event, Liquidation):
            topic, data = f"allLiquidation.{symbol}", [_liquidation(event)]
        else:
            return self._ticker_push(event, quote, path)
        return Push(path, topic, _frame(topic, "snapshot", data, event.ts_ns))

    def _ticker_push(self, event: MarketEvent, quote: Quote, path: str) -> Push | None:
        topic = f"tickers.{quote.instrument.symbol}"
        if quote.instrument.category == "spot":
            return Push(path, topic, _frame(topic, "snapshot", _ticker(quote), event.ts_ns))
        changed = _changed(event, quote)
        if not changed:
            return None
        return Push(path, topic, _frame(topic, "delta", {"symbol": quote.instrument.symbol, **changed}, event.ts_ns))

    # --- REST -----------------------------------------------------------------------------------------------------

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Listings, tickers and books."""
        category, name = query.get("category", ""), path.removeprefix("/v5/market/")
        quotes = [quote for quote in self.quotes.of(self.venue) if quote.instrument.category == category]
        if method != "GET" or name not in {"instruments-info", "tickers", "orderbook"}:
            return 404, b""
        if name == "instruments-info":
            return _ok(
                {"category": category, "list": [_listing(q.instrument) for q in quotes], "nextPageCursor": ""}, now_ns
            )
        if name == "tickers":
            return _ok({"category": category, "list": [_ticker(quote) for quote in quotes]}, now_ns)
        quote = self._quote(category, query.get("symbol", ""))
        if quote is None:
            return 200, dump({"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}}).encode()
        bids, asks = quote.book()
        return _ok({"s": quote.instrument.symbol, "b": bids, "a": asks, "ts": ms(now_ns), "u": 1}, now_ns)


def _reply(request: Any, *, success: bool, words: str) -> ClientReply:
    known = request if isinstance(request, dict) else {}
    reply = {"success": success, "ret_msg": words, "conn_id": "local", "op": str(known.get("op", ""))}
    if "req_id" in known:
        reply["req_id"] = str(known["req_id"])
    return ClientReply((dump(reply),))


def _frame(topic: str, kind: str, data: Any, ts_ns: int) -> str:
    return dump({"topic": topic, "type": kind, "data": data, "cs": ms(ts_ns), "ts": ms(ts_ns)})


def _interest(quote: Quote) -> dict[str, str]:
    """Both sides, and one, in base units (linear) or dollars (inverse)."""
    if quote.interest_usd is None:
        return {}
    single = quote.units(quote.interest_usd)
    return {"openInterest": text(single * 2), "singleOpenInterest": text(single)}


def _funding(quote: Quote) -> dict[str, str]:
    if quote.instrument.kind != "perp" or quote.funding is None:
        return {"fundingRate": "", "nextFundingTime": ""} if quote.instrument.kind == "future" else {}
    return {
        "fundingRate": text(quote.funding.rate),
        "nextFundingTime": str(next_settlement_ms(quote, quote.ts_ns)),
        "fundingIntervalHour": str(int(interval_h(quote))),
    }


def _touch(quote: Quote) -> dict[str, str]:
    bid, ask = quote.touch
    return {"bid1Price": text(bid), "bid1Size": "1", "ask1Price": text(ask), "ask1Size": "1"}


def _ticker(quote: Quote) -> dict[str, str]:
    row = {"symbol": quote.instrument.symbol}
    if quote.last is not None:
        row["lastPrice"] = text(quote.last)
    if quote.instrument.category == "spot":
        return row
    if quote.mark is not None:
        row["markPrice"] = text(quote.mark)
    if quote.index is not None:
        row["indexPrice"] = text(quote.index)
    if quote.mid is not None:
        row |= _touch(quote)
    return row | _interest(quote) | _funding(quote)


def _changed(event: MarketEvent, quote: Quote) -> dict[str, str]:
    """The ticker fields that an event changes."""
    if isinstance(event, Price):
        return _touch(quote) if event.kind == "mid" else {f"{event.kind}Price": text(event.value)}
    if isinstance(event, Funding):
        return _funding(quote)
    return _interest(quote) if isinstance(event, OpenInterest) else {}


def _trade(event: Trade) -> dict[str, Any]:
    return {
        "T": ms(event.ts_ns), "s": event.instrument.symbol, "S": "Buy" if event.side == "buy" else "Sell",
        "v": text(quantity(event)), "p": text(event.price), "L": "PlusTick", "i": str(event.ts_ns), "BT": False,
    }  # fmt: skip


def _liquidation(event: Liquidation) -> dict[str, Any]:
    """The side is the position's: Buy is a long that was closed."""
    return {
        "T": ms(event.ts_ns), "s": event.instrument.symbol, "S": "Buy" if event.side == "long" else "Sell",
        "v": text(quantity(event)), "p": text(event.price),
    }  # fmt: skip


def _ok(result: Any, now_ns: int) -> tuple[int, bytes]:
    return 200, dump({"retCode": 0, "retMsg": "OK", "result": result, "time": ms(now_ns)}).encode()


def _listing(instrument: Instrument) -> dict[str, Any]:
    coin = instrument.base if instrument.base_units == 1 else instrument.symbol.removesuffix(instrument.quote)
    row: dict[str, Any] = {
        "symbol": instrument.symbol, "status": _STATUS[instrument.status], "baseCoin": coin,
        "quoteCoin": instrument.quote, "symbolType": "stock" if instrument.asset_class == "tradfi" else "",
    }  # fmt: skip
    if instrument.kind == "spot":
        return row
    form = "Linear" if instrument.form == "linear" else "Inverse"
    return row | {
        "contractType": f"{form}{'Perpetual' if instrument.kind == 'perp' else 'Futures'}",
        "settleCoin": instrument.settle, "fundingInterval": int((instrument.funding_interval_h or 0) * 60),
        "deliveryTime": str(ms(instrument.expiry_ns)) if instrument.expiry_ns else "0",
    }  # fmt: skip
