"""What a source of history is: it hands the past over in time order, step by step, and says what it does not have.

A source is asked once, for a stretch and a grid. Each step carries what was received in (previous grid instant,
``now_ns``], so that a verdict at ``now_ns`` knows what the running monitor would have known then, and no more. Market
data comes as events, or as columns that put themselves into an engine in bulk; liveness (`FeedState`, `FeedGap`) always
comes as events, since the report draws it. To add a source: a file in ``histories/`` and a line in
``histories/__init__.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.engine import Engine, IngestReport
from monitor.events import Event


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, [start_ns, end_ns) in unix nanoseconds."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


class Columns(Protocol):
    """Market data of one step, ready for bulk intake."""

    @property
    def rows(self) -> int:
        """How many events it stands for."""
        ...

    def feed(self, engine: Engine) -> IngestReport:
        """Put all of it into an engine, to the same effect as `Engine.ingest` of the events.

        It may be called for several engines (a comparison of rules runs two side by side).
        """
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What was received up to a grid instant and after the one before.

    Attributes:
        now_ns: The grid instant, a multiple of the grid; every step's is later than that of the step before.
        events: In the order of receipt.
        columns: Further market data of the same moment; taken in after ``events``.
    """

    now_ns: int
    events: Sequence[Event] = ()
    columns: Columns | None = None


@dataclass(slots=True)
class Missing:
    """What a history does not have, so that nothing is left out in silence.

    Attributes:
        losses: What cannot be read, each with its place in words.
        dropped: Frames that were never recorded, by reason.
        skipped: Records that could not be used, by reason.
        undecoded: Frames that could not be read, by reason.
        steps_back: Times at which the receive time ran backwards.
    """

    losses: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    undecoded: Counter[str] = field(default_factory=Counter)
    steps_back: int = 0

    @property
    def total(self) -> int:
        """How many things are missing, each loss, frame and record counting one; zero: nothing that it knows of."""
        return len(self.losses) + self.dropped.total() + self.skipped.total() + self.undecoded.total()


class History(Protocol):
    """One source of history, opened for one backtest."""

    @property
    def kind(self) -> str:
        """Name of the source, for the report: ``tape``, ``parquet``."""
        ...

    @property
    def stretch(self) -> Stretch:
        """The time that it covers, known without reading all of it."""
        ...

    @property
    def note(self) -> str:
        """What its maker says of it ("synthetic ..."), or ""."""
        ...

    def steps(self, stretch: Stretch, grid_ns: int) -> Iterator[Step]:
        """Everything received in the stretch, steps without data left out.

        What was still true at its start (liveness of feeds, instruments) comes first.
        """
        ...

    def missing(self) -> Missing:
        """What was missing from the steps given so far; complete once they have all been taken."""
        ...
