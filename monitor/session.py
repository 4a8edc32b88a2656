"""What the sessions of all venues share: paced subscribing, checked acknowledgements, pings that are due.

A venue's session derives from `TopicSession`, says how to write a subscribe frame and a ping, and decodes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from monitor.clock import NS_PER_S
from monitor.events import MarketEvent
from monitor.feed import Acked, Connection, Frame, Notice, Refused, Send, Topic
from monitor.learned import Learned

NO_ACK = "no acknowledgement"
"""The words of a refusal that the venue never spoke."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """A venue's habits on one connection.

    ``chunk`` topics go into one subscribe frame; frames are ``pace_s`` apart; an acknowledgement is due within
    ``ack_s`` of its frame, or never where the venue sends none (None). ``ping_s`` is the interval of the application
    ping, None where the venue wants none. ``one_stream``: a subscribe frame names one channel.
    """

    chunk: int = 50
    pace_s: float = 0.25
    ack_s: float | None = 10.0
    ping_s: float | None = None
    one_stream: bool = False


class TopicSession(Learned):
    """Base of the venues' sessions; see `monitor.feed.Session` for the contract."""

    rules = SessionRules()
    learns: ClassVar[Mapping[str, Any]] = {"_unconfirmed": dict[str, int]}

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.notices: list[Notice] = []
        self._unconfirmed: dict[str, int] = {}
        self._next_ping_ns = 0
        self.opened_ns = 0
        self._chunks = self._cut(connection.topics)

    def frame_group(self, topic: Topic) -> str:
        """Neighbouring topics share a subscribe frame only within one group."""
        return topic.stream if self.rules.one_stream else ""

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """The frame that subscribes to `topics`; `number` counts frames from 1 and serves as request id."""
        raise NotImplementedError

    def ping_frame(self, now_ns: int) -> str:
        """The application ping; only called when ``rules.ping_s`` is set."""
        raise NotImplementedError

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Decode one frame; see `monitor.feed.Session`."""
        raise NotImplementedError

    def on_open(self, now_ns: int) -> list[Send]:
        """Subscribe to everything, in chunks, paced."""
        self.opened_ns = now_ns
        rules = self.rules
        if rules.ping_s is not None:
            self._next_ping_ns = now_ns + int(rules.ping_s * NS_PER_S)
        sends = []
        for number, chunk in enumerate(self._chunks, start=1):
            delay_ns = int((number - 1) * rules.pace_s * NS_PER_S)
            sends.append(Send(self.subscribe_frame(chunk, number), delay_ns))
            if rules.ack_s is not None:
                due_ns = now_ns + delay_ns + int(rules.ack_s * NS_PER_S)
                self._unconfirmed.update((topic.name, due_ns) for topic in chunk)
        return sends

    def on_tick(self, now_ns: int) -> list[Send]:
        """The ping when it is due; a topic whose acknowledgement is overdue becomes a refusal."""
        for name in [name for name, due_ns in self._unconfirmed.items() if now_ns >= due_ns]:
            self.refuse(name, NO_ACK)
        if self.rules.ping_s is None or now_ns < self._next_ping_ns:
            return []
        self._next_ping_ns = now_ns + int(self.rules.ping_s * NS_PER_S)
        return [Send(self.ping_frame(now_ns))]

    def confirm(self, names: Iterable[str]) -> None:
        """Note that the venue confirmed topics; a repeat is harmless."""
        confirmed = tuple(name for name in names if self._unconfirmed.pop(name, None) is not None)
        if confirmed:
            self.notices.append(Acked(confirmed))

    def confirm_chunk(self, number: int) -> None:
        """Confirm every topic of the subscribe frame with this number (venues that acknowledge a whole frame)."""
        self.confirm(topic.name for topic in self.chunk(number))

    def chunk(self, number: int) -> tuple[Topic, ...]:
        """The topics of one subscribe frame."""
        return self._chunks[number - 1] if 0 < number <= len(self._chunks) else ()

    def refuse(self, name: str, words: str) -> None:
        """Note that the venue refused a topic."""
        self._unconfirmed.pop(name, None)
        self.notices.append(Refused(name, words))

    def refuse_named(self, words: str) -> None:
        """Refuse the topics whose symbol stands in the venue's words; note these where it names none."""
        named = [topic.name for topic in self.connection.topics if topic.symbol and topic.symbol in words]
        for name in named:
            self.refuse(name, words)
        if not named:
            self.notices.append(Refused("", words))

    def _cut(self, topics: Sequence[Topic]) -> list[tuple[Topic, ...]]:
        size = self.rules.chunk
        groups = [tuple(group) for _, group in groupby(topics, self.frame_group)]
        return [group[start : start + size] for group in groups for start in range(0, len(group), size)]

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Topics that still wait for their acknowledgement."""
        return tuple(self._unconfirmed)
