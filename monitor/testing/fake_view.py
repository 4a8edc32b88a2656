"""A made-up running monitor for tests, screenshots and benchmarks of everything that reads a `MonitorView`."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from monitor import __version__
from monitor.alert import AlertState, AlertView
from monitor.clock import NS_PER_S
from monitor.events import Channel, Labels
from monitor.feed import ReportingLaw
from monitor.reading import FALSE, TRUE, UNKNOWN, Contributor, Evaluation, Explanation
from monitor.telemetry.latency import LatencyHistogram
from monitor.telemetry.view import STAGES
from monitor.telemetry.views.alerting import (
    Acknowledgement,
    DeadLetter,
    DeliveryEntry,
    HistoryEntry,
    HistoryQuery,
    Silence,
    SinkView,
)
from monitor.telemetry.views.feeds import ChannelView, FeedView, InletView, PastView, PollView, RefusedTopic, SourceView
from monitor.telemetry.views.market import MarketView, Table, WindowTotal
from monitor.telemetry.views.program import ProcessView, ReloadView, TapeView
from monitor.telemetry.views.rules import RuleView, SignalRow, WhyRow

START_NS = 1_763_712_000 * NS_PER_S
"""2025-11-21 08:00 UTC."""
VENUES = (("binance_usdm", "Binance USD-M", 0.46), ("bybit", "Bybit", 0.31), ("okx", "OKX", 0.23))
BASES = (
    ("BTC", 84_210.0, 29.4e9, -0.000081),
    ("ETH", 2_742.0, 15.9e9, -0.000042),
    ("SOL", 128.4, 5.1e9, -0.00021),
    ("XRP", 1.93, 2.6e9, 0.000018),
    ("DOGE", 0.1431, 1.4e9, 0.000064),
    ("ZEC", 612.0, 0.94e9, -0.00093),
)
WINDOWS = (("5m", 300), ("1h", 3600), ("4h", 14_400), ("24h", 86_400))
CHANNELS = (Channel.PRICE, Channel.LIQUIDATIONS, Channel.FUNDING, Channel.OPEN_INTEREST)
SAMPLED = ReportingLaw("sampled", "the largest liquidation per symbol per second", "the venue's API pages")
COMPLETE = ReportingLaw("complete", "every liquidation, each 500 ms", "the venue's API pages")
DAY_USD = 2.0e9
TOTAL = "11f09b8be3a3aa1c"
SOL_LONGS = "8d2b6b8ce31c04f7"


class FakeView:
    """A sell-off in progress on three venues; `advance` moves it, everything else only reads.

    ``extra_symbols`` adds that many invented instruments per venue, for tests of size.
    """

    def __init__(self, *, extra_symbols: int = 0, synthetic: bool = True, seed: int = 7) -> None:
        self.now_ns = START_NS
        self.started_ns = START_NS - 3 * 3600 * NS_PER_S
        self.synthetic = synthetic
        self.reload_error = ""
        self.down: set[str] = set()
        self._random = random.Random(seed)
        self._bases = [*BASES, *((f"X{n:04d}", 1.0 + n / 100, 1e6, 1e-5) for n in range(extra_symbols))]
        self._names = [(venue, base) for venue, _, _ in VENUES for base, *_ in self._bases]
        self._walk = 0.0
        self._liquidated = np.zeros(2 * len(self._names), dtype=np.int64)
        self._counted = np.zeros_like(self._liquidated)
        self._frames = 0
        self._latencies = {stage: LatencyHistogram() for stage in STAGES}
        self._silences: dict[str, Silence] = {}
        self._acks: dict[str, Acknowledgement] = {}
        self.dead = [DeadLetter(7, "webhook", "1e" * 16, "FIRING LongsWipedOut", START_NS, 3, "HTTP 400")]
        self._entries: list[HistoryEntry] = []
        self._tell_story()
        self.advance(60.0)

    # -- the made-up market

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(seconds * NS_PER_S)
        self._walk += self._random.gauss(-0.00002, 0.0004) * math.sqrt(seconds)
        self._frames += int(seconds * 850)
        rows = len(self._liquidated)
        hits = max(1, int(seconds * 4))
        chosen = np.array([min(int(self._random.expovariate(0.12)), rows - 1) for _ in range(hits)])
        amounts = np.array([int(self._random.paretovariate(1.3) * 9_000e6) for _ in range(hits)])
        np.add.at(self._liquidated, chosen, amounts)
        np.add.at(self._counted, chosen, 1)
        self._observe(hits)

    def _observe(self, hits: int) -> None:
        for stage, typical in zip(STAGES, (12_000, 9_000, 38_000, 60_000, 130_000), strict=True):
            spread = [int(self._random.lognormvariate(math.log(typical), 0.5)) for _ in range(hits)]
            self._latencies[stage].observe_many(spread)
        self._latencies["total"].observe_exemplar(210_000, {"rule": "liquidations/LongsWipedOut"})

    def _swing(self, period_s: float, size: float) -> float:
        return 1 + size * math.sin(2 * math.pi * (self.now_ns - START_NS) / NS_PER_S / period_s)

    def process(self) -> ProcessView:
        """See `MonitorView`."""
        note = "invented numbers, shaped on the sell-off of November 2025" if self.synthetic else ""
        return ProcessView(
            __version__,
            self.started_ns,
            self.now_ns,
            self.synthetic,
            note,
            "3f9a1c07",
            loop_lag_s=0.0004,
            saturation_ratio=0.07,
            snapshot_copy_s=0.004,
            snapshot_bytes=2_400_000.0,
        )

    def reload(self) -> ReloadView:
        """See `MonitorView`."""
        failed = bool(self.reload_error)
        return ReloadView(not failed, self.started_ns, self.now_ns, 1, int(failed), self.reload_error)

    def tape(self) -> TapeView | None:
        """See `MonitorView`."""
        size = self._frames * 22
        return TapeView(
            "data/tape", self._frames, self._frames, size, {"slow": 0, "disk": 0}, 40_000, 128 << 20, size, 20 << 30, 1
        )

    def feeds(self) -> Sequence[FeedView]:
        """See `MonitorView`."""
        return [self._feed(position) for position in range(len(VENUES))]

    def _feed(self, position: int) -> FeedView:
        venue, title, share = VENUES[position]
        up = venue not in self.down
        coverage = (0.998, 1.0, 0.842)[position] if up else 0.4
        law = SAMPLED if venue == "binance_usdm" else COMPLETE
        last = self.now_ns - (180_000_000 if up else 252 * NS_PER_S)
        channels = tuple(
            ChannelView(channel, up, last, coverage, law if channel is Channel.LIQUIDATIONS else COMPLETE)
            for channel in CHANNELS
        )
        frames = int(self._frames * share)
        return FeedView(
            venue, title, up, connected=(2 if up else 0), connections=2, channels=channels, frames=frames, bytes_received=frames * 310,
            events={"price": frames * 2, "liquidation": int(self._counted.sum() * share), "funding": frames // 9, "open_interest": frames // 30},
            decode_errors={"malformed": 2} if position == 2 else {},
            reconnects={"idle": 3, "closed": 1} if position == 2 else {"closed": 1},
            skipped={"history": 40}, late=11 * position, coverage_ratio=coverage,
            clock_offset_s=(0.012, -0.031, 1.27)[position], saturation_ratio=(0.61, float("nan"), float("nan"))[position],
            instruments=len(self._bases), unknown_symbols=0,
            refused=(RefusedTopic("liquidation-orders:DELISTED", "channel does not exist", self.started_ns),) if position == 2 else (),
            last_error="" if up else "no data for 4m12s",
            past=PastView(
                "done", 120, 120, {"price": 48_000, "funding": 900, "open_interest": 7_200}, 12_000, {"timeout": 2},
                {"price": self.started_ns - 365 * 86_400 * NS_PER_S}, {"filled": 1}, {"liquidations": 14},
            ),
        )  # fmt: skip

    def market(self) -> MarketView:
        """See `MonitorView`."""
        sided = [(venue, base, side) for venue, base in self._names for side in ("long", "short")]
        named = [(venue, f"{base}USDT", base) for venue, base in self._names]
        prices = [(*name, kind) for kind in ("mark", "last", "index") for name in named]
        by_base = {base: (price, interest, rate) for base, price, interest, rate in self._bases}
        shares = {venue: share for venue, _, share in VENUES}
        mark = [by_base[base][0] * math.exp(self._walk) * (1 + 1e-5 * len(venue)) for venue, _, base in named]
        funding = np.array([by_base[base][2] * self._swing(900, 0.2) for _, _, base in named])
        interest = np.array([by_base[base][1] * shares[venue] * self._swing(3600, 0.02) for venue, _, base in named])
        return MarketView(
            Table(sided, self._liquidated.copy()),
            Table(sided, self._counted.copy()),
            Table(prices, np.array([value * ratio for ratio in (1.0, 1.0001, 1.0006) for value in mark])),
            Table(named, funding),
            Table(named, funding),
            Table(named, interest),
            Table(
                [(*name, side) for name in named for side in ("bid", "ask")],
                np.repeat(interest, 2) * np.tile([8e-4, 1.1e-3], len(named)),
            ),
            Table(named, 1e-4 * np.sqrt(1e9 / interest)),
        )

    def windows(self) -> Sequence[WindowTotal]:
        """See `MonitorView`."""
        totals = []
        for window, seconds in WINDOWS:
            whole = DAY_USD * (seconds / 86_400) ** 0.35 * self._swing(1200, 0.06)
            for venue, _, share in VENUES:
                coverage = 1.0 if venue != "okx" else 0.842
                totals += self._sides(window, whole * share, coverage, venue=venue)
            for rank, (base, *_) in enumerate(BASES):
                totals += self._sides(window, whole * 0.5 ** (rank + 1), 0.96, base=base)
        return totals

    def _sides(self, window: str, usd: float, coverage: float, venue: str = "", base: str = "") -> list[WindowTotal]:
        split: tuple[tuple[str, float], ...] = (("long", 0.91), ("short", 0.09))
        return [
            WindowTotal(window, "long" if side == "long" else "short", int(usd * part * 1e6), int(usd * part / 5_000), coverage, venue, base)
            for side, part in split
        ]  # fmt: skip

    # -- rules and alerts

    def _hour_usd(self) -> float:
        return sum(total.usd_micros for total in self.windows() if total.venue and total.window == "1h") / 1e6

    def rules(self) -> Sequence[RuleView]:
        """See `MonitorView`."""
        by_base: list[Labels] = [(("base", base),) for base, *_ in BASES]
        funding = [rate * self._swing(900, 0.2) for _, _, _, rate in BASES]
        hour = self._hour_usd()
        firing, held, quiet = AlertState.FIRING, AlertState.HELD, AlertState.INACTIVE
        pending = AlertState.PENDING
        return [
            self._rule("LiquidationsOver500MillionPerHour", "liquidations", "sum(liquidations[1h]) > 500M", "USD", [()], [hour], 5e8, [firing], coverage=0.96, clear="sum(liquidations[1h]) < 300M"),
            self._rule("LongsWipedOut", "liquidations", 'sum(liquidations{side="long"}[4h]) by (base) > 500M', "USD", by_base, [5.2e8, 2.3e8, 1.4e8, 6e7, 2.2e7, 9e6], 5e8, [pending, quiet, held, quiet, quiet, quiet], coverage=0.842),
            self._rule("FundingNegativeFor8h", "funding", "weighted_avg(funding_8h, open_interest) by (base) < 0", "ratio", by_base, funding, 0.0, [firing, pending, pending, quiet, quiet, firing], for_s=28_800, below=True),
            self._rule("OpenInterestFell", "open_interest", "change(open_interest[30d]) by (base) < -35%", "ratio", by_base[:2], [-0.349, -0.281], -0.35, [quiet, quiet], below=True),
            self._rule("BasketDay", "breadth", "basket_day < -10%", "ratio", [(("basket", "layer-1"),), (("basket", "meme"),)], [-0.12, -0.04], -0.1, [firing, quiet], below=True),
            self._rule("EtfOutflowMonthToDate", "etf_flows", "etf_flow_month < -3B", "USD", [(("asset", "BTC"),)], [-3.5e9], -3e9, [firing], below=True),
            self._rule("TreasuryLoss", "treasuries", "treasury_profit < -1B", "USD", [(("holder", "example"),)], [-2e8], -1e9, [quiet], below=True),
            self._rule("TreasuryNearCost", "treasuries", "treasury_distance < 10%", "ratio", [(("holder", "example"),)], [0.08], 0.1, [firing], below=True),
            self._rule("MarketCapUnder3Trillion", "market", "crosses_below(market_cap, 3T)", "USD", [()], [float("nan")], 3e12, [quiet], coverage=0.0, below=True),
        ]  # fmt: skip

    def _rule(  # noqa: PLR0917 - one row of a table
        self, name: str, group: str, text: str, unit: str, labels: list[Labels], values: Sequence[float], threshold: float,
        states: list[AlertState], *, coverage: float = 1.0, clear: str = "", for_s: float = 0.0, below: bool = False,
    ) -> RuleView:  # fmt: skip
        value = np.array(values)
        truth = np.where(np.isnan(value), UNKNOWN, np.where((value < threshold) == below, TRUE, FALSE)).astype(np.int8)
        reasons = {row: "held: okx silent 4m12s" for row, state in enumerate(states) if state is AlertState.HELD}
        reasons |= dict.fromkeys(np.flatnonzero(np.isnan(value)).tolist(), "market_cap has not arrived yet")
        evaluation = Evaluation(
            f"{group}/{name}", self.now_ns, labels, truth, value, np.full(len(value), threshold),
            np.full(len(value), coverage), np.zeros(len(value), dtype=bool), reasons=reasons,
        )  # fmt: skip
        severity = "critical" if group == "liquidations" else "warning"
        return RuleView(
            name, group, text, states, evaluation, clear, for_s, 600.0, 0.8, {"severity": severity},
            {"summary": f"{name}: {{{{ value }}}}"}, unit, f"rules/{group}.yaml", 4, self.now_ns, 0.000041, self._frames, 0,
        )  # fmt: skip

    def alerts(self) -> Sequence[AlertView]:
        """See `MonitorView`."""
        minute = 60 * NS_PER_S
        hour = self._hour_usd()
        return [
            self._alert("liquidations/LiquidationsOver500MillionPerHour", TOTAL, (), AlertState.FIRING, hour, 5e8, 0.96, 41 * minute, "critical"),
            self._alert("funding/FundingNegativeFor8h", "5a0c9c1f2be0d911", (("base", "BTC"),), AlertState.FIRING, -0.000081, 0.0, 1.0, 600 * minute, "warning"),
            self._alert("liquidations/LongsWipedOut", SOL_LONGS, (("base", "SOL"),), AlertState.HELD, 1.4e8, 5e8, 0.842, 12 * minute, "critical", "held: okx silent 4m12s"),
            self._alert("liquidations/LongsWipedOut", "c3c0e1b5f2a79d40", (("base", "BTC"),), AlertState.PENDING, 5.2e8, 5e8, 0.842, minute, "critical"),
            self._alert("open_interest/OpenInterestFell", "77aa41c6be0f1e02", (("base", "DOGE"),), AlertState.RESOLVED, -0.31, -0.35, 1.0, 300 * minute, "warning"),
        ]  # fmt: skip

    def _alert(  # noqa: PLR0917 - one row of a table
        self, rule: str, fingerprint: str, series: Labels, state: AlertState, value: float, threshold: float, coverage: float,
        age_ns: int, severity: str, reason: str = "",
    ) -> AlertView:  # fmt: skip
        name = rule.partition("/")[2]
        since = self.now_ns - age_ns
        where = " ".join(value for _, value in series)
        return AlertView(
            rule=rule, fingerprint=fingerprint, identity=(("alertname", name), *series), series=series,
            labels=(("alertname", name), *series, ("severity", severity)),
            annotations=(("summary", f"{where + ': ' if where else ''}{_SUMMARIES[name]}"),), state=state, value=value, threshold=threshold,
            coverage=coverage, lower_bound=False, active_since_ns=since,
            starts_at_ns=0 if state is AlertState.PENDING else since,
            ends_at_ns=self.now_ns - 5 * 60 * NS_PER_S if state is AlertState.RESOLVED else 0,
            updated_ns=self.now_ns, peak=value, reason=reason, severity=severity,
        )  # fmt: skip

    def silenced_by(self, alert: AlertView) -> Sequence[str]:
        """See `MonitorView`."""
        labels = alert.label_map()
        return [
            silence.id
            for silence in self.silences()
            if all((labels.get(matcher.name, "") == matcher.value) == matcher.is_equal for matcher in silence.matchers)
        ]

    def sinks(self) -> Sequence[SinkView]:
        """See `MonitorView`."""
        return [
            SinkView("console", "console", up=True, outcomes={"ok": 14}),
            SinkView("mqtt", "mqtt", up=False, outcomes={"ok": 11, "retry": 4}, outbox_depth=3, oldest_ns=self.now_ns - 40 * NS_PER_S, last_error="connection refused"),
        ]  # fmt: skip

    def latencies(self) -> Mapping[str, LatencyHistogram]:
        """See `MonitorView`."""
        return self._latencies

    def why(self, rule: str) -> Sequence[WhyRow] | None:
        """See `MonitorView`."""
        found = [view for view in self.rules() if rule in (view.id, view.name)]
        if len(found) != 1:
            return None
        evaluation = found[0].evaluation
        assert evaluation is not None
        return [self._why_row(found[0], evaluation, row) for row in range(len(evaluation.labels))]

    def _why_row(self, rule: RuleView, evaluation: Evaluation, row: int) -> WhyRow:
        value, threshold = float(evaluation.value[row]), float(evaluation.threshold[row])
        contributors = tuple(
            Contributor((("venue", venue),), value * share, share)
            for venue, _, share in VENUES
            if not math.isnan(value)
        )
        explanation = Explanation(
            contributors, ((rule.text.partition(" > ")[0], None if math.isnan(value) else value),),
            ("okx liquidations",) if rule.group == "liquidations" else (), "BTCUSDT long 41.2M on bybit",
            tuple(value * (0.7 + 0.01 * step) for step in range(30)) if not math.isnan(value) else (),
        )  # fmt: skip
        near = "" if evaluation.truth[row] == TRUE or threshold == 0 else f"{value / threshold:.0%} of the threshold"
        return WhyRow(
            evaluation.labels[row], rule.states[row], int(evaluation.truth[row]), value, threshold,
            float(evaluation.coverage[row]), evaluation.reasons.get(row, ""), explanation, near,
        )  # fmt: skip

    def sources(self) -> Sequence[SourceView]:
        """See `MonitorView`."""
        good = PollView("global", 600.0, 14, 2, 12, self.now_ns - 60 * NS_PER_S, self.now_ns - 90 * NS_PER_S)
        bad = PollView("categories", 1800.0, failures={"rate_limited": 3}, last_error="rate_limited: HTTP 429")
        return [SourceView("coingecko", up=True, polls=[good, bad], calls_left=9_983)]

    def inlet(self) -> InletView:
        """See `MonitorView`."""
        return InletView(
            {"http": 12}, {("folder", "bad_unit"): 1}, self.now_ns, ["folder: row 3: tvl is in USD, not ratio"]
        )

    def signals(self) -> Sequence[SignalRow] | None:
        """See `MonitorView`."""
        return [
            SignalRow("S01", "Total market capitalisation", 2.94e12, "USD", "reference", self.now_ns),
            SignalRow("S23", "Stablecoin supply, change over 30 days", -0.0148, "ratio", "reference", self.now_ns),
            SignalRow("S22", "Spot ETF net flow", float("nan"), "USD", "inlet", absent="nothing has been pushed yet"),
        ]

    # -- actions

    def _tell_story(self) -> None:
        told = (
            (41, "firing", "liquidations/LiquidationsOver500MillionPerHour", 5.02e8, 5e8, ""),
            (12, "held", "liquidations/LongsWipedOut", 1.4e8, 5e8, "okx silent 4m12s"),
            (5, "resolved", "open_interest/OpenInterestFell", -0.31, -0.35, "cleared"),
        )
        for minutes, kind, rule, value, threshold, text in told:
            labels = {"alertname": rule.partition("/")[2], "severity": "critical"}
            at_ns = self.now_ns - minutes * 60 * NS_PER_S
            self._entries.append(HistoryEntry(at_ns, kind, rule, TOTAL, labels, value, threshold, 0.96, text))

    async def history(self, query: HistoryQuery) -> Sequence[HistoryEntry]:
        """See `MonitorView`."""
        found = [
            entry
            for entry in reversed(self._entries)
            if entry.at_ns >= query.since_ns
            and (not query.until_ns or entry.at_ns < query.until_ns)
            and query.rule in ("", entry.rule)
            and query.fingerprint in ("", entry.fingerprint)
        ]
        return found[: query.limit]

    async def deliveries(self, sink: str, fingerprint: str, limit: int) -> Sequence[DeliveryEntry]:
        """See `MonitorView`."""
        entry = DeliveryEntry(self.now_ns, "mqtt", "0f" * 16, (TOTAL,), "silenced", "silence 1 by kim", 0)
        fits = sink in ("", entry.sink) and fingerprint in ("", *entry.fingerprints)
        return [entry][:limit] if fits else []

    async def dead_letters(self, sink: str, limit: int) -> Sequence[DeadLetter]:
        """See `MonitorView`."""
        return [letter for letter in self.dead if sink in ("", letter.sink)][:limit]

    async def resend(self, ids: Sequence[int]) -> int:
        """See `MonitorView`."""
        before = len(self.dead)
        self.dead = [letter for letter in self.dead if letter.id not in ids]
        return before - len(self.dead)

    def silences(self) -> Sequence[Silence]:
        """See `MonitorView`."""
        return [silence for silence in self._silences.values() if silence.ends_ns > self.now_ns]

    async def silence(self, silence: Silence) -> str:
        """See `MonitorView`."""
        identity = f"{len(self._silences) + 1:08x}"
        self._silences[identity] = replace(silence, id=identity)
        return identity

    async def expire_silence(self, silence_id: str) -> bool:
        """See `MonitorView`."""
        return self._silences.pop(silence_id, None) is not None

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """See `MonitorView`."""
        return list(self._acks.values())

    async def acknowledge(self, ack: Acknowledgement) -> bool:
        """See `MonitorView`."""
        known = any(alert.fingerprint == ack.fingerprint for alert in self.alerts())
        if known:
            self._acks[ack.fingerprint] = replace(ack, until_ns=ack.until_ns or ack.at_ns + 3600 * NS_PER_S)
        return known

    async def withdraw_acknowledgement(self, fingerprint: str) -> bool:
        """See `MonitorView`."""
        return self._acks.pop(fingerprint, None) is not None


_SUMMARIES = {
    "LiquidationsOver500MillionPerHour": "1.04B liquidated in one hour, reported (96% of the feeds live)",
    "FundingNegativeFor8h": "funding has been negative for 10h",
    "LongsWipedOut": "longs liquidated in four hours",
    "OpenInterestFell": "open interest fell from its peak",
}
