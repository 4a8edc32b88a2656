"""The instruments that Bybit lists, product line by product line."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from monitor.clock import NS_PER_MS
from monitor.errors import DecodeError
from monitor.instruments import ContractForm, Instrument, MarketKind, Status, canonical_base
from monitor.wire import Rows, gauge

_STATUS: dict[str, Status] = {"Trading": "trading", "PreLaunch": "prelaunch"}
_TRADFI = frozenset({"stock", "commodity", "forex", "xstocks"})
_FORMS: dict[str, tuple[MarketKind, ContractForm]] = {
    "LinearPerpetual": ("perp", "linear"),
    "LinearFutures": ("future", "linear"),
    "InversePerpetual": ("perp", "inverse"),
    "InverseFutures": ("future", "inverse"),
    "": ("spot", "linear"),
}


class _Listing(msgspec.Struct):
    symbol: str
    baseCoin: str
    quoteCoin: str
    status: str
    contractType: str = ""
    settleCoin: str = ""
    fundingInterval: int | None = None
    deliveryTime: str = ""
    symbolType: str = ""


_LISTINGS: Rows[_Listing] = Rows(_Listing)


def instruments_of(rows: msgspec.Raw, category: str) -> list[Instrument]:
    """Instruments of one page of a product line. Listings that cannot be read are left out."""
    listings = _LISTINGS.decode(rows, lambda _error: None)
    return [built for row in listings if (built := _readable(row, category)) is not None]


def _readable(row: _Listing, category: str) -> Instrument | None:
    try:
        return _instrument(row, category)
    except DecodeError:
        return None


def _instrument(row: _Listing, category: str) -> Instrument | None:
    form = _FORMS.get(row.contractType)
    if form is None:
        return None
    base, units = canonical_base(row.baseCoin)
    expiry_ms = gauge(row.deliveryTime) or 0.0
    return Instrument(
        venue="bybit",
        symbol=row.symbol,
        base=base,
        quote=row.quoteCoin,
        settle=row.settleCoin or row.quoteCoin,
        kind=form[0],
        form=form[1],
        contract_value=Decimal(1),
        base_units=units,
        funding_interval_h=(row.fundingInterval or 480) / 60 if form[0] == "perp" else None,
        expiry_ns=int(expiry_ms) * NS_PER_MS if form[0] == "future" and expiry_ms else None,
        status=_STATUS.get(row.status, "closed"),
        asset_class="tradfi" if row.symbolType in _TRADFI else "crypto",
        category=category,
    )
