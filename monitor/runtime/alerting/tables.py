"""The tables of the state file: their schema, its steps, and how rows are written and read. SQL and no threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from monitor.alert import Transition
from monitor.runtime.alerting.change import OutboxRow, Outgoing
from monitor.sink import Notification
from monitor.telemetry.views.alerting import DeliveryEntry

MIGRATIONS: tuple[str, ...] = (
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
    # A row that is emptied keeps its page, one that is deleted gives it back: keys are kept for a year, contents until sent.
    """
    CREATE TABLE content (id INTEGER PRIMARY KEY, notification BLOB NOT NULL);
    INSERT INTO content SELECT id, payload FROM outbox WHERE state != 'done';
    ALTER TABLE outbox DROP COLUMN payload;
    CREATE TRIGGER content_sent AFTER UPDATE OF state ON outbox WHEN NEW.state = 'done'
        BEGIN DELETE FROM content WHERE id = NEW.id; END;
    CREATE TRIGGER content_forgotten AFTER DELETE ON outbox
        BEGIN DELETE FROM content WHERE id = OLD.id; END;
    """,
)
"""Step n takes a file from schema n to n + 1. Steps are only ever appended."""


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


OLD = {
    "history": "at_ns < ?",
    "delivery": "at_ns < ?",
    "outbox": "state IN ('done', 'dead') AND created_ns < ?",
}
"""What nobody will ask for any more, by table; the question mark is the instant before which it is old."""
SELECT_OUTBOX = "SELECT id, sink, notification, created_ns, attempts, reason FROM outbox JOIN content USING (id)"
HISTORY_COLUMNS = ("at_ns", "rule", "fingerprint", "alertname", "severity", "previous", "state", "value", "threshold", "coverage", "peak", "starts_at_ns", "duration_ns", "reason", "labels")  # fmt: skip
"""The table ``history``, without its row number."""
INSERT_HISTORY = "INSERT INTO history VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_DELIVERY = "INSERT INTO delivery VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT_DELIVERY = "SELECT at_ns, sink, key, fingerprints, outcome, reason, attempts, latency_ns FROM delivery"


def insert_outgoing(db: sqlite3.Connection, outgoing: Outgoing, now_ns: int) -> OutboxRow | None:
    """Put a notification in line; None where the sink has had one of this key."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO outbox (sink, key, state, created_ns) VALUES (?, ?, 'waiting', ?)",
        (outgoing.sink, outgoing.notification.key, now_ns),
    )
    row_id = cursor.lastrowid
    if cursor.rowcount != 1 or row_id is None:
        return None
    db.execute("INSERT INTO content VALUES (?, ?)", (row_id, msgspec.json.encode(outgoing.notification)))
    return OutboxRow(row_id, outgoing.sink, outgoing.notification, now_ns)


def outbox_row(row: tuple[int, str, bytes, int, int, str]) -> OutboxRow:
    """A row as `SELECT_OUTBOX` finds it."""
    row_id, sink, content, created_ns, attempts, reason = row
    return OutboxRow(row_id, sink, msgspec.json.decode(content, type=Notification), created_ns, attempts, reason)


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


def delivery_row(done: DeliveryEntry) -> tuple[Any, ...]:
    """A delivery as the table has it, without its row number; fingerprints stand in one text."""
    return (
        done.at_ns,
        done.sink,
        done.key,
        " ".join(done.fingerprints),
        done.outcome,
        done.reason,
        done.attempts,
        done.latency_ns,
    )


def delivery_entry(row: tuple[int, str, str, str, str, str, int, int]) -> DeliveryEntry:
    """A delivery as `SELECT_DELIVERY` finds it."""
    at_ns, sink, key, fingerprints, outcome, reason, attempts, latency_ns = row
    return DeliveryEntry(at_ns, sink, key, tuple(fingerprints.split()), outcome, reason, attempts, latency_ns)


_FILTERS: Mapping[str, str] = {
    "alertname": "alertname = ?",
    "rule": "rule = ?",
    "fingerprint": "fingerprint = ?",
    "state": "state = ?",
    "severity": "severity = ?",
    "since_ns": "at_ns >= ?",
    "until_ns": "at_ns < ?",
}


def conditions(wanted: HistoryFilter) -> tuple[str, list[Any]]:
    """A WHERE clause, which may be empty, and the values for its question marks."""
    chosen = [(sql, value) for name, sql in _FILTERS.items() if (value := getattr(wanted, name)) not in {"", None}]
    clause = " WHERE " + " AND ".join(sql for sql, _ in chosen) if chosen else ""
    return clause, [value for _, value in chosen]


def dictionaries(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """What a query found, by column."""
    names: Iterable[str] = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
