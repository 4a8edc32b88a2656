"""What the outside may read of the running program: the one seam between it and metrics, HTTP API and live page.

`monitor.runtime` implements `MonitorView`; `monitor.telemetry.metrics` reads it at scrape time and `monitor.web` at
request time, so that nothing is copied on the hot path. Everything here is a plain value: reading it has no effect.
Times are unix nanoseconds of the monitor's clock (market time in a demo), 0 where something has not happened yet.
Missing is NaN or None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from monitor.alert import AlertState, AlertView
from monitor.events import Channel, Labels
from monitor.feed import ReportingLaw
from monitor.reading import Evaluation, Explanation
from monitor.telemetry.latency import LatencyHistogram

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]
STAGES = ("receive", "decode", "engine", "dispatch", "total")


@dataclass(frozen=True, slots=True)
class ProcessView:
    """The process as a whole.

    ``synthetic`` is true whenever any market data is made up (demo, replay). ``config_hash`` is short and stable.
    ``saturation_ratio`` is the share of time that the event loop was busy lately, NaN when it is not measured.
    ``snapshot_copy_s`` is how long the event loop was held by the last copy of the windows, ``snapshot_bytes`` its size on disk.
    ``collided_alerts`` counts alerts that were not opened because another active alert has the same labels.
    ``buffer_dropped`` counts events that never became readings, by reason: a newer value of the same gauge waited behind
    (superseded), or the engine failed on their batch (engine_error).
    """

    version: str
    started_ns: int
    now_ns: int
    synthetic: bool = False
    synthetic_note: str = ""
    config_hash: str = ""
    draining: bool = False
    loop_lag_s: float = float("nan")
    saturation_ratio: float = float("nan")
    snapshot_copy_s: float = float("nan")
    snapshot_bytes: float = float("nan")
    collided_alerts: int = 0
    buffer_dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReloadView:
    """Configuration and rule reloads; ``last_error`` is empty after a good one."""

    ok: bool = True
    last_success_ns: int = 0
    last_attempt_ns: int = 0
    successes: int = 0
    failures: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class TapeView:
    """The tape that is being written. ``budget_bytes`` is None where the folder may grow for ever.

    ``dropped`` counts records by reason (``slow``, ``disk``); ``failing`` is what the disk said last while it refuses.
    """

    folder: str
    records: int = 0
    frames: int = 0
    bytes_written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    queue_bytes: int = 0
    folder_bytes: int = 0
    budget_bytes: int | None = None
    files: int = 0
    removed_files: int = 0
    failing: str = ""


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
class Table:
    """Columns of one market series: row i has the label values ``keys[i]`` and the value ``values[i]``.

    ``keys`` only ever grows while ``generation`` stays the same, so a reader may keep what it worked out per row.
    A value may be NaN (float columns): missing.
    """

    keys: Sequence[tuple[str, ...]]
    values: Numbers
    generation: int = 0

    @classmethod
    def empty(cls) -> Table:
        """A series of which nothing has arrived."""
        return cls((), np.empty(0))


@dataclass(frozen=True, slots=True)
class MarketView:
    """The market as the engine holds it now. The label names of each table stand behind its name.

    Attributes:
        liquidations_usd_micros: (venue, base, side), micro-dollars since start, backfill not counted.
        liquidations_count: (venue, base, side), the same rows in the same order.
        price_usd: (venue, symbol, base, kind), US dollars (USD-like quotes) of one coin.
        funding_ratio: (venue, symbol, base), per the contract's own interval.
        funding_8h_ratio: (venue, symbol, base), scaled to eight hours.
        open_interest_usd: (venue, symbol, base), one side.
        depth_usd: (venue, symbol, base, side ``bid`` or ``ask``), resting orders within 1 % of mid.
        spread_ratio: (venue, symbol, base), best ask less best bid as a share of mid.
    """

    liquidations_usd_micros: Table
    liquidations_count: Table
    price_usd: Table
    funding_ratio: Table
    funding_8h_ratio: Table
    open_interest_usd: Table
    depth_usd: Table = field(default_factory=Table.empty)
    spread_ratio: Table = field(default_factory=Table.empty)


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """Liquidations inside one rolling window. Exactly one of ``venue`` and ``base`` is set.

    ``coverage_ratio`` says in which share of the window the feeds behind it were live.
    """

    window: str
    side: Literal["long", "short"]
    usd_micros: int
    count: int
    coverage_ratio: float
    venue: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class RuleView:
    """One alert rule and its last evaluation.

    Attributes:
        name: Alert name.
        group: Its group.
        text: The expression as written; ``clear_text`` the clear condition.
        states: One per row of ``evaluation``.
        evaluation: The last one, None before the first.
        last_duration_s: How long it took, or its share of the tick that it was part of.
        error: Why it could not be evaluated, empty when it could.
        limit: Most alerts at a time as the rule says, 0 where it says nothing.
        state_bytes: Memory for what the rule reads; what rules share is counted for each.
        dropped_rows: Rows that were dropped of it, because a series had as many as may be kept.
        withheld: Label sets that are true and have no alert, because there are as many as the limit allows.
    """

    name: str
    group: str
    text: str
    states: Sequence[AlertState] = ()
    evaluation: Evaluation | None = None
    clear_text: str = ""
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    min_coverage: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    file: str = ""
    line: int = 0
    last_evaluation_ns: int = 0
    last_duration_s: float = float("nan")
    evaluations: int = 0
    failures: int = 0
    error: str = ""
    limit: int = 0
    withheld: int = 0
    state_bytes: int = 0
    dropped_rows: int = 0

    @property
    def id(self) -> str:
        """``group/name``: unique among all loaded rules."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class SinkView:
    """One notification channel. ``outcomes`` counts attempts by outcome (``ok``, ``retry``, ``drop`` ...)."""

    name: str
    kind: str
    up: bool
    outcomes: Mapping[str, int] = field(default_factory=dict)
    outbox_depth: int = 0
    oldest_ns: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to an alert; ``kind`` is a state (``firing``) or an action (``acknowledged``)."""

    at_ns: int
    kind: str
    rule: str
    fingerprint: str
    labels: Mapping[str, str]
    value: float = float("nan")
    threshold: float = float("nan")
    coverage_ratio: float = float("nan")
    text: str = ""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which entries to return, newest first; 0 and "" mean: no limit of this kind."""

    since_ns: int = 0
    until_ns: int = 0
    rule: str = ""
    fingerprint: str = ""
    limit: int = 200


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One label condition of a silence, as in Alertmanager; regular expressions are anchored at both ends."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """Notifications of matching alerts are muted in [starts_ns, ends_ns); ``id`` is "" in a request for a new one."""

    matchers: tuple[LabelMatcher, ...]
    starts_ns: int
    ends_ns: int
    created_by: str
    comment: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Someone has seen this alert instance and takes care of it until ``until_ns``, or until it resolves.

    An acknowledgement that has expired is still listed while the instance is active. 0 asks for the usual hour.
    """

    fingerprint: str
    by: str
    at_ns: int
    comment: str = ""
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class WhyRow:
    """Why one label set of a rule is in its state; ``near_miss`` says how far a false condition is from true.

    ``unit`` is that of value and threshold, ``contributor_unit`` that of the contributors; ``part_units`` are those of
    the parts by their text.
    """

    labels: Labels
    state: AlertState
    truth: int
    value: float
    threshold: float
    coverage_ratio: float
    reason: str
    explanation: Explanation
    near_miss: str = ""
    unit: str = ""
    contributor_unit: str = ""
    part_units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One signal of the catalogue: its value now, or why it is absent.

    ``as_of_ns`` is the time of the newest value of its input (of the oldest input where it has several); ``firing``
    says whether an alert of any of its rules fires (a condition that is true on too little data does not), `firing_rules` which,
    and `rule` is the one whose value stands for it. ``test`` is the file that tests that rule,
    ``metric`` and ``panel`` are where the value is shown, too.
    """

    id: str
    title: str
    value: float
    unit: str
    source: str
    as_of_ns: int = 0
    absent: str = ""
    coverage_ratio: float = 1.0
    rule: str = ""
    firing: bool = False
    firing_rules: tuple[str, ...] = ()
    input: str = ""
    test: str = ""
    metric: str = ""
    panel: str = ""


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


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """One line of the delivery log: what was sent to a sink, or why it was not. ``outcome`` is ok, retry, dead, silenced ..."""

    at_ns: int
    sink: str
    key: str
    fingerprints: tuple[str, ...]
    outcome: str
    reason: str
    attempts: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that was given up; ``id`` is what `MonitorView.resend` takes."""

    id: int
    sink: str
    key: str
    title: str
    created_ns: int
    attempts: int
    reason: str


class MonitorView(Protocol):
    """The running program as seen from outside. Methods are cheap and never block; the actions are durable when they return."""

    def process(self) -> ProcessView:
        """Version, start, clock, synthetic flag."""
        ...

    def reload(self) -> ReloadView:
        """How the last reload went."""
        ...

    def tape(self) -> TapeView | None:
        """The tape that is being written; None where nothing is recorded."""
        ...

    def feeds(self) -> Sequence[FeedView]:
        """Every configured feed, in the order of the configuration."""
        ...

    def market(self) -> MarketView:
        """Totals and last values of all series that the monitor exposes."""
        ...

    def windows(self) -> Sequence[WindowTotal]:
        """Liquidations in the rolling windows, by venue and by base."""
        ...

    def rules(self) -> Sequence[RuleView]:
        """Every loaded alert rule, in file order."""
        ...

    def alerts(self) -> Sequence[AlertView]:
        """Pending and firing instances, and those resolved lately."""
        ...

    def silenced_by(self, alert: AlertView) -> Sequence[str]:
        """Identities of the silences that mute this alert now."""
        ...

    def sinks(self) -> Sequence[SinkView]:
        """Every configured notification channel."""
        ...

    def latencies(self) -> Mapping[str, LatencyHistogram]:
        """A histogram by stage; the stages are `STAGES`."""
        ...

    def why(self, rule: str) -> Sequence[WhyRow] | None:
        """Explain every row of one rule (``group/name``, or a name that is unique); None: no such rule."""
        ...

    def sources(self) -> Sequence[SourceView]:
        """Every configured slow source."""
        ...

    def inlet(self) -> InletView:
        """What users pushed in."""
        ...

    def signals(self) -> Sequence[SignalRow] | None:
        """The signal catalogue; None when this build does not offer it."""
        ...

    async def history(self, query: HistoryQuery) -> Sequence[HistoryEntry]:
        """What happened, newest first."""
        ...

    async def deliveries(self, sink: str, fingerprint: str, limit: int) -> Sequence[DeliveryEntry]:
        """The delivery log, newest first; an empty text does not restrict."""
        ...

    async def dead_letters(self, sink: str, limit: int) -> Sequence[DeadLetter]:
        """Notifications that were given up, oldest first; an empty text: of all sinks."""
        ...

    async def resend(self, ids: Sequence[int]) -> int:
        """Put dead letters back in line; returns how many of the ids were dead letters."""
        ...

    def silences(self) -> Sequence[Silence]:
        """Silences that are active or to come."""
        ...

    async def silence(self, silence: Silence) -> str:
        """Store a new silence and return its id."""
        ...

    async def expire_silence(self, silence_id: str) -> bool:
        """End a silence now; False when there is none of this id."""
        ...

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """Acknowledgements of instances that have not resolved."""
        ...

    async def acknowledge(self, ack: Acknowledgement) -> bool:
        """Store an acknowledgement; False when no pending or firing alert has this fingerprint."""
        ...

    async def withdraw_acknowledgement(self, fingerprint: str) -> bool:
        """Take an acknowledgement back; False when there is none."""
        ...
