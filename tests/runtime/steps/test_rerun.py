"""A monitor that ran against local venues with faults, and again from its tape: the same alerts, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S, ScaledClock
from monitor.commands import replay
from monitor.errors import TapeError
from monitor.events import Funding, Liquidation, PositionSide, Price
from monitor.feeds import named_feeds
from monitor.rule import RuleSet
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.tables import HISTORY_COLUMNS, HistoryFilter, history_row
from monitor.runtime.app import App, AppSettings
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.load import Loaded, load, load_text
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.journal import setting
from monitor.runtime.steps.recorder import Recorder
from monitor.runtime.steps.rerun import AlertLog, Rerunner, RerunReport, Rules, rerun
from monitor.tape import course
from monitor.tape.cut import cut, window_blocks
from monitor.tape.folder import read_blocks, some_files, tape_files
from monitor.tape.format import Row
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter
from monitor.telemetry.views.alerting import LabelMatcher, Silence
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

SPEED = 30.0
START_NS = 1_763_683_200 * NS_PER_S
RULES = """
groups:
  - name: desk
    rules:
      - {alert: Low, expr: 'price{base="BTC"} by (base) < 80k', keep_firing_for: 5s}
      - {alert: LowForLong, expr: 'price{base="BTC"} by (base) < 80k', for: 4s}
      - {alert: Liquidated, expr: 'sum(liquidations[20s]) > 1M', clear: 'sum(liquidations[20s]) < 200k', min_coverage: 99%}
      - {alert: LongsLiquidated, expr: 'sum(liquidations{side="long"}[10s]) by (base, venue) > 300k', labels: {severity: critical}}
      - {alert: Calm, expr: 'sum(liquidations[20s]) < 5B', min_coverage: 99%}
      - {alert: Fell, expr: 'change(price[10s]) by (base) < -0.5%'}
      - {alert: Odd, expr: 'zscore(sum(liquidations[5s])[60s:5s]) > 1.5'}
      - {alert: FeedDown, expr: 'last(feed_up) by (venue) == 0'}
      - {alert: External, expr: 'external > 5', for: 2s}
      - {alert: Basket, expr: 'drawdown(basket[60s]) by (basket) < -0.1%'}
"""
OTHER = """
groups:
  - name: desk
    rules:
      - {alert: Low, expr: 'price{base="BTC"} by (base) < 79.9k'}
      - {alert: Liquidated, expr: 'sum(liquidations[30s]) > 500k'}
"""
QUIET = replace(load_text("feeds: [{venue: bybit}]", "c.yaml", Path(__file__).parents[3], {}), rules=RuleSet((), ()))
QUICK = FeedSettings(
    backoff_base_s=0.02, backoff_cap_s=0.1, tick_s=0.05, idle_s=0.8, metadata_gap_s=0.2, poll_speed=SPEED
)


@dataclass
class Rig:
    """A running monitor, its venues, and what it leaves behind."""

    folder: Path
    app: App
    servers: dict[str, VenueServer]
    clock: ScaledClock

    async def until(self, condition: Callable[[], bool], within_s: float = 12.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.01)

    @property
    def firing(self) -> set[str]:
        return {alert.name for alert in self.app.desk.lifecycle.alerts() if alert.state == "firing"}

    @property
    def up(self) -> bool:
        return all(stats.up for _, stats in self.app.view.parts.feeds)


class Market:
    """Prices that wander and liquidations that come in waves."""

    def __init__(self, servers: dict[str, VenueServer], clock: ScaledClock) -> None:
        self.servers = servers
        self.clock = clock
        self.numbers = itertools.count()

    async def run(self) -> None:
        while True:
            number, now_ns = next(self.numbers), self.clock.wall_ns()
            for venue, server in self.servers.items():
                for item in instruments_of(venue):
                    if item.base not in ("BTC", "ETH") or item.kind != "perp":
                        continue
                    level = 80_500.0 if number // 20 % 2 else 79_500.0
                    value = level * (1 + 0.0003 * (number % 7)) * (1 if item.base == "BTC" else 0.04)
                    await server.publish(Price(item, "mark", value, now_ns, now_ns))
                    if number % 5 == 0:
                        await server.publish(Funding(item, 0.0001, 8.0, now_ns, now_ns))
                    if number % 3 == 0:
                        usd = 40_000 * (1 + number % 11)
                        side: PositionSide = "long" if number % 4 else "short"
                        row = Liquidation(item, side, usd * 1_000_000, value, now_ns, now_ns, f"{number}{item.symbol}")
                        await server.publish(row)
            await asyncio.sleep(0.02)


def configure(folder: Path, servers: dict[str, VenueServer], rules: str = RULES) -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "desk.yaml").write_text(rules, encoding="utf-8")
    path = folder / "config.yaml"
    if not path.exists():
        lines = ["listen: 127.0.0.1:0", "data_dir: state", "rules: [rules/*.yaml]", "feeds:"]
        for venue, server in servers.items():
            urls = f"ws_url: '{server.ws_url}', rest_url: '{server.rest_url}'"
            lines.append(f"  - {{venue: {venue}, channels: [price, liquidations, funding, open_interest], {urls}}}")
        lines += ["sinks: [{type: file, path: " + str(folder / "state/alerts.jsonl") + "}]"]
        lines += [
            "routes: [{group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 30s, held_after: 3s}]"
        ]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


async def look(app: App) -> None:
    """People with the page open, now and then: what they see must not change what the engine says."""
    while True:
        await asyncio.sleep(0.03)
        app.view.windows()
        app.view.rules()
        app.view.why("Odd")


@contextlib.asynccontextmanager
async def venues(clock: ScaledClock) -> AsyncIterator[dict[str, VenueServer]]:
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for venue in ("bybit", "okx"):
            listed = [item for item in instruments_of(venue) if item.base in ("BTC", "ETH")]
            servers[venue] = await stack.enter_async_context(VenueServer(make_protocol(venue, listed), clock))
        yield servers


async def live(
    folder: Path, servers: dict[str, VenueServer], clock: ScaledClock, story: Callable[[Rig], Awaitable[None]]
) -> Loaded:
    """Run a monitor through a story with the recorder on; the configuration as it was at the start."""
    path = configure(folder, servers)
    loaded = load(path, {})
    started = asyncio.Event()
    with Recorder(TapeWriter(folder / "tape"), clock, flush_s=0.05) as tap:
        settings = AppSettings(
            time_scale=SPEED, feed=QUICK, tap=tap, watch_files=False, on_started=lambda _: started.set()
        )
        app = App(loaded, clock, lambda: load(path, {}), settings)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(app.run())
            playing = tasks.create_task(Market(servers, clock).run())
            await started.wait()
            looking = tasks.create_task(look(app))
            try:
                await story(Rig(folder, app, servers, clock))
            finally:
                app.stop.set()
                await running
                playing.cancel()
                looking.cancel()
    assert not tap.dropped.total()
    return loaded


async def history_of(folder: Path) -> list[dict[str, Any]]:
    """The live run's alert history, oldest first."""
    store = await Store.open(folder / "state" / "monitor.db")
    rows = await store.history(HistoryFilter(limit=10_000))
    await store.close()
    return [{key: value for key, value in row.items() if key != "id"} for row in reversed(rows)]


def told(log: AlertLog) -> list[dict[str, Any]]:
    """A rerun's transitions in the form of the history."""
    rows = [dict(zip(HISTORY_COLUMNS, history_row(transition), strict=True)) for transition in log.transitions]
    return [{**row, "labels": msgspec.json.decode(row["labels"])} for row in rows]


def again(loaded: Loaded, folder: Path, rules: Rules = Rules.RECORDED) -> tuple[AlertLog, RerunReport]:
    log = AlertLog()
    return log, rerun(loaded, read_blocks(some_files(folder)), log, rules=rules)


async def trouble(rig: Rig) -> None:
    """Alerts, drops, a stall, garbage, people, an inlet, and other rules half-way."""
    desk = rig.app.desk
    await rig.until(lambda: rig.up and {"LongsLiquidated", "Calm"} <= rig.firing)
    row = msgspec.json.encode({"name": "n", "value": 9.0, "ts": rig.clock.wall_ns() // NS_PER_S})
    assert (await rig.app.slow.door.take("http", row, "json", rig.clock.wall_ns()))[0] == 1
    rig.servers["bybit"].drop_all()
    fired = next(alert for alert in desk.lifecycle.alerts() if alert.state == "firing")
    assert desk.acknowledge(fired.fingerprint, "me", "on it", 20 * NS_PER_S)
    await rig.until(lambda: rig.up)
    now_ns = rig.clock.wall_ns()
    quiet = (LabelMatcher("alertname", "Low", is_regex=False, is_equal=True),)
    silence = desk.silence(Silence(quiet, now_ns, now_ns + 15 * NS_PER_S, "me", "known"))
    rig.servers["okx"].faults.stall = True
    await rig.until(lambda: not rig.up)
    rig.servers["okx"].faults.stall = False
    await rig.servers["okx"].broadcast("{not json")
    await rig.until(lambda: rig.up)
    desk.expire_silence(silence)
    configure(rig.folder, rig.servers, OTHER)
    rig.app.reload_now()
    assert rig.app.happenings.reload.successes == 1
    await asyncio.sleep(0.5)
    configure(rig.folder, rig.servers, RULES)
    config = rig.folder / "config.yaml"
    text = config.read_text(encoding="utf-8").replace("funding, open_interest], ws", "funding], ws", 1)
    config.write_text(text, encoding="utf-8")  # the first feed is built anew, on the links' numbers of the old one
    rig.app.reload_now()
    assert rig.app.happenings.reload.successes == 2
    rig.servers["okx"].close_all()
    await asyncio.sleep(0.5)
    await rig.until(lambda: rig.up)


async def test_a_rerun_gives_the_alerts_of_the_live_run_byte_for_byte(tmp_path: Path) -> None:
    clock = ScaledClock(START_NS, SPEED)
    async with venues(clock) as servers:
        loaded = await live(tmp_path, servers, clock, trouble)
    log, report = again(loaded, tmp_path / "tape")
    assert report.exact, report
    assert report.reloads == {"taken": 2}
    assert told(log) == await history_of(tmp_path)
    assert b"".join(log.lines("file")) == (tmp_path / "state" / "alerts.jsonl").read_bytes()
    assert {"firing", "resolved", "held", "pending"} <= {row["state"] for row in told(log)}
    second, _ = again(loaded, tmp_path / "tape")
    assert second.transitions == log.transitions
    assert second.outgoing == log.outgoing


async def calm(rig: Rig) -> None:
    await rig.until(lambda: rig.up and "Low" in rig.firing)
    await asyncio.sleep(0.5)


@pytest.fixture
async def recorded(tmp_path: Path) -> tuple[Loaded, Path, list[dict[str, Any]]]:
    """Two runs on one tape, the second with the state that the first left."""
    clock = ScaledClock(START_NS, SPEED)
    async with venues(clock) as servers:
        await live(tmp_path, servers, clock, calm)
        loaded = await live(tmp_path, servers, clock, calm)
    return loaded, tmp_path / "tape", await history_of(tmp_path)


async def test_a_restart_with_its_windows_and_alerts_is_on_the_tape(
    recorded: tuple[Loaded, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    loaded, folder, history = recorded
    log, report = again(loaded, folder)
    assert (report.exact, report.starts) == (True, 2)
    assert told(log) == history
    log.write(tmp_path / "again.jsonl", "file")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "state" / "alerts.jsonl").read_bytes()

    # the page that alerts link to is that of the recording
    moved = loaded.source.config.model_copy(update={"listen": "127.0.0.1:9"})
    elsewhere, _ = again(replace(loaded, source=replace(loaded.source, config=moved)), folder)
    assert list(elsewhere.lines("file")) == list(log.lines("file"))

    # other rules over the same tape
    configure(tmp_path, {}, OTHER)
    given, note = again(load(tmp_path / "config.yaml", {}), folder, Rules.GIVEN)
    assert {row["alertname"] for row in told(given)} <= {"Low", "Liquidated"}
    assert not note.reloads

    # a piece out of the middle: the rules in force, cold windows, and says so
    piece = TapeWriter(tmp_path / "piece")
    middle_ns = history[len(history) // 2]["at_ns"]
    cut(folder, piece, middle_ns, None, Replay((), lambda: Repeats().is_new, named_feeds))
    piece.close()
    part, cold = again(loaded, tmp_path / "piece")
    assert cold.cold
    assert not cold.exact
    assert told(part)
    log = AlertLog()
    rerun(loaded, window_blocks(folder, middle_ns), log)
    assert told(log) == told(part)

    # damage: a block is missing and counted, and the rest still runs
    data = bytearray((path := tape_files(folder)[0]).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    _, damaged = again(loaded, folder)
    assert damaged.tape.losses
    assert not damaged.exact
    data[8] = 99  # of another version
    path.write_bytes(bytes(data))
    _, other = again(loaded, folder)
    (lost,) = map(str, other.tape.losses)
    words, _, until = lost.rpartition(", before ")
    assert words == f"{path}:0: {len(data)} bytes with an unknown number of records are missing: version 99, but this program reads version 1, 2, 3"  # fmt: skip
    assert until.startswith("2025-11-21 00:")
    assert (other.starts, other.exact) == (1, False)


def test_a_tape_without_evaluations_is_refused(tmp_path: Path) -> None:
    configure(tmp_path, {})
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "config.yaml").write_text(text.replace("feeds:", "feeds: [{venue: bybit}]"), encoding="utf-8")
    writer = TapeWriter(tmp_path / "tape")
    writer.write([(1, "bybit/linear/0#1", "in", "{}", False)], 1)
    writer.close()
    with pytest.raises(TapeError, match="on a grid"):
        again(load(tmp_path / "config.yaml", {}), tmp_path / "tape")


def test_what_an_overfull_pump_left_out_is_left_out_again_and_a_short_tape_is_told() -> None:
    item = instruments_of("bybit")[0]
    prices = [Price(item, "mark", value, START_NS, START_NS) for value in (1.0, 2.0, 3.0)]
    taken: list[int] = []
    rows: list[Row] = [
        (START_NS, course.START, "config", course.write_setting(setting(QUIET)), False),
        (START_NS, course.HEARD, "events", course.write_events(prices), False),
        (START_NS, course.RELIEVED, "turn", course.write_turn(0), False),
        (START_NS, course.TURN, "turn", course.write_turn(1), False),
        (START_NS, course.HEARD, "events", course.write_events(prices), False),
        (START_NS, course.TURN, "turn", course.write_turn(5), False),
    ]
    report = rerun(QUIET, [rows], AlertLog(), watcher=lambda monitor, _: taken.append(monitor.report.short))
    assert taken == [0, 2]
    assert not report.exact


def test_a_batch_at_which_the_engine_fails_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = [Price(instruments_of("bybit")[0], "mark", value, START_NS, START_NS) for value in (1.0, 2.0)]
    rows: list[Row] = [
        (START_NS, course.START, "config", course.write_setting(setting(QUIET)), False),
        (START_NS, course.HEARD, "events", course.write_events(prices), False),
        (START_NS, course.TURN, "turn", course.write_turn(2), False),
    ]

    def fail(*_: object) -> None:
        raise RuntimeError("a bug in the engine")

    monkeypatch.setattr("monitor.runtime.steps.turns.Turns.step", fail)
    report = rerun(QUIET, [rows], AlertLog())
    assert report.engine_errors == 2
    assert list(replay._missing(report)) == ["MISSING 2 events of batches at which the engine failed, as it does live"]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["turn", "events", "memory", "config", "act"]), st.binary(max_size=40) | st.text(max_size=40))
def test_a_course_that_cannot_be_read_is_counted(kind: str, payload: str | bytes) -> None:
    monitor = Rerunner(QUIET, AlertLog())
    names = {"turn": course.TURN, "events": course.REMEMBERED, "memory": course.TOLD, "config": course.START, "act": course.ACT}  # fmt: skip
    try:
        monitor.take([(1, names[kind], kind, payload, False)])
    except TapeError as error:
        assert "do not load" in str(error)  # noqa: PT017  # either outcome is right
    assert monitor.report.tape.records == 1
