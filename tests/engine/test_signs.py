"""A count of conditions says which of them are on, with their values."""

from __future__ import annotations

from monitor.events import Channel
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, at, engine, feed, interest, liquidation, price

SIGNS = """k_of(2, price{base="BTC"} by () < 90000, sum(liquidations[1h]) > 1M, open_interest{base="BTC"} by () < 5B, tvl{scope="total"} by () < 1B)"""
PER_COIN = "k_of(1, price by (base) < 90000, sum(liquidations[1h]) by (base) > 1M)"


def test_each_sign_is_said_with_its_value_those_that_are_on_first() -> None:
    machine = engine(SIGNS)
    machine.ingest([feed("bybit", channel, 0) for channel in Channel])
    machine.ingest([price(BYBIT_BTC, 85_000, 1), interest(BYBIT_BTC, 4e9, 1), liquidation(BYBIT_BTC, 300_000, 1)])
    machine.evaluate(at(2))
    assert machine.explain("g/r0", 0).signs == (
        'on      price{base="BTC"} by () < 90k: 85,000.00 USD',
        'on      open_interest{base="BTC"} by () < 5B: 4B USD',
        "off     sum(liquidations[1h]) > 1M: 300k USD",
        'unknown tvl{scope="total"} by () < 1B',
    )


def test_signs_are_of_the_row() -> None:
    machine = engine(PER_COIN)
    machine.ingest([feed("bybit", channel, 0) for channel in Channel])
    machine.ingest([price(BYBIT_BTC, 85_000, 1), price(BYBIT_ETH, 3_000, 1), liquidation(BYBIT_ETH, 2e6, 1)])
    (found,) = machine.evaluate(at(2))
    signs = {dict(labels)["base"]: machine.explain("g/r0", row).signs for row, labels in enumerate(found.labels)}
    assert signs["ETH"] == (
        "on      price by (base) < 90k: 3,000.00 USD",
        "on      sum(liquidations[1h]) by (base) > 1M: 2M USD",
    )
    assert signs["BTC"][0] == "on      price by (base) < 90k: 85,000.00 USD"
    assert signs["BTC"][1].startswith("off     sum(liquidations[1h]) by (base) > 1M")


def test_what_a_sign_says_is_not_said_again() -> None:
    machine = engine(SIGNS)
    machine.ingest([feed("bybit", channel, 0) for channel in Channel])
    machine.ingest([price(BYBIT_BTC, 85_000, 1), interest(BYBIT_BTC, 4e9, 1)])
    machine.evaluate(at(2))
    explanation = machine.explain("g/r0", 0)
    assert explanation.parts == ()
    assert explanation.missing  # what keeps the fourth sign unknown


def test_a_count_within_a_larger_condition_keeps_its_value() -> None:
    machine = engine(
        'k_of(1, price{base="BTC"} by () < 90000, open_interest{base="BTC"} by () < 1B) and sum(liquidations[1h]) >= 0'
    )
    machine.ingest([feed("bybit", channel, 0) for channel in Channel])
    machine.ingest([price(BYBIT_BTC, 85_000, 1), interest(BYBIT_BTC, 4e9, 1)])
    machine.evaluate(at(2))
    said = dict(machine.explain("g/r0", 0).parts)
    assert [text.split("(")[0] for text in said] == ["k_of", "sum"]
    assert next(iter(said.values())) == 1.0
