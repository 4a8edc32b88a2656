"""What the local protocols of JSON venues share: parsing client frames, routing REST, remembering what was said."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.events import Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.testing.protocol import ClientReply, Frame, Push, VenueProtocol

_ENCODER = msgspec.json.Encoder(decimal_format="number")
MICROS = Decimal(1_000_000)
Row = dict[str, float]


def dumps(message: Any) -> str:
    """JSON text; a `Decimal` is written as a number, digit by digit."""
    return _ENCODER.encode(message).decode()


def dollars(event: Trade | Liquidation) -> Decimal:
    """The event's USD, exactly."""
    return Decimal(event.usd_micros) / MICROS


def price_of(event: Trade | Liquidation) -> Decimal:
    """The event's price, as it reads."""
    return Decimal(repr(event.price))


def quantity(event: Trade | Liquidation) -> Decimal:
    """The amount in the venue's own unit: what the feed's valuation turns back into the event's USD."""
    instrument = event.instrument
    worth = instrument.contract_value if instrument.form == "inverse" else instrument.contract_value * price_of(event)
    return dollars(event) / worth


def forced_order(event: Liquidation) -> str:
    """Side of the order that closes the position."""
    return "sell" if event.side == "long" else "buy"


def ms(ts_ns: int) -> int:
    """Unix milliseconds."""
    return ts_ns // NS_PER_MS


def iso(ts_ns: int) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    moment = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).replace(microsecond=ts_ns // 1000 % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class JsonVenue(VenueProtocol):
    """Base of the protocols that speak JSON text.

    A venue gives its paths, its routes, an answer to each client message and frames for each event. ``rows`` holds what
    was last said per symbol: ``mark index last mid funding next_ms open_interest bid_usd ask_usd spread ts_ms``.
    """

    paths: ClassVar[frozenset[str]] = frozenset()
    greeting: ClassVar[tuple[str, ...]] = ()

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.by_symbol = {item.symbol: item for item in instruments}
        self.rows: dict[str, Row] = {item.symbol: {} for item in instruments}
        self._numbers: dict[str, int] = {}

    @abstractmethod
    def answer(self, path: str, message: Mapping[str, Any], now_ns: int) -> ClientReply:
        """Answer one JSON object from a client."""

    @abstractmethod
    def frames(self, event: MarketEvent, row: Row) -> list[Push]:
        """Frames that tell one event; `row` is the instrument's state with the event in it."""

    @abstractmethod
    def routes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """REST path -> reply."""

    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        """Greet on the venue's own paths."""
        return ClientReply(self.greeting) if path in self.paths else None

    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        """Answer text pings and JSON objects; anything else is ignored."""
        if frame in {"ping", b"ping"}:
            return ClientReply(("pong",))
        try:
            message = msgspec.json.decode(frame, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError):
            return ClientReply()
        return self.answer(path, message, now_ns)

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """None; a venue that sends snapshots overrides this."""
        return []

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """Remember and tell each event of this venue's instruments."""
        pushes: list[Push] = []
        for event in events:
            instrument = getattr(event, "instrument", None)
            if instrument is not None and instrument.venue == self.venue and instrument.symbol in self.rows:
                row = self.rows[instrument.symbol]
                _remember(event, row)
                pushes += self.frames(event, row)
        return pushes

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Serve the venue's routes."""
        reply = self.routes(query).get(path)
        return (404, b"{}") if reply is None else (200, dumps(reply).encode())

    def number(self, stream: str) -> int:
        """The next number of a stream, from 1."""
        self._numbers[stream] = self._numbers.get(stream, 0) + 1
        return self._numbers[stream]

    def book(self, symbol: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Bids and asks, one level a side: what was last told of the depth, else a million dollars at two basis points."""
        row, instrument = self.rows.get(symbol, {}), self.by_symbol[symbol]
        mid = next((row[kind] for kind in ("mid", "mark", "last") if kind in row), 100.0)
        half = row.get("spread", 0.0002) / 2
        contract = float(instrument.contract_value)

        def level(price: float, usd: float) -> tuple[float, float]:
            return price, usd / (contract if instrument.form == "inverse" else contract * price)

        bid_usd, ask_usd = row.get("bid_usd", 1e6), row.get("ask_usd", 1e6)
        return [level(mid * (1 - half), bid_usd)], [level(mid * (1 + half), ask_usd)]

    def coins(self, symbol: str) -> float | None:
        """Open interest in the venue's unit, from the dollars that were told."""
        row, instrument = self.rows[symbol], self.by_symbol[symbol]
        usd, mark = row.get("open_interest"), row.get("mark")
        if usd is None or (mark is None and instrument.form != "inverse"):
            return None
        worth = 1.0 if instrument.form == "inverse" else mark or 1.0
        return usd / (worth * float(instrument.contract_value))


def _remember(event: MarketEvent, row: Row) -> None:
    match event:
        case Price():
            row[event.kind] = event.value
        case Funding():
            row["funding"] = event.rate
            row["next_ms"] = ms(event.next_ns)
        case OpenInterest():
            row["open_interest"] = event.usd
        case Trade():
            row["last"] = event.price
        case Depth():
            row |= {"bid_usd": event.bid_usd, "ask_usd": event.ask_usd, "spread": event.spread_ratio}
        case _:
            pass
    row["ts_ms"] = ms(event.ts_ns)
