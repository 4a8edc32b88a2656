"""What the connections and polls of one feed share: counters, clock, log, the way into the stream."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.events import Channel, Liquidation, MarketEvent, Trade
from monitor.feed import Feed, Frame
from monitor.instruments import Registry
from monitor.runtime.feeds.liveness import Liveness
from monitor.runtime.feeds.moves import MarketMove
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.feeds.rest_budget import RestBudget
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.pump import Pump

TapKind = Literal["connect", "disconnect", "promote", "in", "out", "rest", "chosen", "state", "turn", "events", "memory", "config", "act", "known"]  # fmt: skip
"""What a tap hears of: a link's opening (with its subscription, `monitor.tape.facts`), end, or promotion from standby; a
frame received or sent; an HTTPS reply; the instruments followed from now on; `FeedState` and `FeedGap` as emitted; and
from ``turn`` to ``act`` the program's own course (`monitor.tape.course`); and what a feed found out about its venue."""


class Tap(Protocol):
    """Hears everything that crosses the wire, for a tape."""

    def __call__(self, connection: str, kind: TapKind, payload: Frame, recv_ns: int) -> None:
        """One happening on `connection` at unix time `recv_ns`.

        `connection` starts with the venue: ``bybit/linear/0#3`` for the third link of the feed,
        ``bybit/metadata/0/NAME`` and ``bybit/poll/NAME`` for replies, ``bybit/state``, ``bybit/chosen``.
        """
        ...


class SampledLog:
    """A log that says the same kind of thing at most once in `every_s`, and then how often it was silent."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, clock: Clock, every_s: float = 10.0) -> None:
        self._log = log
        self._clock = clock
        self._every_ns = int(every_s * NS_PER_S)
        self._next_ns: dict[str, int] = {}
        self._silent: dict[str, int] = {}

    def warning(self, event: str, key: str = "", **fields: object) -> None:
        """Log `event` unless the same event and `key` were logged a moment ago."""
        name = f"{event}/{key}"
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_ns.get(name, now_ns):
            self._silent[name] = self._silent.get(name, 0) + 1
            return
        self._next_ns[name] = now_ns + self._every_ns
        self._log.warning(event, **fields, not_logged=self._silent.pop(name, 0))


@dataclass(slots=True)
class Desk:
    """The shared things of one feed; see the module's name for each."""

    feed: Feed
    registry: Registry
    pump: Pump
    clock: Clock
    stats: FeedStats
    log: structlog.typing.FilteringBoundLogger
    rng: Random
    settings: FeedSettings
    liveness: Liveness
    on_unknown: Callable[[], None]
    tap: Tap | None = None
    tls: ssl.SSLContext | None = None
    repeats: Repeats = field(default_factory=Repeats)
    budget: RestBudget = field(init=False)
    last_data_ns: dict[Channel, int] = field(default_factory=dict)
    """Monotonic time of the last data by channel, over all connections."""
    moves: MarketMove = field(default_factory=MarketMove)
    sampled: SampledLog = field(init=False)

    def __post_init__(self) -> None:
        self.sampled = SampledLog(self.log, self.clock)
        limits = self.feed.spec.limits
        self.budget = RestBudget(limits.rest_weight, limits.rest_window_s / self.settings.poll_speed)

    def accept(
        self, events: list[MarketEvent], recv_ns: int, mono_ns: int, link: int, *, standby: bool
    ) -> set[Channel]:
        """Count decoded events, leave out repeats, and pass the rest on; returns their channels.

        While a successor runs beside the old connection (`standby`), gauges are taken from both (the newest wins),
        liquidations from both without repeats, and trades, which have no identity, from the old one only.
        """
        channels = self.stats.record(events, recv_ns)
        for channel in channels:
            self.last_data_ns[channel] = mono_ns
        if Channel.PRICE in channels:
            self.moves.note(events)
        if Channel.LIQUIDATIONS in channels:
            self.moves.reset()
            events = self._without_repeats(events, link)
        if standby and Channel.TRADES in channels:
            events = [event for event in events if type(event) is not Trade]
        if events:
            self.pump.append(events)
        return channels

    def bad_frame(self, connection: str, reason: str, detail: str, frame: Frame | None = None) -> None:
        """Count a frame or row that could not be read, and log a sample."""
        self.stats.decode_errors[reason] += 1
        sample = repr(frame[:200]) if frame is not None else ""
        self.sampled.warning(
            "feed.bad_frame", reason, connection=connection, reason=reason, detail=detail[:200], frame=sample
        )

    def _without_repeats(self, events: list[MarketEvent], link: int) -> list[MarketEvent]:
        is_new = self.repeats.is_new
        kept = [event for event in events if type(event) is not Liquidation or is_new(event, link)]
        self.stats.dropped["duplicate"] += len(events) - len(kept)
        if self.stats.saturation is not None:
            self.stats.saturation.note(event for event in kept if type(event) is Liquidation)
        return kept
