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
    """Market data of one grid instant or several, one after the other, ready for bulk intake.

    It may be put into several engines (a comparison of rules runs two side by side).
    """

    @property
    def instants(self) -> Sequence[int]:
        """The grid instants, ascending; not all of the grid's: there are only those at which something was received."""
        ...

    @property
    def rows(self) -> int:
        """How many events it stands for."""
        ...

    def only(self, number: int) -> Columns:
        """One instant's part."""
        ...

    def feed(self, engine: Engine, number: int) -> IngestReport:
        """Put one instant's data into an engine, to the same effect as `Engine.ingest` of the events."""
        ...

    def leap(self, engine: Engine, number: int, until_ns: int) -> tuple[int, IngestReport | None]:
        """From instant `number` on put in at once what certainly makes no rule say anything: see `Engine.leap`.

        Returns:
            The first instant that was not reached, and what became of the events of those before it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What was received up to a grid instant and after the one before; with `columns` of several instants, up to each.

    Attributes:
        now_ns: The grid instant, a multiple of the grid, and the first of those of the columns; every step's is later than
            the last instant of the step before.
        events: In the order of receipt.
        columns: Further market data of the same moment (and of later ones); taken in after ``events``.
    """

    now_ns: int
    events: Sequence[Event] = ()
    columns: Columns | None = None

    @property
    def last_ns(self) -> int:
        """Its last instant."""
        return self.columns.instants[-1] if self.columns is not None else self.now_ns

    def singly(self) -> Iterator[Step]:
        """A step for each instant."""
        if self.columns is None or len(self.columns.instants) == 1:
            yield self
            return
        for number, now_ns in enumerate(self.columns.instants):
            yield Step(now_ns, () if number else self.events, self.columns.only(number))


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
