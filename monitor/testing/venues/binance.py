"""Binance's side of the wire: USD-M with the merged liquidation stream, COIN-M, and spot. Synthetic data.

As the venue does, a subscription to a stream that the address does not serve is acknowledged and stays silent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from monitor.events import Funding, Liquidation, MarketEvent, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.protocol import ClientReply, Frame, Push, VenueProtocol
from monitor.testing.venues.state import Quote, Quotes, dump, interval_h, ms, next_settlement_ms, quantity, text

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_STATUS = {"trading": "TRADING", "halted": "HALT", "prelaunch": "PENDING_TRADING", "closed": "SETTLING"}
_NEVER_MS = 4_133_404_800_000
_COIN_MARGINED = "binance_coinm"
_BOOK_STREAMS = ("bookTicker", "depth")


class BinanceProtocol(VenueProtocol):
    """What the three products share; each says its addresses and its REST root.

    ``paths`` maps an address to the streams that it serves: those of the order book, all others, or both.
    """

    paths: ClassVar[Mapping[str, str]]
    roots: ClassVar[Mapping[str, str]]

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.quotes = Quotes(instruments)

    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        """Accept the venue's addresses; un-routed ones serve the public category only."""
        return ClientReply() if path in self.paths else None

    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS; anything else is refused."""
        try:
            request = json.loads(frame)
        except ValueError as error:
            return _refusal(3, f"Invalid JSON: {error}")
        fault = _fault(request)
        if fault:
            return _refusal(2, f"Invalid request: {fault}", request.get("id") if isinstance(request, dict) else None)
        return self._answer(path, request, topics)

    def _answer(self, path: str, request: dict[str, Any], topics: frozenset[str]) -> ClientReply:
        method, number = request["method"], request.get("id")
        names = tuple(request.get("params", ()))
        result = sorted(topics) if method == "LIST_SUBSCRIPTIONS" else None
        reply = dump({"result": result, "id": number})
        if method == "SUBSCRIBE":
            return ClientReply((reply,), subscribed=tuple(name for name in names if self._serves(path, name)))
        if method == "UNSUBSCRIBE":
            return ClientReply((reply,), unsubscribed=names)
        return ClientReply((reply,))

    def _serves(self, path: str, name: str) -> bool:
        is_book = any(stream in name for stream in _BOOK_STREAMS)
        return self.paths[path] in {"all", "book" if is_book else "market"}

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """None: no stream of this venue begins with a snapshot."""
        return []

    # --- events to frames -----------------------------------------------------------------------------------------

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """One frame per trade, liquidation and quote; mark prices of different symbols share an array frame."""
        pushes: list[Push] = []
        marks: dict[str, tuple[Quote, set[str]]] = {}
        for event in events:
            quote = self.quotes.take(event)
            if quote is None:
                continue
            field = _mark_field(event)
            if field is None:
                pushes += self._event(event, quote)
                continue
            key = quote.instrument.key
            if key in marks and field in marks[key][1]:
                pushes += self._marks([quote for quote, _ in marks.values()])
                marks = {}
            marks.setdefault(key, (quote, set()))[1].add(field)
        return pushes + self._marks([quote for quote, _ in marks.values()])

    def _event(self, event: MarketEvent, quote: Quote) -> list[Push]:
        if isinstance(event, Trade):
            return self._to(f"{_stream(quote)}@aggTrade", _trade(event))
        if isinstance(event, Liquidation):
            row = _force_order(event)
            own = self._to(f"{_stream(quote)}@forceOrder", row) if event.instrument.venue == self.venue else []
            return own + self._to("!forceOrder@arr", row)
        if isinstance(event, Price) and event.kind == "last":
            row = {"e": "24hrMiniTicker", "E": ms(event.ts_ns), "s": quote.instrument.symbol, "c": text(event.value)}
            return self._to(f"{_stream(quote)}@miniTicker", row) + self._to("!miniTicker@arr", [row])
        if isinstance(event, Price) and event.kind == "mid":
            row = self._book_row(event, quote)
            return self._to(f"{_stream(quote)}@bookTicker", row) + self._to("!bookTicker", row)
        return []

    def _book_row(self, event: Price, quote: Quote) -> dict[str, Any]:
        bid, ask = quote.touch
        row = {"u": ms(event.ts_ns), "s": quote.instrument.symbol, "b": text(bid), "B": "1", "a": text(ask), "A": "1"}
        return {"e": "bookTicker", "E": ms(event.ts_ns), "T": ms(event.ts_ns), **row}

    def _marks(self, quotes: Sequence[Quote]) -> list[Push]:
        rows = [(quote, _mark(quote)) for quote in quotes if quote.mark is not None]
        own = [(quote, row) for quote, row in rows if quote.instrument.venue == self.venue]
        if not own:
            return []
        pushes = self._to("!markPrice@arr@1s", [row for _, row in own])
        for quote, row in own:
            pushes += self._to(f"{_stream(quote)}@markPrice@1s", row) + self._to(f"{_stream(quote)}@markPrice", row)
        return pushes

    def _to(self, topic: str, payload: Any) -> list[Push]:
        frame = dump(payload)
        return [Push(path, topic, frame) for path in self.paths if self._serves(path, topic)]

    # --- REST -----------------------------------------------------------------------------------------------------

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Listings, funding intervals, mark prices, open interest, day tickers and books."""
        root, _, name = path.rpartition("/")
        if name == "24hr":
            root, name = root.rpartition("/")[0], "24hr"
        venue = self.roots.get(root)
        if venue is None or method != "GET":
            return 404, b'{"code":-5000,"msg":"Path not found"}'
        return self._rest(venue, name, query, now_ns)

    def _rest(self, venue: str, name: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        quotes = self.quotes.of(venue)
        if name == "exchangeInfo":
            return _ok({"serverTime": ms(now_ns), "symbols": [_listing(quote.instrument) for quote in quotes]})
        if name == "fundingInfo":
            return _ok([_funding_info(quote) for quote in quotes if interval_h(quote) != 8])
        if name == "24hr":
            return _ok([_day(quote) for quote in quotes])
        if name == "premiumIndex" and "symbol" not in query:
            return _ok([_premium(quote, now_ns) for quote in quotes])
        quote = self.quotes.get(venue, query.get("symbol", ""))
        if quote is None:
            return 400, b'{"code":-1121,"msg":"Invalid symbol."}'
        return self._symbol(name, quote, now_ns)

    def _symbol(self, name: str, quote: Quote, now_ns: int) -> tuple[int, bytes]:
        symbol = quote.instrument.symbol
        if name == "premiumIndex":
            return _ok(_premium(quote, now_ns))
        if name == "openInterest":
            held = text(quote.units(quote.interest_usd or 0.0))
            return _ok({"symbol": symbol, "openInterest": held, "time": ms(quote.ts_ns or now_ns)})
        if name == "depth":
            bids, asks = quote.book()
            return _ok({"lastUpdateId": ms(now_ns), "E": ms(now_ns), "T": ms(now_ns), "bids": bids, "asks": asks})
        return 404, b'{"code":-5000,"msg":"Path not found"}'


class BinanceUsdmProtocol(BinanceProtocol):
    """USD-M; COIN-M instruments among the listed ones appear in the merged liquidation stream."""

    venue = "binance_usdm"
    paths: ClassVar[Mapping[str, str]] = {"/market/ws": "market", "/public/ws": "book", "/ws": "book"}
    roots: ClassVar[Mapping[str, str]] = {"/fapi/v1": "binance_usdm", "/dapi/v1": _COIN_MARGINED}


class BinanceCoinmProtocol(BinanceProtocol):
    """COIN-M; USD-M instruments among the listed ones appear in the merged liquidation stream."""

    venue = _COIN_MARGINED
    paths: ClassVar[Mapping[str, str]] = {"/ws": "all"}
    roots: ClassVar[Mapping[str, str]] = {"/dapi/v1": _COIN_MARGINED}


class BinanceSpotProtocol(BinanceProtocol):
    """Spot."""

    venue = "binance_spot"
    paths: ClassVar[Mapping[str, str]] = {"/ws": "all"}
    roots: ClassVar[Mapping[str, str]] = {"/api/v3": "binance_spot"}

    def _book_row(self, event: Price, quote: Quote) -> dict[str, Any]:
        row = super()._book_row(event, quote)
        return {name: row[name] for name in ("u", "s", "b", "B", "a", "A")}


def _refusal(code: int, words: str, number: Any = None) -> ClientReply:
    error: dict[str, Any] = {"code": code, "msg": words}
    return ClientReply((dump(error if number is None else {**error, "id": number}),))


def _fault(request: Any) -> str:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return "missing field `method` at line 1 column 1"
    if request["method"] not in _METHODS:
        return f"unknown variant `{request['method']}`, expected one of {', '.join(f'`{name}`' for name in _METHODS)}"
    params = request.get("params", [])
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        return "invalid type: expected a sequence of strings"
    return ""


def _mark_field(event: MarketEvent) -> str | None:
    if isinstance(event, Funding):
        return "funding"
    return event.kind if isinstance(event, Price) and event.kind in {"mark", "index"} else None


def _stream(quote: Quote) -> str:
    return quote.instrument.symbol.lower()


def _product(instrument: Instrument) -> int:
    return 2 if instrument.venue == _COIN_MARGINED else 1


def _mark(quote: Quote) -> dict[str, Any]:
    perpetual = quote.instrument.kind == "perp"
    return {
        "e": "markPriceUpdate", "E": ms(quote.ts_ns), "s": quote.instrument.symbol, "p": text(quote.mark),
        "ap": text(quote.mark), "i": text(quote.index), "P": text(quote.index),
        "r": text(quote.funding.rate) if perpetual and quote.funding else "",
        "T": next_settlement_ms(quote, quote.ts_ns) if perpetual else 0, "st": _product(quote.instrument),
    }  # fmt: skip


def _trade(event: Trade) -> dict[str, Any]:
    return {
        "e": "aggTrade", "E": ms(event.ts_ns), "s": event.instrument.symbol, "p": text(event.price),
        "q": text(quantity(event)), "T": ms(event.ts_ns), "m": event.side == "sell",
    }  # fmt: skip


def _force_order(event: Liquidation) -> dict[str, Any]:
    filled, price = text(quantity(event)), text(event.price)
    order = {
        "s": event.instrument.symbol, "S": "SELL" if event.side == "long" else "BUY", "o": "LIMIT", "f": "IOC",
        "q": filled, "p": price, "ap": price, "X": "FILLED", "l": filled, "z": filled, "T": ms(event.ts_ns),
    }  # fmt: skip
    return {"e": "forceOrder", "E": ms(event.ts_ns), "st": _product(event.instrument), "o": order}


def _ok(value: Any) -> tuple[int, bytes]:
    return 200, dump(value).encode()


def _listing(instrument: Instrument) -> dict[str, Any]:
    prefix = str(instrument.base_units) if instrument.base_units != 1 else ""
    status = _STATUS[instrument.status]
    row: dict[str, Any] = {
        "symbol": instrument.symbol, "status": status, "baseAsset": f"{prefix}{instrument.base}",
        "quoteAsset": instrument.quote,
    }  # fmt: skip
    if instrument.kind == "spot":
        return row
    perpetual = "TRADIFI_PERPETUAL" if instrument.asset_class == "tradfi" else "PERPETUAL"
    row |= {
        "pair": instrument.symbol.partition("_")[0], "marginAsset": instrument.settle, "underlyingType": "COIN",
        "contractType": perpetual if instrument.kind == "perp" else "CURRENT_QUARTER",
        "deliveryDate": ms(instrument.expiry_ns) if instrument.expiry_ns else _NEVER_MS,
    }  # fmt: skip
    if instrument.form == "inverse":
        row |= {"contractSize": int(instrument.contract_value), "contractStatus": status}
    return row


def _funding_info(quote: Quote) -> dict[str, Any]:
    return {"symbol": quote.instrument.symbol, "fundingIntervalHours": int(interval_h(quote))}


def _premium(quote: Quote, now_ns: int) -> dict[str, Any]:
    return {
        "symbol": quote.instrument.symbol, "markPrice": text(quote.mark or quote.price),
        "indexPrice": text(quote.index or quote.price),
        "lastFundingRate": text(quote.funding.rate) if quote.funding else "",
        "nextFundingTime": next_settlement_ms(quote, now_ns), "time": ms(now_ns),
    }  # fmt: skip


def _day(quote: Quote) -> dict[str, Any]:
    usd = quote.interest_usd or 1.0
    volume, price = text(quote.units(usd)), text(quote.price)
    return {"symbol": quote.instrument.symbol, "volume": volume, "quoteVolume": text(usd), "weightedAvgPrice": price}
