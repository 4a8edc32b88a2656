"""A stablecoin with a configured price changes every dollar that is quoted in it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.config import parse_config
from monitor.errors import ConfigError
from monitor.events import Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import FeedOptions
from monitor.feeds import make_feed
from monitor.instruments import Instrument, Registry
from monitor.pegs import convert
from monitor.runtime.load import load_text
from tests.feeds.support import EVERYTHING, NOW_NS, load

TETHER = Instrument(venue="toy", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
DOLLAR = Instrument(venue="toy", symbol="BTCUSD", base="BTC", quote="USD", settle="BTC", kind="perp", form="inverse")
PEGS = {"USDT": Decimal("0.97")}


def test_amounts_and_prices_are_converted_and_rates_are_not() -> None:
    events: list[MarketEvent] = [
        Liquidation(TETHER, "long", 1_000_000_001, 100.0, 1, 2, "k"),
        Trade(TETHER, "buy", 3, 100.0, 1, 2),
        Price(TETHER, "mark", 100.0, 1, 2),
        OpenInterest(TETHER, 1_000.0, 1, 2),
        Depth(TETHER, 10.0, 20.0, 0.001, 1, 2),
        Funding(TETHER, 0.0001, 8.0, 1, 2),
    ]
    liquidation, trade, price, interest, depth, funding = convert(events, PEGS)
    assert liquidation == Liquidation(TETHER, "long", 970_000_001, 100.0, 1, 2, "k")  # to the micro-dollar
    assert trade == Trade(TETHER, "buy", 3, 100.0, 1, 2)
    assert price == Price(TETHER, "mark", 97.0, 1, 2)
    assert interest == OpenInterest(TETHER, 970.0, 1, 2)
    assert depth == Depth(TETHER, 9.7, 19.4, 0.001, 1, 2)
    assert funding is events[-1]


def test_what_is_quoted_in_dollars_stays() -> None:
    event = Liquidation(DOLLAR, "long", 1, 1.0, 1, 2)
    assert convert([event], PEGS)[0] is event


def test_a_feed_converts_what_it_decodes() -> None:
    frame = (
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1763700000500,'
        b'"data":[{"T":1763700000400,"s":"BTCUSDT","S":"Buy","v":"0.5","p":"80000"}]}'
    )
    amounts = []
    options = FeedOptions(channels=EVERYTHING - {"depth", "volatility", "reference"})
    for pegs in ({}, PEGS):
        feed, registry = make_feed("bybit", replace(options, pegs=pegs)), Registry()
        load(feed, registry)
        connection = next(item for item in feed.connections(feed.wanted(registry)) if "linear" in item.name)
        session = feed.session(connection, registry)
        session.on_open(NOW_NS)
        (event,) = session.on_frame(frame, NOW_NS)
        assert isinstance(event, Liquidation)
        amounts.append(event.usd_micros)
    assert amounts == [40_000_000_000, 38_800_000_000]


CONFIG = "feeds: [{venue: bybit}]\nrules: []\npegs: {%s}\n"


def test_the_configuration_reaches_every_feed() -> None:
    loaded = load_text(CONFIG % "USDT: 0.97", "c.yaml", Path(), {})
    assert loaded.feeds[0].options.pegs == PEGS


@pytest.mark.parametrize("wrong", ["BTC: 1", "USD: 0.9", "USDT: 0", "USDT: -1", "USDT: many"])
def test_nonsense_is_refused_with_its_place(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(CONFIG % wrong, "c.yaml", Path(), {})
    assert [problem.line for problem in caught.value.problems] == [3]
