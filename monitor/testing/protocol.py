"""What a local venue server must know of one venue: its side of the wire protocol, as pure values.

The generic server (`monitor.testing.venue_server`) moves the bytes and adds the faults; a `VenueProtocol` says what a
venue answers. No socket, no clock, no randomness: time is an argument and every frame is a return value, so a
protocol can be tested with literals against the feed it imitates. All data that it makes is synthetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monitor.events import MarketEvent
from monitor.instruments import Instrument

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Push:
    """One frame for every client whose connection at ``path`` is subscribed to ``topic``.

    ``path`` is the path of the websocket's address without its query (``/v5/public/linear``). An empty ``topic``
    reaches every client of that path.
    """

    path: str
    topic: str
    frame: Frame


@dataclass(frozen=True, slots=True)
class ClientReply:
    """What the venue does with one frame from a client.

    ``frames`` go back to that client at once, in order; ``subscribed`` and ``unsubscribed`` change its set of topics
    (the server keeps the set); ``close`` is a websocket close code where the venue would hang up, else None.
    """

    frames: tuple[Frame, ...] = ()
    subscribed: tuple[str, ...] = ()
    unsubscribed: tuple[str, ...] = ()
    close: int | None = None


class VenueProtocol(ABC):
    """The server's side of one venue.

    One object serves every connection of the venue: what a single client asked for is the server's to keep. It holds
    the market's current state (last price, funding, open interest), taken from the events given to `encode`.
    """

    venue: ClassVar[str]
    """The venue's name in `monitor.feeds.FEEDS`."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = tuple(instruments)

    @abstractmethod
    def on_connect(self, path: str, query: str, now_ns: int) -> ClientReply | None:
        """Accept or refuse a websocket.

        Args:
            path: Path of the requested address, such as ``/market/stream``.
            query: Its query without the question mark; some venues subscribe with it.
            now_ns: Venue time.

        Returns:
            Greeting frames and topics subscribed by address, or None: answer 404 and do not upgrade.
        """

    @abstractmethod
    def on_client_frame(self, path: str, frame: Frame, topics: frozenset[str], now_ns: int) -> ClientReply:
        """Answer one frame: acknowledge or refuse a subscription in the venue's words, answer a ping.

        Args:
            path: Path of the client's connection.
            frame: As received.
            topics: What this client is subscribed to so far.
            now_ns: Venue time.
        """

    @abstractmethod
    def snapshot_frames(self, path: str, topic: str, now_ns: int) -> list[Frame]:
        """What the venue sends by itself after a subscription: ticker snapshot, recent history. May be empty."""

    @abstractmethod
    def encode(self, events: Iterable[MarketEvent]) -> list[Push]:
        """Turn market events into the venue's frames, deltas included, and keep the state for `rest`.

        Events of other venues and kinds that this venue has on no socket make no frame.
        """

    @abstractmethod
    def rest(self, method: str, path: str, query: Mapping[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """Answer one HTTP request.

        Returns:
            Status and JSON body; 404 for a path that this venue does not serve.
        """

    def pings(self, path: str, now_ns: int) -> list[Frame]:
        """Application pings that the venue sends by itself; asked about once a second."""
        return []
