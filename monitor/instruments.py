"""What a symbol is, on every venue: one registry, and the USD notional of a quantity.

Pure: metadata replies are turned into `Instrument` objects by the feeds; the registry only keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

import msgspec

MarketKind = Literal["spot", "perp", "future", "option"]
ContractForm = Literal["linear", "inverse", "quanto"]
AssetClass = Literal["crypto", "tradfi"]
Status = Literal["trading", "halted", "prelaunch", "closed"]

MICROS = Decimal(1_000_000)
USD_LIKE = frozenset(
    {"USD", "USDT", "USDC", "FDUSD", "TUSD", "USDE", "DAI", "BUSD", "USDD", "PYUSD", "USD1", "RLUSD", "USDG", "USDS"}
)
BASE_ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
_MULTIPLE_BEFORE = re.compile(r"(10{3,9})([^\W\d_]+)")
_MULTIPLE_AFTER = re.compile(r"([^\W\d_]+)(10{3,9})")


class Instrument(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One tradable contract or pair of one venue.

    Compared by identity: the registry holds exactly one object per (venue, key), and an update replaces it.

    Attributes:
        venue: The venue's name in this program, such as ``bybit``.
        symbol: The venue's own symbol, any characters, never changed.
        base: The canonical coin, one name on all venues: ``BTC`` (never XBT), ``PEPE`` (never 1000PEPE).
        quote: The currency that the price is in, as the venue writes it (``USDT``, ``USD``, ``BTC``).
        settle: The currency that profit is paid in.
        kind: ``spot``, ``perp``, ``future`` or ``option``.
        form: How a quantity turns into money; ``linear`` for spot.
        contract_value: What one unit of the venue's quantity stands for: base coins (linear) or quote money (inverse).
        base_units: Coins in one unit that the venue quotes: 1000 for 1000PEPE, else 1.
        funding_interval_h: Hours between funding payments; None where there is no funding.
        expiry_ns: Unix nanoseconds; None for spot and perpetuals.
        category: The venue's own product line where a symbol alone is ambiguous (``linear``, ``SWAP``), else "".
    """

    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    kind: MarketKind
    form: ContractForm = "linear"
    contract_value: Decimal = Decimal(1)
    base_units: int = 1
    funding_interval_h: float | None = None
    expiry_ns: int | None = None
    strike: float | None = None
    option_type: Literal["call", "put"] | None = None
    status: Status = "trading"
    asset_class: AssetClass = "crypto"
    category: str = ""

    @property
    def usd_quoted(self) -> bool:
        """Whether the quote currency counts as US dollars (stablecoins are taken at 1 unless a peg is configured)."""
        return self.quote in USD_LIKE

    @property
    def key(self) -> str:
        """The symbol, made unique within the venue: ``spot:BTCUSDT`` where a spot pair shares a contract's name."""
        return f"spot:{self.symbol}" if self.category == "spot" else self.symbol


def canonical_base(coin: str) -> tuple[str, int]:
    """Split a venue's coin name into the canonical coin and the units that it stands for.

    >>> canonical_base("1000PEPE"), canonical_base("XBT"), canonical_base("SHIB1000"), canonical_base("kBONK")
    (('PEPE', 1000), ('BTC', 1), ('SHIB', 1000), ('BONK', 1000))
    """
    name, units = coin, 1
    if before := _MULTIPLE_BEFORE.fullmatch(coin):
        name, units = before[2], int(before[1])
    elif after := _MULTIPLE_AFTER.fullmatch(coin):
        name, units = after[1], int(after[2])
    elif len(coin) > 2 and coin[0] == "k" and coin[1:].isupper():
        name, units = coin[1:], 1000
    elif len(coin) > 3 and coin.startswith("1M") and coin[2:].isalpha():
        name, units = coin[2:], 1_000_000
    return BASE_ALIASES.get(name, name), units


def to_micros(usd: Decimal) -> int:
    """Round US dollars to whole micro-dollars, half to even."""
    return int((usd * MICROS).to_integral_value(ROUND_HALF_EVEN))


def notional_micros(instrument: Instrument, quantity: Decimal, price: Decimal, quote_usd: Decimal = Decimal(1)) -> int:
    """USD notional of `quantity` (in the venue's own unit) at `price`, in micro-dollars, without binary rounding.

    An inverse contract is worth a fixed sum of quote money whatever the price, so the price does not enter. A quanto
    contract's value depends on a second price; its venue's decoder works it out and never calls this.

    Args:
        instrument: Gives form and contract value.
        quantity: Coins or contracts, as the venue reports them; the sign is ignored.
        price: Quote money per venue unit.
        quote_usd: US dollars per unit of quote currency; 1 for USD and stablecoins.

    Raises:
        ValueError: For a quanto contract.
    """
    if instrument.form == "linear":
        return to_micros(abs(quantity) * instrument.contract_value * price * quote_usd)
    if instrument.form == "inverse":
        return to_micros(abs(quantity) * instrument.contract_value * quote_usd)
    msg = f"{instrument.venue} {instrument.symbol}: a quanto contract has no notional without its settlement price"
    raise ValueError(msg)


class Registry:
    """All known instruments, by venue and the venue's symbol (`Instrument.key` where that is ambiguous)."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_venue: dict[str, dict[str, Instrument]] = {}
        self.update(instruments)

    def update(self, instruments: Iterable[Instrument]) -> list[Instrument]:
        """Add or replace instruments and return those that are new or changed; the rest keep their object."""
        changed = []
        for instrument in instruments:
            known = self._by_venue.setdefault(instrument.venue, {})
            old = known.get(instrument.key)
            if old is None or msgspec.structs.asdict(old) != msgspec.structs.asdict(instrument):
                known[instrument.key] = instrument
                changed.append(instrument)
        return changed

    def venue(self, venue: str) -> Mapping[str, Instrument]:
        """The live table of one venue, `Instrument.key` (the symbol) to instrument; later updates show in it."""
        return self._by_venue.setdefault(venue, {})

    def get(self, venue: str, symbol: str) -> Instrument | None:
        """The instrument, or None when it is unknown."""
        return self._by_venue.get(venue, {}).get(symbol)

    def __iter__(self) -> Iterator[Instrument]:
        for table in self._by_venue.values():
            yield from table.values()

    def __len__(self) -> int:
        return sum(map(len, self._by_venue.values()))
