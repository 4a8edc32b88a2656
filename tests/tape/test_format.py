from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import TapeError
from monitor.tape.format import (
    KINDS,
    VERSION,
    About,
    Record,
    decode_block,
    decode_block_head,
    decode_file_head,
    encode_block,
    encode_file_head,
)
from monitor.tape.reader import Loss, TapeReader

HEAD = encode_file_head(About(1, "test", "made up"))
records = st.builds(
    Record,
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(KINDS),
    st.binary(max_size=200) | st.text(max_size=200),
    st.booleans(),
)
blocks = st.lists(st.lists(records, min_size=1, max_size=8), min_size=1, max_size=5)


def read(data: bytes) -> list[Record | Loss]:
    return list(TapeReader(io.BytesIO(data), "x.tape").records())


def frame(number: int) -> Record:
    return Record(number, "toy/0#1", "in", f'{{"n":{number}}}')


def tape(count: int) -> tuple[bytes, list[int]]:
    """A tape of `count` blocks of ten records, and where each block starts."""
    data, starts = HEAD, []
    for block in range(count):
        starts.append(len(data))
        data += encode_block([frame(10 * block + step) for step in range(10)])
    return data, starts


@given(blocks)
def test_what_is_written_is_read(written: list[list[Record]]) -> None:
    data = HEAD + b"".join(encode_block(block) for block in written)
    assert read(data) == [record for block in written for record in block]


@given(blocks, st.data())
def test_a_torn_tail_costs_the_last_block_at_most(written: list[list[Record]], data: st.DataObject) -> None:
    encoded = [encode_block(block) for block in written]
    last = len(encoded[-1])
    whole = HEAD + b"".join(encoded)
    cut = data.draw(st.integers(1, last))
    found = read(whole[:-cut])
    kept = [record for block in written[:-1] for record in block]
    assert found[: len(kept)] == kept
    missing = found[len(kept) :]
    if cut == last:
        assert not missing
    else:
        [loss] = missing
        assert isinstance(loss, Loss)
        assert (loss.offset, loss.size, loss.torn) == (len(whole) - last, last - cut, True)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_error_or_counted(data: bytes) -> None:
    for start in (b"", HEAD, HEAD + b"BLK1"):
        try:
            found = read(start + data)
        except TapeError as error:
            assert error.file == "x.tape"  # noqa: PT017  # either outcome is right
        else:
            assert all(isinstance(item, Loss) for item in found)
            assert sum(item.size for item in found if isinstance(item, Loss)) == len(start + data) - len(HEAD)


@given(st.data())
def test_one_changed_byte_costs_one_block_and_no_number_is_wrong(data: st.DataObject) -> None:
    whole, starts = tape(4)
    at = data.draw(st.integers(len(HEAD), len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    found = read(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
    hit = max(number for number, start in enumerate(starts) if start <= at)
    assert [item for item in found if isinstance(item, Record)] == [
        frame(number) for number in range(40) if number // 10 != hit
    ]
    losses = [item for item in found if isinstance(item, Loss)]
    assert losses
    assert losses[0].offset == starts[hit]
    assert str(losses[0]).startswith(f"x.tape:{starts[hit]}: ")


def test_another_version_is_refused_by_name() -> None:
    data = bytearray(HEAD)
    data[8] = VERSION + 1
    with pytest.raises(TapeError, match=rf"x\.tape:0: version {VERSION + 1}"):
        read(bytes(data))


@pytest.mark.parametrize("data", [b"", b"PAR1" * 20, HEAD[:-1], HEAD[:-1] + b"!"])
def test_what_is_no_tape_is_an_error(data: bytes) -> None:
    with pytest.raises(TapeError):
        decode_file_head(data)


def test_a_block_that_claims_another_size_is_damaged() -> None:
    block = encode_block([frame(1)])
    head = decode_block_head(block)
    stored = block[head.head_size :]
    assert decode_block(head, stored) == [frame(1)]
    with pytest.raises(TapeError, match="another size"):
        decode_block(head._replace(raw=head.raw + 1), stored)
    with pytest.raises(TapeError, match="damaged"):
        decode_block(head._replace(records=5), stored)
    with pytest.raises(TapeError, match="cut short"):
        decode_block(head, stored[:-1])


def test_the_index_answers_by_time_and_venue() -> None:
    data = HEAD + encode_block([Record(1, "a/0#1", "in", "x"), Record(9, "b/0#1", "in", "y")])
    data += encode_block([Record(20, "c/0#1", "in", "z")])
    reader = TapeReader(io.BytesIO(data), "x.tape")
    heads = [step.head for step in reader.index() if not isinstance(step, Loss)]
    assert [(head.first_ns, head.last_ns, head.venues) for head in heads] == [(1, 9, ("a", "b")), (20, 20, ("c",))]
    assert [item.payload for item in reader.records(5, 20) if isinstance(item, Record)] == ["y"]
    assert [item.payload for item in reader.records(venue="c") if isinstance(item, Record)] == ["z"]


def test_version_1_is_read_as_before() -> None:
    old = bytearray(HEAD)
    old[8] = 1
    assert read(bytes(old) + encode_block([frame(1)])) == [frame(1)]
