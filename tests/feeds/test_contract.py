"""What every venue in the registry must do, whatever its protocol."""

from __future__ import annotations

import contextlib
import gzip
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import monitor.feeds
from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Channel, Funding, MarketEvent, Price
from monitor.feed import Connection, Feed, FeedOptions, Frame, Notice, Refused, Request, Session, UnknownSymbol
from monitor.feeds import FEEDS, feed_class, make_feed
from monitor.instruments import Registry
from monitor.session import TopicSession
from tests.feeds.support import GOLDEN, NOW_NS, load, refuse, shown
from tests.feeds.test_golden_frames import CASES, IDS, session

WS, REST = "ws://127.0.0.1:7001", "http://127.0.0.1:7002"
ALLOWED = (DecodeError,)
every_venue = pytest.mark.parametrize("venue", FEEDS)
every_case = pytest.mark.parametrize("path", CASES, ids=IDS)


def build(venue: str, *channels: Channel, **options: Any) -> Feed:
    return make_feed(venue, FeedOptions(channels=frozenset(channels or feed_class(venue).spec.laws), **options))


def registry_of(feed: Feed) -> Registry:
    registry = Registry()
    load(feed, registry)
    return registry


def sessions(venue: str, **options: Any) -> Iterator[tuple[Feed, Connection, Session]]:
    feed = build(venue, **options)
    registry = registry_of(feed)
    for connection in feed.connections(feed.wanted(registry)):
        yield feed, connection, feed.session(connection, registry)


def tolerate(session: Session, frame: Frame) -> list[MarketEvent]:
    """Decode what may be anything: events or `DecodeError`."""
    with contextlib.suppress(*ALLOWED):
        return session.on_frame(frame, NOW_NS)
    return []


def packed(path: Path, frame: bytes) -> bytes:
    return gzip.compress(frame, 1) if path.parent.name == "htx" else frame


# --- the registry -------------------------------------------------------------------------------------------------


def test_every_file_is_registered() -> None:
    folder = Path(inspect.getfile(monitor.feeds)).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {target.partition(":")[0].rpartition(".")[2] for target in FEEDS.values()}


@every_venue
def test_venue_says_what_it_is(venue: str) -> None:
    cls = feed_class(venue)
    spec = cls.spec
    assert spec.venue == venue
    assert spec.title
    assert spec.laws
    for channel, law in spec.laws.items():
        assert law.rule, channel
        assert urlsplit(law.source if "://" in law.source else spec.docs).scheme == "https", channel
        if law.kind != "not_covered":
            assert spec.stale_s[channel] > 0
    assert spec.idle_s > 0
    assert sys.modules[cls.__module__].__doc__


@every_venue
def test_golden_folder_is_complete(venue: str) -> None:
    names = {path.name for path in (GOLDEN / venue).iterdir()}
    assert {"README.md", "metadata.json"} <= names
    frames = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")}
    assert frames
    assert {f"{name}.expected.json" for name in frames} <= names
    assert sum(path.stat().st_size for path in (GOLDEN / venue).iterdir()) < 150_000


@every_venue
def test_a_wrong_channel_or_setting_is_refused(venue: str) -> None:
    for channel in set(Channel) - set(feed_class(venue).spec.laws):
        with pytest.raises(ValueError, match=channel.value):
            build(venue, channel)
    with pytest.raises(ValueError, match="no_such_setting"):
        build(venue, extra={"no_such_setting": 1})


# --- addresses and subscriptions ----------------------------------------------------------------------------------


@every_venue
def test_every_address_can_be_replaced(venue: str) -> None:
    feed, plain = build(venue, ws_url=WS, rest_url=REST), build(venue)
    registry = registry_of(plain)
    chosen = plain.wanted(registry)
    pairs = zip(feed.connections(chosen), plain.connections(chosen), strict=True)
    for ours, theirs in pairs:
        assert ours.url.startswith(WS)
        assert (urlsplit(ours.url).path, ours.name) == (urlsplit(theirs.url).path, theirs.name)
        assert urlsplit(theirs.url).scheme == "wss"
    requests: list[Request] = [*feed.metadata(), *feed.ranking(), *(poll.request for poll in feed.polls(chosen))]
    assert requests
    assert {f"{urlsplit(request.url).scheme}://{urlsplit(request.url).netloc}" for request in requests} == {REST}


@every_venue
def test_connections_have_unique_stable_names(venue: str) -> None:
    first = [connection.name for _, connection, _ in sessions(venue)]
    assert first == [connection.name for _, connection, _ in sessions(venue)]
    assert len(set(first)) == len(first) > 0
    assert all(name.startswith(f"{venue}/") for name in first)


@every_venue
def test_subscriptions_cover_every_topic_within_the_pace(venue: str) -> None:
    for feed, connection, fresh in sessions(venue):
        sends = fresh.on_open(NOW_NS)
        assert sends
        assert all(len(send.frame.encode()) <= 64 * 1024 for send in sends)
        delays = [send.after_ns for send in sends]
        assert delays == sorted(delays)
        assert len(sends) <= 1 + (max(delays) / NS_PER_S + 1) * feed.spec.limits.sends_per_s
        assert len({topic.name for topic in connection.topics}) == len(connection.topics)


@every_venue
def test_reconnecting_subscribes_anew(venue: str) -> None:
    feed = build(venue)
    registry = registry_of(feed)
    for connection in feed.connections(feed.wanted(registry)):
        first, second = feed.session(connection, registry), feed.session(connection, registry)
        assert [send.frame for send in first.on_open(NOW_NS)] == [send.frame for send in second.on_open(NOW_NS)]


@every_venue
def test_silence_after_subscribing_is_a_refusal(venue: str) -> None:
    for _, connection, fresh in sessions(venue):
        assert isinstance(fresh, TopicSession)
        if fresh.rules.ack_s is None:
            continue
        fresh.on_open(NOW_NS)
        fresh.on_tick(NOW_NS + 600 * NS_PER_S)
        refused = {notice.topic for notice in fresh.notices if isinstance(notice, Refused)}
        assert refused == {topic.name for topic in connection.topics}


@every_venue
def test_pings_are_sent_when_due_and_not_before(venue: str) -> None:
    for _, _, fresh in sessions(venue):
        assert isinstance(fresh, TopicSession)
        fresh.on_open(NOW_NS)
        assert fresh.on_tick(NOW_NS + NS_PER_S // 2) == []
        due = fresh.on_tick(NOW_NS + 60 * NS_PER_S)
        assert bool(due) == (fresh.rules.ping_s is not None)


# --- frames -------------------------------------------------------------------------------------------------------


@every_venue
@pytest.mark.parametrize("frame", ["", "{", b"\xff\xfe\x00", "[" * 100_000, '"text"', "[]", "{}", "null", "1e999", b""])
def test_malformed_frame_is_a_decode_error_or_nothing(venue: str, frame: Frame) -> None:
    for _, _, fresh in sessions(venue):
        fresh.on_open(NOW_NS)
        assert tolerate(fresh, frame) == []


@every_venue
def test_frame_that_is_no_json_is_an_error(venue: str) -> None:
    damaged = gzip.compress(b"{not json") if venue == "htx" else "{not json"
    for _, _, fresh in sessions(venue):
        with pytest.raises(DecodeError):
            fresh.on_frame(damaged, NOW_NS)


@every_venue
def test_unknown_message_gives_no_event(venue: str) -> None:
    for _, _, fresh in sessions(venue):
        for frame in (
            {"hello": "world"},
            {"type": "novelty", "channel": "novelty", "data": [1]},
            {"topic": "x.y", "data": {}},
        ):
            assert tolerate(fresh, msgspec.json.encode(frame)) == []


@every_case
def test_two_megabyte_frame(path: Path) -> None:
    opened = session(path)
    for line in path.read_bytes().splitlines():
        frame = (
            line[:-1] + b',"padding":"' + b"x" * 2_000_000 + b'"}' if line.endswith(b"}") else line + b" " * 2_000_000
        )
        tolerate(opened.session, packed(path, frame))
    assert tolerate(opened.session, packed(path, b"[" * 2_000_000)) == []


def spoilt(value: Any) -> Iterator[Any]:
    """Copies of a JSON value in which one leaf is null, empty, or of another type."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {key: each for key, each in value.items() if key != name}
            for other in spoilt(inner):
                yield {**value, name: other}
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            for other in spoilt(inner):
                yield [*value[:number], other, *value[number + 1 :]]
    else:
        yield from (None, "", -1, [], {}, "NaN", "-1", "1e400", 10**30, not value)


@every_case
def test_missing_null_empty_and_wrong_types(path: Path) -> None:
    opened = session(path)
    for line in path.read_bytes().splitlines():
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        for other in spoilt(value):
            for event in tolerate(opened.session, packed(path, msgspec.json.encode(other))):
                check(event)
        opened.session.notices.clear()


def check(event: MarketEvent) -> None:
    """No event may carry a number that no market has."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, float):
            assert abs(value) < 1e16, event  # NaN is not
        if name == "usd_micros":
            assert 0 <= value < 2**62, event
        if name.endswith("_ns"):
            assert 0 <= value < 2**63, event
    if isinstance(event, Price):
        assert event.value > 0, event
    if isinstance(event, Funding):
        assert event.interval_h > 0, event


@every_case
def test_unknown_instruments_are_counted_and_never_guessed(path: Path) -> None:
    known = session(path)
    empty = known.feed.session(known.connection, Registry())
    empty.on_open(NOW_NS)
    notices: list[Notice] = []
    for line in path.read_bytes().splitlines():
        events = tolerate(empty, packed(path, line))
        assert not [event for event in events if hasattr(event, "instrument")]
        notices += empty.notices
        empty.notices.clear()
    assert any(isinstance(notice, UnknownSymbol) for notice in notices) or path.stem == "notification"


@every_case
@pytest.mark.parametrize("skew_s", [-2, 2])
def test_our_clock_may_be_two_seconds_off(path: Path, skew_s: int) -> None:
    def values(shift_s: int) -> list[dict[str, Any]]:
        opened = session(path)
        frames = path.read_bytes().splitlines()
        events = [
            event
            for number, line in enumerate(frames)
            for event in opened.push(packed(path, line), recv_ns=NOW_NS + (number + shift_s) * NS_PER_S)
        ]
        return [{k: v for k, v in shown(event).items() if k not in {"recv_ns", "ts_ns"}} for event in events]

    assert values(skew_s) == values(0)


# --- REST ---------------------------------------------------------------------------------------------------------


@every_venue
@pytest.mark.parametrize("body", [b"", b"null", b"{", b"\xff", b"7"])
def test_bad_reply_is_a_decode_error(venue: str, body: bytes) -> None:
    feed = build(venue)
    registry = registry_of(feed)
    for request in feed.metadata():
        with pytest.raises(DecodeError):
            feed.parse_metadata(request, body)
    for request in feed.ranking():
        with pytest.raises(DecodeError):
            feed.parse_ranking(request, body, registry)
    for poll in feed.polls(feed.wanted(registry)):
        with pytest.raises(DecodeError):
            feed.parse_poll(poll, body, NOW_NS, registry, refuse)
