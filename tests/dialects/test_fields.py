"""The fast way to exact money gives what decimals give, whatever the text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.dialects.fields import decimal, exact_micros, terms, written_micros
from monitor.errors import DecodeError
from monitor.instruments import ContractForm, Instrument


def instrument(form: ContractForm = "linear", contract_value: str = "1") -> Instrument:
    return Instrument(
        venue="toy", symbol="X", base="X", quote="USD", settle="USD", kind="perp", form=form, contract_value=Decimal(contract_value)
    )  # fmt: skip


def outcome(call: Any, *args: Any) -> Any:
    """The value, or the reason of the refusal."""
    try:
        return call(*args)
    except DecodeError as error:
        return error.reason


def by_decimals(item: Instrument, quantity: str, price: str) -> int:
    return exact_micros(item, decimal(quantity), decimal(price))


PLAIN = st.decimals(min_value=0, max_value=10**9, places=8).map(lambda value: f"{value:f}")
SHORT = st.decimals(min_value=0, max_value=10**6, places=3).map(str)
ODD = st.sampled_from(
    ["", "0", "-1", "1e3", "1E-9", "nan", "inf", "-inf", " 2 ", "1_0", "1__0", "abc", "1e400", "1e-400", "9" * 40, "0." + "0" * 30 + "1"]
)  # fmt: skip
NUMBERS = PLAIN | SHORT | ODD | st.text(max_size=6)
VALUES = st.sampled_from(["1", "0.01", "0.001", "0.0001", "10", "100", "1000", "0.1", "0.00003"])


@settings(max_examples=600)
@given(NUMBERS, NUMBERS, VALUES, st.sampled_from(["linear", "inverse"]))
@example("0.0000005", "1", "1", "linear")
@example("1.0000005", "1", "1", "linear")
@example("1.0000015", "1", "1", "linear")
@example("0.1", "0.000015", "1", "linear")
@example("999999.9999995", "1", "1", "linear")
@example("1000000.0000005", "1", "1", "linear")
@example("0.115", "26245.10", "1", "linear")
@example("-0.115", "-26245.10", "1", "linear")
@example("3", "0", "100", "inverse")
def test_the_fast_way_agrees_with_decimals(quantity: str, price: str, value: str, form: ContractForm) -> None:
    item = instrument(form, value)
    assert outcome(written_micros, item, quantity, price) == outcome(by_decimals, item, quantity, price)


@settings(max_examples=400)
@given(st.integers(1, 10**12), st.integers(-3, 3))
def test_products_at_the_edge_of_rounding_agree(micros: int, beyond: int) -> None:
    """Half a micro-dollar between two integers, and a billionth to either side."""
    quantity = f"{Decimal(micros) / 10**6 + Decimal('0.0000005') + Decimal(beyond) / 10**15:f}"
    assert written_micros(instrument(), quantity, "1") == by_decimals(instrument(), quantity, "1")


def test_a_linear_contract_follows_the_price_and_an_inverse_one_does_not() -> None:
    assert terms(instrument("linear", "0.01")) == (0.0, 0.01)
    assert terms(instrument("inverse", "100")) == (100.0, 0.0)
    assert written_micros(instrument("linear", "0.01"), "10000", "57102.9") == 5_710_290_000_000
    assert written_micros(instrument("inverse", "100"), "7", "57102.9") == 700_000_000


def test_a_quanto_contract_has_no_terms() -> None:
    with pytest.raises(ValueError, match="quanto"):
        terms(instrument("quanto"))
