"""The monitor's own rules and what they read: added, replaced, left out; measured, and fired."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.clock import SteadyClock
from monitor.engine import Engine
from monitor.events import Channel, FeedState, Sample
from monitor.reading import TRUE
from monitor.runtime.alerting.self_rules import FILE, SELF_RULES, with_self_rules
from monitor.runtime.alerting.self_watch import SelfWatch, disk_readings, memory_limit, memory_readings
from monitor.runtime.alerting.worker import SinkStats
from monitor.runtime.load import load_text
from monitor.telemetry.views.program import TapeView
from monitor.testing.manual_clock import ManualClock

CONFIG = "rules: [rules.yaml]\nfeeds: [{venue: bybit, channels: [price]}]\n"
RULE = "groups: [{name: desk, rules: [{alert: %s, expr: '%s'}]}]\n"
NOW_NS = 1_763_683_200_000_000_000
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"


def names(
    folder: Path, extra: str = "", alert: str = "Low", expr: str = 'price{base="BTC"} by (base) < 90k'
) -> set[str]:
    (folder / "rules.yaml").write_text(RULE % (alert, expr), encoding="utf-8")
    loaded = with_self_rules(load_text(CONFIG + extra, "config.yaml", folder, {}))
    texts = dict(loaded.rule_texts)
    assert (FILE in texts) == (len(loaded.rules.alerts) > 1), "a replay loads the rules from their texts"
    return {rule.name for rule in loaded.rules.alerts}


def test_own_rules_stand_beside_the_configured_ones(tmp_path: Path) -> None:
    assert names(tmp_path) == {"Low", *SELF_RULES}


def test_they_can_be_switched_off(tmp_path: Path) -> None:
    assert names(tmp_path, "alerts: {self_rules: false}\n") == {"Low"}


def test_a_configured_rule_of_the_same_name_takes_the_place(tmp_path: Path) -> None:
    expr = 'self{what="disk_free_ratio"} < 1%'
    (tmp_path / "rules.yaml").write_text(RULE % ("MonitorDiskLow", expr), encoding="utf-8")
    loaded = with_self_rules(load_text(CONFIG, "config.yaml", tmp_path, {}))
    (mine,) = [rule for rule in loaded.rules.alerts if rule.name == "MonitorDiskLow"]
    assert (mine.group, mine.text) == ("desk", expr)


def test_a_configured_rule_on_feeds_takes_the_place_of_the_one_on_feeds(tmp_path: Path) -> None:
    found = names(tmp_path, alert="Mine", expr="last(feed_up) by (venue) == 0")
    assert found == {"Mine", *SELF_RULES} - {"MonitorFeedDown"}


@pytest.mark.parametrize("name", SELF_RULES)
def test_every_own_rule_has_a_runbook_that_tells_its_condition(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULE % ("Low", "price by (base) < 90k"), encoding="utf-8")
    rules = with_self_rules(load_text(CONFIG, "config.yaml", tmp_path, {})).rules.alerts
    (rule,) = [rule for rule in rules if rule.name == name]
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert f"`{rule.text}`" in page
    assert rule.annotations["runbook_url"] == f"docs/runbooks/{name}.md"


BAD = {
    "MonitorDiskLow": ("disk_free_ratio", "data_dir", [0.04]),
    "MonitorStateNotWritten": ("state_write_failures", "process", [1.0]),
    "MonitorMemoryHigh": ("memory_ratio", "process", [0.86]),
    "MonitorLoopLate": ("loop_lag_seconds", "process", [1.1]),
    "MonitorClockSetBack": ("clock_ahead_seconds", "process", [5.1]),
    "MonitorSaturated": ("busy_ratio", "process", [0.95]),
    "MonitorOutboxBacklog": ("outbox_depth", "telegram", [51.0]),
    "MonitorTapeIncomplete": ("tape_dropped", "tape", [1.0]),
}


@pytest.mark.parametrize("name", SELF_RULES)
def test_every_own_rule_becomes_true_when_it_should(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULE % ("Low", "price by (base) < 90k"), encoding="utf-8")
    engine = Engine(with_self_rules(load_text(CONFIG, "config.yaml", tmp_path, {})).rules)
    if name == "MonitorFeedDown":
        engine.ingest([FeedState("bybit", Channel.PRICE, up=False, ts_ns=NOW_NS)])
        engine.evaluate(NOW_NS + 1)
    else:
        what, whose, values = BAD[name]
        for step, value in enumerate(values):
            at_ns = NOW_NS + step * 1_000_000_000
            engine.ingest([Sample("self", (("name", whose), ("what", what)), value, at_ns, at_ns)])
            engine.evaluate(at_ns)
    latest = engine.latest(f"self/{name}")
    assert latest is not None
    assert latest.truth.tolist() == [TRUE]


@dataclass
class Loop:
    loop_lag_s: float = 0.25
    saturation_ratio: float = math.nan


@dataclass
class Outbox:
    stats: dict[str, SinkStats] = field(default_factory=dict)
    write_failures: int = 3


def test_what_is_measured_is_emitted_and_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    seen: list[Sample] = []
    outbox = Outbox({"mqtt": SinkStats(outcomes=Counter(dead=2), depth=7)})
    watch = SelfWatch(tmp_path, Loop(), outbox, ManualClock(NOW_NS), seen.extend)
    watch.emit([("disk_free_ratio", "data_dir", 0.5)])
    found = {(dict(sample.labels)["what"], dict(sample.labels)["name"]): sample.value for sample in seen}
    assert found[("disk_free_ratio", "data_dir")] == 0.5
    assert found[("loop_lag_seconds", "process")] == 0.25
    assert found[("state_write_failures", "process")] == 3
    assert found[("outbox_depth", "mqtt")] == 7
    assert found[("dead_letters", "mqtt")] == 2
    assert ("busy_ratio", "process") not in found, "NaN is not zero"
    seen.clear()
    watch.emit([])
    (again,) = [sample.value for sample in seen if ("what", "state_write_failures") in sample.labels]
    assert again == 0, "failures since the last look"
    watch.emit([])
    assert {(sample.series, sample.ts_ns, sample.source) for sample in seen} == {("self", NOW_NS, "monitor")}


def test_how_far_a_host_s_clock_was_set_back_is_a_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sample] = []
    wall = iter([NOW_NS])
    monkeypatch.setattr("monitor.clock.time.time_ns", lambda: next(wall, NOW_NS - 60_000_000_000))
    monkeypatch.setattr("monitor.clock.time.monotonic_ns", lambda: 0)
    SelfWatch(tmp_path, Loop(), Outbox(), SteadyClock(), seen.extend).emit([])
    (ahead,) = [sample.value for sample in seen if ("what", "clock_ahead_seconds") in sample.labels]
    assert ahead == 60


def test_disk_and_memory_are_those_of_this_machine(tmp_path: Path) -> None:
    disk = {what: value for what, _, value in disk_readings(tmp_path)}
    usage = shutil.disk_usage(tmp_path)
    assert disk["disk_free_ratio"] == pytest.approx(usage.free / usage.total, abs=0.05)
    assert disk_readings(tmp_path / "nowhere") == []
    memory = {what: value for what, _, value in memory_readings(2**40)}
    assert 2**20 < memory["memory_bytes"] < 2**40
    assert memory["memory_ratio"] == memory["memory_bytes"] / 2**40


def test_a_control_group_limits_the_memory(tmp_path: Path) -> None:
    low, none = tmp_path / "low", tmp_path / "none"
    low.write_text("1048576\n")
    none.write_text("max\n")
    assert memory_limit([low, none]) == 1048576
    assert memory_limit([none, tmp_path / "missing"]) == memory_limit([]) > 2**25


def test_what_could_not_be_recorded_since_the_last_look_is_a_reading(tmp_path: Path) -> None:
    seen: list[Sample] = []
    tape = TapeView("tape", dropped={"slow": 3, "disk": 1}, waiting_bytes=32, queue_bytes=128)
    watch = SelfWatch(tmp_path, Loop(), Outbox(), ManualClock(NOW_NS), seen.extend, tape=lambda: tape)
    watch.emit([])
    found = {dict(sample.labels)["what"]: sample.value for sample in seen}
    assert (found["tape_dropped"], found["tape_queue_ratio"]) == (4, 0.25)
    seen.clear()
    watch.emit([])
    assert {dict(s.labels)["what"]: s.value for s in seen}["tape_dropped"] == 0, "since the last look"
