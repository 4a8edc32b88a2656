"""A market so small that every answer can be worked out by hand, as events and as a tape on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.backtest.histories.tape import gather
from monitor.backtest.history import Missing, Step, Stretch
from monitor.clock import NS_PER_S
from monitor.events import Channel, Event, FeedState, Liquidation, PositionSide, Price
from monitor.instruments import Instrument
from monitor.runtime.load import Loaded, load_text
from monitor.tape.course import HEARD, TURN, write_events, write_turn
from monitor.tape.format import Row
from monitor.tape.writer import TapeWriter

START_NS = 1_763_701_200 * NS_PER_S  # 2025-11-21T05:00:00Z
BTC = Instrument(venue="okx", symbol="BTC-USDT-SWAP", base="BTC", quote="USDT", settle="USDT", kind="perp")
ETH = Instrument(venue="okx", symbol="ETH-USDT-SWAP", base="ETH", quote="USDT", settle="USDT", kind="perp")
CHANNELS = (Channel.PRICE, Channel.LIQUIDATIONS)
RULES = """
groups:
  - name: tiny
    rules:
      - alert: MinuteOver100k
        expr: sum(liquidations[1m]) > 100k
        for: 10s
        labels: {severity: critical}
        annotations: {summary: "{{ value | usd }} in a minute"}
      - alert: Coin
        params: {limit: 50k}
        expr: sum(liquidations[1m]) by (base) > $limit
        labels: {severity: warning}
      - alert: NeverTrue
        expr: sum(liquidations[1m]) > 1B
"""
CONFIG = """
rules: [rules.yaml]
feeds:
  - {venue: okx, channels: [price, liquidations], symbols: "*"}
engine: {interval: 1s}
sinks:
  - {type: console, name: screen}
  - {type: file, path: alerts.jsonl, min_severity: critical}
"""


def at(seconds: float) -> int:
    """So many seconds after the start."""
    return START_NS + round(seconds * NS_PER_S)


def liquidation(seconds: float, usd: int, item: Instrument = BTC, side: PositionSide = "long") -> Liquidation:
    return Liquidation(item, side, usd * 1_000_000, 80_000.0, at(seconds), at(seconds))


def price(seconds: float, value: float, item: Instrument = BTC) -> Price:
    return Price(item, "mark", value, at(seconds), at(seconds))


def feeds(seconds: float, *, up: bool) -> list[Event]:
    return [FeedState("okx", channel, up=up, ts_ns=at(seconds), reason="test") for channel in CHANNELS]


Script = list[tuple[float, list[Event]]]


def cascade() -> Script:
    """BTC: 60k at 70 s and again at 80 s; ETH: 20k at 80 s. So 140k stand in the minute from 80 s to 130 s."""
    prices: Script = [(second, [price(second, 80_000.0 - second)]) for second in range(1, 240, 10)]
    return [
        (0, feeds(-3600, up=True)),
        *prices,
        (70, [liquidation(70, 60_000)]),
        (80, [liquidation(80, 60_000), liquidation(80, 20_000, ETH)]),
    ]


def loaded(folder: Path, rules: str = RULES, config: str = CONFIG) -> Loaded:
    (folder / "rules.yaml").write_text(rules)
    (folder / "config.yaml").write_text(config)
    return load_text(config, str(folder / "config.yaml"), folder, {})


@dataclass
class TinyHistory:
    """A history in memory."""

    script: Script
    end_s: float = 240
    kind: str = "tiny"
    note: str = ""
    lost: Missing = field(default_factory=Missing)

    @property
    def stretch(self) -> Stretch:
        return Stretch(START_NS, at(self.end_s))

    def steps(self, stretch: Stretch, grid_ns: int) -> Iterator[Step]:
        items = [(at(second), events) for second, events in sorted(self.script, key=lambda item: item[0])]
        before = [event for at_ns, events in items for event in events if at_ns < stretch.start_ns]
        inside = [item for item in items if stretch.start_ns <= item[0] < stretch.end_ns]
        states: list[Event] = [event for event in before if isinstance(event, FeedState)]
        return gather([(stretch.start_ns, states), *inside], grid_ns, stretch.start_ns)

    def missing(self) -> Missing:
        return self.lost


def write_tape(folder: Path, script: Script, note: str = "", end_s: float = 240, *, turns: bool = False) -> Path:
    """The same on the disk; nothing happens at its end but that it is there. With `turns` as a running monitor writes it."""
    writer = TapeWriter(folder, program="test", note=note)
    rows: list[Row] = []
    for second, events in [*sorted(script, key=lambda item: item[0]), (end_s, [])]:
        rows.append((at(second), HEARD, "events", write_events(events), False))
        if turns:
            rows.append((at(second), TURN, "turn", write_turn(len(events)), False))
    writer.write(rows, rows[-1][0])
    writer.close()
    return folder
