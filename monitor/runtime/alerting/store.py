"""What must survive ``kill -9``: alert states, routing memory, silences, acknowledgements, outbox, history. SQLite, WAL.

One thread owns the connection; callers await it, so that the event loop never waits for a disk. What people ask of the past
is read on another, so that no question delays an alert. A change of alerts and the notifications that follow from it are one
transaction: after a crash either both are there or neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import msgspec

from monitor.alert import AlertState, MemoryRow, SavedAlert, Transition
from monitor.errors import StateError
from monitor.sink import Notification

P = ParamSpec("P")
T = TypeVar("T")

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE alert (fingerprint TEXT PRIMARY KEY, payload BLOB NOT NULL);
    CREATE TABLE memory (kind TEXT NOT NULL, id TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (kind, id));
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL,
        created_ns INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        payload BLOB NOT NULL, UNIQUE (sink, key));
    CREATE INDEX outbox_state ON outbox (sink, state, id);
    CREATE TABLE delivery (
        id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, sink TEXT NOT NULL, key TEXT NOT NULL,
        fingerprints TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
        attempts INTEGER NOT NULL, latency_ns INTEGER NOT NULL);
    CREATE INDEX delivery_at ON delivery (at_ns);
    CREATE TABLE history (
        id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, rule TEXT NOT NULL, fingerprint TEXT NOT NULL,
        alertname TEXT NOT NULL, severity TEXT NOT NULL, previous TEXT NOT NULL, state TEXT NOT NULL,
        value REAL, threshold REAL, coverage REAL, peak REAL, starts_at_ns INTEGER NOT NULL,
        duration_ns INTEGER NOT NULL, reason TEXT NOT NULL, labels TEXT NOT NULL);
    CREATE INDEX history_at ON history (at_ns);
    CREATE INDEX history_alert ON history (fingerprint, at_ns);
    """,
)
"""Step n takes a file from schema n to n + 1. Steps are only ever appended."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notification for one sink."""

    sink: str
    notification: Notification


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notification that waits for delivery; ``id`` is its place in line."""

    id: int
    sink: str
    notification: Notification
    created_ns: int
    attempts: int = 0
    reason: str = ""

    @property
    def fingerprints(self) -> frozenset[str]:
        """The alerts in it; two rows that share one are delivered in order."""
        return frozenset(alert.fingerprint for alert in self.notification.alerts)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The end, or a failed attempt, of one delivery. ``outcome``: ok, dead, retry, or why nothing was sent."""

    row_id: int
    sink: str
    key: str
    fingerprints: tuple[str, ...]
    outcome: str
    reason: str
    attempts: int
    at_ns: int
    latency_ns: int = 0


_QUIET = frozenset({AlertState.INACTIVE, AlertState.PENDING})
"""States of which nobody is told."""


@dataclass(slots=True)
class Change:
    """All that one transaction writes."""

    transitions: list[Transition] = field(default_factory=list)
    saved: list[SavedAlert] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    now_ns: int = 0

    def add(self, other: Change) -> None:
        """Append a later change. A transaction deletes before it writes, so what the later one deletes is dropped here."""
        if other.gone:
            gone = set(other.gone)
            self.saved = [row for row in self.saved if row.view.fingerprint not in gone]
        if other.forgotten:
            forgotten = set(other.forgotten)
            self.memory = [row for row in self.memory if (row.kind, row.id) not in forgotten]
        for name in ("transitions", "saved", "gone", "outgoing", "memory", "forgotten", "delivered"):
            getattr(self, name).extend(getattr(other, name))
        self.now_ns = max(self.now_ns, other.now_ns)

    @property
    def urgent(self) -> bool:
        """Whether it must reach the disk at once: somebody is told something by it, or was, or asked for it.

        Alerts that become pending and cease to be, of which there are hundreds a second when a price trembles about a
        threshold, may wait a moment for each other.
        """
        return bool(
            self.outgoing
            or self.delivered
            or self.forgotten
            or any(row.kind != "seen" for row in self.memory)
            or any(transition.state not in _QUIET for transition in self.transitions)
            or any(saved.view.state not in _QUIET for saved in self.saved)
        )

    def __bool__(self) -> bool:
        return bool(
            self.transitions
            or self.saved
            or self.gone
            or self.outgoing
            or self.memory
            or self.forgotten
            or self.delivered
        )


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which transitions to read, newest first. Empty fields do not restrict; times are unix nanoseconds."""

    alertname: str = ""
    rule: str = ""
    fingerprint: str = ""
    state: str = ""
    severity: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 200


def on_thread(
    method: Callable[Concatenate[Store, P], T],
) -> Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]:
    """Run a method of `Store` on its thread; the caller awaits the result."""
    return _on(lambda store: store.thread, method)


def on_reading_thread(
    method: Callable[Concatenate[Store, P], T],
) -> Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]:
    """Run a method of `Store` beside its writing."""
    return _on(lambda store: store.reading_thread, method)


def _on(
    thread: Callable[[Store], ThreadPoolExecutor], method: Callable[Concatenate[Store, P], T]
) -> Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def call(self: Store, *args: P.args, **kwargs: P.kwargs) -> T:
        run = functools.partial(method, self, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(thread(self), run)

    return cast("Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]", call)


class Store:
    """The state file. Open with `Store.open`; methods are awaited and run one after another on one thread, or on that of readers.

    Attributes:
        set_aside: Where a corrupt file was moved on opening, or None.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self.reading_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reading")
        self.set_aside: Path | None = None
        self._durable = durable
        self._db: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, path: Path, *, durable: bool = True) -> Store:
        """Open or make the file.

        A corrupt file is renamed (``set_aside`` says to what) and a new one begun.

        Args:
            path: The database file; its folder is made.
            durable: Whether each commit reaches the disk before it returns (``synchronous=FULL``); otherwise a power
                cut, though not a killed process, may lose the last commits.

        Raises:
            StateError: When a newer version of this program wrote the file, another process uses it, or the disk refuses.
        """
        store = cls(path, durable=durable)
        try:
            await store._open()
        except BaseException:
            store._shut_down()
            raise
        return store

    async def close(self) -> None:
        """Write everything out and close."""
        await self._close_reading()
        await self._close()
        self._shut_down()

    def _shut_down(self) -> None:
        self.thread.shutdown()
        self.reading_thread.shutdown()

    @on_thread
    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                locked = "it is in use by another process" if "locked" in str(error) else str(error)
                raise StateError(f"{self.path} cannot be opened: {locked}") from None
            self.set_aside = self._move_aside()
            self._db = self._connect()
        self._db.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
        self._reading = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._reading.execute("PRAGMA query_only=ON")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
            _quick_check(db)
            self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StateError(
                f"{self.path} has schema {version}, this program knows {len(_MIGRATIONS)}: it was written by a newer version"
            )
        for number in range(version, len(_MIGRATIONS)):
            db.executescript(f"BEGIN; {_MIGRATIONS[number]}; PRAGMA user_version={number + 1}; COMMIT;")

    def _move_aside(self) -> Path:
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.corrupt-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                source.rename(target.with_name(target.name + suffix))
        return target

    @on_thread
    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @on_reading_thread
    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    @property
    def _open_db(self) -> sqlite3.Connection:
        return self._still_open(self._db)

    @property
    def _open_for_reading(self) -> sqlite3.Connection:
        return self._still_open(self._reading)

    def _still_open(self, db: sqlite3.Connection | None) -> sqlite3.Connection:
        if db is None:
            raise StateError(f"{self.path} is closed")
        return db

    # -- writing -------------------------------------------------------------------------------------------------------

    @on_thread
    def commit(self, change: Change) -> list[OutboxRow]:
        """Write a change in one transaction; returns the outbox rows that are new (a known key is not written again)."""
        db = self._open_db
        db.execute("BEGIN IMMEDIATE")
        try:
            rows = self._write(db, change)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        return rows

    def _write(self, db: sqlite3.Connection, change: Change) -> list[OutboxRow]:
        db.executemany(_INSERT_HISTORY, map(history_row, change.transitions))
        db.executemany("DELETE FROM alert WHERE fingerprint = ?", [(gone,) for gone in change.gone])
        db.executemany(
            "INSERT OR REPLACE INTO alert VALUES (?, ?)",
            [(saved.view.fingerprint, msgspec.json.encode(saved)) for saved in change.saved],
        )
        db.executemany("DELETE FROM memory WHERE kind = ? AND id = ?", change.forgotten)
        db.executemany(
            "INSERT OR REPLACE INTO memory VALUES (?, ?, ?)", [(row.kind, row.id, row.payload) for row in change.memory]
        )
        self._write_delivered(db, change.delivered)
        return [row for outgoing in change.outgoing if (row := _insert_outgoing(db, outgoing, change.now_ns))]

    @staticmethod
    def _write_delivered(db: sqlite3.Connection, delivered: Sequence[Delivered]) -> None:
        db.executemany(_INSERT_DELIVERY, map(_delivery_row, delivered))
        db.executemany(
            "UPDATE outbox SET state = ?, attempts = ?, reason = ?, payload = CASE ? WHEN 'ok' THEN x'' ELSE payload END"
            " WHERE id = ?",
            [
                ({"ok": "done", "dead": "dead"}.get(d.outcome, "waiting"), d.attempts, d.reason, d.outcome, d.row_id)
                for d in delivered
                if d.row_id
            ],
        )

    @on_thread
    def revive(self, ids: Sequence[int]) -> list[OutboxRow]:
        """Put dead letters back in line; returns those that were dead."""
        db = self._open_db
        rows = [row for row in map(self._dead_row, ids) if row is not None]
        with db:
            db.executemany("UPDATE outbox SET state = 'waiting', attempts = 0 WHERE id = ?", [(r.id,) for r in rows])
        return rows

    def _dead_row(self, row_id: int) -> OutboxRow | None:
        found = self._open_db.execute(f"{_SELECT_OUTBOX} WHERE id = ? AND state = 'dead'", (row_id,)).fetchone()
        return _outbox_row(found) if found else None

    async def prune(self, before_ns: int) -> int:
        """Forget history, deliveries, their keys and dead letters older than `before_ns`, a few at a time; how many rows went."""
        count = 0
        for table, old in _OLD.items():
            while gone := await self._prune_some(table, old, before_ns):
                count += gone
        return count

    @on_thread
    def _prune_some(self, table: str, old: str, before_ns: int) -> int:
        chosen = f"SELECT id FROM {table} WHERE {old} ORDER BY id LIMIT {_PRUNED_AT_ONCE}"  # noqa: S608 - constants below
        return self._open_db.execute(f"DELETE FROM {table} WHERE id IN ({chosen})", (before_ns,)).rowcount  # noqa: S608

    # -- reading -------------------------------------------------------------------------------------------------------

    @on_thread
    def alerts(self) -> list[SavedAlert]:
        """The saved alerts."""
        rows = self._open_db.execute("SELECT payload FROM alert ORDER BY fingerprint")
        return [msgspec.json.decode(payload, type=SavedAlert) for (payload,) in rows]

    @on_thread
    def memory(self, kind: str) -> list[MemoryRow]:
        """All records of one kind."""
        rows = self._open_db.execute("SELECT kind, id, payload FROM memory WHERE kind = ? ORDER BY id", (kind,))
        return [MemoryRow(*row) for row in rows]

    @on_thread
    def waiting(self, sink: str, after_id: int = 0, limit: int = 256) -> list[OutboxRow]:
        """Undelivered rows of a sink in order, after the row `after_id`."""
        rows = self._open_db.execute(
            f"{_SELECT_OUTBOX} WHERE sink = ? AND state = 'waiting' AND id > ? ORDER BY id LIMIT ?",
            (sink, after_id, limit),
        )
        return [_outbox_row(row) for row in rows]

    @on_thread
    def depths(self) -> dict[str, int]:
        """Undelivered rows per sink."""
        rows = self._open_db.execute("SELECT sink, count(*) FROM outbox WHERE state = 'waiting' GROUP BY sink")
        return dict(rows.fetchall())

    @on_reading_thread
    def dead_letters(self, sink: str = "", limit: int = 200) -> list[OutboxRow]:
        """Rows that were given up, oldest first; of one sink or of all."""
        rows = self._open_for_reading.execute(
            f"{_SELECT_OUTBOX} WHERE state = 'dead' AND (? = '' OR sink = ?) ORDER BY id LIMIT ?", (sink, sink, limit)
        )
        return [_outbox_row(row) for row in rows]

    @on_reading_thread
    def history(self, wanted: HistoryFilter | None = None) -> list[dict[str, Any]]:
        """Transitions, newest first, as JSON-ready dictionaries with the columns of the table and ``labels``."""
        wanted = wanted or HistoryFilter()
        clauses, values = _where(wanted)
        cursor = self._open_for_reading.execute(
            f"SELECT * FROM history{clauses} ORDER BY id DESC LIMIT ?",  # noqa: S608 - clauses are constants below
            (*values, max(0, min(wanted.limit, 10_000))),
        )
        return [{**row, "labels": msgspec.json.decode(row["labels"])} for row in _dicts(cursor)]

    @on_reading_thread
    def deliveries(self, fingerprint: str = "", sink: str = "", limit: int = 200) -> list[dict[str, Any]]:
        """The delivery log, newest first: what was sent or not sent, where, and why."""
        cursor = self._open_for_reading.execute(
            "SELECT * FROM delivery WHERE (? = '' OR sink = ?) AND (? = '' OR instr(fingerprints, ?))"
            " ORDER BY id DESC LIMIT ?",
            (sink, sink, fingerprint, fingerprint, limit),
        )
        return _dicts(cursor)


_PATIENCE_MS = 1000
"""So long a write waits for a process that has locked the file, before it counts as failed and is tried again."""
_PRUNED_AT_ONCE = 2000
_OLD = {
    "history": "at_ns < ?",
    "delivery": "at_ns < ?",
    "outbox": "state IN ('done', 'dead') AND created_ns < ?",
}
"""What nobody will ask for any more, by table."""
_SELECT_OUTBOX = "SELECT id, sink, payload, created_ns, attempts, reason FROM outbox"
HISTORY_COLUMNS = ("at_ns", "rule", "fingerprint", "alertname", "severity", "previous", "state", "value", "threshold", "coverage", "peak", "starts_at_ns", "duration_ns", "reason", "labels")  # fmt: skip
"""The table ``history``, without its row number."""
_INSERT_HISTORY = "INSERT INTO history VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_DELIVERY = "INSERT INTO delivery VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is at fault, and not the disk, the rights or another process."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _quick_check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")


def _insert_outgoing(db: sqlite3.Connection, outgoing: Outgoing, now_ns: int) -> OutboxRow | None:
    cursor = db.execute(
        "INSERT OR IGNORE INTO outbox (sink, key, state, created_ns, payload) VALUES (?, ?, 'waiting', ?, ?)",
        (outgoing.sink, outgoing.notification.key, now_ns, msgspec.json.encode(outgoing.notification)),
    )
    if cursor.rowcount != 1 or cursor.lastrowid is None:
        return None
    return OutboxRow(cursor.lastrowid, outgoing.sink, outgoing.notification, now_ns)


def _outbox_row(row: tuple[int, str, bytes, int, int, str]) -> OutboxRow:
    row_id, sink, payload, created_ns, attempts, reason = row
    return OutboxRow(row_id, sink, msgspec.json.decode(payload, type=Notification), created_ns, attempts, reason)


def history_row(transition: Transition) -> tuple[Any, ...]:
    """A transition as `HISTORY_COLUMNS`; labels are JSON."""
    alert = transition.alert
    return (
        transition.at_ns,
        alert.rule,
        alert.fingerprint,
        alert.name,
        alert.severity,
        str(transition.previous),
        str(transition.state),
        alert.value,
        alert.threshold,
        alert.coverage,
        alert.peak,
        alert.starts_at_ns,
        alert.duration_ns,
        transition.reason,
        msgspec.json.encode(dict(alert.labels)).decode(),
    )


def _delivery_row(done: Delivered) -> tuple[Any, ...]:
    fingerprints = " ".join(done.fingerprints)
    return (
        done.at_ns,
        done.sink,
        done.key,
        fingerprints,
        done.outcome,
        done.reason,
        done.attempts,
        done.latency_ns,
    )


_FILTERS: Mapping[str, str] = {
    "alertname": "alertname = ?",
    "rule": "rule = ?",
    "fingerprint": "fingerprint = ?",
    "state": "state = ?",
    "severity": "severity = ?",
    "since_ns": "at_ns >= ?",
    "until_ns": "at_ns < ?",
}


def _where(wanted: HistoryFilter) -> tuple[str, list[Any]]:
    chosen = [(sql, value) for name, sql in _FILTERS.items() if (value := getattr(wanted, name)) not in {"", None}]
    clause = " WHERE " + " AND ".join(sql for sql, _ in chosen) if chosen else ""
    return clause, [value for _, value in chosen]


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names: Iterable[str] = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
