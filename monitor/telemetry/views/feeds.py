"""Where data comes from: feeds with their channels and past, slow sources, the inlet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.events import Channel
from monitor.feed import ReportingLaw


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel of one feed. ``law`` is None where the venue does not carry the channel."""

    channel: Channel
    up: bool
    last_message_ns: int
    coverage_ratio: float
    law: ReportingLaw | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RefusedTopic:
    """A subscription that the venue refused, in its own words."""

    topic: str
    words: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class PastView:
    """What was fetched of one venue's past.

    Attributes:
        state: ``off``, ``waiting``, ``running``, ``done``, or ``partial`` when some of it failed.
        wanted: Requests that the last pass takes or took; ``made`` is how many have been answered or given up.
        points: Values handed to the windows, by channel; ``kept`` is how many stood on the disk.
        failures: Failed attempts by reason.
        since_ns: How far back the history that was had reaches, by channel.
        gaps: Gaps of liquidations and trades by outcome: ``filled``, ``failed``, ``lost`` (the venue keeps nothing).
        gap_events: Events of filled gaps, by channel.
        last_error: The last failure, for people.
    """

    state: str = "off"
    wanted: int = 0
    made: int = 0
    points: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    since_ns: Mapping[str, int] = field(default_factory=dict)
    gaps: Mapping[str, int] = field(default_factory=dict)
    gap_events: Mapping[str, int] = field(default_factory=dict)
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class FeedView:
    """One venue's feed. Counters count since the process started; each mapping goes from a metric label to a count.

    Attributes:
        venue: Its name in labels.
        title: Its name for people.
        up: Whether every wanted channel is live.
        connected: Open connections; ``connections`` is how many are wanted.
        channels: One per configured channel.
        frames: Frames received.
        bytes_received: Payload bytes received.
        events: Events by type (``liquidation``, ``trade``, ``price``, ``funding``, ``open_interest`` ...).
        decode_errors: By reason, see `monitor.errors.DecodeError`.
        reconnects: By reason.
        dropped: Events lost, by reason; a liquidation is never in here without an alert about it.
        skipped: Rows left out on purpose, by reason.
        late: Events that came later than the watermark allows.
        coverage_ratio: Share of the last hour in which every wanted channel was live.
        clock_offset_s: Venue's clock less ours, NaN while unknown.
        saturation_ratio: Share of symbol-seconds at the venue's reporting cap in the last hour; NaN: has no cap.
        instruments: Instruments subscribed.
        unknown_symbols: Events that named an instrument which is not in the registry.
        from_cache: Whether instrument metadata came from the disk cache because the venue did not answer.
        last_error: Why it is not up, for people.
        past: What was fetched of its past.
    """

    venue: str
    title: str
    up: bool
    connected: int = 0
    connections: int = 1
    channels: tuple[ChannelView, ...] = ()
    frames: int = 0
    bytes_received: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    decode_errors: Mapping[str, int] = field(default_factory=dict)
    reconnects: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    coverage_ratio: float = float("nan")
    clock_offset_s: float = float("nan")
    saturation_ratio: float = float("nan")
    instruments: int = 0
    unknown_symbols: int = 0
    refused: tuple[RefusedTopic, ...] = ()
    from_cache: bool = False
    last_error: str = ""
    past: PastView = PastView()


@dataclass(frozen=True, slots=True)
class PollView:
    """One repeated request of a slow source.

    ``last_good_ns`` is when it last answered well, ``newest_ns`` the service's own time of the newest value in that (0:
    never): a service that repeats yesterday's reply answers well, and its values grow old. ``failures`` counts by reason.
    """

    request: str
    every_s: float
    replies: int = 0
    unchanged: int = 0
    values: int = 0
    last_good_ns: int = 0
    newest_ns: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class SourceView:
    """One slow source. ``calls_left`` of its quota in the present period; None where it publishes none."""

    name: str
    up: bool
    polls: Sequence[PollView] = ()
    calls_left: int | None = None


@dataclass(frozen=True, slots=True)
class InletView:
    """What was pushed in: values taken by way in, rows refused by way in and reason, and the last refusals in words.

    ``unkept`` counts values that the disk did not take, so that a restart forgets them.
    """

    taken: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last_ns: int = 0
    last_refusals: Sequence[str] = ()
    unkept: int = 0
