"""Keeps the recorded past of every rule: one reading of each a minute, on disk every few minutes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from monitor.alerts.ranks import Ranks
from monitor.clock import NS_PER_S, Clock
from monitor.engine import Engine
from monitor.errors import StateError
from monitor.runtime.files import write_atomically

ROUND_S, SAVE_S = 60.0, 300.0
ROW = "\t"
"""Between rule and row in the key of a note about one row."""


class RankKeeper:
    """Takes one rule after the other, so that no moment has the work of all of them."""

    def __init__(self, engine: Engine, path: Path, clock: Clock) -> None:
        self.ranks = Ranks()
        self._engine = engine
        self._path = path
        self._clock = clock
        self._log = structlog.get_logger("monitor.ranks")

    def restore(self) -> None:
        """Go on with the past of former runs; a file that cannot be read is set aside."""
        if not self._path.exists():
            return
        try:
            self.ranks.load(self._path.read_bytes())
        except (StateError, OSError) as error:
            aside = self._path.with_suffix(f".corrupt-{self._clock.wall_ns()}")
            self._path.rename(aside)
            self._log.error("ranks.set_aside", error=str(error), moved_to=str(aside))

    async def run(self) -> None:
        """Look at the rules in turn, for ever."""
        saved_ns, turn = self._clock.mono_ns(), 0
        while True:
            rules = self._engine.ruleset.alerts
            await self._clock.sleep_until(self._clock.mono_ns() + int(ROUND_S / max(1, len(rules)) * NS_PER_S))
            if rules and rules is self._engine.ruleset.alerts:
                self.look(rules[turn % len(rules)].id)
                turn += 1
            if self._clock.mono_ns() >= saved_ns + int(SAVE_S * NS_PER_S):
                await self.save()
                saved_ns = self._clock.mono_ns()

    def look(self, rule_id: str) -> None:
        """Count the present reading of a rule."""
        evaluation = self._engine.latest(rule_id)
        if evaluation is not None:
            self.ranks.observe(evaluation)

    async def save(self) -> None:
        """Write it down; a full disk is logged and tried again next time."""
        data = self.ranks.dump()
        try:
            await asyncio.to_thread(write_atomically, self._path, data)
        except OSError as error:
            self._log.error("ranks.not_written", error=str(error))

    def notes(self, key: str) -> tuple[str, ...]:
        """Where the present value of a row stands; `key` is rule and row with `ROW` between them, else nothing is said."""
        rule_id, sign, row = key.partition(ROW)
        evaluation = self._engine.latest(rule_id) if sign else None
        if evaluation is None:
            return ()
        words = self.ranks.words(rule_id, evaluation.labels[int(row)], float(evaluation.value[int(row)]))
        return (words,) if words else ()
