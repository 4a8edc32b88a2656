"""A venue that does not exist, small enough to read at a glance: its feed and its local server.

Wire: ``{"op":"sub","args":[topic...]}`` is answered with ``{"ok":[topic...]}`` or ``{"no":topic,"why":words}``; data is
``{"ch":channel,"s":symbol,"v":value,"t":ms,"side":..,"id":..}``; ``{"op":"ping"}`` gets ``{"op":"pong"}``;
``{"op":"closing"}`` announces the end of a connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from monitor.errors import DecodeError
from monitor.events import Channel, FeedGap, FeedState, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import (
    Bad,
    Closing,
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Poll,
    ReportingLaw,
    Request,
    SequenceGap,
    Source,
    Topic,
    UnknownSymbol,
)
from monitor.instruments import Instrument, Registry
from monitor.learned import Learned
from monitor.session import SessionRules, TopicSession
from monitor.testing.protocol import ClientReply, Push, VenueProtocol

PATH = "/toy"
LAW = ReportingLaw("complete", "every row", "tests/toy_venue.py")
SOCKET_CHANNELS = (Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS)
StreamEvent = MarketEvent | FeedState | FeedGap


def instrument(symbol: str, **fields: Any) -> Instrument:
    """A linear perpetual of the toy venue."""
    return Instrument(
        venue="toy", symbol=symbol, base=symbol.removesuffix("USDT"), quote="USDT", settle="USDT", kind="perp", **fields
    )


BTC = instrument("BTCUSDT")
ETH = instrument("ETHUSDT")


class ToySession(TopicSession):
    rules = SessionRules(chunk=2, pace_s=0.01, ack_s=5.0, ping_s=1.0)

    def __init__(self, connection: Connection, registry: Registry) -> None:
        super().__init__(connection)
        self._table = registry.venue("toy")
        self._number = 0

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        return json.dumps({"op": "sub", "args": [topic.name for topic in topics]})

    def ping_frame(self, now_ns: int) -> str:
        return '{"op":"ping"}'

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        try:
            row = json.loads(frame)
        except ValueError as error:
            raise DecodeError("malformed", str(error)) from None
        if not isinstance(row, dict):
            raise DecodeError("wrong_type", type(row).__name__)
        if "boom" in row:
            raise RuntimeError("a bug in the decoder")
        self.confirm(row.get("ok", ()))
        if "no" in row:
            self.refuse(row["no"], row["why"])
        if row.get("op") == "closing":
            self.notices.append(Closing("maintenance"))
        return self._event(row, recv_ns) if "ch" in row else []

    def _event(self, row: dict[str, Any], recv_ns: int) -> list[MarketEvent]:
        channel = Channel(row["ch"])
        if "n" in row:
            if row["n"] > self._number + 1 and self._number:
                self.notices.append(SequenceGap(channel, row["n"] - self._number - 1))
            self._number = row["n"]
        found = self._table.get(row["s"])
        if found is None:
            self.notices.append(UnknownSymbol(row["s"], channel))
            return []
        ts_ns, micros = row["t"] * 1_000_000, int(Decimal(str(row["v"])) * 1_000_000)
        if channel is Channel.PRICE:
            return [Price(found, "mark", float(row["v"]), ts_ns, recv_ns)]
        if channel is Channel.TRADES:
            return [Trade(found, "buy", micros, 1.0, ts_ns, recv_ns)]
        return [Liquidation(found, "long", micros, 1.0, ts_ns, recv_ns, row.get("id", ""))]


class ToyFeed(Learned):
    """See `monitor.feed.Feed`."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="toy",
        title="Toy",
        laws=dict.fromkeys((*SOCKET_CHANNELS, Channel.OPEN_INTEREST), LAW),
        limits=Limits(connects=1000, connects_window_s=1.0, max_frame_bytes=100_000),
        idle_s=60.0,
        stale_s={},
        docs="tests/toy_venue.py",
    )

    def __init__(self, options: FeedOptions) -> None:
        self.options = options

    def forget(self) -> None:
        """Nothing is valued by the price before."""

    def sources(self) -> frozenset[Source]:
        return frozenset((self.spec.venue, channel) for channel in self.options.channels)

    def metadata(self) -> list[Request]:
        return [Request("metadata", f"{self.options.rest_url}/instruments")]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        try:
            rows = json.loads(body)["symbols"]
        except (ValueError, KeyError, TypeError) as error:
            raise DecodeError("malformed", repr(error)) from None
        return [instrument(symbol) for symbol in rows], []

    def ranking(self) -> list[Request]:
        return [Request("ranking", f"{self.options.rest_url}/ranking")]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        sizes: dict[str, float] = json.loads(body)
        return sizes

    def wanted(self, registry: Registry) -> list[Instrument]:
        return [item for item in registry.venue("toy").values() if item.status == "trading"]

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        topics = tuple(
            Topic(f"{channel}.{item.symbol}", (channel,), item.symbol)
            for item in instruments
            for channel in SOCKET_CHANNELS
            if channel in self.options.channels
        )
        return [Connection("toy/0", f"{self.options.ws_url}{PATH}", topics)] if topics else []

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        if Channel.OPEN_INTEREST not in self.options.channels:
            return []
        url = f"{self.options.rest_url}/oi?symbol="
        return [
            Poll(Request(f"oi-{item.symbol}", url + item.symbol), Channel.OPEN_INTEREST, 0.05, 0.001, item.symbol)
            for item in instruments
        ]

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        try:
            usd = float(json.loads(body)["oi"])
        except (ValueError, KeyError, TypeError) as error:
            raise DecodeError("malformed", repr(error)) from None
        found = registry.get("toy", poll.symbol)
        return [OpenInterest(found, usd, recv_ns, recv_ns)] if found else []

    def history(
        self, _instrument: Instrument, _channel: Channel, _start_ns: int, _end_ns: int, _step_ns: int
    ) -> list[HistoryPage]:
        return []

    def gap(
        self, _channel: Channel, _instruments: Sequence[Instrument], _start_ns: int, _end_ns: int
    ) -> list[HistoryPage]:
        return []

    def parse_history(
        self, _page: HistoryPage, _body: bytes, _recv_ns: int, _registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        return [], []

    def session(self, connection: Connection, registry: Registry) -> ToySession:
        return ToySession(connection, registry)


class ToyVenue(VenueProtocol):
    """The toy venue's side; topics of symbols that it does not list are refused."""

    venue = "toy"

    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        return ClientReply() if path == PATH else None

    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        message = json.loads(frame)
        if message["op"] == "ping":
            return ClientReply(('{"op":"pong"}',))
        listed = {item.symbol for item in self.instruments}
        good = tuple(topic for topic in message["args"] if topic.split(".")[1] in listed)
        refusals = [
            json.dumps({"no": topic, "why": "no such symbol"}) for topic in message["args"] if topic not in good
        ]
        return ClientReply((json.dumps({"ok": good}), *refusals), subscribed=good)

    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        return []

    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        return [self._push(event) for event in events]

    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        if path == "/instruments":
            return 200, json.dumps({"symbols": [item.symbol for item in self.instruments]}).encode()
        if path == "/ranking":
            return 200, json.dumps({item.symbol: 1000.0 - i for i, item in enumerate(self.instruments)}).encode()
        if path == "/oi":
            return 200, b'{"oi": 5000000}'
        return 404, b"{}"

    @staticmethod
    def _push(event: MarketEvent) -> Push:
        match event:
            case Price(instrument=item, value=value, ts_ns=ts_ns):
                row: dict[str, Any] = {"ch": "price", "v": value}
            case Trade(instrument=item, usd_micros=micros, ts_ns=ts_ns):
                row = {"ch": "trades", "v": micros / 1_000_000}
            case Liquidation(instrument=item, usd_micros=micros, ts_ns=ts_ns, key=key):
                row = {"ch": "liquidations", "v": micros / 1_000_000, "id": key}
            case _:
                raise NotImplementedError(type(event).__name__)
        row |= {"s": item.symbol, "t": ts_ns // 1_000_000}
        return Push(PATH, f"{row['ch']}.{item.symbol}", json.dumps(row))
