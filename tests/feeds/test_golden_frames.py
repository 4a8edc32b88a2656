"""Every golden session decodes to exactly the events and notices beside it, and survives any damage.

``python -m tests.feeds.test_golden_frames`` rewrites the expectations; read the difference before committing it.
"""

from __future__ import annotations

import contextlib
import gzip
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import DecodeError
from monitor.feed import Frame
from tests.feeds.support import GOLDEN, NOW_NS, Opened, open_session, shown

CASES = sorted(path for path in GOLDEN.glob("*/*.jsonl") if (path.parent / "metadata.json").exists())
IDS = [f"{path.parent.name}-{path.stem}" for path in CASES]


def session(path: Path) -> Opened:
    """The connection that the golden session was composed for."""
    venue, case = path.parent.name, path.stem
    if case.startswith("on-"):  # on-inverse.jsonl: the connection is named
        extra = {"categories": ["linear", "inverse", "spot"]} if venue == "bybit" else {}
        return open_session(venue, connection=case.split("-")[1], extra=extra)
    return open_session(venue, connection=-1 if case == "notification" else 0)


def decode(path: Path) -> list[Any]:
    """All events and notices of a golden session, per frame."""
    opened = session(path)
    lines = []
    for number, line in enumerate(path.read_text().splitlines()):
        events = opened.push(line, recv_ns=NOW_NS + number * 1_000_000_000)
        lines.append(
            {"events": [shown(event) for event in events], "notices": [shown(each) for each in opened.session.notices]}
        )
        opened.session.notices.clear()
    return lines


@pytest.mark.parametrize("path", CASES, ids=IDS)
def test_golden_session(path: Path) -> None:
    expected = msgspec.json.decode(path.with_suffix(".expected.json").read_bytes())
    assert msgspec.json.decode(msgspec.json.encode(decode(path))) == expected


def survive(opened: Opened, frame: Frame) -> None:
    """Decode a damaged frame: events or `DecodeError`, and nothing else."""
    with contextlib.suppress(DecodeError):
        opened.session.on_frame(frame, NOW_NS)
    opened.session.notices.clear()


def mutate(frame: bytes, dice: random.Random) -> bytes:
    """One to four bytes changed, cut, doubled, or values swapped for what breaks naive parsers."""
    hostile = [
        b"null",
        b"NaN",
        b"-1",
        b"1e999",
        b"1e400",
        b'""',
        b"[]",
        b"{}",
        b"true",
        b'"\\ud800"',
        b"9" * 40,
        b"\xff\xfe",
        b'"Infinity"',
        b"-0",
    ]
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(frame) + 1)
        match dice.randrange(5):
            case 0:
                frame = frame[:at] + bytes([dice.randrange(256)]) + frame[at + 1 :]
            case 1:
                frame = frame[:at]
            case 2:
                frame = frame[:at] + frame[at // 2 : at] + frame[at:]
            case 3:
                parts = frame.split(b":")
                parts[dice.randrange(len(parts))] = dice.choice(hostile)
                frame = b":".join(parts)
            case _:
                parts = frame.split(b",")
                value = parts[dice.randrange(len(parts))]
                frame = frame.replace(value.rpartition(b":")[2], dice.choice(hostile), 1) if value else frame
    return frame


@pytest.mark.parametrize("path", CASES, ids=IDS)
def test_mutated_frames_give_events_or_a_decode_error(path: Path) -> None:
    dice = random.Random(path.parent.name)
    opened = session(path)
    frames = path.read_bytes().splitlines()
    packed = path.parent.name == "htx"
    for _ in range(2_000):
        damaged = mutate(dice.choice(frames), dice)
        survive(opened, gzip.compress(damaged, 1) if packed else damaged)


@pytest.mark.parametrize("path", CASES, ids=IDS)
@settings(max_examples=60, deadline=None)
@given(frame=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes_give_events_or_a_decode_error(path: Path, frame: Frame) -> None:
    survive(session(path), frame)


if __name__ == "__main__":
    for case in CASES:
        text = msgspec.json.format(msgspec.json.encode(decode(case)), indent=1)
        case.with_suffix(".expected.json").write_bytes(text + b"\n")
