"""Follows docs/how-to-add-a-venue.md block by block, with the toy venue of the page."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, MarketEvent, Price
from monitor.feed import Acked, BadRow, Feed, FeedOptions, Refused, Session, UnknownSymbol
from monitor.feeds import FEEDS, make_feed
from monitor.instruments import Registry
from monitor.testing.protocol import VenueProtocol
from monitor.testing.venues import PROTOCOLS, make_protocol
from tests.feeds.support import NOW_NS, of

PAGE = Path(__file__).parents[2] / "docs" / "how-to-add-a-venue.md"
BLOCKS: dict[str, list[str]] = {}
for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
    BLOCKS.setdefault(language, []).append(body)


def block(title: str) -> str:
    """The Python block that starts with ``# title``."""
    return next(body for body in BLOCKS["python"] if body.startswith(f"# {title}\n"))


def install(monkeypatch: pytest.MonkeyPatch, name: str, title: str) -> None:
    """Make a block importable under its module's name."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(block(title), str(PAGE), "exec"), module.__dict__)


def line(title: str) -> tuple[str, str]:
    """Key and value of a registry line."""
    found: dict[str, str] = msgspec.json.decode("{" + block(title).partition("\n")[2].strip().rstrip(",") + "}")
    return next(iter(found.items()))


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "monitor.feeds.toy", "monitor/feeds/toy.py")
    install(monkeypatch, "monitor.testing.venues.toy", "monitor/testing/venues/toy.py")
    monkeypatch.setitem(FEEDS, *line("monitor/feeds/__init__.py"))
    monkeypatch.setitem(PROTOCOLS, *line("monitor/testing/venues/__init__.py"))


def feed() -> Feed:
    return make_feed("toy", FeedOptions(channels=frozenset({Channel.PRICE, Channel.FUNDING, Channel.LIQUIDATIONS})))


def opened() -> tuple[Session, Registry]:
    """A session on the page's metadata."""
    toy_feed, registry = feed(), Registry()
    replies = msgspec.json.decode(BLOCKS["json"][0], type=dict[str, msgspec.Raw])
    for request in toy_feed.metadata():
        registry.update(toy_feed.parse_metadata(request, bytes(replies[request.name]))[0])
    session = toy_feed.session(toy_feed.connections(toy_feed.wanted(registry))[0], registry)
    session.on_open(NOW_NS)
    return session, registry


def test_the_pages_frames_decode_to_what_the_page_says() -> None:
    session, _ = opened()
    events = [event for text in BLOCKS["jsonl"][0].splitlines() for event in session.on_frame(text, NOW_NS)]
    assert [(event.side, event.usd_micros) for event in of(Liquidation, events)] == [("long", 2_100_000_000)]
    assert [event.value for event in of(Price, events)] == [84121.5]
    assert [event.rate for event in of(Funding, events)] == [-0.000031]
    assert [set(notice.topics) for notice in session.notices if isinstance(notice, Acked)] == [
        {"liquidation", "ticker.BTCUSDT"}
    ]


def test_the_bases_do_what_the_page_promises() -> None:
    session, registry = opened()
    pepe = registry.get("toy", "1000PEPEUSDT")
    assert pepe is not None
    assert (pepe.base, pepe.base_units, pepe.contract_value) == ("PEPE", 1000, Decimal(10))
    row = '{"symbol":"BTCUSDT","side":"sell","size":"25","price":"84000","ts":1763700000123}'
    rows = [row.replace("BTC", "NEW"), row.replace('"25"', '"NaN"'), row.replace("sell", "up"), row]
    events = session.on_frame(f'{{"topic":"liquidation","data":[{",".join(rows)}]}}', NOW_NS)
    assert len(events) == 1
    assert {type(notice) for notice in session.notices} == {UnknownSymbol, BadRow}
    session.on_tick(NOW_NS + 60 * 10**9)
    late = [notice for notice in session.notices if isinstance(notice, Refused)]
    assert len(late) == 3, "an acknowledgement that never comes is a refusal"
    with pytest.raises(DecodeError):
        session.on_frame(b"\xff\x00", NOW_NS)


def test_the_local_protocol_tells_what_the_feed_hears() -> None:
    session, registry = opened()
    protocol: VenueProtocol = make_protocol("toy", list(registry))
    assert protocol.on_connect("/public", "", NOW_NS) is not None
    topics: set[str] = set()
    for send in feed().session(feed().connections(list(registry))[0], registry).on_open(NOW_NS):
        topics.update(protocol.on_client_frame("/public", send.frame, frozenset(), NOW_NS).subscribed)
    assert topics == {"liquidation", "ticker.BTCUSDT", "ticker.1000PEPEUSDT"}
    status, body = protocol.rest("GET", "/contracts", {}, b"", NOW_NS)
    assert status == 200
    again, _ = feed().parse_metadata(feed().metadata()[0], body)
    assert [item.symbol for item in again] == [item.symbol for item in registry]
    told: list[MarketEvent] = []
    for item in registry:
        told += [Price(item, "mark", 0.5, NOW_NS, NOW_NS), Liquidation(item, "short", 12_345_678, 0.25, NOW_NS, NOW_NS)]
    heard = [event for push in protocol.encode(told) for event in session.on_frame(push.frame, NOW_NS)]
    assert [(event.side, event.usd_micros) for event in of(Liquidation, heard)] == [("short", 12_345_678)] * 2
