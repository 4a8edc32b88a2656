"""A backtest of a tape that a monitor wrote while it ran: the alerts that it gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor.backtest.ask import Ask, answer, only
from monitor.backtest.exact import exact
from monitor.backtest.histories import open_history
from monitor.backtest.journal import Episode
from monitor.backtest.report import Report, as_plain
from monitor.clock import ScaledClock
from tests.runtime.steps.test_rerun import SPEED, START_NS, calm, history_of, live, venues


def moments(report: Report) -> list[tuple[Any, ...]]:
    """Every moment in the order of time and rules."""
    found = [
        (moment.at_ns, episode.name, episode.fingerprint, str(moment.state), moment.value, moment.coverage)
        for episode in report.outcome.journal.episodes
        for moment in episode.moments
    ]
    return sorted(found, key=lambda row: row[:4])


def fired(report: Report) -> list[Episode]:
    return [episode for rule in report.rules for episode in rule.fired]


def overlap(one: Episode, other: Episode, end_ns: int) -> bool:
    return (one.fired_ns or 0) <= (other.end_ns or end_ns) and (other.fired_ns or 0) <= (one.end_ns or end_ns)


async def test_exact_gives_the_live_alerts_and_a_grid_the_same_ones_a_little_later(tmp_path: Path) -> None:
    clock = ScaledClock(START_NS, SPEED)
    async with venues(clock) as servers:
        loaded = await live(tmp_path, servers, clock, calm)
    history = await history_of(tmp_path)
    report = exact(only(loaded, ()), tmp_path / "tape")
    was = [
        (row["at_ns"], row["alertname"], row["fingerprint"], row["state"], row["value"], row["coverage"])
        for row in history
    ]
    assert moments(report) == sorted(was, key=lambda row: row[:4])
    lines = (tmp_path / "state" / "alerts.jsonl").read_text().splitlines()
    assert sum(message.outcome == "send" for message in report.messages) == len(lines) > 0
    assert report.missing.total == 0
    assert as_plain(report)["grid_s"] is None
    assert {key[0] for key in report.run.liveness.spans} >= {"bybit", "okx"}
    assert any(rule.watch.warm_ns is not None for rule in report.rules)

    on_grid = answer(loaded, open_history(tmp_path / "tape", loaded), Ask()).report
    assert on_grid.missing.total == 0
    for episode in fired(report):
        same = [other for other in fired(on_grid) if other.fingerprint == episode.fingerprint]
        assert any(overlap(episode, other, on_grid.stretch.end_ns) for other in same), episode
