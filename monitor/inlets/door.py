"""Where every way in ends: rows are read, repeats left out, the good passed on, the bad counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.events import Sample
from monitor.inlets.rows import Refusal, Revisions, read_payload

KEPT_REFUSALS = 100


@dataclass(slots=True)
class Door:
    """One for all inlets of a program, so that a correction may come another way than the value.

    ``emit`` takes good samples on the event loop. ``taken`` counts by way in, ``refused`` by way in and reason;
    ``recent`` holds the last refusals.
    """

    emit: Callable[[Sequence[Sample]], None]
    revisions: Revisions = field(default_factory=Revisions)
    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    recent: list[tuple[str, Refusal]] = field(default_factory=list)
    last_ns: int | None = None

    def take(
        self, way: str, payload: bytes, kind: str, recv_ns: int, source: str = "inlet"
    ) -> tuple[int, list[Refusal]]:
        """Take one payload in; returns how many values were taken, and what was refused and why.

        Args:
            way: ``mqtt``, ``http`` or ``folder``.
            payload: As it came.
            kind: See `monitor.inlets.rows.read_payload`.
            recv_ns: Time of receipt.
            source: Where rows name none.
        """
        samples, refused = self.revisions.accept(read_payload(payload, kind, recv_ns, source))
        self.taken[way] += len(samples)
        self.refused.update((way, refusal.reason) for refusal in refused)
        self.recent = [*self.recent, *((way, refusal) for refusal in refused)][-KEPT_REFUSALS:]
        if samples:
            self.last_ns = recv_ns
            self.emit(samples)
        return len(samples), refused
