"""The alert desk by itself: evaluations in, one change per step out, and what people do to alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.alert import AlertState, AlertView
from monitor.engine import Engine
from monitor.events import Channel, FeedState, Liquidation, PositionSide
from monitor.instruments import Instrument
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.alerting.change import Change
from monitor.runtime.load import Loaded, load_text
from monitor.sink import Command
from monitor.sinks import sink_options
from monitor.telemetry.views.alerting import LabelMatcher, Silence
from monitor.testing.manual_clock import ManualClock

S = 1_000_000_000
T0 = 1_763_700_000 * S
BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
CONFIG = """
rules: [rules.yaml]
feeds: [{venue: bybit, channels: [liquidations]}]
sinks: [{type: console}]
"""
RULES = """
groups:
  - name: desk
    rules:
      - {alert: Wiped, expr: 'sum(liquidations[1m]) by (base) > %s', labels: {severity: critical}}
      - {alert: Kept, expr: 'sum(liquidations{side="short"}[1m]) by (base) > 5M', keep_firing_for: 10m}
"""


@dataclass
class Outbox:
    """Keeps what the desk decided."""

    changes: list[Change] = field(default_factory=list)

    def submit(self, change: Change) -> None:
        self.changes.append(change)

    def told(self) -> list[tuple[str, str]]:
        """Sink and status of every notification so far."""
        return [
            (outgoing.sink, str(outgoing.notification.status))
            for change in self.changes
            for outgoing in change.outgoing
        ]


class Rig:
    """A desk over a real engine, a moved clock, and an outbox that only remembers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(T0)
        self.outbox = Outbox()
        self.loaded = self.load("1M")
        self.engine = Engine(self.loaded.rules, expected={Channel.LIQUIDATIONS: ["bybit"]})
        self.engine.evaluate(T0 - 120 * S)
        self.engine.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 - 120 * S)])
        self.desk = AlertDesk(
            self.loaded,
            routing=self.loaded.routing,
            sinks=[sink_options({"type": "console"})],
            engine=self.engine,
            store=None,
            delivery=self.outbox,
            clock=self.clock,
            notes=lambda key: (f"bear in mind {key}",),
        )

    def load(self, threshold: str) -> Loaded:
        (self.folder / "rules.yaml").write_text(RULES % threshold, encoding="utf-8")
        return load_text(CONFIG, "config.yaml", self.folder, {})

    async def at(self, second: float, usd: int = 0, side: PositionSide = "long") -> None:
        """Move to a second, let a liquidation happen, and take a step."""
        await self.clock.advance(second - (self.clock.wall_ns() - T0) / S)
        now_ns = self.clock.wall_ns()
        if usd:
            self.engine.ingest([Liquidation(BTC, side, usd * 1_000_000, 1.0, now_ns, now_ns, f"{second}")])
        self.desk.step(self.engine.evaluate(now_ns, changed_only=True), now_ns)
        self.desk.tick(now_ns)

    def named(self, name: str) -> AlertView:
        """The one alert of a rule."""
        (alert,) = [alert for alert in self.desk.lifecycle.alerts() if alert.name == name]
        return alert

    @property
    def fingerprint(self) -> str:
        (alert,) = self.desk.lifecycle.alerts()
        return alert.fingerprint


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    await made.at(0)
    return made


async def test_a_firing_and_its_notification_are_one_change(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    (change,) = [change for change in rig.outbox.changes if change.transitions]
    assert [item.state for item in change.transitions] == [AlertState.FIRING]
    assert [outgoing.sink for outgoing in change.outgoing] == ["console"]
    assert [saved.view.fingerprint for saved in change.saved] == [rig.fingerprint]


async def test_an_explanation_carries_the_notes_of_its_rule(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    (change,) = [change for change in rig.outbox.changes if change.transitions]
    explanation = change.transitions[0].alert.explanation
    assert explanation is not None
    assert explanation.notes == ("bear in mind desk/Wiped\t0", "bear in mind desk/Wiped"), (
        "of the row, then of the rule"
    )
    assert [part.value for part in explanation.contributors] == [2_000_000.0]


async def test_it_resolves_when_the_window_empties_and_stays_visible(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    await rig.at(62)
    assert [status for _, status in rig.outbox.told()] == ["firing", "resolved"]
    assert [alert.state for alert in rig.desk.alerts()] == [AlertState.RESOLVED]
    assert [change.gone for change in rig.outbox.changes if change.gone]


async def test_nothing_new_is_no_change(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    before = len(rig.outbox.changes)
    for second in range(2, 10):
        await rig.at(second)
    assert not any(change.transitions or change.outgoing for change in rig.outbox.changes[before:])


async def test_a_silence_keeps_quiet_and_its_end_tells(rig: Rig) -> None:
    now_ns = rig.clock.wall_ns()
    wish = Silence((LabelMatcher("alertname", "Wiped"),), now_ns, now_ns + 3600 * S, "ann", "known")
    identity = rig.desk.silence(wish)
    await rig.at(1, 2_000_000)
    assert rig.outbox.told() == []
    assert rig.desk.silenced_by(rig.desk.alerts()[0]) == [identity]
    reasons = [row.reason for change in rig.outbox.changes for row in change.delivered]
    assert any("silence" in reason for reason in reasons), "the history says why nothing was sent"
    assert rig.desk.expire_silence(identity)
    assert [status for _, status in rig.outbox.told()] == ["firing"]
    assert not rig.desk.expire_silence("no such")


async def test_an_acknowledgement_that_has_expired_is_shown_to_nobody(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    assert rig.desk.acknowledge(rig.fingerprint, "ann", "on it", 60 * S)
    await rig.clock.advance(59)
    assert [ack.by for ack in rig.desk.acknowledgements()] == ["ann"]
    await rig.clock.advance(1)
    assert rig.desk.acknowledgements() == []


async def test_an_acknowledgement_is_kept_and_taken_back(rig: Rig) -> None:
    assert not rig.desk.acknowledge("unknown", "ann", "")
    await rig.at(1, 2_000_000)
    assert rig.desk.acknowledge(rig.fingerprint, "ann", "on it")
    assert [(ack.by, ack.comment) for ack in rig.desk.acknowledgements()] == [("ann", "on it")]
    assert [row.kind for change in rig.outbox.changes for row in change.memory].count("ack") == 1
    assert rig.desk.withdraw(rig.fingerprint)
    assert rig.desk.acknowledgements() == []


async def test_commands_from_a_sink_are_carried_out_or_answered(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    command = Command("ack", "telegram:ann", fingerprint=rig.fingerprint)
    assert await rig.desk.handle_command(command) == "acknowledged"
    assert await rig.desk.handle_command(Command("ack", "ann", fingerprint="x")) == "no such alert is active"
    assert await rig.desk.handle_command(Command("unack", "ann", fingerprint=rig.fingerprint)) == "withdrawn"
    answer = await rig.desk.handle_command(Command("silence", "ann", matchers=("base=~(",)))
    assert answer, "a bad matcher is answered, not raised"
    for seconds in (0.0, -5.0, 1e12, float("nan"), float("inf")):
        silence = Command("silence", "ann", matchers=("base=BTC",), duration_s=seconds)
        assert "at most a year" in await rig.desk.handle_command(silence)
    assert rig.desk.silences() == []


async def test_what_fired_long_ago_leaves_the_state_file_too(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    await rig.at(120)
    (kept,) = [row for change in rig.outbox.changes for row in change.memory if row.kind == "fires"]
    await rig.at(3 * 3600)
    forgotten = [key for change in rig.outbox.changes for key in change.forgotten]
    assert ("fires", kept.id) in forgotten


async def test_other_rules_take_over_and_alerts_of_rules_that_stay_go_on(rig: Rig) -> None:
    await rig.at(1, 2_000_000)
    fingerprint = rig.fingerprint
    loaded = rig.load("1.5M")
    rig.engine.replace_rules(loaded.rules)
    rig.desk.replace(loaded, loaded.routing, rig.clock.wall_ns())
    await rig.at(2)
    assert rig.fingerprint == fingerprint
    assert [status for _, status in rig.outbox.told()] == ["firing"], "it is not told again"


async def test_an_alert_that_is_kept_firing_shows_the_reading_of_now(rig: Rig) -> None:
    """Its rule is true nowhere any more; the engine must go on telling what it reads."""
    await rig.at(1, 6_000_000, "short")
    await rig.at(30, 2_000_000, "short")
    await rig.at(62)
    alert = rig.named("Kept")
    assert (alert.state, alert.value, alert.peak) == (AlertState.FIRING, 2_000_000.0, 8_000_000.0)
    await rig.at(70, 1_000_000, "short")
    alert = rig.named("Kept")
    assert alert.value == 3_000_000.0
