"""COIN-M contracts as instruments, and who counts their liquidations: both Binance futures feeds need to know."""

from __future__ import annotations

from decimal import Decimal

from monitor.clock import NS_PER_MS
from monitor.dialects.binance_futures import Listing
from monitor.events import Channel
from monitor.feed import FeedOptions
from monitor.instruments import Instrument, canonical_base

COINM_LISTINGS = "coinm/exchangeInfo"


def counted_by_usdm(usdm: FeedOptions, coinm: FeedOptions | None) -> bool:
    """Whether liquidations of COIN-M are counted where USD-M's merged stream brings them. Exactly one feed counts them.

    USD-M brings those of the coins that it follows. So COIN-M, where it runs, asks for its own unless USD-M follows all;
    its setting ``liquidations_via_merged`` overrides that.
    """
    if Channel.LIQUIDATIONS not in usdm.channels:
        return False
    if coinm is None or Channel.LIQUIDATIONS not in coinm.channels:
        return True
    wish = coinm.extra.get("liquidations_via_merged")
    return bool(wish) if wish is not None else usdm.symbols == "*" and usdm.top is None


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
