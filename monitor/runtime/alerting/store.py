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
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import msgspec

from monitor.alert import MemoryRow, SavedAlert
from monitor.errors import StateError
from monitor.runtime.alerting.change import Change, Delivered, OutboxRow
from monitor.runtime.alerting.tables import (
    INSERT_DELIVERY,
    INSERT_HISTORY,
    MIGRATIONS,
    OLD,
    SELECT_DELIVERY,
    SELECT_OUTBOX,
    HistoryFilter,
    conditions,
    delivery_entry,
    delivery_row,
    dictionaries,
    history_row,
    insert_outgoing,
    outbox_row,
)
from monitor.telemetry.views.alerting import DeliveryEntry

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_MS = 1000
"""How long a write waits for a process that has locked the file before it counts as failed and is tried again."""
_PRUNED_AT_ONCE = 2000
"""Rows that one transaction forgets: alerts that come meanwhile do not wait for more."""


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
        if version > len(MIGRATIONS):
            raise StateError(
                f"{self.path} has schema {version}, this program knows {len(MIGRATIONS)}: it was written by a newer version"
            )
        for number in range(version, len(MIGRATIONS)):
            db.executescript(f"BEGIN; {MIGRATIONS[number]}; PRAGMA user_version={number + 1}; COMMIT;")

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
        db.executemany(INSERT_HISTORY, map(history_row, change.transitions))
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
        return [row for outgoing in change.outgoing if (row := insert_outgoing(db, outgoing, change.now_ns))]

    @staticmethod
    def _write_delivered(db: sqlite3.Connection, delivered: Sequence[Delivered]) -> None:
        db.executemany(INSERT_DELIVERY, map(delivery_row, delivered))
        db.executemany(
            "UPDATE outbox SET state = ?, attempts = ?, reason = ? WHERE id = ?",
            [
                ({"ok": "done", "dead": "dead"}.get(d.outcome, "waiting"), d.attempts, d.reason, d.row_id)
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
        found = self._open_db.execute(f"{SELECT_OUTBOX} WHERE id = ? AND state = 'dead'", (row_id,)).fetchone()
        return outbox_row(found) if found else None

    async def prune(self, before_ns: int) -> int:
        """Forget history, deliveries, their keys and dead letters older than `before_ns`, a few at a time; how many rows went."""
        count = 0
        for table, old in OLD.items():
            while gone := await self._prune_some(table, old, before_ns):
                count += gone
        return count

    @on_thread
    def _prune_some(self, table: str, old: str, before_ns: int) -> int:
        chosen = f"SELECT id FROM {table} WHERE {old} ORDER BY id LIMIT {_PRUNED_AT_ONCE}"  # noqa: S608 - constants of `tables`
        return self._open_db.execute(f"DELETE FROM {table} WHERE id IN ({chosen})", (before_ns,)).rowcount  # noqa: S608 - as above

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
            f"{SELECT_OUTBOX} WHERE sink = ? AND state = 'waiting' AND id > ? ORDER BY id LIMIT ?",
            (sink, after_id, limit),
        )
        return [outbox_row(row) for row in rows]

    @on_thread
    def depths(self) -> dict[str, int]:
        """Undelivered rows per sink."""
        rows = self._open_db.execute("SELECT sink, count(*) FROM outbox WHERE state = 'waiting' GROUP BY sink")
        return dict(rows.fetchall())

    @on_reading_thread
    def dead_letters(self, sink: str = "", limit: int = 200) -> list[OutboxRow]:
        """Rows that were given up, oldest first; of one sink or of all."""
        rows = self._open_for_reading.execute(
            f"{SELECT_OUTBOX} WHERE state = 'dead' AND (? = '' OR sink = ?) ORDER BY id LIMIT ?", (sink, sink, limit)
        )
        return [outbox_row(row) for row in rows]

    @on_reading_thread
    def history(self, wanted: HistoryFilter | None = None) -> list[dict[str, Any]]:
        """Transitions, newest first, as JSON-ready dictionaries with the columns of the table and ``labels``."""
        wanted = wanted or HistoryFilter()
        clauses, values = conditions(wanted)
        cursor = self._open_for_reading.execute(
            f"SELECT * FROM history{clauses} ORDER BY id DESC LIMIT ?",  # noqa: S608 - clauses of `tables`, values apart
            (*values, max(0, min(wanted.limit, 10_000))),
        )
        return [{**row, "labels": msgspec.json.decode(row["labels"])} for row in dictionaries(cursor)]

    @on_reading_thread
    def deliveries(self, fingerprint: str = "", sink: str = "", limit: int = 200) -> list[DeliveryEntry]:
        """The delivery log, newest first: what was sent or not sent, where, and why."""
        rows = self._open_for_reading.execute(
            f"{SELECT_DELIVERY} WHERE (? = '' OR sink = ?) AND (? = '' OR instr(fingerprints, ?))"
            " ORDER BY id DESC LIMIT ?",
            (sink, sink, fingerprint, fingerprint, limit),
        )
        return [delivery_entry(row) for row in rows]


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is at fault, and not the disk, the rights or another process."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _quick_check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")
