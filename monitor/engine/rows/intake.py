"""Events into logs: which time counts, what is late, what is refused; all of it counted per venue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.cover.slow_coverage import SLOW, part_of
from monitor.engine.rows.catalog import Batch
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Store
from monitor.events import Depth, Event, FeedGap, FeedState, MarketEvent, Sample
from monitor.window import Ints


def _nothing() -> Counter[str]:
    """An empty counter, made without asking what to count: one in five microseconds matters here."""
    return Counter.__new__(Counter)


@dataclass(slots=True)
class IngestReport:
    """What became of a batch, by venue (for a `Sample`: its source).

    Attributes:
        taken: Market events that were taken in (a series that no rule reads is not kept, but counts here).
        late: Of these, older than the last evaluation by more than the tolerance; they corrected the windows.
        too_late: Not taken in: older than the allowed lateness.
        clock_rejected: Taken in at our time, because the venue's was too far from receipt.
        invalid: Not taken in: not a finite number.
        newest_ns: Time of the newest event.
        history: The backfilled events among those taken in.
        behind: Values of slow series for an instant that has been evaluated already.
        gaps: What was found to be lost, or was filled.
    """

    taken: Counter[str] = field(default_factory=_nothing)
    late: Counter[str] = field(default_factory=_nothing)
    too_late: Counter[str] = field(default_factory=_nothing)
    clock_rejected: Counter[str] = field(default_factory=_nothing)
    invalid: Counter[str] = field(default_factory=_nothing)
    newest_ns: int = 0
    history: list[MarketEvent] = field(default_factory=list)
    behind: list[MarketEvent] = field(default_factory=list)
    gaps: list[FeedGap] = field(default_factory=list)

    def add(self, other: IngestReport) -> None:
        """Count what became of other events, too."""
        self.taken.update(other.taken)
        self.late.update(other.late)
        self.too_late.update(other.too_late)
        self.clock_rejected.update(other.clock_rejected)
        self.invalid.update(other.invalid)
        self.newest_ns = max(self.newest_ns, other.newest_ns)
        self.history += other.history
        self.behind += other.behind
        self.gaps += other.gaps


class Intake:
    """Puts events into the store's logs."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._settings = settings
        self._rows = store.catalog.rows
        self._least_ns, self._most_ns = -settings.max_behind_ns, settings.max_ahead_ns
        self._late_after_ns = settings.late_after_ns

    def take(self, events: Sequence[Event], now_ns: int) -> IngestReport:
        """Take in a batch; `now_ns` is the instant of the last evaluation."""
        report = IngestReport()
        batches: dict[str, Batch] = {}
        for event in events:
            kind = type(event)
            if kind is FeedState or kind is FeedGap:
                self._feed(event, batches, report)  # type: ignore[arg-type]
            else:
                self._market(event, now_ns, batches, report)  # type: ignore[arg-type]
        for series, batch in batches.items():
            self._insert(series, batch)
        return report

    def _feed(self, event: FeedState | FeedGap, batches: dict[str, Batch], report: IngestReport) -> None:
        self._store.ledger.record(event)
        if isinstance(event, FeedGap):
            report.gaps.append(event)
        elif "feed_up" in self._store.catalog.wanted:
            labels = (("channel", event.channel.value), ("venue", event.venue))
            batch = batches.setdefault("feed_up", Batch())
            batch.ts.append(event.ts_ns)
            batch.members.append(self._store.catalog.series("feed_up").add(labels))
            batch.values.append(float(event.up))

    def _market(self, event: MarketEvent, now_ns: int, batches: dict[str, Batch], report: IngestReport) -> None:
        kind = type(event)
        venue = event.source if kind is Sample else event.instrument.venue  # type: ignore[union-attr]
        ts_ns = event.ts_ns
        if kind is Depth or not event.backfill:  # type: ignore[union-attr]
            if kind is not Sample and not self._least_ns <= ts_ns - event.recv_ns <= self._most_ns:
                report.clock_rejected[venue] += 1
                ts_ns = event.recv_ns
            if now_ns - ts_ns > self._late_after_ns and not self._late(venue, now_ns - ts_ns, report):
                return
        else:
            report.history.append(event)
        if ts_ns > report.newest_ns:  # noqa: PLR1730 - a call costs three times as much, for every event
            report.newest_ns = ts_ns
        report.taken[venue] += 1
        if kind is Sample:
            self._slow(event, ts_ns)  # type: ignore[arg-type]
            if ts_ns <= now_ns:
                report.behind.append(event)
        for series, member, value in self._rows(event):
            if value - value != 0:  # NaN or infinite
                report.invalid[venue] += 1
                continue
            batch = batches.get(series)
            if batch is None:
                batch = batches[series] = Batch()
            batch.ts.append(ts_ns)
            batch.members.append(member)
            batch.values.append(value)

    def _slow(self, sample: Sample, ts_ns: int) -> None:
        """Who gives the series; of the past, that the value stood until it would have been stale."""
        spec = self._store.specs.get(sample.series)
        if spec is None or spec.channel not in SLOW:
            return
        stands_ns = int(spec.stale_s * NS_PER_S)
        stretch = (ts_ns, ts_ns + stands_ns) if sample.backfill else None
        self._store.ledger.give((sample.series, part_of(spec, sample.labels), sample.source), stretch)

    def _late(self, venue: str, behind_ns: int, report: IngestReport) -> bool:
        """Count an event that is late; False when it is too late to be taken in."""
        taken = behind_ns <= self._settings.lateness_ns
        (report.late if taken else report.too_late)[venue] += 1
        return taken

    def _insert(self, series: str, batch: Batch) -> None:
        dtype = np.int64 if self._store.specs[series].form == "events" else np.float64
        ts = np.array(batch.ts, np.int64)
        insert_sorted(self._store, series, ts, np.array(batch.members, np.int32), np.array(batch.values, dtype))


def insert_sorted(store: Store, series: str, ts: Ints, members: np.ndarray, values: np.ndarray) -> None:
    """Insert rows in any order."""
    if len(ts) > 1 and (ts[1:] < ts[:-1]).any():
        order = np.argsort(ts, kind="stable")
        ts, members, values = ts[order], members[order], values[order]
    store.log(series).insert(ts, members, values)
