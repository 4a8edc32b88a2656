"""Where every way in ends: rows are read, repeats left out, the good passed on and kept, the bad counted."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice

from monitor.events import Sample
from monitor.inlets.journal import Journal
from monitor.inlets.payloads import MAX_ROWS, RowRefused, open_payload
from monitor.inlets.rows import TOO_MANY, Reading, Refusal, Revisions, Row, in_time_order, read_rows, unreadable

KEPT_REFUSALS = 100
SMALL_BYTES = 16 * 1024
"""About 150 rows, half a millisecond; a larger payload is opened in a thread."""
ROWS_AT_ONCE = 100
"""A millisecond to read, and as much to take; then the engine has its turn."""


@dataclass(slots=True)
class Door:
    """One for all inlets of a program, so that a correction may come another way than the value.

    ``emit`` takes good samples on the event loop, ``journal`` keeps them for the next run. ``taken`` counts by way in,
    ``refused`` by way in and reason; ``recent`` holds the last refusals and where
    they were (way in, file or topic). ``unkept`` counts what the disk did not take: it
    is in the engine and will not be known after a restart.
    """

    emit: Callable[[Sequence[Sample]], None]
    journal: Journal | None = None
    revisions: Revisions = field(default_factory=Revisions)
    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    recent: deque[tuple[str, Refusal]] = field(default_factory=lambda: deque(maxlen=KEPT_REFUSALS))
    last_ns: int | None = None
    unkept: int = 0

    async def take(
        self, way: str, payload: bytes, kind: str, recv_ns: int, source: str = "inlet", *, where: str = ""
    ) -> tuple[int, list[Refusal]]:
        """Take one payload in; returns how many values were taken, and what was refused and why.

        The engine gets its turns while a large payload is read and passed on.

        Args:
            way: ``mqtt``, ``http`` or ``folder``.
            payload: As it came.
            kind: See `monitor.inlets.payloads.open_payload`.
            recv_ns: Time of receipt.
            source: Where rows name none.
            where: File or topic, for whoever looks for a refused row.
        """
        taken, refused = 0, []
        pieces = await self._read(payload, kind, recv_ns, source)
        rows = merge(*(sorted(piece.rows, key=in_time_order) for piece in pieces), key=in_time_order)
        refused += [refusal for piece in pieces for refusal in piece.refused]
        self.refuse(way, refused, where)
        while piece := tuple(islice(rows, ROWS_AT_ONCE)):
            good, old = self.revisions.accept(Reading(piece))
            self._keep(good)
            self.taken[way] += len(good)
            self.refuse(way, old, where)
            taken, refused = taken + len(good), refused + old
            if good:
                self.last_ns = recv_ns
                await self.pass_on(good)
        return taken, refused

    async def _read(self, payload: bytes, kind: str, recv_ns: int, source: str) -> list[Reading]:
        """The payload in pieces, between which the engine has its turns; more rows than are taken are none."""
        try:
            if len(payload) <= SMALL_BYTES and kind != "parquet":
                raw = open_payload(payload, kind)
            else:
                raw = await asyncio.to_thread(open_payload, payload, kind)
        except RowRefused as error:
            return [unreadable(error)]
        pieces: list[Reading] = []
        for first in range(1, MAX_ROWS + 2, ROWS_AT_ONCE):
            piece = list(islice(raw, ROWS_AT_ONCE))
            if first + len(piece) > MAX_ROWS + 1:
                return [unreadable(TOO_MANY)]
            pieces.append(read_rows(piece, recv_ns, source, first))
            if len(piece) < ROWS_AT_ONCE:
                break
            await _turn_of_others()
        return pieces

    def refuse(self, way: str, refusals: Sequence[Refusal], where: str = "") -> None:
        """Count what was not taken."""
        self.refused.update((way, refusal.reason) for refusal in refusals)
        place = f"{way} {_shown(where)}".rstrip()
        self.recent.extend((place, refusal) for refusal in refusals[-KEPT_REFUSALS:])

    def _keep(self, rows: Sequence[Row]) -> None:
        if self.journal is None:
            return
        try:
            self.journal.keep(rows)
        except OSError:
            self.unkept += len(rows)

    def recall(self, recv_ns: int) -> list[Row]:
        """Know again what former runs took; returns it, for the caller to pass on."""
        if self.journal is None:
            return []
        kept: Reading = self.journal.read(recv_ns)
        rows, _ = self.revisions.accept(Reading(kept.rows))
        return rows

    async def pass_on(self, rows: Sequence[Row]) -> None:
        """Emit rows in pieces."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self.emit([row.sample for row in rows[start : start + ROWS_AT_ONCE]])
            await _turn_of_others()


def _shown(where: str) -> str:
    """Without what a terminal would obey, or could not print."""
    return (where if where.isprintable() else repr(where)[1:-1])[:100]


async def _turn_of_others() -> None:
    await asyncio.sleep(0)  # noqa: TID251  # no time passes
