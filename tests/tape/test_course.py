"""What a tape says of the program's own course comes back as it was written, and what cannot be read is a `ValueError`."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert import MemoryRow
from monitor.events import Channel, Depth, Event, FeedGap, FeedState, Funding, Liquidation, Price, Sample, Trade
from monitor.feed import FeedOptions
from monitor.instruments import Instrument
from monitor.tape import course

BTC = Instrument(venue="toy", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
COIN = Instrument(
    venue="toy", symbol="1000X", base="X", quote="USD", settle="X", kind="future", form="inverse",
    contract_value=Decimal("0.001"), base_units=1000, expiry_ns=5, category="inverse",
)  # fmt: skip
times = st.integers(0, 2**62)
values = st.floats(allow_nan=False)
instruments = st.sampled_from([BTC, COIN])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Price, instruments, st.sampled_from(["mark", "last"]), values, times, times, st.booleans()),
    st.builds(Liquidation, instruments, st.sampled_from(["long", "short"]), times, values, times, times, st.text()),
    st.builds(Trade, instruments, st.sampled_from(["buy", "sell"]), times, values, times, times),
    st.builds(Funding, instruments, values, values, times, times, times),
    st.builds(Depth, instruments, values, values, values, times, times),
    st.builds(Sample, st.text(), st.just((("a", "b"), ("c", ""))), values, times, times, st.text()),
    st.builds(FeedState, st.text(), st.sampled_from(Channel), st.booleans(), times, st.text()),
    st.builds(FeedGap, st.text(), st.sampled_from(Channel), times, times, st.text(), st.integers(0, 9)),
)


def plain(event: Event) -> tuple[object, ...]:
    """An event by value: a read one has instruments of its own."""
    fields = msgspec.structs.astuple(event)
    return (type(event), *(msgspec.structs.astuple(f) if isinstance(f, Instrument) else f for f in fields))


@given(st.lists(events, max_size=8))
def test_events_come_back_by_value_and_share_their_instruments(written: list[Event]) -> None:
    found = course.read_events(course.write_events(written))
    assert [plain(event) for event in found] == [plain(event) for event in written]
    own = {event.instrument.symbol: event.instrument for event in found if isinstance(event, Price | Trade)}
    assert all(own[event.instrument.symbol] is event.instrument for event in found if isinstance(event, Price | Trade))


def test_missing_stays_missing() -> None:
    [event] = course.read_events(course.write_events([Price(BTC, "mark", float("nan"), 1, 2)]))
    assert isinstance(event, Price)
    assert event.value != event.value


def test_turns_settings_memory_and_acts_come_back() -> None:
    assert course.read_turn(course.write_turn(7)) == course.Turn(7)
    assert course.read_turn(course.write_turn(7, {"a/b": ("x", "y")})) == course.Turn(7, {"a/b": ("x", "y")})
    options = FeedOptions(
        frozenset({Channel.PRICE}), ("BTCUSDT",), beside={"other": FeedOptions(frozenset({Channel.TRADES}))}, pegs={"USDT": Decimal("0.97")}
    )  # fmt: skip
    setting = course.Setting("abc", (("r.yaml", "groups: []"),), [{"matchers": ["a=b"]}], (("toy", options),))
    assert course.read_setting(course.write_setting(setting)) == setting
    rows = [MemoryRow("ack", "1", b"\x00\xff")]
    assert course.read_told(course.write_told(rows)) == rows
    act = course.Act("acknowledge", {"fingerprint": "f", "duration_ns": 5})
    assert course.read_act(course.write_act(act)) == act


@given(st.binary(max_size=60) | st.text(max_size=60) | st.builds(course.write_events, st.lists(events, min_size=1, max_size=2)).map(lambda data: data[:-1]))  # fmt: skip
def test_anything_else_is_a_value_error(data: bytes | str) -> None:
    for read in (course.read_events, course.read_turn, course.read_setting, course.read_told, course.read_act, course.read_alerts):  # fmt: skip
        with contextlib.suppress(ValueError):
            read(data)
