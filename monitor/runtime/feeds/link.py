"""One open websocket with its session: frames in, events out, and the signs that it is not well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter_ns

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import (
    Acked,
    BadRow,
    Closing,
    Connection,
    Found,
    Frame,
    Notice,
    Refused,
    Reply,
    Send,
    SequenceGap,
    Skipped,
    UnknownSymbol,
)
from monitor.runtime.feeds.desk import Desk, TapKind
from monitor.runtime.feeds.patience import Patience
from monitor.runtime.feeds.stats import Refusal
from monitor.session import NO_ACK
from monitor.tape.facts import feed_name, link_name, write_connection
from monitor.transports.ws import Loss, WebSocket

DENSE = frozenset({Channel.PRICE, Channel.TRADES, Channel.DEPTH})
"""Channels that a living connection delivers all the time; the others may be silent for minutes in good health."""

MANY_SYMBOLS = 20
SPARSE_SILENCE_S = 3600.0
STALE_FACTOR = 3.0
LEAST_SILENCE_S = 30.0
LONGEST_DOUBLING = 6


class Link:
    """One websocket from its handshake to its end. A `monitor.transports.ws.Listener`.

    Attributes:
        number: Counts the links of a feed.
        standby: A successor that runs beside the link that it will replace.
        up: Channels that this link delivers.
        suspects: Channels that must show data, not just an acknowledgement, to count as delivered.
        begun_ns: Unix time from which its trades may count: its opening, or the end of its standby.
        settled: Done when the link delivers (True) or has ended (False).
        loss: Why it ended; None while it is open.
        closing_words: The venue's announcement that it will close, if it made one.
    """

    def __init__(
        self,
        desk: Desk,
        connection: Connection,
        number: int,
        on_change: Callable[[Link], None],
        *,
        patience: Patience,
        standby: bool = False,
        suspects: frozenset[Channel] = frozenset(),
    ) -> None:
        self.connection = connection
        self.number = number
        self._standby = standby
        self._tape_name = link_name(connection.name, number)
        self.suspects = suspects
        self.up: set[Channel] = set()
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.loss: Loss | None = None
        self.closing_words = ""
        self.channels = frozenset(channel for topic in connection.topics for channel in topic.channels)
        self.first_sends: list[Send] = []
        self.opened_ns = desk.clock.mono_ns()
        self.begun_ns = self._opened_wall_ns = self._last_recv_ns = desk.clock.wall_ns()
        self._desk = desk
        self._patience = patience
        self._on_change = on_change
        self._session = desk.feed.session(connection, desk.registry)
        self._socket: WebSocket | None = None
        self._acked: set[str] = set()
        self._refused: dict[str, str] = {}
        self._last_data_ns: dict[Channel, int] = {}
        self._last_data_wall_ns: dict[Channel, int] = {}
        self._any_data_ns = 0
        self._pinged_ns = 0
        self._not_read_until_ns = 0
        self._dense = bool(self.channels & DENSE)

    @property
    def standby(self) -> bool:
        """Whether another link of this connection is the one that counts."""
        return self._standby

    @standby.setter
    def standby(self, standby: bool) -> None:
        if self._standby and not standby:
            self.begun_ns = self._desk.clock.wall_ns()
            self._record("promote", "")
        self._standby = standby

    # Called by the transport

    def on_open(self, socket: WebSocket) -> None:
        """Note the time and ask the session for the subscriptions."""
        desk = self._desk
        self._socket = socket
        self.opened_ns = desk.clock.mono_ns()
        self.begun_ns = self._opened_wall_ns = self._last_recv_ns = desk.clock.wall_ns()
        desk.pump.attach(socket)
        desk.stats.connected += 1
        if desk.tap is not None:
            subscription = write_connection(self.connection, standby=self.standby)
            desk.tap(self._tape_name, "connect", subscription, self._opened_wall_ns)
        self.first_sends = self._session.on_open(self._opened_wall_ns)

    def on_frames(self, frames: list[Frame], recv_ns: int) -> None:
        """Decode one read's frames; a frame that cannot be read is counted and left out."""
        desk, on_frame = self._desk, self._session.on_frame
        self._last_recv_ns = recv_ns
        desk.stats.frames += len(frames)
        desk.stats.bytes_received += sum(map(len, frames))
        if desk.tap is not None:
            for frame in frames:
                desk.tap(self._tape_name, "in", frame, recv_ns)
        events: list[MarketEvent] = []
        began_ns = perf_counter_ns()
        for frame in frames:
            try:
                events += on_frame(frame, recv_ns)
            except DecodeError as error:
                desk.bad_frame(self.connection.name, error.reason, error.detail, frame)
            except Exception as error:  # noqa: BLE001  # a decoder's bug must not stop the feed; it is counted and logged
                desk.bad_frame(self.connection.name, "internal", repr(error), frame)
        desk.stats.decoding.observe_times(perf_counter_ns() - began_ns, len(frames))
        if events:
            self._accept(events, recv_ns)
        if self._session.notices:
            self._hear_notices()

    def on_lost(self, loss: Loss) -> None:
        """Note the end."""
        desk = self._desk
        self.loss = loss
        desk.stats.connected -= 1
        if self._socket is not None:
            desk.pump.detach(self._socket)
        self._record("disconnect", f"{self.loss.reason}: {self.loss.words}")
        if not self.settled.done():
            self.settled.set_result(False)
        self._on_change(self)

    # Called by the supervisor

    def send(self, frame: str) -> None:
        """Send a frame if the link is open."""
        if self._socket is not None and self._socket.send(frame):
            self._record("out", frame)

    def tick(self, mono_ns: int) -> None:
        """Pings that are due, overdue acknowledgements, and the health of an open link."""
        if self._socket is None or self.loss is not None:
            return
        for send in self._session.on_tick(self._session_ns(mono_ns)):
            self.send(send.frame)
        if self._session.notices:
            self._hear_notices()
        if ailment := self._ailment(mono_ns):
            self.fail(ailment)

    def fail(self, reason: str) -> None:
        """End the link because of what we saw."""
        if self._socket is not None:
            self._socket.abort(reason)

    def close(self) -> None:
        """End the link because it is not needed any more."""
        if self._socket is not None:
            self._desk.pump.detach(self._socket)
            self._socket.close()

    def silent(self, mono_ns: int, tried: Mapping[Channel, int]) -> list[Channel]:
        """Channels whose subscription looks dead: nothing for too long while companion channels deliver.

        The patience doubles with each time that a channel's subscription was `tried` again in vain.
        """
        return [channel for channel in sorted(self.channels) if self._is_dead(channel, mono_ns, tried.get(channel, 0))]

    def last_seen_ns(self, channel: Channel | None = None) -> int:
        """Unix time of the last data of a channel, or of the last sign of life of all; the opening where there was none.

        An application's pong proves that the peer lives, not that a busy channel was served: on a link with busy
        channels only data counts.
        """
        if channel is not None:
            return self._last_data_wall_ns.get(channel, self._opened_wall_ns)
        if self._dense:
            return max(self._last_data_wall_ns.values(), default=self._opened_wall_ns)
        return self._last_recv_ns

    @property
    def delivered_s(self) -> float:
        """For how long this link has been delivering."""
        last_ns = self._any_data_ns if self._dense else (self._socket.last_receipt_ns if self._socket else 0)
        return max(0, last_ns - self.opened_ns) / NS_PER_S

    # Details

    def _session_ns(self, mono_ns: int) -> int:
        """The session's time: unix time of the opening plus real time since, whatever the wall clock did meanwhile."""
        return self._opened_wall_ns + mono_ns - self.opened_ns

    def _accept(self, events: list[MarketEvent], recv_ns: int) -> None:
        assert self._socket is not None
        first, mono_ns = not self._any_data_ns, self._socket.last_receipt_ns
        self._patience.resumed(mono_ns - self._heard_ns)
        self._any_data_ns = mono_ns
        channels = self._desk.accept(events, recv_ns, mono_ns, self.number, standby=self.standby)
        for channel in channels:
            self._last_data_ns[channel] = mono_ns
            self._last_data_wall_ns[channel] = recv_ns
        if first or not channels <= self.up or not self.settled.done():
            self._assess()

    def _hear_notices(self) -> None:
        notices = self._session.notices[:]
        self._session.notices.clear()
        for notice in notices:
            self._hear(notice)
        if any(isinstance(notice, Acked | Refused) for notice in notices):
            self._assess()

    def _hear(self, notice: Notice) -> None:
        stats = self._desk.stats
        match notice:
            case Acked(topics):
                self._acked.update(topics)
                for topic in topics:
                    stats.refused.pop(topic, None)
            case Refused(topic, words):
                self._refused[topic] = words
                stats.refused[topic] = Refusal(words, self._desk.clock.wall_ns())
                self._desk.log.warning("feed.topic_refused", connection=self.connection.name, topic=topic, words=words)
            case Reply(frame):
                self.send(frame)
            case Closing(words):
                self.closing_words = words or "closing"
                self._on_change(self)
            case _:
                self._count(notice)

    def _count(self, notice: UnknownSymbol | Skipped | BadRow | SequenceGap | Found) -> None:
        desk = self._desk
        match notice:
            case UnknownSymbol(symbol, _):
                desk.stats.note_unknown(symbol)
                desk.on_unknown()
            case Skipped(reason, count):
                desk.stats.skipped[reason] += count
            case BadRow(reason, detail):
                desk.bad_frame(self.connection.name, reason, detail)
            case SequenceGap(channel, missing):
                desk.stats.sequence_gaps[channel] += missing
            case Found(setting, value, words):
                desk.stats.findings[setting] = f"{value}: {words}"
                desk.log.info("feed.found", connection=self.connection.name, setting=setting, value=value, words=words)
                if desk.tap is not None:
                    desk.tap(feed_name(desk.feed.spec.venue), "known", desk.feed.memory(), desk.clock.wall_ns())

    def _assess(self) -> None:
        """Find channels that have come to life."""
        waiting = frozenset(self._session.unconfirmed)
        fresh = [channel for channel in self.channels - self.up if self._is_up(channel, waiting)]
        if fresh:
            self.up.update(fresh)
            self._on_change(self)
        if not self.settled.done() and not waiting and (self._any_data_ns or not self._dense):
            self.settled.set_result(True)

    def _is_up(self, channel: Channel, waiting: frozenset[str]) -> bool:
        """Data shows it. Without data an acknowledgement does, or where the venue sends none, data of a companion."""
        if channel in self._last_data_ns:
            return True
        names = {topic.name for topic in self.connection.topics if channel in topic.channels}
        if channel in self.suspects or names & waiting:
            return False
        usable = names - self._refused.keys()
        return bool(usable & self._acked) or bool(usable and not self._acked and self._any_data_ns)

    def _ailment(self, mono_ns: int) -> str:
        """The reason to end this link now, or nothing."""
        assert self._socket is not None
        settings = self._desk.settings
        if self._desk.pump.paused:
            self._not_read_until_ns = mono_ns
        quiet_ns = mono_ns - max(self._socket.last_receipt_ns, self._not_read_until_ns)
        if quiet_ns > (settings.ping_every_s + settings.pong_within_s) * NS_PER_S:
            return "half_open"
        if quiet_ns > settings.ping_every_s * NS_PER_S and self._pinged_ns <= self._socket.last_receipt_ns:
            self._pinged_ns = mono_ns
            self._socket.ping()
        return "idle" if self._dense and mono_ns - self._heard_ns > self._patience.limit_ns else ""

    @property
    def _heard_ns(self) -> int:
        """Monotonic time up to which nothing can be missed: of the last data, of the opening, or of when we did not read."""
        return max(self._any_data_ns, self.opened_ns, self._not_read_until_ns)

    def _is_dead(self, channel: Channel, mono_ns: int, tried: int) -> bool:
        limit_s = self._silence_limit_s(channel)
        silent_ns = mono_ns - self._last_data_ns.get(channel, self.opened_ns)
        if (
            limit_s is None
            or silent_ns <= limit_s * 2.0 ** min(tried, LONGEST_DOUBLING) * NS_PER_S
            or self._all_refused(channel)
        ):
            return False
        companion_ns = int(self._desk.settings.companion_s * NS_PER_S)
        return any(
            mono_ns - last_ns <= companion_ns for other, last_ns in self._desk.last_data_ns.items() if other != channel
        )

    def _silence_limit_s(self, channel: Channel) -> float | None:
        """How long this channel may say nothing; None where silence means nothing."""
        settings, spec = self._desk.settings, self._desk.feed.spec
        if channel in settings.dead_after_s:
            return settings.dead_after_s[channel]
        if channel in spec.stale_s:
            return max(LEAST_SILENCE_S, STALE_FACTOR * spec.stale_s[channel])
        topics = [topic for topic in self.connection.topics if channel in topic.channels]
        wide = len(topics) >= MANY_SYMBOLS or any(not topic.symbol for topic in topics)
        if wide and channel is Channel.LIQUIDATIONS and self._desk.moves.ratio() >= settings.moved_ratio:
            return settings.moved_silence_s
        return SPARSE_SILENCE_S if wide else None

    def _all_refused(self, channel: Channel) -> bool:
        words = [self._refused.get(topic.name) for topic in self.connection.topics if channel in topic.channels]
        return all(said is not None and said != NO_ACK for said in words)

    def _record(self, kind: TapKind, payload: str) -> None:
        if self._desk.tap is not None:
            self._desk.tap(self._tape_name, kind, payload, self._desk.clock.wall_ns())
