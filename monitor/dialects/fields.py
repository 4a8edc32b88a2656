"""Field types with limits that msgspec checks in C while it decodes, and the money of one event.

Build the decoders with ``strict=False``: they then read numbers in strings too. A number that no market can have is
refused like a wrong type; the empty string is no number, so a field that may be empty stays ``str``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from monitor.errors import DecodeError
from monitor.instruments import Instrument, notional_micros
from monitor.venue import positive

LARGEST_USD = 1e12
"""No single event is worth as much; keeps micro-dollars far inside 64 bits."""

Millis = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]
"""Unix milliseconds, up to the year 2100."""
PositiveFloat = Annotated[float, msgspec.Meta(gt=0, lt=1e15)]

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


def decimal(text: str) -> Decimal:
    """A number exactly as written.

    Raises:
        DecodeError: It is none.
    """
    try:
        return Decimal(text)
    except ArithmeticError:
        raise DecodeError("wrong_type", f"{text!r:.40} is no number") from None
