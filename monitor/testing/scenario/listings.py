"""The scenario's instruments: real symbols and contract values of the venues, as of November 2025. Data only."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from monitor.instruments import Instrument

BASES = (
    "BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "AVAX", "LINK", "LTC",
    "SUI", "ARB", "OP", "PEPE", "UNI", "ZEC", "FIL", "FET", "SAND", "RENDER",
)  # fmt: skip
"""The coins that trade in the scenario, largest first."""

FOUR_HOURLY = frozenset({"PEPE", "FET", "SAND"})
"""Coins whose funding is settled every four hours."""

OKX_COINS = {
    "BTC": "0.01", "ETH": "0.1", "SOL": "1", "XRP": "100", "BNB": "0.01", "DOGE": "1000", "ADA": "100", "AVAX": "1",
    "LINK": "1", "LTC": "1", "SUI": "1", "ARB": "10", "OP": "1", "PEPE": "10000000", "UNI": "1", "ZEC": "0.1",
    "FIL": "0.1", "FET": "10", "SAND": "10", "RENDER": "1",
}  # fmt: skip
"""Coins in one contract of OKX's USDT swaps (ctVal x ctMult)."""


def _interval_h(base: str) -> float:
    return 4.0 if base in FOUR_HOURLY else 8.0


def _thousands(base: str) -> tuple[str, int]:
    return (f"1000{base}", 1000) if base == "PEPE" else (base, 1)


def _linear(venue: str, base: str, category: str = "") -> Instrument:
    name, units = _thousands(base)
    return Instrument(
        venue=venue, symbol=f"{name}USDT", base=base, quote="USDT", settle="USDT", kind="perp", base_units=units,
        funding_interval_h=_interval_h(base), category=category,
    )  # fmt: skip


def _inverse(venue: str, symbol: str, base: str, contract_usd: int, category: str = "") -> Instrument:
    return Instrument(
        venue=venue, symbol=symbol, base=base, quote="USD", settle=base, kind="perp", form="inverse",
        contract_value=Decimal(contract_usd), funding_interval_h=8.0, category=category,
    )  # fmt: skip


def _okx(base: str) -> Instrument:
    return Instrument(
        venue="okx", symbol=f"{base}-USDT-SWAP", base=base, quote="USDT", settle="USDT", kind="perp",
        contract_value=Decimal(OKX_COINS[base]), funding_interval_h=_interval_h(base), category="SWAP",
    )  # fmt: skip


def _spot(venue: str, symbol: str, base: str, quote: str) -> Instrument:
    return Instrument(venue=venue, symbol=symbol, base=base, quote=quote, settle=quote, kind="spot")


def _derivatives() -> Iterator[Instrument]:
    for base in BASES:
        yield _linear("binance_usdm", base)
        yield _linear("bybit", base, "linear")
        yield _okx(base)
    for base, contract_usd in (("BTC", 100), ("ETH", 10)):
        yield _inverse("binance_coinm", f"{base}USD_PERP", base, contract_usd)
        yield _inverse("bybit", f"{base}USD", base, 1, "inverse")
        yield _inverse("okx", f"{base}-USD-SWAP", base, contract_usd, "SWAP")


def _spots() -> Iterator[Instrument]:
    for base in BASES:
        yield _spot("binance_spot", f"{base}USDT", base, "USDT")
    for base in ("BTC", "ETH", "SOL", "XRP"):
        yield _spot("binance_spot", f"{base}USDC", base, "USDC")
        yield _spot("coinbase", f"{base}-USD", base, "USD")
        yield _spot("kraken", f"{base}/USD", base, "USD")
    yield _spot("binance_spot", "USDCUSDT", "USDC", "USDT")
    yield _spot("coinbase", "USDT-USD", "USDT", "USD")
    yield _spot("kraken", "USDT/USD", "USDT", "USD")
    yield _spot("kraken", "USDC/USD", "USDC", "USD")


INSTRUMENTS: list[Instrument] = list(_derivatives())
"""Perpetuals of binance_usdm, binance_coinm, bybit (linear and inverse) and okx."""

SPOT_INSTRUMENTS: list[Instrument] = list(_spots())
"""Spot pairs of binance_spot, coinbase and kraken; not part of the default scenario."""


VOLATILITY_INSTRUMENTS: list[Instrument] = [_inverse("deribit", "BTC-PERPETUAL", "BTC", 10)]
"""What the venue of the volatility index lists; it does not trade in the scenario, so it has no share of any total."""


def instruments_of(*venues: str) -> list[Instrument]:
    """The scenario's instruments of some venues, spot venues included."""
    return [instrument for instrument in INSTRUMENTS + SPOT_INSTRUMENTS if instrument.venue in venues]
