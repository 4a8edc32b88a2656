"""What all venues' feeds share: options, addresses, selection, and the events that rows make."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import (
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    Limits,
    ReportingLaw,
    SequenceGap,
    Skipped,
    Topic,
    UnknownSymbol,
)
from monitor.instruments import Instrument, Registry
from monitor.session import SessionRules
from monitor.venue import Settings, VenueFeed, VenueSession, shards

NOW_NS = 1_763_700_000_000_000_000
LAW = ReportingLaw("complete", "all", "here")


def coin(symbol: str, **fields: Any) -> Instrument:
    return Instrument(
        **{
            "venue": "x",
            "symbol": symbol,
            "base": symbol[:3],
            "quote": "USDT",
            "settle": "USDT",
            "kind": "perp",
            **fields,
        }
    )


class XSettings(Settings, frozen=True):
    unit: str = "base"


class XSession(VenueSession):
    rules = SessionRules(chunk=2, pace_s=1.0)

    def frame_group(self, topic: Topic) -> str:
        return topic.name[0]

    def subscribe_frame(self, topics: Any, number: int) -> str:
        return f"{number}:" + ",".join(topic.name for topic in topics)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        raise {"v": ValueError, "a": ArithmeticError, "r": RecursionError}[str(frame)]("boom")


class XFeed(VenueFeed):
    settings_type: ClassVar[type[Settings]] = XSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        "x",
        "X",
        {Channel.PRICE: LAW, Channel.LIQUIDATIONS: ReportingLaw("not_covered", "none", "here")},
        Limits(),
        1.0,
        {},
        "https://x",
    )


def feed(*channels: Channel, **options: Any) -> XFeed:
    return XFeed(FeedOptions(channels=frozenset(channels), **options))


def session(topics: tuple[Topic, ...] = (), *items: Instrument, **options: Any) -> XSession:
    return XSession(feed(Channel.PRICE, **options), Connection("x/0", "wss://x", topics), Registry(items))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"x has no channel funding; it has liquidations, price"):
        feed(Channel.FUNDING)
    with pytest.raises(ValueError, match="untt"):
        feed(extra={"untt": "base"})
    assert not feed(Channel.LIQUIDATIONS).carries(Channel.LIQUIDATIONS), "asked for, but the venue has no source"


def test_addresses_move_with_their_paths() -> None:
    moved = feed(ws_url="ws://127.0.0.1:9/ignored", rest_url="http://[::1]:8")
    assert moved.ws("wss://venue.example/v5/public?a=b") == "ws://127.0.0.1:9/v5/public?a=b"
    assert moved.rest("https://venue.example/api") == "http://[::1]:8/api"
    assert feed().ws("wss://venue.example/v5") == "wss://venue.example/v5"


def test_wanted() -> None:
    items = [
        coin("BTCUSDT"), coin("OLDUSDT", status="closed"), coin("ETHBTC", quote="BTC"), coin("AAPLUSDT", asset_class="tradfi"),
    ]  # fmt: skip
    registry = Registry(items)
    assert [item.symbol for item in feed().wanted(registry)] == ["BTCUSDT"]
    assert [item.symbol for item in feed(include_tradfi=True).wanted(registry)] == ["BTCUSDT", "AAPLUSDT"]
    assert [item.symbol for item in feed(symbols=("ETHBTC", "NOPE", "OLDUSDT")).wanted(registry)] == ["ETHBTC"]


def test_selection_filters_whole_market_topics() -> None:
    assert feed().selection([coin("BTCUSDT")]) is None
    assert feed(top=1).selection([coin("BTCUSDT")]) == frozenset({"BTCUSDT"})
    picked = session(
        (Topic("all", (Channel.PRICE,), payload=frozenset({"BTCUSDT"})),), coin("BTCUSDT"), coin("ETHUSDT")
    )
    assert picked.find("BTCUSDT", Channel.PRICE) is not None
    assert picked.find("ETHUSDT", Channel.PRICE) is None
    assert picked.find("NEWUSDT", Channel.PRICE) is None
    assert picked.notices == [Skipped("unselected"), UnknownSymbol("NEWUSDT", Channel.PRICE)]


def test_topics_of_one_group_share_a_frame() -> None:
    topics = tuple(Topic(name, ()) for name in ("a1", "a2", "a3", "b1"))
    opened = session(topics)
    assert [(send.frame, send.after_ns // 10**9) for send in opened.on_open(NOW_NS)] == [
        ("1:a1,a2", 0),
        ("2:a3", 1),
        ("3:b1", 2),
    ]
    assert [topic.name for topic in opened.chunk(2)] == ["a3"]
    assert opened.chunk(0) == opened.chunk(4) == ()


@pytest.mark.parametrize("kind", ["v", "a", "r"])
def test_nothing_but_decode_errors_escapes_a_session(kind: str) -> None:
    with pytest.raises(DecodeError):
        session().on_frame(kind, NOW_NS)


def test_held_values_are_repeated_now_and_then() -> None:
    opened = session()
    said = [
        opened.changed("A", Channel.FUNDING, rate, NOW_NS + at * 10**9)
        for rate, at in ((1.0, 0), (1.0, 29), (2.0, 29), (2.0, 60))
    ]
    assert said == [True, False, True, True]


def test_holes_in_numbering() -> None:
    opened = session()
    for number in (5, 6, 9, 8, 10):
        opened.number("s", number, Channel.TRADES)
    opened.number("other", 1, Channel.TRADES)
    assert opened.notices == [SequenceGap(Channel.TRADES, 2)]


def test_equal_skips_are_one_notice() -> None:
    opened = session()
    for reason, count in (("history", 2), ("history", 3), ("tradfi", 1), ("history", 0)):
        opened.skip(reason, count)
    assert opened.notices == [Skipped("history", 5), Skipped("tradfi", 1)]


def test_crossed_or_empty_quotes_make_no_mid() -> None:
    opened, item = session(), coin("BTCUSDT")
    for bid, ask in ((2.0, 1.0), (0.0, 1.0), (None, 1.0), ("", "1")):
        assert opened.prices(item, NOW_NS, NOW_NS, bid=bid, ask=ask) == []
    assert len(opened.prices(item, NOW_NS, NOW_NS, bid="1", ask="3")) == 1


def test_shards() -> None:
    topics = [Topic(str(number), ()) for number in range(5)]
    assert [len(part) for part in shards(topics, 2)] == [1, 2, 2]
    assert [topic for part in shards(topics, 2) for topic in part] == topics
    assert shards([], 2) == []
