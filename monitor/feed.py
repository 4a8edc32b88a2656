"""What a feed is: a venue's protocol as data plus pure decoding. No socket, no clock, no await.

A `Feed` says what to fetch and what to open; a `Session` is the state of one open connection. The shell
(`monitor.transports`) moves the bytes::

    feed = make_feed("bybit", FeedOptions(...))
    for request in feed.metadata(): ...         # HTTPS -> feed.parse_metadata -> Registry
    for connection in feed.connections(chosen): # one websocket each
        session = feed.session(connection, registry)
        session.on_open(now_ns)                 # frames to send
        session.on_frame(frame, recv_ns)        # -> events; session.notices holds the rest
        session.on_tick(now_ns)                 # pings that are due, acknowledgements that did not come
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import urlsplit

from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.instruments import Instrument, Registry

Frame = str | bytes
Bad = Callable[[DecodeError], None]
"""Hears of a row that cannot be read; the others of its list are kept."""
Source = tuple[str, Channel]
"""A venue and one of its channels."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What a venue publishes at most: ``per_second`` rows of one symbol, or of one side of it when ``per_side``."""

    per_second: int
    per_side: bool = False


@dataclass(frozen=True, slots=True)
class ReportingLaw:
    """How much of the truth a venue's channel tells.

    ``sampled`` data is a lower bound by ``rule``; ``order_level`` counts orders, not fills; ``not_covered`` means that
    the venue has no public source. ``source`` names the venue's page. ``cap`` is the rule as a number where it is one;
    how often it was reached is measured.
    """

    kind: Literal["complete", "sampled", "order_level", "not_covered"]
    rule: str
    source: str
    cap: Cap | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """A venue's connection limits; the supervisor keeps within them.

    ``connects`` per ``connects_window_s`` per IP, ``sends_per_s`` frames up per connection, ``lifetime_s`` until the
    venue cuts the connection (None: never), ``max_frame_bytes`` the largest frame to accept. ``rest_weight`` units of
    `Request.weight` may be spent by HTTPS per ``rest_window_s``, whatever for.
    """

    connects: int = 30
    connects_window_s: float = 60.0
    sends_per_s: float = 5.0
    lifetime_s: float | None = None
    max_frame_bytes: int = 16 * 1024 * 1024
    rest_weight: int = 300
    rest_window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """Constants of a venue: all that is not code.

    Attributes:
        venue: Its name in configuration, labels and metrics.
        title: Its name for people.
        laws: The channels it can carry, each with its reporting law.
        limits: Connection limits.
        idle_s: A connection with no *data* frame for so long is dead and is replaced.
        stale_s: Per channel, the age at which the last value of one instrument stops counting.
        docs: Address of the venue's API pages.
        gaps: What becomes of the events of a gap, per channel of events; "lost: why" where they cannot be had.
        shares_with: Venues with which it shares a stream; each is told the options of the other.
    """

    venue: str
    title: str
    laws: Mapping[Channel, ReportingLaw]
    limits: Limits
    idle_s: float
    stale_s: Mapping[Channel, float]
    docs: str
    gaps: Mapping[Channel, str] = field(default_factory=dict)
    shares_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """One entry of ``feeds:`` after validation.

    ``symbols`` is ``"*"``, a tuple of the venue's symbols, or ``top=N`` by open interest. ``ws_url`` and ``rest_url``
    replace scheme, host and port of every address of the venue (its paths are kept). ``hot_standby`` keeps a second
    connection beside each. ``extra`` holds the venue's own
    settings, validated by the feed. ``beside`` has the options of those `FeedSpec.shares_with` that this process runs, too:
    of two venues that share a stream only one may count it. ``pegs`` gives quote currencies a price other than one
    US dollar.
    """

    channels: frozenset[Channel]
    symbols: Literal["*"] | tuple[str, ...] = "*"
    top: int | None = None
    ws_url: str | None = None
    rest_url: str | None = None
    include_tradfi: bool = False
    hot_standby: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, FeedOptions] = field(default_factory=dict)
    pegs: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topic:
    """One subscription as the venue names it, and the channels that it feeds (a ticker may feed three)."""

    name: str
    channels: tuple[Channel, ...]
    symbol: str = ""
    payload: Any = None

    @property
    def stream(self) -> str:
        """The name up to its colon, where many venues have the channel: ``trades`` of ``trades:BTC-USD``."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Connection:
    """A websocket to open. ``name`` is unique and stable: ``bybit/linear/0``; it is in logs, tapes and metrics.

    ``joined`` says that a tape begins after it was opened: what the venue tells only first was never heard, and what
    changes is all that there is.
    """

    name: str
    url: str
    topics: tuple[Topic, ...]
    headers: tuple[tuple[str, str], ...] = ()
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTPS request; ``name`` tells the feed's parser what the reply is."""

    name: str
    url: str
    method: Literal["GET", "POST"] = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    weight: int = 1

    @property
    def endpoint(self) -> str:
        """The last word of its path."""
        return urlsplit(self.url).path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Poll:
    """A request that is repeated; ``pace_s`` is the least distance to the feed's next request (rate limits)."""

    request: Request
    channel: Channel
    every_s: float
    pace_s: float = 0.05
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A request for what lies behind us: values of one instrument every ``step_ns``, or with 0 the events of a gap.

    The reply speaks of (``start_ns``, ``end_ns``]. ``symbol`` is `Instrument.key`, or what a venue groups by.
    """

    request: Request
    channel: Channel
    symbol: str
    start_ns: int
    end_ns: int
    step_ns: int = 0

    def after(self, edge_ns: int) -> HistoryPage:
        """The part of (edge, end]."""
        return replace(self, start_ns=max(self.start_ns, edge_ns))

    def until(self, edge_ns: int) -> HistoryPage:
        """The part of (start, edge]."""
        return replace(self, end_ns=min(self.end_ns, edge_ns))


@dataclass(frozen=True, slots=True)
class Send:
    """A text frame to send, not before ``after_ns`` from now (pacing)."""

    frame: str
    after_ns: int = 0


@dataclass(frozen=True, slots=True)
class Acked:
    """The venue confirmed topics."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refused a topic; ``words`` are its own. An acknowledgement that never came is a refusal too."""

    topic: str
    words: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame that the venue expects at once (an application pong)."""

    frame: str


@dataclass(frozen=True, slots=True)
class UnknownSymbol:
    """An event named an instrument that the registry lacks; the event was not guessed at. Triggers a refresh."""

    symbol: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row was left out on purpose; ``reason`` is a metric label: ``history``, ``tradfi``, ``unselected``..."""

    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class BadRow:
    """A frame or row could not be read; the rest of the frame was. ``reason`` as in `monitor.errors.DecodeError`."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """The venue's own numbering shows that ``missing`` messages never arrived."""

    channel: Channel
    missing: int


@dataclass(frozen=True, slots=True)
class Closing:
    """The venue announced that it will close the connection; open the next one first."""

    words: str


@dataclass(frozen=True, slots=True)
class Found:
    """The feed learned at run time how the venue uses one of its own settings; for the log and the status page."""

    setting: str
    value: str
    words: str


Notice = Acked | Refused | Reply | UnknownSymbol | Skipped | BadRow | SequenceGap | Closing | Found


class Session(Protocol):
    """The protocol state of one open connection. Made new for every connect."""

    notices: list[Notice]
    """What is not market data, oldest first; the caller empties it after each call when it is not empty."""

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Names of topics whose acknowledgement is still awaited."""
        ...

    def on_open(self, now_ns: int) -> list[Send]:
        """Frames that subscribe to every topic, chunked and paced within the venue's limits."""
        ...

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Decode one frame. An empty list is normal (acknowledgements, pongs, history).

        Raises:
            DecodeError: The frame as a whole could not be read. Nothing else escapes, whatever the bytes.
        """
        ...

    def on_tick(self, now_ns: int) -> list[Send]:
        """Called about once a second: application pings that are due; late acknowledgements become notices."""
        ...

    def memory(self) -> bytes:
        """What it has learned from the frames so far, for a tape that begins in the middle (`monitor.learned`)."""
        ...

    def recall(self, memory: bytes) -> None:
        """Go on where the session was that wrote this.

        Raises:
            ValueError: It is not the memory of such a session.
        """
        ...


class Feed(Protocol):
    """A venue. Built with `FeedOptions`; holds no connection state."""

    spec: ClassVar[FeedSpec]
    options: FeedOptions

    def sources(self) -> frozenset[Source]:
        """What it keeps live as it is configured: its own channels, and those of other venues that come over its streams."""
        ...

    def metadata(self) -> list[Request]:
        """Requests whose replies describe every instrument."""
        ...

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments of one reply, and follow-up requests (next page).

        Raises:
            DecodeError: The reply is not what the venue documents.
        """
        ...

    def ranking(self) -> list[Request]:
        """Requests whose replies rank instruments by open interest, for ``top: N``."""
        ...

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        ...

    def wanted(self, registry: Registry) -> list[Instrument]:
        """Instruments of this feed that are trading and of an asset class that the options ask for."""
        ...

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """The websockets to open for the chosen instruments and channels, sharded within the venue's limits."""
        ...

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """What this venue has by REST only."""
        ...

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Events of one polled reply.

        Args:
            poll: What was asked.
            body: The reply.
            recv_ns: When it came.
            registry: All instruments.
            bad: Told of each row of a list that cannot be read. An order book with a bad level is no list: it is bad.

        Raises:
            DecodeError: The reply as a whole is not what the venue documents.
        """
        ...

    def history(
        self, instrument: Instrument, channel: Channel, start_ns: int, end_ns: int, step_ns: int
    ) -> list[HistoryPage]:
        """Requests for closed values of (start, end], about ``step_ns`` apart; none where the venue keeps no such history."""
        ...

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Requests for the events of (start, end] that a lost connection did not deliver; none where they are gone for good."""
        ...

    def parse_history(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Events of one reply, all marked ``backfill``, oldest first; and follow-up requests (next page).

        Raises:
            DecodeError: The reply is not what the venue documents.
        """
        ...

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state for one connect."""
        ...

    def memory(self) -> bytes:
        """As `Session.memory`, of what all connections share."""
        ...

    def recall(self, memory: bytes) -> None:
        """As `Session.recall`."""
        ...

    def forget(self) -> None:
        """Know no more what changes from moment to moment (a price to value by): what was said since is not on the tape."""
        ...
