"""OKX's side of the wire: an acknowledgement per topic, contracts, history after a liquidation subscription. Synthetic."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.events import Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.protocol import ClientReply, Frame, Push, VenueProtocol
from monitor.testing.venues.state import Quote, Quotes, dump, interval_h, ms, next_settlement_ms, quantity, text

PATH = "/ws/v5/public"
MAX_OP_BYTES = 64 * 1024
_CONNECTION = "a4d3ae55"
_HISTORY = 20
_STATE = {"trading": "live", "halted": "suspend", "prelaunch": "preopen", "closed": "expired"}
_PER_INSTRUMENT = ("tickers", "mark-price", "trades", "funding-rate", "open-interest", "index-tickers")
_TYPES = ("SWAP", "FUTURES", "SPOT")


class OkxProtocol(VenueProtocol):
    """The public address."""

    venue = "okx"

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.quotes = Quotes(instruments)
        self._liquidated: dict[str, deque[dict[str, Any]]] = {}

    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        """Accept the public address."""
        return ClientReply() if path == PATH else None

    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        """Subscribe, unsubscribe and the plain ping."""
        words = frame if isinstance(frame, str) else frame.decode(errors="replace")
        if words == "ping":
            return ClientReply(("pong",))
        try:
            request = json.loads(words)
            args, op = request["args"], request["op"]
        except (ValueError, KeyError, TypeError):
            args, op, request = None, "", {}
        if op not in {"subscribe", "unsubscribe"} or not isinstance(args, list) or len(words.encode()) > MAX_OP_BYTES:
            return ClientReply((_error(request, "60012", f"Invalid request: {words[:200]}"),))
        return self._answer(request, op, args)

    def _answer(self, request: dict[str, Any], op: str, args: list[Any]) -> ClientReply:
        frames, accepted = [], []
        for arg in args:
            name = self._topic(arg)
            if name is None:
                frames.append(_error(request, "60018", _unknown(arg)))
            else:
                accepted.append(name)
                frames.append(dump({**_id(request), "event": op, "arg": arg, "connId": _CONNECTION}))
        if op == "unsubscribe":
            return ClientReply(tuple(frames), unsubscribed=tuple(accepted))
        return ClientReply(tuple(frames), subscribed=tuple(accepted))

    def _topic(self, arg: Any) -> str | None:
        """The topic of an argument, ``channel:instrument``; None when there is none such."""
        if not isinstance(arg, dict):
            return None
        channel, symbol = arg.get("channel"), str(arg.get("instId", ""))
        if channel == "liquidation-orders":
            return f"{channel}:{arg.get('instType')}" if arg.get("instType") in _TYPES[:2] else None
        listed = f"{symbol}-SWAP" if channel == "index-tickers" else symbol
        known = channel in _PER_INSTRUMENT and self.quotes.get(self.venue, listed) is not None
        return f"{channel}:{symbol}" if known else None

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """The current row of a topic; recent liquidations of a type, which are history."""
        channel, _, name = topic.partition(":")
        if channel == "liquidation-orders":
            rows = list(self._liquidated.get(name, ()))
            return [_frame({"channel": channel, "instType": name}, rows)] if rows else []
        quote = self.quotes.get(self.venue, f"{name}-SWAP" if channel == "index-tickers" else name)
        row = _row(channel, quote) if quote is not None and quote.ts_ns else None
        return [_frame({"channel": channel, "instId": name}, [row])] if row else []

    # --- events to frames -----------------------------------------------------------------------------------------

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """One frame per event."""
        pushes = []
        for event in events:
            quote = self.quotes.take(event)
            push = self._push(event, quote) if quote is not None else None
            if push is not None:
                pushes.append(push)
        return pushes

    def _push(self, event: MarketEvent, quote: Quote) -> Push | None:
        if isinstance(event, Liquidation):
            return self._liquidation(event, quote.instrument.category)
        channel = _channel(event)
        if channel is None:
            return None
        row = _trade(event) if isinstance(event, Trade) else _row(channel, quote)
        if row is None:
            return None
        name = str(row["instId"])
        return Push(PATH, f"{channel}:{name}", _frame({"channel": channel, "instId": name}, [row]))

    def _liquidation(self, event: Liquidation, category: str) -> Push:
        symbol = event.instrument.symbol
        family = "-".join(symbol.split("-")[:2])
        detail = {
            "side": "sell" if event.side == "long" else "buy", "posSide": "net", "bkPx": text(event.price),
            "sz": text(quantity(event)), "bkLoss": "0", "ccy": "", "ts": str(ms(event.ts_ns)),
        }  # fmt: skip
        row = {"instType": category, "instFamily": family, "instId": symbol, "uly": family, "details": [detail]}
        self._liquidated.setdefault(category, deque(maxlen=_HISTORY)).append(row)
        arg = {"channel": "liquidation-orders", "instType": category}
        return Push(PATH, f"liquidation-orders:{category}", _frame(arg, [row]))

    # --- REST -----------------------------------------------------------------------------------------------------

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Listings, funding, open interest and books."""
        name = path.removeprefix("/api/v5/")
        kind = query.get("instType", "")
        quotes = [q for q in self.quotes.of(self.venue) if kind in {"", q.instrument.category}]
        if method != "GET":
            return 404, b""
        if name == "public/instruments":
            return _ok([_listing(quote.instrument) for quote in quotes])
        if name in {"public/funding-rate", "public/open-interest"}:
            rows = (_row(name.removeprefix("public/"), quote) for quote in quotes)
            return _ok([row for row in rows if row is not None])
        if name == "market/books":
            return self._book(query.get("instId", ""), now_ns)
        return 404, b""

    def _book(self, symbol: str, now_ns: int) -> tuple[int, bytes]:
        quote = self.quotes.get(self.venue, symbol)
        if quote is None:
            return 200, dump({"code": "51001", "msg": "Instrument ID does not exist", "data": []}).encode()
        bids, asks = quote.book()
        return _ok(
            [
                {
                    "bids": [[*row, "0", "1"] for row in bids],
                    "asks": [[*row, "0", "1"] for row in asks],
                    "ts": str(ms(now_ns)),
                }
            ]
        )


def _id(request: Any) -> dict[str, str]:
    return {"id": str(request["id"])} if isinstance(request, dict) and "id" in request else {}


def _error(request: Any, code: str, words: str) -> str:
    return dump({**_id(request), "event": "error", "code": code, "msg": words, "connId": _CONNECTION})


def _unknown(arg: Any) -> str:
    known = arg if isinstance(arg, dict) else {}
    what = ",".join(f"{name}:{known[name]}" for name in ("channel", "instId", "instType") if name in known)
    return f"Wrong URL or {what} doesn't exist. Please use the correct URL, channel and parameters referring to API document."


def _frame(arg: dict[str, str], rows: list[Any]) -> str:
    return dump({"arg": arg, "data": rows})


def _channel(event: MarketEvent) -> str | None:
    if isinstance(event, Price):
        return {"mark": "mark-price", "index": "index-tickers"}.get(event.kind, "tickers")
    if isinstance(event, Trade):
        return "trades"
    if isinstance(event, Funding):
        return "funding-rate"
    return "open-interest" if isinstance(event, OpenInterest) else None


def _row(channel: str, quote: Quote) -> dict[str, str] | None:
    """The current row of an instrument on a channel; None where nothing is known yet."""
    row = {
        "tickers": _ticker, "mark-price": _mark, "index-tickers": _index, "funding-rate": _funding,
        "open-interest": _interest,
    }.get(channel, _nothing)(quote)  # fmt: skip
    return None if row is None else {"instId": quote.instrument.symbol, "ts": str(ms(quote.ts_ns)), **row}


def _nothing(quote: Quote) -> None:  # noqa: ARG001  # stands in a table
    return None


def _ticker(quote: Quote) -> dict[str, str] | None:
    if quote.last is None and quote.mid is None:
        return None
    row = {"instType": quote.instrument.category, "last": text(quote.last), "bidPx": "", "askPx": ""}
    if quote.mid is not None:
        bid, ask = quote.touch
        row |= {"bidPx": text(bid), "askPx": text(ask)}
    return row


def _mark(quote: Quote) -> dict[str, str] | None:
    return None if quote.mark is None else {"instType": quote.instrument.category, "markPx": text(quote.mark)}


def _index(quote: Quote) -> dict[str, str] | None:
    if quote.index is None or quote.instrument.category != "SWAP":
        return None
    return {"instId": quote.instrument.symbol.removesuffix("-SWAP"), "idxPx": text(quote.index)}


def _funding(quote: Quote) -> dict[str, str] | None:
    if quote.funding is None or quote.instrument.kind != "perp":
        return None
    next_ms = next_settlement_ms(quote, quote.ts_ns)
    return {
        "instType": quote.instrument.category, "method": "current_period", "fundingRate": text(quote.funding.rate),
        "fundingTime": str(next_ms), "nextFundingRate": "",
        "nextFundingTime": str(next_ms + int(interval_h(quote) * 3_600_000)),
    }  # fmt: skip


def _interest(quote: Quote) -> dict[str, str] | None:
    if quote.interest_usd is None:
        return None
    held = text(quote.units(quote.interest_usd))
    return {"instType": quote.instrument.category, "oi": held, "oiUsd": text(quote.interest_usd)}


def _trade(event: Trade) -> dict[str, str]:
    return {
        "instId": event.instrument.symbol, "tradeId": str(event.ts_ns), "px": text(event.price),
        "sz": text(quantity(event)), "side": event.side, "ts": str(ms(event.ts_ns)), "count": "1",
    }  # fmt: skip


def _ok(rows: list[Any]) -> tuple[int, bytes]:
    return 200, dump({"code": "0", "msg": "", "data": rows}).encode()


def _listing(instrument: Instrument) -> dict[str, str]:
    row = {
        "instId": instrument.symbol, "instType": instrument.category, "state": _STATE[instrument.status],
        "instCategory": "3" if instrument.asset_class == "tradfi" else "1", "ruleType": "normal",
    }  # fmt: skip
    if instrument.kind == "spot":
        return row | {"baseCcy": instrument.base, "quoteCcy": instrument.quote}
    family = "-".join(instrument.symbol.split("-")[:2])
    linear = instrument.form == "linear"
    return row | {
        "uly": family, "instFamily": family, "settleCcy": instrument.settle, "ctVal": text(instrument.contract_value),
        "ctMult": "1", "ctType": instrument.form, "ctValCcy": instrument.base if linear else "USD",
        "expTime": str(ms(instrument.expiry_ns)) if instrument.expiry_ns else "",
    }  # fmt: skip
