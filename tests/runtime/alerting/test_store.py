from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitor.alert import AlertState, MemoryRow, SavedAlert, Transition
from monitor.errors import StateError
from monitor.runtime.alerting.change import Change, Delivered, OutboxRow, Outgoing
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.tables import MIGRATIONS, HistoryFilter
from monitor.telemetry.views.alerting import DeliveryEntry
from tests.sinks.build import T0, S, alert, note


def transition(name: str = "High", state: AlertState = AlertState.FIRING, at_s: float = 0) -> Transition:
    return Transition(alert(name, state), AlertState.INACTIVE, state, T0 + round(at_s * S), "because")


def done(row: OutboxRow, outcome: str) -> Delivered:
    return Delivered(T0, row.sink, row.notification.key, ("f",), outcome, "r", 1, row_id=row.id)


async def test_all_of_a_change_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "monitor.db"
    store = await Store.open(path)
    saved = SavedAlert(alert())
    change = Change([transition()], [saved], [], [Outgoing("a", note())], [MemoryRow("told", "x", b"{}")], now_ns=T0)
    (row,) = await store.commit(change)
    await store.close()
    store = await Store.open(path)
    assert await store.alerts() == [saved]
    assert await store.memory("told") == [MemoryRow("told", "x", b"{}")]
    assert await store.waiting("a") == [row]
    assert await store.depths() == {"a": 1}
    (entry,) = await store.history()
    assert (entry["alertname"], entry["state"], entry["labels"]["severity"]) == ("High", "firing", "critical")
    await store.close()


async def test_a_known_key_is_not_queued_twice_per_sink_even_after_delivery(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    (row,) = await store.commit(Change(outgoing=[Outgoing("a", note())], now_ns=T0))
    await store.commit(Change(delivered=[done(row, "ok")]))
    assert await store.commit(Change(outgoing=[Outgoing("a", note())], now_ns=T0)) == []
    assert len(await store.commit(Change(outgoing=[Outgoing("b", note())], now_ns=T0))) == 1
    await store.close()


async def test_a_failing_write_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    bad = MemoryRow("told", "x", None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        await store.commit(Change([transition()], [SavedAlert(alert())], memory=[bad]))
    assert await store.history() == []
    assert await store.alerts() == []
    await store.commit(Change([transition()]))
    assert len(await store.history()) == 1
    await store.close()


async def test_dead_letters_can_be_listed_and_revived(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    rows = await store.commit(Change(outgoing=[Outgoing("a", note(key=k)) for k in "xy"], now_ns=T0))
    await store.commit(Change(delivered=[done(rows[0], "dead"), done(rows[1], "ok")]))
    (letter,) = await store.dead_letters("a")
    assert (letter.notification.key, letter.reason) == ("x", "r")
    assert await store.depths() == {}
    assert [row.id for row in await store.revive([rows[0].id, rows[1].id, 99])] == [rows[0].id]
    assert [row.id for row in await store.waiting("a")] == [rows[0].id]
    await store.close()


async def test_history_filters(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    await store.commit(Change([transition("One"), transition("Two", at_s=1), transition("Two", AlertState.HELD, 2)]))

    async def names(**wanted: object) -> list[tuple[str, str]]:
        rows = await store.history(replace(HistoryFilter(), **wanted))  # type: ignore[arg-type]
        return [(row["alertname"], row["state"]) for row in rows]

    assert await names() == [("Two", "held"), ("Two", "firing"), ("One", "firing")]
    assert await names(alertname="One") == [("One", "firing")]
    assert await names(state="held") == [("Two", "held")]
    assert await names(since_ns=T0 + S, until_ns=T0 + 2 * S) == [("Two", "firing")]
    assert await names(limit=1) == [("Two", "held")]
    assert await names(fingerprint=alert("One").fingerprint, rule="g/One", severity="critical") == [("One", "firing")]
    await store.close()


async def test_deliveries_are_logged_and_found(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    told = ("a", "k", ("f1", "f2"), "silenced", "by ann", 0, 25)
    await store.commit(Change(delivered=[Delivered(T0, *told)]))
    assert await store.deliveries("f2") == [DeliveryEntry(T0, *told)]
    assert await store.deliveries("f3") == []
    assert await store.deliveries(sink="b") == []
    await store.close()


async def test_old_records_are_pruned_and_waiting_ones_never(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    rows = await store.commit(
        Change([transition(), transition(at_s=9)], outgoing=[Outgoing("a", note(key=k)) for k in "xy"], now_ns=T0)
    )
    await store.commit(Change(delivered=[done(rows[0], "ok")]))
    assert await store.prune(T0 + S) == 3
    assert len(await store.history()) == 1
    assert [row.notification.key for row in await store.waiting("a")] == ["y"]
    await store.close()


@pytest.mark.parametrize(
    "damage", [b"this is no database at all, but long enough to be read as one" * 40, b"\x00" * 8192]
)
async def test_a_corrupt_file_is_set_aside_and_the_start_goes_on(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "m.db"
    path.write_bytes(damage)
    store = await Store.open(path)
    assert store.set_aside == tmp_path / "m.db.corrupt-1"
    assert store.set_aside.read_bytes() == damage
    assert await store.history() == []
    await store.close()


async def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    store = await Store.open(path)
    await store.commit(Change([transition() for _ in range(500)]))
    await store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xab" * (4096 * 17)
    path.write_bytes(content)
    store = await Store.open(path)
    assert store.set_aside is not None
    await store.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StateError, match="newer version"):
        await Store.open(path)
    assert path.exists()


async def test_an_older_file_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.db"
    store = await Store.open(path)
    await store.commit(Change([transition()]))
    await store.close()
    steps = (*MIGRATIONS, "CREATE TABLE later (x INTEGER)")
    monkeypatch.setattr("monitor.runtime.alerting.store.MIGRATIONS", steps)
    store = await Store.open(path)
    assert len(await store.history()) == 1
    await store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(steps),)
        assert db.execute("SELECT count(*) FROM later").fetchone() == (0,)
    db.close()


async def test_what_waited_in_a_file_of_schema_1_waits_in_a_new_one(tmp_path: Path) -> None:
    path, content = tmp_path / "m.db", msgspec.json.encode(note())
    states = {1: "waiting", 2: "dead", 3: "done"}
    with sqlite3.connect(path) as db:
        db.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version=1")
        for row_id, state in states.items():
            row = (row_id, f"sink{row_id}", note().key, state, T0, b"" if state == "done" else content)
            db.execute("INSERT INTO outbox (id, sink, key, state, created_ns, payload) VALUES (?, ?, ?, ?, ?, ?)", row)
    db.close()
    store = await Store.open(path)
    assert await store.waiting("sink1") == [OutboxRow(1, "sink1", note(), T0)]
    assert await store.dead_letters() == [OutboxRow(2, "sink2", note(), T0)]
    assert await store.commit(Change(outgoing=[Outgoing("sink3", note())], now_ns=T0)) == []
    await store.close()


async def test_what_was_sent_gives_its_room_back(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db", durable=False)

    async def size_after(first: int) -> int:
        for number in range(first, first + 300):
            (row,) = await store.commit(Change(outgoing=[Outgoing("a", note(key=f"{number}" * 3))], now_ns=T0))
            await store.commit(Change(delivered=[done(row, "ok")]))
        with sqlite3.connect(store.path) as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.close()
        return int(pages) * 4096

    few, more = await size_after(0), await size_after(300)
    each = (more - few) / 300
    assert each < 400 < len(msgspec.json.encode(note()))  # a line in the log and a key, no content
    await store.close()


async def test_two_changes_in_one_transaction_end_as_if_written_one_after_the_other(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    saved, told = SavedAlert(alert()), MemoryRow("told", "x", b"1")
    first = Change(saved=[saved], memory=[told])
    first.add(Change(gone=[saved.view.fingerprint], forgotten=[("told", "x")]))
    await store.commit(first)
    assert (await store.alerts(), await store.memory("told")) == ([], [])
    back = Change(gone=[saved.view.fingerprint], forgotten=[("told", "x")])
    back.add(Change(saved=[saved], memory=[told]))
    await store.commit(back)
    assert (await store.alerts(), await store.memory("told")) == ([saved], [told])
    await store.close()


async def test_a_disk_that_refuses_is_no_reason_to_set_a_sound_file_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: with a full disk at the start all alerts, timers and the outbox were taken for corrupt."""
    path = tmp_path / "m.db"
    store = await Store.open(path)
    await store.commit(Change([transition()]))
    await store.close()
    before = path.read_bytes()

    def refuse(_db: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("monitor.runtime.alerting.store._quick_check", refuse)
        with pytest.raises(StateError, match=r"m\.db cannot be opened: database or disk is full"):
            await Store.open(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.glob("*corrupt*")] == []
    store = await Store.open(path)
    assert len(await store.history()) == 1
    await store.close()


async def test_a_folder_without_rights_is_said_and_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "m.db").mkdir()
    with pytest.raises(StateError, match="cannot be opened: unable to open database file"):
        await Store.open(tmp_path / "m.db")


async def test_a_question_about_the_past_does_not_wait_for_a_write_nor_a_write_for_it(tmp_path: Path) -> None:
    """Found by reading: the page's history and the alerts of a cascade stood in one line."""
    store = await Store.open(tmp_path / "m.db")
    await store.commit(Change([transition()]))
    held, go_on = threading.Event(), threading.Event()

    def occupy() -> None:
        held.set()
        assert go_on.wait(10)

    for busy, free in (
        (store.thread, store.history),
        (store.reading_thread, lambda: store.commit(Change([transition()]))),
    ):
        busy.submit(occupy)
        assert held.wait(10)
        assert await asyncio.wait_for(free(), 10) is not None
        go_on.set()
        held.clear()
        go_on = threading.Event()
    assert len(await store.history()) == 2, "what was written is read"
    await store.close()


async def test_a_file_that_another_process_has_locked_is_waited_for_not_given_up(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "m.db")
    other = sqlite3.connect(tmp_path / "m.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await store.commit(Change([transition()]))
    other.execute("ROLLBACK")
    other.close()
    await store.commit(Change([transition()]))
    assert len(await store.history()) == 1
    await store.close()


async def test_much_that_is_old_goes_in_pieces_and_dead_letters_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.runtime.alerting.store._PRUNED_AT_ONCE", 3)
    store = await Store.open(tmp_path / "m.db")
    old = Change([transition() for _ in range(10)], outgoing=[Outgoing("a", note(key="x"))], now_ns=T0)
    (row,) = await store.commit(old)
    await store.commit(Change(delivered=[done(row, "dead")]))
    assert await store.prune(T0 + S) == 12
    assert (await store.history(), await store.dead_letters()) == ([], [])
    await store.close()
