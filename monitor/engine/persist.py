"""The engine's state as columns, and back: logs as raw rows of absolute values, members, samples, coverage, memory.

The rows in a log's full chunks rarely change. They are copied as numbered *pieces*, so that whoever keeps a piece need
not copy or write it again.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import zstandard

from monitor.engine.cover.spans import Spans
from monitor.engine.memory import Memory, Side
from monitor.engine.nodes.base import padded
from monitor.engine.past.history import History
from monitor.engine.rows.log import Chunk, Column, Log
from monitor.engine.store import Key, Store
from monitor.errors import StateError
from monitor.events import Channel, Labels
from monitor.language import to_text

VERSION = 3
LEVEL = 3
"""Of zstandard; a higher one takes several times as long for a tenth less."""
ROW = ("ts", "member", "value", "count")
"""The columns of a log's rows; a log whose rows count as one each has no last one."""

PIECE = "p"

Columns = dict[str, np.ndarray[Any, Any]]
DAMAGE = (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error, zstandard.ZstdError)


class Pieces:
    """The pieces that somebody keeps, and the numbers of those to come.

    Args:
        last: The greatest number that was ever given.
    """

    def __init__(self, last: int = 0) -> None:
        self.kept: set[int] = set()
        self._numbers = count(last + 1)

    def number(self, chunk: Chunk) -> int:
        """The number of a chunk as it is now: a new one when its rows are not kept."""
        if chunk.piece not in self.kept:
            chunk.piece = next(self._numbers)
        return chunk.piece


@dataclass(frozen=True, slots=True)
class Copied:
    """The engine's state at one instant.

    Attributes:
        head: What goes into JSON.
        columns: All that is in columns, but for the pieces.
        pieces: The rows of each piece that was not kept.
    """

    head: dict[str, Any]
    columns: Columns
    pieces: dict[int, Columns] = field(default_factory=dict)

    @property
    def now_ns(self) -> int:
        """The instant that the state is of."""
        return int(self.head["now_ns"])

    def needed(self) -> set[int]:
        """The numbers of all pieces that belong to the state."""
        return {number for _, _, _, numbers in self.head["logs"] for number in numbers}


def pack(copied: Copied) -> bytes:
    """Copied state, with the pieces that it holds, as bytes without pickle; slow, touches nothing of the engine."""
    head = np.frombuffer(json.dumps(copied.head).encode(), np.uint8)
    rows = {
        f"{PIECE}{number}.{name}": column for number, part in copied.pieces.items() for name, column in part.items()
    }
    return pack_columns({"head": head} | copied.columns | rows)


def unpack(data: bytes) -> Copied:
    """The inverse of `pack`.

    Raises:
        StateError: The data is damaged or of another version.
    """
    columns = unpack_columns(data)
    try:
        head = json.loads(columns.pop("head").tobytes())
        if head["version"] != VERSION:
            raise StateError(f"window state is of version {head['version']}, this program reads {VERSION}")
        copied = Copied(head, {name: column for name, column in columns.items() if not name.startswith(PIECE)})
        copied.pieces.update((number, _part(columns, f"{PIECE}{number}")) for number in copied.needed())
    except DAMAGE as error:
        raise StateError(f"window state is damaged: {error}") from error
    return copied


def pack_columns(columns: Columns) -> bytes:
    """Columns as one compressed numpy archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **columns)  # type: ignore[arg-type]
    return zstandard.ZstdCompressor(level=LEVEL).compress(buffer.getbuffer())


def unpack_columns(data: bytes) -> Columns:
    """The inverse of `pack_columns`.

    Raises:
        StateError: The data is damaged.
    """
    try:
        with np.load(io.BytesIO(zstandard.ZstdDecompressor().decompress(data)), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except DAMAGE as error:
        raise StateError(f"window state is damaged: {error}") from error


def gather(store: Store, memories: Mapping[str, Memory], now_ns: int, pieces: Pieces | None = None) -> Copied:
    """Copy everything that a restart needs; quick, and independent of the engine afterwards.

    Args:
        store: The engine's state.
        memories: What conditions know.
        now_ns: The instant that the copy is of.
        pieces: What the caller keeps: it is named, not copied. None: all rows are copied into one.
    """
    head: dict[str, Any] = {"version": VERSION, "now_ns": now_ns, "started_ns": store.sources.started_ns}
    copied = Copied(head, Columns())
    head["logs"] = [_gather_log(copied, number, *named, pieces) for number, named in enumerate(store.logs.items())]
    head["closed"] = [[*key, feed.closed_ns] for key, feed in store.feeds.items()]
    head["members"] = {name: list(store.catalog.series(name).labels) for name in store.catalog.names()}
    head["spans"] = [[venue, channel.value, *_dump_spans(s)] for (venue, channel), s in store.ledger.spans.items()]
    head["slow_spans"] = [[*key, *_dump_spans(s)] for key, s in store.ledger.slow.spans.items()]
    head["expected"] = sorted(map(list, store.ledger.expected))
    columns = Columns()
    head["histories"] = []
    for number, (key, history) in enumerate(store.histories.items()):
        head["histories"].append([_name(key), list(history.index.labels), history.due_ns, list(history.openings)])
        columns |= _dump_history(number, history)
    head["memories"] = []
    for number, (name, memory) in enumerate(memories.items()):
        head["memories"].append(
            [name, list(memory.labels), list(memory.columns), [_rows_of_side(side) for side in memory.sides]]
        )
        columns |= {f"k{number}.{column}": values for column, values in memory.columns.items()}
        columns |= {f"k{number}.side{at}": values for at, (_, values) in enumerate(memory.sides)}
    copied.columns.update((name, np.array(column)) for name, column in columns.items())
    return copied


def _rows_of_side(side: Side) -> list[Labels] | None:
    return side[0] if isinstance(side[0], list) else None


def gather_pieces(store: Store, pieces: Pieces, most: int) -> dict[int, Columns]:
    """Copy some of the full chunks that the caller does not keep yet: a large state in many short steps."""
    copied = Copied({}, {})
    for log in store.logs.values():
        for chunk in log.full():
            if len(copied.pieces) == most:
                return copied.pieces
            _gather_piece(copied, chunk, pieces)
    return copied.pieces


def _gather_log(copied: Copied, number: int, key: Key, log: Log, pieces: Pieces | None) -> list[Any]:
    """What the head says of a log: its key, and the pieces that its rows begin with, less some rows of the first."""
    full = [] if pieces is None else log.full()
    numbers = [] if pieces is None else [_gather_piece(copied, chunk, pieces) for chunk in full]
    skipped = log.first - full[0].base if full else 0
    start = full[-1].end if full else log.first
    counts = log.counts(start, log.end)
    tail = (*log.rows(start, log.end), *(() if counts is None else (counts,)))
    for part, rows in ("s", log.standing.rows()), ("t", tail):
        copied.columns.update((f"{number}.{part}.{name}", column) for name, column in _named(rows).items())
    return [*key, skipped, numbers]


def _gather_piece(copied: Copied, chunk: Chunk, pieces: Pieces) -> int:
    """The number of a chunk's rows; copies them unless they are kept."""
    number = pieces.number(chunk)
    if number not in pieces.kept:
        copied.pieces[number] = _named([column[: chunk.size] for column in chunk.columns])
    return number


def _named(columns: Sequence[Column]) -> Columns:
    """A log's columns under their names, copied; what was joined from several chunks is a copy already."""
    return {name: column if column.base is None else column.copy() for name, column in zip(ROW, columns, strict=False)}


def _part(columns: Columns, prefix: str) -> Columns:
    """The rows under a prefix."""
    return {name: columns[f"{prefix}.{name}"] for name in ROW if f"{prefix}.{name}" in columns}


def _dump_spans(spans: Spans) -> list[Any]:
    return [list(spans.starts), list(spans.ends), spans.open_since, spans.down_since, spans.reason]


def _load_spans(kept: list[Any], stopped_ns: int) -> Spans:
    """Saved spans; what was live when the program stopped ends there."""
    spans = Spans()
    spans.starts, spans.ends, spans.open_since, spans.down_since, spans.reason = kept
    if spans.open_since is not None:
        spans.down(stopped_ns, "restart")
    return spans


def load(store: Store, copied: Copied) -> int:
    """Put copied state, with all its pieces, into a store without rows; returns the instant that it is of.

    Members keep their label sets, not their numbers. The time since the copy is a gap: every feed counts as down from
    then on until it says that it is up.

    Raises:
        StateError: Something is missing in it.
    """
    head = copied.head
    try:
        _load_logs(store, copied)
        _load_histories(store, head, copied.columns)
        store.memories = dict(_load_memories(head, copied.columns))
        left = {(venue, Channel(channel)) for venue, channel in head["expected"]} - store.ledger.expected
        for venue, channel, *kept in head["spans"]:
            if (venue, Channel(channel)) not in left:  # else it was taken out of the configuration: nobody waits for it
                store.ledger.spans[venue, Channel(channel)] = _load_spans(kept, copied.now_ns)
        store.ledger.slow.put_back(
            {
                (series, part, source): _load_spans(kept, copied.now_ns)
                for series, part, source, *kept in head["slow_spans"]
                if (source, Channel.REFERENCE) not in left
            }
        )
    except DAMAGE as error:
        raise StateError(f"window state is damaged: {error}") from error
    store.ledger.version += 1
    store.sources.started_ns = head["started_ns"]
    return copied.now_ns


def _load_logs(store: Store, copied: Copied) -> None:
    closed = {(series, pane_ns): closed_ns for series, pane_ns, closed_ns in copied.head["closed"]}
    for number, (series, pane_ns, skipped, pieces) in enumerate(copied.head["logs"]):
        if (series, pane_ns) not in store.logs:
            continue
        index = store.catalog.series(series)
        labels = copied.head["members"].get(series, [])
        numbers = np.array([index.add(_labels(one)) for one in labels], np.int32)
        for rows in _rows_of(copied, number, pieces, skipped):
            counts = rows.get("count")
            store.logs[series, pane_ns].insert(rows["ts"], numbers[rows["member"]], rows["value"], counts)
    for key, feed in store.feeds.items():
        if key in closed:
            feed.resume(closed[key])


def _rows_of(copied: Copied, number: int, pieces: Sequence[int], skipped: int) -> Iterator[Columns]:
    """The rows of a log in time order, part by part: what was forgotten but stands, then the pieces, then the rest.

    A gauge may stand for days: what was pushed in yesterday is still its value, whatever window the log is kept for.
    """
    yield _part(copied.columns, f"{number}.s")
    for piece in pieces:
        yield {name: column[skipped:] for name, column in copied.pieces[piece].items()}
        skipped = 0
    yield _part(copied.columns, f"{number}.t")


def _load_memories(head: dict[str, Any], archive: Columns) -> Iterator[tuple[str, Memory]]:
    for number, (name, labels, names, sides) in enumerate(head.get("memories", [])):
        columns = {column: archive[f"k{number}.{column}"] for column in names}
        parts: list[Side] = [
            (None if rows is None else [_labels(item) for item in rows], archive[f"k{number}.side{at}"])
            for at, rows in enumerate(sides)
        ]
        yield name, Memory([_labels(item) for item in labels], columns, parts)


def _labels(pairs: Sequence[Sequence[str]]) -> Labels:
    """A label set as JSON gives it back."""
    return tuple((name, value) for name, value in pairs)


def _name(key: Any) -> str:
    inner, *rest = key
    return "|".join((to_text(inner), *map(str, rest)))


def _dump_history(number: int, history: History) -> dict[str, np.ndarray[Any, Any]]:
    columns: Columns = {
        f"h{number}.times": history.times,
        f"h{number}.values": history.values,
        f"h{number}.links": history.links,
    }
    columns[f"h{number}.known"] = history.known
    columns[f"h{number}.filled"] = history.filled
    columns[f"h{number}.others"] = history.others
    snapshots = [history.snapshot, *history.openings.values()] if _splices(history) else []
    for at, name in enumerate(("present", "weights")):
        rows = [snapshot[at] for snapshot in snapshots if snapshot[at] is not None]
        if rows:
            size = max(map(len, rows))
            columns[f"h{number}.{name}"] = np.array([padded(row, size) for row in rows])
    return columns


def _splices(history: History) -> bool:
    """Whether it holds who was present, and with what weight."""
    return isinstance(history.snapshot, tuple) and isinstance(history.snapshot[0], np.ndarray)


def _load_histories(store: Store, head: dict[str, Any], archive: Columns) -> None:
    mine = {_name(key): history for key, history in store.histories.items()}
    for number, (name, labels, due_ns, openings) in enumerate(head["histories"]):
        history = mine.get(name)
        if history is None:
            continue
        history.restore(
            [_labels(item) for item in labels],
            *(archive[f"h{number}.{column}"] for column in ("times", "values", "links", "known", "filled", "others")),
        )
        history.due_ns = due_ns
        present, weights = (archive.get(f"h{number}.{column}") for column in ("present", "weights"))
        if present is not None:
            history.snapshot, *who = [(row, None if weights is None else weights[at]) for at, row in enumerate(present)]
            history.openings = dict(zip(openings, who, strict=True))
