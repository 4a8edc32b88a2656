"""Members by label: the candidates are few, and no member that belongs is missing among them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.rows.catalog import Index, member_labels
from monitor.events import Labels
from monitor.instruments import Instrument

NAMES, VALUES = ("base", "side", "venue"), ("a", "b", "c")
label_sets = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)).map(lambda d: tuple(sorted(d.items())))


def agrees(member: Labels, wanted: Labels) -> bool:
    table = dict(member)
    return all(table.get(name, value) == value for name, value in wanted)


@given(st.lists(label_sets, unique=True), st.lists(label_sets, unique=True), label_sets)
def test_every_member_that_agrees_is_a_candidate(early: list[Labels], late: list[Labels], wanted: Labels) -> None:
    index = Index()
    for some in (early, late):
        for labels in some:
            index.add(labels)
        found = set(index.candidates(wanted))
        assert {row for row, labels in enumerate(index.labels) if agrees(labels, wanted)} <= found


def test_a_rare_label_leaves_few_candidates() -> None:
    index = Index()
    for number in range(1000):
        index.add((("base", f"C{number}"), ("venue", "bybit")))
    assert list(index.candidates((("base", "C7"), ("venue", "bybit")))) == [7]
    assert list(index.candidates((("base", "unknown"),))) == []
    assert len(index.candidates(())) == 1000


def test_a_price_in_bitcoin_is_not_among_the_dollar_prices_of_its_coin() -> None:
    """Folded by base, 0.035 bitcoins and 3,000 dollars made an ether of 1,500 dollars."""
    dollars, bitcoins = (
        dict(member_labels(Instrument(venue="v", symbol=f"ETH{quote}", base="ETH", quote=quote, settle=quote, kind="spot"), "price", "last"))
        for quote in ("USDT", "BTC")
    )  # fmt: skip
    assert (dollars["base"], bitcoins["base"]) == ("ETH", "ETH/BTC")
    assert (bitcoins["symbol"], bitcoins["quote"]) == ("ETHBTC", "BTC")
