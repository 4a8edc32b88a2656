"""Verdicts do not hang on when the process happened to run: what came late is read as if it had come in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_MS, NS_PER_S, StillClock
from monitor.engine import Engine
from monitor.events import Channel, Event, FeedState, Liquidation, Price
from monitor.instruments import Instrument
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.app import engine_settings, pace_of
from monitor.runtime.load import Loaded, load
from monitor.runtime.market import MarketBoard
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.journal import Journal
from monitor.runtime.steps.pump import Pump
from monitor.runtime.steps.rerun import AlertLog, rerun
from monitor.runtime.steps.turns import Turns
from monitor.sinks import sink_options
from monitor.tape import course
from monitor.tape.format import Row
from monitor.telemetry.latency import LatencyHistogram

T0 = 1_763_683_200 * NS_PER_S
GRID_MS = 250
RULES = """
groups:
  - name: desk
    rules:
      - {alert: High, expr: price by (base) > 101}
      - {alert: Patient, expr: price by (base) > 100.5, for: 400ms, keep_firing_for: 300ms}
      - {alert: Latched, expr: price by (base) > 101.5, clear: price by (base) < 99.5}
      - {alert: Window, expr: 'sum(liquidations[1s]) by (base) > 1M', keep_firing_for: 200ms}
"""
SLOW_RULES = """
groups:
  - {name: desk, rules: [{alert: High, expr: 'max(price[7d:1h]) by (base) > 1000'}]}
"""
CONFIG = """
rules: [rules.yaml]
feeds: [{venue: bybit}, {venue: okx}]
sinks: [{type: console}]
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("turns")
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return load(folder / "config.yaml", {})


def coin(venue: str, base: str) -> Instrument:
    return Instrument(venue=venue, symbol=f"{base}USDT", base=base, quote="USDT", settle="USDT", kind="perp")


COINS = {"bybit": coin("bybit", "BTC"), "okx": coin("okx", "ETH")}
UP: list[Event] = [FeedState(venue, channel, up=True, ts_ns=T0 - 1) for venue in COINS for channel in Channel]


@dataclass
class Monitor:
    """Engine, life cycle and journal of one process."""

    loaded: Loaded
    clock: StillClock = field(default_factory=StillClock)
    log: AlertLog = field(default_factory=AlertLog)
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.loaded.rules, expected=self.loaded.expected(), settings=engine_settings(self.loaded))
        journal = Journal(lambda name, kind, data, at_ns: self.rows.append((at_ns, name, kind, data, False)))
        journal.started(self.loaded, T0)
        desk = AlertDesk(
            self.loaded,
            routing=self.loaded.routing,
            sinks=[sink_options({"type": "console"})],
            engine=self.engine,
            store=None,
            delivery=self.log,
            clock=self.clock,
        )
        desk.remember([], [], T0)
        self.room = EngineRoom(
            self.engine,
            MarketBoard(),
            on_evaluated=desk.step,
            on_report=lambda _: None,
            latencies={"engine": LatencyHistogram(), "receive": LatencyHistogram()},
            pace=pace_of(self.loaded.source.config),
        )
        self._journal = journal
        self._turns = Turns(self.room, desk, lambda events, now_ns: [], lambda events: None, journal)
        self.take(UP, 0)

    def take(self, events: list[Event], at_ms: int) -> None:
        """Read a batch, as the pump hands it over."""
        self.clock.now_ns = T0 + at_ms * NS_PER_MS
        self._journal.heard(events, self.clock.now_ns)
        self._turns.take_in(events, self.clock.now_ns)

    def end(self) -> None:
        self._turns.end()

    def remember(self, events: list[Event], at_ms: int) -> None:
        """Take in the past, as a venue's history brings it."""
        self._turns.remember(events, T0 + at_ms * NS_PER_MS)

    def tick(self, at_ms: int) -> None:
        self.clock.now_ns = T0 + at_ms * NS_PER_MS
        self._turns.tick(self.clock.now_ns)

    def said(self) -> list[tuple[str, str, str, int, int]]:
        """Every change, with the times that people are told."""
        return sorted(
            (t.alert.fingerprint, str(t.previous), str(t.state), t.alert.starts_at_ns, t.alert.ends_at_ns)
            for t in self.log.transitions
        )


@dataclass(frozen=True)
class Beat:
    """What one venue says at one moment."""

    at_ms: int
    venue: str
    price: float
    usd: int

    def events(self) -> list[Event]:
        instrument, ts_ns = COINS[self.venue], T0 + self.at_ms * NS_PER_MS
        found: list[Event] = [Price(instrument, "mark", self.price, ts_ns, ts_ns)]
        if self.usd:
            found.append(Liquidation(instrument, "long", self.usd * 1_000_000, 1.0, ts_ns, ts_ns))
        return found


@st.composite
def markets(draw: st.DrawFn) -> list[Beat]:
    beats, at_ms = [], 30
    for _ in range(draw(st.integers(5, 60))):
        at_ms += draw(st.integers(20, 400))
        price = draw(st.sampled_from([99.0, 100.0, 100.7, 101.2, 102.0]))
        usd = draw(st.sampled_from([0, 0, 400_000, 1_200_000]))
        beats.append(Beat(at_ms, draw(st.sampled_from(list(COINS))), price, usd))
    return beats


def play(monitor: Monitor, beats: list[Beat], stalls: list[tuple[int, int]]) -> None:
    """Let a process read the market: at once, or, within a stall, all that waits when it ends, socket by socket."""
    ends_ms = beats[-1].at_ms + 4 * GRID_MS
    due = [(beat.at_ms, beat) for beat in beats] + [(at_ms, None) for at_ms in range(GRID_MS, ends_ms, GRID_MS)]
    waiting: list[Beat] = []
    late_tick = False
    wakes = sorted({at_ms for at_ms, _ in due} | {end for _, end in stalls})
    for wake_ms in wakes:
        waiting += [beat for at_ms, beat in due if at_ms == wake_ms and beat is not None]
        late_tick |= any(at_ms == wake_ms and beat is None for at_ms, beat in due)
        if any(begin <= wake_ms < end for begin, end in stalls):
            continue
        if waiting:
            by_socket = sorted(waiting, key=lambda beat: beat.venue)
            monitor.take([event for beat in by_socket for event in beat.events()], wake_ms)
            waiting = []
        if late_tick:
            monitor.tick(wake_ms)
            late_tick = False


@settings(deadline=None, max_examples=25)
@given(markets(), st.lists(st.tuples(st.integers(100, 9000), st.integers(30, 700)), max_size=6))
def test_a_process_that_was_not_run_for_a_while_says_what_the_other_says(
    loaded: Loaded, beats: list[Beat], pauses: list[tuple[int, int]]
) -> None:
    prompt, stalled = Monitor(loaded), Monitor(loaded)
    play(prompt, beats, [])
    play(stalled, beats, [(begin, begin + length) for begin, length in pauses])
    assert stalled.said() == prompt.said()
    again = AlertLog()
    report = rerun(loaded, [stalled.rows], again)
    assert report.exact, report
    assert again.transitions == stalled.log.transitions
    assert again.outgoing == stalled.log.outgoing


@pytest.mark.parametrize("other", [[], [Beat(880, "bybit", 100.0, 0)]], ids=["alone", "behind another socket"])
def test_a_condition_that_was_false_in_between_is_not_overlooked(loaded: Loaded, other: list[Beat]) -> None:
    beats = [Beat(300, "okx", 101.0, 0), Beat(600, "okx", 100.0, 0), Beat(640, "okx", 101.0, 0), *other]
    monitor = Monitor(loaded)
    play(monitor, [*beats, Beat(1200, "okx", 101.0, 0)], [(550, 900)])
    patient = [t.alert for t in monitor.log.transitions if t.alert.name == "Patient" and t.state == "firing"]
    assert [alert.starts_at_ns - T0 for alert in patient] == [1040 * NS_PER_MS]


def test_what_lasts_ends_when_the_time_was_up_not_when_somebody_looked(loaded: Loaded) -> None:
    beats = [Beat(300, "bybit", 101.0, 0), Beat(720, "bybit", 101.0, 0), Beat(900, "bybit", 100.0, 0)]
    monitor = Monitor(loaded)
    play(monitor, beats, [])
    ends = [
        t.alert.ends_at_ns - T0 for t in monitor.log.transitions if t.alert.name == "Patient" and t.state == "resolved"
    ]
    assert ends == [1200 * NS_PER_MS]


def test_a_monitor_that_is_stopped_decides_nothing_more(loaded: Loaded) -> None:
    """The feeds that it stops are down, and not silent; an alert of then would be on the tape and not be sent."""
    monitor = Monitor(loaded)
    monitor.take(Beat(300, "bybit", 100.0, 0).events(), 300)
    monitor.end()
    steps = [row for row in monitor.rows if row[2] == "turn"]
    monitor.take(Beat(600, "bybit", 102.0, 2_000_000).events(), 600)
    monitor.tick(1000)
    assert [row for row in monitor.rows if row[2] == "turn"] == steps
    assert not monitor.log.transitions
    monitor.engine.evaluate(T0 + 1000 * NS_PER_MS)
    window = monitor.engine.latest("desk/Window")
    assert window is not None
    assert window.value.tolist() == [2e6], "kept for the next run"
    again = AlertLog()
    assert rerun(loaded, [monitor.rows], again).exact
    assert not again.transitions


def test_what_time_alone_ended_ended_when_somebody_would_have_looked(loaded: Loaded) -> None:
    beats = [Beat(300, "bybit", 100.0, 1_200_000), Beat(1150, "bybit", 100.0, 0), Beat(1850, "bybit", 100.0, 0)]
    for stalls in ([], [(1200, 1900)]):
        monitor = Monitor(loaded)
        play(monitor, beats, stalls)
        ends = [t.alert.ends_at_ns - T0 for t in monitor.log.transitions if t.state == "resolved"]
        assert ends == [1700 * NS_PER_MS], stalls


def test_a_long_backlog_is_cut_more_coarsely_and_a_longer_one_is_a_gap(loaded: Loaded) -> None:
    dense = [Beat(300 + 11 * number, "bybit", 100.0, 0) for number in range(400)]
    monitor = Monitor(loaded)
    play(monitor, dense, [(310, 4700)])
    assert 64 <= monitor.room.turns <= 64 + 40, "pieces, and ticks of the grid"
    asleep = Monitor(loaded)
    play(
        asleep,
        [Beat(300, "bybit", 100.0, 0), *(Beat(at, "bybit", 100.0, 0) for at in range(700, 40_000, 100))],
        [(310, 39_000)],
    )
    assert asleep.room.turns < 30


def test_the_first_look_makes_up_for_nothing(loaded: Loaded) -> None:
    """What the state file says of a former run is not a backlog."""
    monitor = Monitor(loaded)
    monitor.engine.evaluate(T0 - 3 * NS_PER_S)
    before = monitor.room.turns
    monitor.tick(5)
    assert monitor.room.turns == before + 1


async def test_a_piece_that_breaks_the_engine_costs_itself_alone(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Monitor(loaded)
    taken: list[int] = []
    flush = monitor.room.flush

    def odd(events: list[Event], now_ns: int, own_ns: int | None = None) -> None:
        taken.append(len(events))
        if len(taken) == 1:
            raise ValueError("a bug")
        flush(events, now_ns, own_ns)

    monkeypatch.setattr(monitor.room, "flush", odd)
    play_late = [event for at in (300, 340, 380) for event in Beat(at, "bybit", 102.0, 0).events()]
    pump = Pump(lambda events, now_ns: monitor.take(list(events), 600), monitor.clock)
    monitor.tick(250)
    pump.append(play_late)
    pump.drain()
    assert [count for count in taken if count] == [1, 1, 1]
    assert pump.dropped["engine_error"] == 3
    assert course.MERGED not in [row[1] for row in monitor.rows], "they were in order"


def test_history_that_never_settles_is_worked_in_all_the_same(tmp_path: Path) -> None:
    """One venue answers for minutes: what the others told is not held back until it is done."""
    (tmp_path / "rules.yaml").write_text(SLOW_RULES, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monitor = Monitor(load(tmp_path / "config.yaml", {}))
    hour_ns, price = 3600 * NS_PER_S, [Price(COINS["bybit"], "mark", 100.0, T0, T0)]
    monitor.take([*price], 0)
    monitor.tick(GRID_MS)
    filled_ms: list[int] = []
    for number in range(100):
        at_ms = 2 * GRID_MS + number * 500  # never a second of silence
        then_ns = T0 // hour_ns * hour_ns - number * hour_ns
        monitor.remember([Price(COINS["okx"], "mark", 100.0 + number, then_ns, T0, backfill=True)], at_ms)
        monitor.tick(at_ms)
        if monitor.engine.past.passes > len(filled_ms):
            filled_ms.append(at_ms)
    assert [round(at_ms / 1000) for at_ms in filled_ms] == [30]
