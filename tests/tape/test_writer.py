from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import NS_PER_S
from monitor.errors import TapeError
from monitor.tape.folder import inspect, inspect_files, read_folder, read_lost, some_files, tape_files, write_lost
from monitor.tape.format import Record, Row
from monitor.tape.reader import Loss
from monitor.tape.writer import RESERVE, TapeLimits, TapeWriter

NOW_NS = 1_763_700_000 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S


def rows(number: int, count: int = 3) -> list[Row]:
    return [(NOW_NS + number, "toy/0#1", "in", os.urandom(200).hex(), False) for _ in range(count)]


def connect(name: str = "toy/0#1") -> Row:
    return (NOW_NS, name, "connect", "{}", False)


def records(folder: Path) -> list[Record | Loss]:
    return list(read_folder(folder))


def test_a_full_file_and_a_full_hour_begin_another(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, TapeLimits(file_bytes=500))
    written = [rows(number) for number in range(3)]
    writer.write(written[0], NOW_NS)
    writer.write(written[1], NOW_NS)  # the first block filled the file
    writer.close()
    assert len(tape_files(tmp_path)) == 2
    hours = TapeWriter(tmp_path)
    hours.write(written[2], NOW_NS)
    hours.write([connect()], NOW_NS + HOUR_NS)
    hours.close()
    names = [path.name for path in tape_files(tmp_path)]
    assert names[2:] == ["00000003-20251121T044000Z.tape", "00000004-20251121T054000Z.tape"]
    assert records(tmp_path) == [tuple(row) for part in written for row in part] + [connect()]


def test_every_file_repeats_what_still_holds_and_the_folder_tells_it_once(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    metadata: Row = (NOW_NS, "toy/metadata/0/all", "rest", b"old", False)
    newer: Row = (NOW_NS + 1, "toy/metadata/0/all", "rest", b"new", False)
    gone: Row = (NOW_NS + 2, "toy/0#2", "disconnect", "drop: ", False)
    first = [metadata, connect(), connect("toy/0#2"), newer, gone, *rows(1)]
    writer.write(first, NOW_NS)
    writer.write(rows(2), NOW_NS + HOUR_NS)
    writer.close()
    whole = records(tmp_path)
    assert whole[: len(first)] == first
    assert len(whole) == len(first) + 3
    tape_files(tmp_path)[0].unlink()
    alone = records(tmp_path)
    assert [item[:4] for item in alone[:2] if isinstance(item, Record)] == [newer[:4], connect()[:4]]
    assert [item.carried for item in alone if isinstance(item, Record)] == [True, True, False, False, False]


def test_the_oldest_files_go_first_and_are_counted(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, TapeLimits(file_bytes=1000, folder_bytes=4000))
    for number in range(20):
        writer.write(rows(number, 8), NOW_NS + number)
    writer.close()
    files = tape_files(tmp_path)
    assert writer.files == 20
    assert writer.removed == 20 - len(files) > 0
    block = max(path.stat().st_size for path in files)
    assert sum(path.stat().st_size for path in files) <= 4000 + block  # a file is full after the block that fills it
    assert files[-1].name.startswith("00000020-")


def test_files_are_removed_for_age(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, TapeLimits(keep_s=7200))
    for hour in range(6):
        writer.write(rows(hour), NOW_NS + hour * HOUR_NS)
    writer.close()
    assert writer.removed == 2
    assert [path.name[:8] for path in tape_files(tmp_path)] == ["00000003", "00000004", "00000005", "00000006"]


def test_a_refused_write_leaves_no_torn_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TapeWriter(tmp_path)
    good = rows(1)
    writer.write(good, NOW_NS)
    real = os.write

    def half(fd: int, data: memoryview) -> int:
        if len(data) > 100:
            return real(fd, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            writer.write(rows(2), NOW_NS)
    after = rows(3)
    writer.write(after, NOW_NS)
    writer.close()
    assert records(tmp_path) == [*good, *after]


@pytest.mark.parametrize("refused", range(4))
def test_a_file_that_could_not_be_begun_whole_is_begun_anew(
    refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its first four writes (header, carried, what is new, the next block) one fails; each file can be read alone."""
    writer = TapeWriter(tmp_path)
    writer.write([connect(), *rows(1)], NOW_NS)
    real, calls = os.write, iter(range(100))

    def full_once(fd: int, data: memoryview) -> int:
        if next(calls) == refused:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full_once)
    lost = 0
    for number in range(2, 5):
        try:
            writer.write(rows(number), NOW_NS + HOUR_NS)
        except OSError:
            lost += 1
    writer.close()
    assert lost == 1
    assert [path.name[:8] for path in tape_files(tmp_path)] == ["00000001", "00000002"]
    assert (writer.files, writer.folder_bytes) == (2, sum(path.stat().st_size for path in tape_files(tmp_path)))
    assert writer.bytes_written == writer.folder_bytes
    tape_files(tmp_path)[0].unlink()
    found = records(tmp_path)
    assert found[0] == (*connect()[:4], True)
    assert len(found) == 1 + 2 * 3


def test_last_words_of_a_full_disk_have_a_file_of_their_own_where_none_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full when the hour was: the next file could not be begun, and what it would repeat has no room."""
    writer = TapeWriter(tmp_path)
    writer.write(first := [connect(), *rows(1)], NOW_NS)
    real = os.write

    def until_released(fd: int, data: memoryview) -> int:
        if (tmp_path / RESERVE).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", until_released)
    with pytest.raises(OSError, match="No space"):
        writer.write(rows(2), NOW_NS + HOUR_NS)
    note = Record(NOW_NS + HOUR_NS, "recorder", "lost", write_lost(3, "disk"))
    writer.write_last([note], NOW_NS + HOUR_NS)
    writer.close()
    assert [info.dropped for info in inspect_files(tape_files(tmp_path))] == [{}, {"disk": 3}]
    assert records(tmp_path) == [*first, note]


def test_a_disk_without_any_room_is_written_to_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    writer = TapeWriter(tmp_path)
    writer.write(first := rows(1), NOW_NS)
    writer.close()
    assert records(tmp_path) == first


def test_a_folder_that_may_not_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="Permission denied"):
        TapeWriter(tmp_path)


def test_files_that_could_not_be_made_leave_no_hole_in_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TapeWriter(tmp_path)
    writer.write(rows(1), NOW_NS)

    def no_room(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_room)
        for _ in range(3):
            with pytest.raises(OSError, match="Too many"):
                writer.write(rows(2), NOW_NS + HOUR_NS)
    writer.write(rows(3), NOW_NS + HOUR_NS)
    writer.close()
    assert [path.name[:8] for path in tape_files(tmp_path)] == ["00000001", "00000002"]


def test_two_tapes_in_one_folder_are_refused_as_their_records_would_count_twice(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for number, folder in enumerate(folders):
        writer = TapeWriter(folder)
        writer.write(rows(number), NOW_NS + number * NS_PER_S)
        writer.close()
    (one,), (other,) = map(tape_files, folders)
    (folders[0] / other.name).write_bytes(other.read_bytes())
    with pytest.raises(TapeError, match=f"{one.name} and {other.name} have one number"):
        some_files(folders[0])
    (folders[0] / other.name).unlink()
    again = one.with_name(one.name.replace("00000001", "00000007"))
    again.write_bytes(one.read_bytes())
    with pytest.raises(TapeError, match=f"{again.name} is {one.name} once more"):
        some_files(folders[0])


def test_a_folder_that_may_not_be_read_is_not_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(TapeError, match="it may not be read"):
        some_files(tmp_path)
    with pytest.raises(TapeError, match="no tape here"):
        some_files(tmp_path / "nowhere")


def test_a_disk_that_cannot_sync_ends_the_file_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TapeWriter(tmp_path, TapeLimits(file_bytes=1))
    writer.write(rows(1), NOW_NS)

    def fails(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="Input/output"):
            writer.write([connect(), *rows(2)], NOW_NS)
        writer.write(after := rows(3), NOW_NS)
        assert records(tmp_path)[-3:] == after
    tape_files(tmp_path)[0].unlink()
    assert records(tmp_path)[0] == (*connect()[:4], True), "what was lost still holds"
    writer.close()


def test_an_unreadable_file_is_one_loss_and_the_rest_is_read(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    for hour in range(3):
        writer.write([connect(), *rows(hour)], NOW_NS + hour * HOUR_NS)
    writer.close()
    bad = tape_files(tmp_path)[1]
    bad.write_bytes(b"not a tape at all, and long enough")
    found = records(tmp_path)
    [loss] = [item for item in found if isinstance(item, Loss)]
    assert (loss.file, loss.offset, loss.reason) == (str(bad), 0, "not a tape")
    assert sum(isinstance(item, Record) and not item.carried for item in found) == 8
    undated = replace(loss, since_ns=None, until_ns=None)
    assert [info.losses for info in map(inspect, tape_files(tmp_path))] == [[], [undated], []]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no tape here"):
        records(tmp_path)


def test_lost_frames_are_said_on_the_tape() -> None:
    assert read_lost(write_lost(7, "slow")) == (7, "slow")


def test_many_instruments_are_carried_in_several_blocks(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    replies: list[Row] = [(NOW_NS, f"v{n}/metadata/0/all", "rest", bytes(3 << 20), False) for n in range(5)]
    for reply in replies:
        writer.write([reply], NOW_NS)
    writer.write(rows(1), NOW_NS + HOUR_NS)
    writer.close()
    newest = tape_files(tmp_path)[-1]
    assert inspect(newest, deep=True).blocks == 3
    tape_files(tmp_path)[0].unlink()
    assert [item[1:4] for item in records(tmp_path)[:5] if isinstance(item, Record)] == [
        reply[1:4] for reply in replies
    ]
