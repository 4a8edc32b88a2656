"""Field types with limits that msgspec checks in C while it decodes, and the money of one event.

Build the decoders with ``strict=False``: they then read numbers in strings too. A number that no market can have is
refused like a wrong type; the empty string is no number, so a field that may be empty stays ``str``.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import msgspec

from monitor.errors import DecodeError
from monitor.instruments import Instrument, notional_micros
from monitor.wire import positive

LARGEST_USD = 1e12
"""No single event is worth as much; keeps micro-dollars far inside 64 bits."""

Millis = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]
"""Unix milliseconds, up to the year 2100."""
PositiveFloat = Annotated[float, msgspec.Meta(gt=0, lt=1e15)]

_SURE_BELOW_MICROS = 1e12
_NEAR_AN_EDGE = 0.002
_LARGEST_FACTOR = 1e15

DECODING_ERRORS = (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError)
"""What decoding a frame may raise, whatever its bytes."""


def exact_micros(instrument: Instrument, quantity: Decimal, price: Decimal) -> int:
    """`notional_micros` without binary rounding, within the same bound.

    Raises:
        DecodeError: Not positive, or a sum that no single event can have.
    """
    value = notional_micros(instrument, positive(quantity), positive(price))
    if value >= LARGEST_USD * 1e6:
        raise DecodeError("out_of_range", f"{quantity} at {price}")
    return value


@lru_cache(maxsize=16_384)
def terms(instrument: Instrument) -> tuple[float, float]:
    """``fixed`` and ``per_price`` in ``USD = quantity x (fixed + per_price x price)``; one of them is 0.

    An inverse contract is worth a fixed sum whatever the price, a linear one a multiple of it.

    Raises:
        ValueError: For a quanto contract.
    """
    if instrument.form == "quanto":
        raise ValueError(f"{instrument.symbol}: a quanto contract has no notional without its settlement price")
    value = float(instrument.contract_value)
    return (value, 0.0) if instrument.form == "inverse" else (0.0, value)


def written_micros(instrument: Instrument, quantity: str, price: str) -> int:
    """`exact_micros` of numbers as written, at a third of its cost.

    Six roundings of floats err by less than 0.001 micro-dollars below a million dollars. A product further than twice
    that from the edge between two integers therefore rounds as the exact one does; decimals decide about the others.

    Raises:
        DecodeError: As `exact_micros` and `decimal`.
    """
    fixed, per_price = terms(instrument)
    try:
        amount, value = float(quantity), float(price)
    except ValueError:
        amount = value = 0.0  # not sure: decimals say what is wrong
    if 0.0 < amount < _LARGEST_FACTOR and 0.0 < value < _LARGEST_FACTOR:
        micros = amount * (fixed + per_price * value) * 1e6
        if 1.0 <= micros < _SURE_BELOW_MICROS and not -_NEAR_AN_EDGE < micros % 1.0 - 0.5 < _NEAR_AN_EDGE:
            return int(micros + 0.5)
    return exact_micros(instrument, decimal(quantity), decimal(price))


def decimal(text: str) -> Decimal:
    """A number exactly as written.

    Raises:
        DecodeError: It is none.
    """
    try:
        return Decimal(text)
    except ArithmeticError:
        raise DecodeError("wrong_type", f"{text!r:.40} is no number") from None
