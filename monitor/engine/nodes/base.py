"""What a compiled expression is: a node that keeps one row per label set and knows whether it has changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor.engine.cover.coverage import Ledger
from monitor.engine.memory import Memory, Side, by_row, next_side
from monitor.engine.rows.catalog import Index
from monitor.events import Labels
from monitor.window import Floats, Ints

Bools = npt.NDArray[np.bool_]
Truths = npt.NDArray[np.int8]
Coverage = float | Floats
NAN = float("nan")
FAR_NS = 1 << 62
ROUNDING = 1e-9
"""What arithmetic in floats may lose, of a value; far more than it does."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One evaluation: its number and its instant.

    ``refilled``: nothing happened in the market, only history arrived; what a node remembers of the evaluation before
    is to be replaced without a crossing or an onset.
    """

    serial: int
    now_ns: int
    refilled: bool = False


class Growing(Protocol):
    """A whole number that only grows: of dollars that came in, of rows, of how far prices have moved."""

    @property
    def value(self) -> int:
        """How far it has grown."""
        ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """Until when nothing that matters can happen.

    Attributes:
        until_ns: An instant.
        marks: Meters, and how far each may grow. New label sets are a meter, too.
    """

    until_ns: float
    marks: tuple[tuple[Growing, int], ...]

    def rings(self, now_ns: int) -> bool:
        """Whether it is time to look."""
        if now_ns >= self.until_ns:
            return True
        for meter, mark in self.marks:  # noqa: SIM110 - called for every batch; any() costs twice as much
            if meter.value > mark:
                return True
        return False


def joint(alarms: Iterable[Alarm | None]) -> Alarm | None:
    """An alarm that rings when any of several does; None where one of them has to be looked at each time."""
    found = list(alarms)
    if any(alarm is None for alarm in found):
        return None
    until_ns, marks = float(FAR_NS), dict[int, tuple[Growing, int]]()
    for alarm in found:
        assert alarm is not None
        until_ns = min(until_ns, alarm.until_ns)
        for pair in alarm.marks:
            held = marks.get(id(pair[0]))
            if held is None or pair[1] < held[1]:
                marks[id(pair[0])] = pair
    return Alarm(until_ns, tuple(marks.values()))


class Holding(Protocol):
    """Rows in memory: a log, or the samples of an expression."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        ...


class Node(ABC):
    """A compiled sub-expression.

    Rows are only ever appended to `index`. `version` rises when any output changed. `default` is the value of a label
    set that has no row: 0 for sums and counts of events (nothing happened), NaN else. `monotone` says how more data
    could move the value: +1 only up, -1 only down, 0 either way, None not at all (a constant).
    """

    index: Index
    label_names: tuple[str, ...] = ()
    values: Floats
    coverage: Coverage = 1.0
    default: float = NAN
    monotone: int | None = 0
    remembered: Memory | None = None
    """What a node of the same expression knew before a restart, until it has been taken up."""
    absent: Bools | None = None
    """Rows that do not exist now though others do (not among the top k): a comparison with them is false."""
    pure = False
    """Whether the output follows from the children's outputs alone: no clock, no log, no memory."""

    def __init__(self, children: Sequence[Node] = ()) -> None:
        self.children = tuple(children)
        self.version = 0
        self.values = np.empty(0)
        self._seen: list[int] = [-1] * len(self.children)
        self._serial = -1
        self._whole = (-1, -1, False)

    def pull(self, tick: Tick) -> int:
        """Bring the node up to date (once a tick) and return its version."""
        if self._serial != tick.serial:
            self._serial = tick.serial
            if self.refresh(tick):
                self.version += 1
        return self.version

    @abstractmethod
    def refresh(self, tick: Tick) -> bool:
        """Work out anew what may have changed; True when anything did."""

    def pull_children(self, tick: Tick) -> bool:
        """Bring the children up to date; True when any of them changed since this node last looked."""
        versions = [child.pull(tick) for child in self.children]
        changed = versions != self._seen
        self._seen = versions
        return changed

    def whole(self) -> bool:
        """Whether no row is missing; worked out once per version."""
        if self._whole[0] != self.version or self._whole[1] != len(self.values):
            self._whole = (self.version, len(self.values), not np.isnan(self.values).any())
        return self._whole[2]

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """Until when every row surely stays strictly between its `low` and `high` (or on them, where they are equal).

        Rows and coverage stay what they are, too, as long as the ledger of coverage does. None: nobody can tell.
        """
        del low, high
        return None

    def still(self) -> Alarm | None:
        """Until when the output surely stays the very same, as long as the ledger of coverage does. None: nobody can tell."""
        return joint(child.still() for child in self.children) if self.pure else None

    def framed(self) -> Alarm | None:
        """Until when the rows, their coverage, and which of them are missing surely stay what they are."""
        size = len(self.values)
        return self.alarm(np.full(size, -np.inf), np.full(size, np.inf)) or self.still()

    def next_edge_ns(self) -> int:
        """When the node's output may next change without a new event."""
        return min((child.next_edge_ns() for child in self.children), default=FAR_NS)

    def reason(self, row: int, now_ns: int) -> str:
        """Why a row has no value."""
        labels = self.index.labels[row] if row < len(self.index) else ()
        for child in self.children:
            words = child.reason(row_of(child, labels), now_ns)
            if words:
                return words
        return ""

    def snapshot(self, before: Any = None) -> Any:
        """What `against` later needs in order to compare like with like; rows without a value keep `before`'s."""
        if before is None:
            return self.values
        return np.where(np.isnan(self.values), padded(before, len(self.values), self.default), self.values)

    def kept(self, before: Any) -> Any:
        """What a crossing compares with next: a snapshot in which members that are missing now keep their last value."""
        return self.snapshot(before)

    def since_kept(self, then: Any) -> tuple[Floats, Floats]:
        """As `against`, of what was `kept`: members that come back after a pause are compared with their last value."""
        return self.against(then)

    def against(self, then: Any) -> tuple[Floats, Floats]:
        """(values then, values now) per row, both of the members present at both instants.

        A row that is new since had the default then: of a total that is 0, because nothing had happened.
        """
        return padded(then, len(self.index), self.default), self.values

    def steady(self, then: Any) -> bool:
        """Whether the very members are present that are in a snapshot; False where that is not easily told."""
        del then
        return False

    def holdings(self) -> Sequence[Holding]:
        """The logs and samples that this node reads by itself."""
        return ()

    def packed(self, snapshot: Any) -> list[Side]:
        """A snapshot in a form that can be kept over a restart."""
        return [by_row(self.index, snapshot)]

    def unpacked(self, sides: Iterator[Side]) -> Any:
        """The snapshot again; to be called when all rows are there."""
        return next_side(sides, self.index, self.default)

    def latched(self, now_ns: int) -> Bools:
        """Rows of which something is remembered that may still count."""
        del now_ns
        return never(len(self.index))

    def memory(self) -> Memory | None:
        """What must survive a restart; None for a node that remembers nothing."""
        return None

    def recall(self, memory: Memory) -> None:
        """Go on from what was remembered; it is taken up at the next refresh, when the rows are there."""
        self.remembered = memory

    def between(self, then: Any, now: Any) -> tuple[Floats, Floats]:
        """As `against`, of two snapshots."""
        return padded(then, len(self.index)), padded(now, len(self.index))


class ConstantNode(Node):
    """A literal."""

    monotone = None

    def __init__(self, value: float) -> None:
        super().__init__()
        self.index = Index()
        self.index.add(())
        self.values = np.array([value])
        self.default = value

    def refresh(self, tick: Tick) -> bool:
        """Nothing ever changes."""
        del tick
        return self.version == 0

    def still(self) -> Alarm:
        """For ever."""
        return Alarm(FAR_NS, ())


class ConditionNode(Node):
    """A node whose output is three-valued truth; `values` and `threshold` are those of the deciding comparison."""

    truth: Truths
    threshold: Floats
    sound: Bools
    """Rows that are true whatever data is missing."""
    default_truth: int = -1

    def stands(self) -> Alarm | None:
        """Until when truth and coverage of every row surely stay what they are, whatever becomes of the values."""
        return self.still()

    def shown(self, low: Floats, high: Floats) -> Iterator[tuple[Node, Floats, Floats]]:
        """Readings whose values are the condition's, with bounds of its rows as those of theirs. Depends on truth alone."""
        del low, high
        yield from ()

    def __init__(self, children: Sequence[Node] = ()) -> None:
        super().__init__(children)
        self.truth = np.empty(0, np.int8)
        self.threshold = np.empty(0)
        self.sound = np.empty(0, np.bool_)


def padded(values: Floats, size: int, fill: float = NAN) -> Floats:
    """`values` with NaN (or `fill`) for rows that were appended since."""
    if len(values) == size:
        return values
    return np.concatenate((values, np.full(size - len(values), fill)))


def eased(values: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds drawn in by what rounding may lose; no room at all for a row that does not lie well between its own.

    A row without a value has no bounds: it stays missing.
    """
    slack = ROUNDING * np.abs(values)
    low, high = low + slack, high - slack
    tight = ~((low < values) & (values < high))
    missing = np.isnan(values)
    low = np.where(missing, -np.inf, np.where(tight, values, low))
    return low, np.where(missing, np.inf, np.where(tight, values, high))


@lru_cache(maxsize=1024)
def constant(value: float, size: int) -> Floats:
    """`size` times the same value; shared and read-only."""
    out = np.full(size, value)
    out.flags.writeable = False
    return out


@lru_cache(maxsize=1024)
def never(size: int) -> Bools:
    """`size` times False; shared and read-only."""
    out = np.zeros(size, np.bool_)
    out.flags.writeable = False
    return out


def covers(node: Node) -> Floats:
    """Coverage as one number per row."""
    if isinstance(node.coverage, float):
        return constant(node.coverage, len(node.index))
    return node.coverage


def row_of(node: Node, labels: Labels) -> int:
    """The row of `node` that goes with a label set: equal, or the one that agrees on the node's labels; -1 if none."""
    found = node.index.ids.get(labels)
    if found is not None:
        return found
    names = set(node.label_names)
    return node.index.ids.get(tuple(pair for pair in labels if pair[0] in names), -1)


@dataclass(slots=True)
class Sources:
    """What leaf nodes read besides their own state."""

    ledger: Ledger
    started_ns: int = 0


def take(values: npt.NDArray[Any], rows: Ints, default: Any) -> npt.NDArray[Any]:
    """``values[rows]`` with `default` where the row is -1."""
    if not len(values):
        return np.full(len(rows), default, values.dtype)
    out = values[rows]
    if len(rows) and rows.min() < 0:
        out = np.where(rows < 0, default, out).astype(values.dtype)
    return out
