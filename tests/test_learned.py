"""What a decoder has learned goes into a tape and comes back: another one goes on as if it had read everything."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.feed import Session
from monitor.learned import Learned
from tests.feeds.support import NOW_NS, Opened, shown
from tests.feeds.test_golden_frames import CASES, IDS, session


def told(opened: Opened, frame: str, number: int) -> list[object]:
    """Events and notices of one frame."""
    try:
        events = opened.push(frame, recv_ns=NOW_NS + number * NS_PER_S)
    except DecodeError as error:
        return [error.reason]
    notices = opened.session.notices[:]
    opened.session.notices.clear()
    return [shown(each) for each in (*events, *notices)]


def successor(before: Opened, path: Path) -> Opened:
    """A new session that recalls what this one knows."""
    after = session(path)
    for one, other in ((before.feed, after.feed), (before.session, after.session)):
        if memory := one.memory():
            other.recall(memory)
    return after


@pytest.mark.parametrize("path", CASES, ids=IDS)
def test_another_session_goes_on_from_any_frame(path: Path) -> None:
    frames = path.read_text(encoding="utf-8").splitlines()
    opened = session(path)
    for number, frame in enumerate(frames):
        after = successor(opened, path)
        expected = told(opened, frame, number)
        assert told(after, frame, number) == expected


def test_what_is_no_memory_of_it_is_refused_and_nothing_is_taken_over() -> None:
    opened = session(CASES[0])
    before = opened.session.memory()
    for memory in (b"", b"\x00", msgspec.msgpack.encode({"_other": 1}), b"\xc1", before[:-1]):
        with pytest.raises(ValueError, match=r"."):
            opened.session.recall(memory)
    assert opened.session.memory() == before


@pytest.mark.parametrize("path", CASES, ids=IDS)
def test_every_attribute_that_frames_change_is_named(path: Path) -> None:
    """A plain container of a session that frames fill and that `learns` does not name would be lost in a cut."""
    opened = session(path)
    fresh = _plain(session(path).session)
    for number, frame in enumerate(path.read_text(encoding="utf-8").splitlines()):
        told(opened, frame, number)
    changed = {name for name, value in _plain(opened.session).items() if value != fresh[name]}
    assert changed - _named(opened.session) <= CACHES


CACHES = {"_owned", "_admitted", "_worth", "_requests", "_next_ping_ns", "marks"}
"""They save time, are made anew by `on_open`, or are the feed's."""


def _plain(session: Session) -> dict[str, object]:
    return {
        name: msgspec.msgpack.encode(value, enc_hook=repr) if isinstance(value, dict | set) else value
        for name, value in vars(session).items()
        if isinstance(value, dict | set | int | float | str | None) and name != "_handlers"
    }


def _named(session: Session) -> set[str]:
    assert isinstance(session, Learned)
    return {name for base in type(session).__mro__ for name in vars(base).get("learns", {})}
