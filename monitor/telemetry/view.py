"""What the outside may read of the running program: the one seam between it and metrics, HTTP API and live page.

`monitor.runtime` implements `MonitorView`; `monitor.telemetry.metrics` reads it at scrape time and `monitor.web` at
request time, so that nothing is copied on the hot path. `monitor.telemetry.views` has the values that it tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from monitor.alert import AlertView
from monitor.telemetry.latency import LatencyHistogram
from monitor.telemetry.views.alerting import (
    Acknowledgement,
    DeadLetter,
    DeliveryEntry,
    HistoryEntry,
    HistoryQuery,
    Silence,
    SinkView,
)
from monitor.telemetry.views.feeds import FeedView, InletView, SourceView
from monitor.telemetry.views.market import MarketView, WindowTotal
from monitor.telemetry.views.program import ProcessView, ReloadView, TapeView
from monitor.telemetry.views.rules import RuleView, SignalRow, WhyRow

STAGES = ("receive", "decode", "engine", "dispatch", "total")


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
