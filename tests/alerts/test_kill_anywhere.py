"""Killed after any step and started again from what was committed: everybody is told the same, at the same times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from monitor.alert import MemoryRow, SavedAlert
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.alerts.matchers import parse_matcher
from monitor.alerts.plans import SinkPolicy
from monitor.alerts.routes import RoutingConfig
from monitor.alerts.routing import Router
from monitor.alerts.silences import Silence
from tests.alerts.build import S, evaluation, rule

ROUTES: dict[str, Any] = {
    "root": {"sinks": ["pager", "people"], "repeat_interval": "40s", "held_after": "5s"},
    "routes": [
        {"matchers": ['alertname="Grouped"'], "sinks": ["desk"], "group_by": ["alertname"], "group_wait": "7s", "group_interval": "15s"},
        {"matchers": ['alertname="Muted"'], "sinks": ["desk"], "mute_times": ["begin"]},
    ],
    "mute_times": {"begin": [{"times": [{"start_time": "00:00", "end_time": "00:17"}]}]},
    "heartbeat": {"sinks": ["pager"], "interval": "30s"},
}  # fmt: skip
SINKS = [SinkPolicy("pager"), SinkPolicy("people", per_minute=3, burst=2, digest_every_ns=20 * S), SinkPolicy("desk")]
RULES = [
    rule("Plain"),
    rule("Grouped"),
    rule("Muted"),
    rule("Patient", for_ns=6 * S, keep_firing_for_ns=5 * S),
    rule("Flapping", keep_firing_for_ns=0),
]
SETTINGS = LifecycleSettings(flap_fires=3, flap_window_ns=300 * S, flap_calm_ns=12 * S)
BEGIN, END = 960, 1080  # the seventeenth minute after midnight ends at 1020

TRUTHS: dict[str, Callable[[int], str]] = {
    "Plain": lambda t: "TTFFTFFF" if 970 <= t < 990 else "TFTFFTFT" if t < 1040 else "FFFFFFFF",
    "Grouped": lambda t: "".join("T" if 965 + 3 * row <= t < 1050 - 2 * row else "F" for row in range(8)),
    "Muted": lambda t: "T" if 1000 <= t < 1060 else "F",
    "Patient": lambda t: "?" if 1010 <= t < 1013 else "T" if 1000 <= t < 1030 else "F",
    "Flapping": lambda t: "T" if 980 <= t < 1010 and t % 6 < 2 else "F",
}


@dataclass
class Disk:
    """What was committed; exactly this is there after a kill."""

    alerts: dict[str, SavedAlert] = field(default_factory=dict)
    memory: dict[tuple[str, str], MemoryRow] = field(default_factory=dict)
    fires: dict[str, Any] = field(default_factory=dict)


class Process:
    """Life cycle and router on that disk."""

    def __init__(self, disk: Disk, at_s: int) -> None:
        self.disk = disk
        self.lifecycle = Lifecycle(RULES, SETTINGS)
        self.router = Router(RoutingConfig.model_validate(ROUTES), SINKS)
        self.lifecycle.recall(disk.fires.values())
        self.lifecycle.load(disk.alerts.values(), at_s * S)
        self.router.load(list(disk.memory.values()), self.lifecycle.alerts(), at_s * S)

    def second(self, at_s: int) -> list[tuple[Any, ...]]:
        """What is told in this second, and committed."""
        evaluations = [evaluation(at_s, truth(at_s), name=name) for name, truth in TRUTHS.items()]
        transitions = self.lifecycle.step(evaluations, at_s * S)
        people_did(self.router, at_s)
        planned = self.router.route(transitions, at_s * S)
        self.commit()
        return [
            (
                at_s,
                p.sink,
                p.notification.status,
                p.notification.key,
                tuple(a.fingerprint for a in p.notification.alerts),
            )
            for p in planned
            if p.notification is not None
        ]

    def commit(self) -> None:
        saved, gone = self.lifecycle.changes()
        rows, forgotten = self.router.changes()
        for fingerprint in gone:
            self.disk.alerts.pop(fingerprint, None)
        for key in forgotten:
            self.disk.memory.pop(key, None)
        self.disk.alerts |= {row.view.fingerprint: row for row in saved}
        self.disk.memory |= {(row.kind, row.id): row for row in rows}
        self.disk.fires |= {row.id: row for row in self.lifecycle.take_fired()}


def people_did(router: Router, at_s: int) -> None:
    if at_s == 975:
        router.silence(Silence("s1", (parse_matcher('base="C0"'),), 975 * S, 995 * S, "me"), 975 * S)
    if at_s == 1022:
        (first,) = [
            alert
            for alert in router.active_for("desk")
            if dict(alert.labels).get("base") == "C0" and alert.name == "Muted"
        ]
        assert router.acknowledge(first.fingerprint, "me", 1022 * S, 30 * S)


def told(killed_at: set[int]) -> list[tuple[Any, ...]]:
    disk = Disk()
    process = Process(disk, BEGIN)
    found = []
    for at_s in range(BEGIN, END):
        if at_s in killed_at:
            process = Process(disk, at_s)
        found += process.second(at_s)
    assert disk.alerts == {}
    assert {kind for kind, _ in disk.memory} <= {"storm", "group", "silence"}, (
        "only brakes and a silence outlive their alerts"
    )
    return found


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[Any, ...]]:
    return told(set())


def test_the_story_has_everything_in_it(undisturbed: list[tuple[Any, ...]]) -> None:
    by_sink = {
        sink: {status for _, name, status, *_ in undisturbed if name == sink} for sink in ("pager", "people", "desk")
    }
    assert {"firing", "resolved", "repeat", "heartbeat"} <= by_sink["pager"]
    assert {"firing", "digest"} <= by_sink["people"]
    assert {"firing", "resolved", "repeat"} <= by_sink["desk"]
    first_muted = min(at_s for at_s, sink, _, _, members in undisturbed if sink == "desk" and len(members) == 1)
    assert first_muted == 1020


@pytest.mark.parametrize("offset", range(0, 20, 2))
def test_killed_after_any_step_everybody_is_told_the_same(undisturbed: list[tuple[Any, ...]], offset: int) -> None:
    for killed_at in range(BEGIN + 1 + offset, END, 20):
        assert without_beats(told({killed_at})) == without_beats(undisturbed), f"killed at {killed_at}"


def test_killed_after_every_step_too(undisturbed: list[tuple[Any, ...]]) -> None:
    assert without_beats(told(set(range(BEGIN + 1, END)))) == without_beats(undisturbed)


def without_beats(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without order between alerts of one second, and without heartbeats: they come again under the key of their slot."""
    return sorted(item for item in found if item[2] != "heartbeat")


def test_what_waits_for_a_digest_and_ends_before_the_restart_is_told_there_as_ended() -> None:
    policies = [SinkPolicy("people", per_minute=1, burst=1, digest_every_ns=20 * S)]
    lifecycle, router = Lifecycle([rule("Plain")]), Router(None, policies)
    rows: dict[tuple[str, str], MemoryRow] = {}
    seen = evaluation(1000, "TT", name="Plain")
    first = router.route(lifecycle.step([seen], 1000 * S), 1000 * S)
    assert [p.outcome for p in first] == ["send"]
    rows |= {(row.kind, row.id): row for row in router.changes()[0]}
    again = Router(None, policies)
    again.load(list(rows.values()), [], 1001 * S)  # both are over, and nobody was told of the second
    planned = [p for p in again.due(1030 * S) if p.notification is not None]
    assert [p.outcome for p in planned] == ["digest"]
    assert planned[0].notification is not None
    assert {alert.state for alert in planned[0].notification.alerts} == {"resolved"}
    assert len(planned[0].notification.alerts) == 2


def test_a_group_that_other_routes_no_longer_make_leaves_nothing_behind() -> None:
    disk = Disk()
    process = Process(disk, BEGIN)
    for at_s in range(BEGIN, 973):
        process.second(at_s)
    assert any(kind == "group" for kind, _ in disk.memory)
    plain = Router(None, [replace(SINKS[0])])
    plain.load(list(disk.memory.values()), process.lifecycle.alerts(), 973 * S)
    gone = plain.changes()[1]
    assert {kind for kind, _ in gone} >= {"group", "waits"}
