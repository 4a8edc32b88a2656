"""What the desk keeps beside alerts, and what it adds to an explanation."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.alert import AlertState, MemoryRow
from monitor.alerts.flapping import Fires
from monitor.engine import Engine
from monitor.events import Price
from monitor.instruments import Instrument
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.alerting.change import Change
from monitor.runtime.alerting.rank_keeper import ROW
from monitor.runtime.load import load_text
from monitor.testing.manual_clock import ManualClock

BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
RULES = """
groups:
  - name: g
    rules:
      - {alert: Slow, expr: 'price{base="BTC"} by (base) < 90k', for: 8h}
      - {alert: Fast, expr: 'price{base="BTC"} by (base) < 80k'}
"""
S = 1_000_000_000


class Outbox:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def submit(self, change: Change) -> None:
        self.changes.append(change)

    def memory(self, kind: str) -> list[MemoryRow]:
        return [row for change in self.changes for row in change.memory if row.kind == kind]


class Rig:
    """A desk over a real engine, and a clock to move."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
        text = "rules: [rules.yaml]\nfeeds: [{venue: bybit, channels: [price]}]\n" + extra
        loaded = load_text(text, "config.yaml", folder, {})
        self.clock, self.outbox = ManualClock(), Outbox()
        self.engine = Engine(loaded.rules)
        self.desk = AlertDesk(
            loaded,
            routing=loaded.routing,
            sinks=(),
            engine=self.engine,
            store=None,
            delivery=self.outbox,
            clock=self.clock,
            notes=lambda key: (f"about {key}",),
        )
        self.now_ns = self.clock.wall_ns()

    def quote(self, value: float, after_s: float = 1.0) -> None:
        self.now_ns += round(after_s * S)
        self.engine.ingest([Price(BTC, "mark", value, self.now_ns, self.now_ns)])
        self.desk.step(self.engine.evaluate(self.now_ns), self.now_ns)
        self.desk.tick(self.now_ns)


def test_how_far_we_have_seen_is_written_while_a_for_runs_and_not_else(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for _ in range(10):
        rig.quote(95_000.0)
    assert rig.outbox.memory("seen") == []
    for _ in range(20):
        rig.quote(85_000.0, 0.5)
    seen = [int(row.payload) for row in rig.outbox.memory("seen")]
    assert 4 <= len(seen) <= 6
    assert rig.now_ns - seen[-1] <= 2 * S
    assert {row.id for row in rig.outbox.memory("seen")} == {"engine"}


def test_what_was_written_is_taken_up_by_the_next_run(tmp_path: Path) -> None:
    before = Rig(tmp_path)
    before.quote(85_000.0)
    for _ in range(30):
        before.quote(85_000.0, 600.0)
    before.quote(70_000.0)
    rows = [before.outbox.memory("seen")[-1], *before.outbox.memory("fires")]
    fires = msgspec.json.decode(rows[1].payload, type=Fires)
    assert (fires.rule, fires.at_ns) == ("g/Fast", (before.now_ns,))
    after = Rig(tmp_path)
    after.desk.remember([row for change in before.outbox.changes for row in change.saved][:1], rows, before.now_ns)
    after.now_ns = before.now_ns
    after.quote(70_000.0, 3.0)
    slow = next(view for view in after.desk.lifecycle.alerts() if view.name == "Slow")
    assert slow.state is AlertState.PENDING
    for _ in range(18):
        after.quote(85_000.0, 600.0)
    slow = next(view for view in after.desk.lifecycle.alerts() if view.name == "Slow")
    assert slow.state is AlertState.FIRING, "eight hours are over, of which three seconds were not seen"


def test_an_explanation_has_notes_on_rule_and_row_and_leads_to_the_page(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.quote(85_000.0)
    found = rig.desk.explain("g/Slow", 0)
    assert found.notes == (f"about g/Slow{ROW}0", "about g/Slow")
    assert found.links == (("page", "http://127.0.0.1:9108/#why=g/Slow"),)
    public = Rig(tmp_path, "api: {external_url: 'https://risk.example.com/'}\n")
    public.quote(85_000.0)
    assert public.desk.explain("g/Slow", 0).links == (("page", "https://risk.example.com/#why=g/Slow"),)
    hidden = Rig(tmp_path, "listen: 0.0.0.0:9108\n")
    hidden.quote(85_000.0)
    assert hidden.desk.explain("g/Slow", 0).links == ()
