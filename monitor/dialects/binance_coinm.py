"""COIN-M contracts as instruments: both Binance futures feeds need them, one for the liquidations of merged streams."""

from __future__ import annotations

from decimal import Decimal

from monitor.clock import NS_PER_MS
from monitor.dialects.binance_futures import Listing
from monitor.instruments import Instrument, canonical_base

COINM_LISTINGS = "coinm/exchangeInfo"


def coinm_instrument(listing: Listing, interval_h: float | None = None) -> Instrument | None:
    """An inverse contract of ``contractSize`` US dollars; None for a listing without one."""
    if not listing.contractSize or not listing.contractType:
        return None
    base, units = canonical_base(listing.baseAsset)
    return Instrument(
        venue="binance_coinm",
        symbol=listing.symbol,
        base=base,
        quote=listing.quoteAsset,
        settle=listing.marginAsset,
        kind="perp" if listing.perpetual else "future",
        form="inverse",
        contract_value=Decimal(str(listing.contractSize)),
        base_units=units,
        funding_interval_h=interval_h or (8.0 if listing.perpetual else None),
        expiry_ns=None if listing.perpetual else listing.deliveryDate * NS_PER_MS,
        status=listing.state,
        asset_class="tradfi" if listing.tradfi else "crypto",
    )
