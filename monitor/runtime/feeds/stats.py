"""What happened on one feed, as plain counters that telemetry reads when it is scraped."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from monitor.clock import NS_PER_S
from monitor.events import (
    Channel,
    Depth,
    Funding,
    Liquidation,
    MarketEvent,
    OpenInterest,
    Price,
    Sample,
    Trade,
)
from monitor.runtime.feeds.saturation import Saturation
from monitor.series import SERIES
from monitor.telemetry.latency import LatencyHistogram

EVENT_NAMES: dict[type, str] = {
    Liquidation: "liquidation",
    Trade: "trade",
    Price: "price",
    Funding: "funding",
    OpenInterest: "open_interest",
    Depth: "depth",
    Sample: "sample",
}
"""Values of the metric label ``type``."""

CHANNEL_OF: dict[type, Channel] = {
    Liquidation: Channel.LIQUIDATIONS,
    Trade: Channel.TRADES,
    Price: Channel.PRICE,
    Funding: Channel.FUNDING,
    OpenInterest: Channel.OPEN_INTEREST,
    Depth: Channel.DEPTH,
}
_TIMED = (Trade, Liquidation, Price)
_MAX_NAMES = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A topic that the venue refused, in its words, at unix time ``at_ns``."""

    words: str
    at_ns: int


@dataclass(slots=True)
class BackfillStats:
    """What came of it, for status and metrics.

    Attributes:
        state: ``off``, ``waiting`` (for instruments), ``running``, ``done``, or ``partial`` when some of it failed.
        wanted: Requests of the pass under way or finished, and ``made`` how many of them have been answered.
        failures: Failed requests by reason, each attempt counted.
        points: Values handed over by channel, ``kept`` those of them that came from the disk.
        since_ns: By channel, how far back the history that was had reaches.
        gaps: Gaps by what became of them: ``filled``, ``failed``, ``lost`` (the venue keeps nothing).
        gap_events: Events of filled gaps by channel.
        last_error: The last failure in words.
    """

    state: Literal["off", "waiting", "running", "done", "partial"] = "off"
    wanted: int = 0
    made: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    points: Counter[Channel] = field(default_factory=Counter)
    kept: int = 0
    since_ns: dict[Channel, int] = field(default_factory=dict)
    gaps: Counter[str] = field(default_factory=Counter)
    gap_events: Counter[Channel] = field(default_factory=Counter)
    last_error: str = ""


class UpTime:
    """The recent past of one channel as up or down, for coverage."""

    def __init__(self, keep: int = 1000) -> None:
        self._changes: deque[tuple[int, bool]] = deque(maxlen=keep)

    @property
    def up(self) -> bool:
        """The present state."""
        return bool(self._changes) and self._changes[-1][1]

    @property
    def since_ns(self) -> int:
        """Unix time of the last change; 0 before the first."""
        return self._changes[-1][0] if self._changes else 0

    def change(self, at_ns: int, *, up: bool) -> None:
        """Note a change; one that lies before the previous one counts from there."""
        self._changes.append((max(at_ns, self.since_ns), up))

    def ratio(self, now_ns: int, window_s: float) -> float:
        """Share of the last `window_s` in which the channel was up; 0 for the time before it was first known."""
        start_ns = now_ns - int(window_s * NS_PER_S)
        up_ns, end_ns = 0, now_ns
        for at_ns, up in reversed(self._changes):
            if up:
                up_ns += max(0, end_ns - max(at_ns, start_ns))
            end_ns = min(end_ns, at_ns)
            if end_ns <= start_ns:
                break
        return up_ns / max(1, now_ns - start_ns)


@dataclass(slots=True)
class FeedStats:
    """Counters of one feed; the feed's plumbing writes, telemetry and the API read.

    Attributes:
        venue: The feed's venue.
        frames: Data frames received, and ``bytes_received`` their payload after decompression.
        events: Decoded events by type (`EVENT_NAMES`), repeats and standby rows included.
        decode_errors: Frames and rows that could not be read, by reason.
        reconnects: Lost, failed and replaced connections by reason: ``crashed`` (our own fault), ``drop``, ``idle``, ``half_open``, ``refused``,
            ``handshake``, ``unreachable``, ``protocol_error``, ``too_large``, ``renewal``, ``closing_notice``,
            ``dead_subscription``, ``topics``, ``failover``, ``not_ready``.
        dropped: Events left out because they could not be used, by reason: ``unknown_instrument``, ``duplicate``.
        skipped: Rows that the feed left out on purpose, by reason.
        late: Events outside the accepted time window; whoever checks event time counts here.
        sequence_gaps: Messages missing by the venue's own numbering, by channel.
        poll_errors: Failed polls by reason.
        polls: Successful polls.
        refused: Topics that the venue refused or never confirmed, with its words, by topic name.
        symbol_problems: Configured symbols that the venue does not have, with a hint.
        unknown_symbols: Names that arrived in events and are in no metadata (the first few).
        last_message_ns: Unix time of the last data by channel.
        connections: Connections that should be open; ``connected``: those that are.
        instruments: Instruments followed; ``instruments_source`` is ``venue``, ``cache`` or ``none``, and
            ``instruments_error`` says why it is not ``venue``.
        findings: What the feed learned about the venue's own settings at run time.
        uptime: Up and down by channel.
        decoding: Time to decode one read's frames, counted once for each of them.
        backfill: What was fetched of the past.
        saturation: How often liquidations stood at the venue's reporting cap; None where it publishes no cap.
    """

    venue: str
    frames: int = 0
    bytes_received: int = 0
    events: Counter[str] = field(default_factory=Counter)
    decode_errors: Counter[str] = field(default_factory=Counter)
    reconnects: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    late: int = 0
    sequence_gaps: Counter[Channel] = field(default_factory=Counter)
    polls: int = 0
    poll_errors: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Refusal] = field(default_factory=dict)
    symbol_problems: list[str] = field(default_factory=list)
    unknown_symbols: set[str] = field(default_factory=set)
    last_message_ns: dict[Channel, int] = field(default_factory=dict)
    connections: int = 0
    connected: int = 0
    instruments: int = 0
    instruments_source: str = "none"
    instruments_error: str = ""
    findings: dict[str, str] = field(default_factory=dict)
    uptime: dict[Channel, UpTime] = field(default_factory=dict)
    decoding: LatencyHistogram = field(default_factory=LatencyHistogram)
    backfill: BackfillStats = field(default_factory=BackfillStats)
    saturation: Saturation | None = None
    _offsets_ns: deque[int] = field(default_factory=lambda: deque(maxlen=255))

    def record(self, events: Sequence[MarketEvent], recv_ns: int) -> set[Channel]:
        """Count a batch of decoded events and return the channels that it belongs to."""
        channels = set()
        kinds = Counter(map(type, events)) if len(events) > 1 else {type(events[0]): 1}
        for kind, count in kinds.items():
            self.events[EVENT_NAMES[kind]] += count
            channel = CHANNEL_OF.get(kind)
            if channel is None:
                channels |= _channels_of_samples(events)
            else:
                channels.add(channel)
        for channel in channels:
            self.last_message_ns[channel] = recv_ns
        last = events[-1]
        if isinstance(last, _TIMED) and not last.backfill:
            self._offsets_ns.append(last.ts_ns - last.recv_ns)
        return channels

    def note_unknown(self, symbol: str) -> None:
        """Count an event of an instrument that no metadata names."""
        self.dropped["unknown_instrument"] += 1
        if len(self.unknown_symbols) < _MAX_NAMES:
            self.unknown_symbols.add(symbol)

    @property
    def up(self) -> bool:
        """Whether every channel is live."""
        return bool(self.uptime) and all(channel.up for channel in self.uptime.values())

    def clock_offset_s(self) -> float | None:
        """Median of venue time minus receipt over recent events: positive when the venue's clock is ahead.

        The way from the venue to here is part of it, so a clock in step reads slightly negative.
        """
        return median(self._offsets_ns) / NS_PER_S if self._offsets_ns else None

    def coverage_ratio(self, now_ns: int, window_s: float = 3600.0) -> float:
        """Share of the last `window_s` in which the feed's channels were live, mean over channels."""
        ratios = [channel.ratio(now_ns, window_s) for channel in self.uptime.values()]
        return sum(ratios) / len(ratios) if ratios else 0.0


def _channels_of_samples(events: Iterable[MarketEvent]) -> set[Channel]:
    names = {event.series for event in events if isinstance(event, Sample)}
    return {SERIES[name].channel if name in SERIES else Channel.REFERENCE for name in names}
