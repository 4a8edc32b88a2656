"""The engine's state as columns, and back: logs as raw rows of absolute values, members, samples, coverage, memory."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.engine.history import History
from monitor.engine.log import Column, Log, Members
from monitor.engine.memory import Memory
from monitor.engine.nodes.base import padded
from monitor.engine.spans import Spans
from monitor.engine.store import Store
from monitor.errors import StateError
from monitor.events import Channel, Labels
from monitor.language import to_text
from monitor.window import Ints

VERSION = 2

Columns = dict[str, np.ndarray[Any, Any]]
DAMAGE = (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)


def taken_ns(data: bytes) -> int:
    """The instant that dumped state is of.

    Raises:
        StateError: The data is damaged.
    """
    try:
        return int(json.loads(np.load(io.BytesIO(data), allow_pickle=False)["head"].tobytes())["now_ns"])
    except DAMAGE as error:
        raise StateError(f"window state is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class Copied:
    """The engine's state at one instant: what goes into JSON, and the columns."""

    head: dict[str, Any]
    columns: Columns


def pack(copied: Copied) -> bytes:
    """Write and compress copied state as one numpy archive, without pickle; slow, touches nothing of the engine."""
    buffer = io.BytesIO()
    head = np.frombuffer(json.dumps(copied.head).encode(), np.uint8)
    np.savez_compressed(buffer, head=head, **copied.columns)  # type: ignore[arg-type]
    return buffer.getvalue()


def gather(store: Store, memories: Mapping[str, Memory], now_ns: int) -> Copied:
    """Copy everything that a restart needs; quick, and independent of the engine afterwards."""
    logs, columns = Columns(), Columns()
    head: dict[str, Any] = {"version": VERSION, "now_ns": now_ns, "started_ns": store.sources.started_ns, "logs": []}
    for number, ((series, pane_ns), log) in enumerate(store.logs.items()):
        head["logs"].append([series, pane_ns])
        ts, members, values = rows_kept(log)
        counts = log.counts(log.first, log.end)
        logs |= {f"{number}.ts": _apart(ts), f"{number}.member": _apart(members), f"{number}.value": _apart(values)}
        if counts is not None:
            logs[f"{number}.count"] = _apart(counts)
    head["closed"] = [[*key, feed.closed_ns] for key, feed in store.feeds.items()]
    head["members"] = {name: list(store.catalog.series(name).labels) for name in store.catalog.names()}
    head["spans"] = [[venue, channel.value, *_dump_spans(s)] for (venue, channel), s in store.ledger.spans.items()]
    head["slow_spans"] = [[*key, *_dump_spans(s)] for key, s in store.ledger.slow.spans.items()]
    head["expected"] = sorted(map(list, store.ledger.expected))
    head["histories"] = []
    for number, (key, history) in enumerate(store.histories.items()):
        head["histories"].append([_name(key), list(history.index.labels), history.due_ns, list(history.openings)])
        columns |= _dump_history(number, history)
    head["memories"] = []
    for number, (name, memory) in enumerate(memories.items()):
        head["memories"].append([name, list(memory.labels), list(memory.columns), [side[0] for side in memory.sides]])
        columns |= {f"k{number}.{column}": values for column, values in memory.columns.items()}
        columns |= {f"k{number}.side{at}": values for at, (_, values) in enumerate(memory.sides)}
    return Copied(head, logs | {name: np.array(column) for name, column in columns.items()})


def _apart(column: Column) -> Column:
    """A copy of a view into a log; what was joined from several of its chunks is one already."""
    return column if column.base is None else column.copy()


def rows_kept(log: Log) -> tuple[Ints, Members, Column]:
    """The rows of a log, and those that are forgotten but stand.

    A gauge may stand for days: what was pushed in yesterday is still its value, whatever window the log is kept for.
    """
    rows, older = log.rows(log.first, log.end), log.standing.rows()
    if not len(older[0]):
        return rows
    ts, members, values = (np.concatenate((older[at], rows[at])) for at in range(3))
    order = np.argsort(ts, kind="stable")
    return ts[order], members[order], values[order]


def _dump_spans(spans: Spans) -> list[Any]:
    return [list(spans.starts), list(spans.ends), spans.open_since, spans.down_since, spans.reason]


def _load_spans(kept: list[Any], stopped_ns: int) -> Spans:
    """Saved spans; what was live when the program stopped ends there."""
    spans = Spans()
    spans.starts, spans.ends, spans.open_since, spans.down_since, spans.reason = kept
    if spans.open_since is not None:
        spans.down(stopped_ns, "restart")
    return spans


def load(store: Store, data: bytes) -> int:
    """Put dumped state into a store without rows; returns the instant of the dump.

    Members keep their label sets, not their numbers. The time since the dump is a gap: every feed counts as down from
    the dump on until it says that it is up.

    Raises:
        StateError: The data is damaged or of another version.
    """
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        head = json.loads(archive["head"].tobytes())
        if head["version"] != VERSION:
            raise StateError(f"window state is of version {head['version']}, this program reads {VERSION}")
        _load_logs(store, head, archive)
        _load_histories(store, head, archive)
        store.memories = dict(_load_memories(head, archive))
    except DAMAGE as error:
        raise StateError(f"window state is damaged: {error}") from error
    left = {(venue, Channel(channel)) for venue, channel in head.get("expected", ())} - store.ledger.expected
    for venue, channel, *kept in head["spans"]:
        if (venue, Channel(channel)) not in left:  # else it was taken out of the configuration: nobody waits for it
            store.ledger.spans[venue, Channel(channel)] = _load_spans(kept, head["now_ns"])
    store.ledger.slow.put_back(
        {
            (series, part, source): _load_spans(kept, head["now_ns"])
            for series, part, source, *kept in head.get("slow_spans", ())
            if (source, Channel.REFERENCE) not in left
        }
    )
    store.ledger.version += 1
    store.sources.started_ns = head["started_ns"]
    return int(head["now_ns"])


def _load_logs(store: Store, head: dict[str, Any], archive: Any) -> None:
    closed = {(series, pane_ns): closed_ns for series, pane_ns, closed_ns in head["closed"]}
    for number, (series, pane_ns) in enumerate(head["logs"]):
        if (series, pane_ns) not in store.logs:
            continue
        index = store.catalog.series(series)
        numbers = np.array([index.add(_labels(labels)) for labels in head["members"].get(series, [])], np.int32)
        members = archive[f"{number}.member"]
        counts = _optional(archive, f"{number}.count")
        rows = (archive[f"{number}.ts"], numbers[members] if len(members) else members, archive[f"{number}.value"])
        store.logs[series, pane_ns].insert(*rows, counts)
    for key, feed in store.feeds.items():
        if key in closed:
            feed.resume(closed[key])


def _load_memories(head: dict[str, Any], archive: Any) -> Iterator[tuple[str, Memory]]:
    for number, (name, labels, names, sides) in enumerate(head.get("memories", [])):
        columns = {column: archive[f"k{number}.{column}"] for column in names}
        parts = [
            (None if rows is None else [_labels(item) for item in rows], archive[f"k{number}.side{at}"])
            for at, rows in enumerate(sides)
        ]
        yield name, Memory([_labels(item) for item in labels], columns, parts)


def _labels(pairs: Sequence[Sequence[str]]) -> Labels:
    """A label set as JSON gives it back."""
    return tuple((name, value) for name, value in pairs)


def _optional(archive: Any, name: str) -> Any:
    return archive[name] if name in archive.files else None


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


def _load_histories(store: Store, head: dict[str, Any], archive: Any) -> None:
    mine = {_name(key): history for key, history in store.histories.items()}
    for number, (name, labels, due_ns, openings) in enumerate(head["histories"]):
        history = mine.get(name)
        if history is None:
            continue
        history.restore(
            [_labels(item) for item in labels],
            *(archive[f"h{number}.{column}"] for column in ("times", "values", "links", "known")),
            _optional(archive, f"h{number}.filled"),
        )
        history.due_ns = due_ns
        present, weights = (_optional(archive, f"h{number}.{column}") for column in ("present", "weights"))
        if present is not None:
            history.snapshot, *who = [(row, None if weights is None else weights[at]) for at, row in enumerate(present)]
            history.openings = dict(zip(openings, who, strict=True))
