"""The instruments that OKX lists, product line by product line."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from monitor.dialects.fields import decimal
from monitor.dialects.okx_past import data_of
from monitor.errors import DecodeError
from monitor.instruments import ContractForm, Instrument, MarketKind, Status, canonical_base
from monitor.wire import Rows, ms_ns

_STATUS: dict[str, Status] = {"live": "trading", "preopen": "prelaunch", "suspend": "halted"}
_TRADFI = frozenset({"3", "4", "5", "6"})


class _Listing(msgspec.Struct):
    instId: str
    instType: str
    state: str
    uly: str = ""
    instFamily: str = ""
    baseCcy: str = ""
    quoteCcy: str = ""
    settleCcy: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctType: str = ""
    expTime: str = ""
    instCategory: str = "1"
    ruleType: str = "normal"


_LISTINGS: Rows[_Listing] = Rows(_Listing)


def instruments_of(body: bytes) -> list[Instrument]:
    """Instruments of one product line. Listings that cannot be read are left out."""
    listings = _LISTINGS.decode(data_of(body), lambda _error: None)
    return [built for listing in listings if (built := _readable(listing)) is not None]


def _readable(row: _Listing) -> Instrument | None:
    try:
        return _instrument(row)
    except DecodeError:
        return None


def _instrument(row: _Listing) -> Instrument | None:
    """One listing; None when its contract cannot be valued or its product is not covered."""
    shape = _shape(row)
    coin, _, currency = (row.uly or row.instFamily).partition("-")
    if row.instType == "SPOT":
        coin, currency = row.baseCcy, row.quoteCcy
    if shape is None or not coin or not currency:
        return None
    kind, form, value = shape
    base, units = canonical_base(coin)
    return Instrument(
        venue="okx",
        symbol=row.instId,
        base=base,
        quote=currency,
        settle=row.settleCcy or currency,
        kind=kind,
        form=form,
        contract_value=value,
        base_units=units,
        funding_interval_h=8.0 if kind == "perp" else None,
        expiry_ns=ms_ns(row.expTime) if kind == "future" and row.expTime else None,
        status=_STATUS.get(row.state, "closed"),
        asset_class="tradfi" if row.instCategory in _TRADFI else "crypto",
        category=row.instType,
    )


def _shape(row: _Listing) -> tuple[MarketKind, ContractForm, Decimal] | None:
    """Kind, form and value of one unit; X-Perps are listed among futures."""
    if row.instType == "SPOT":
        return "spot", "linear", Decimal(1)
    value = decimal(row.ctVal or "0") * decimal(row.ctMult or "1")
    if row.ctType not in {"linear", "inverse"} or value <= 0:
        return None
    kind: MarketKind = "perp" if row.instType == "SWAP" or row.ruleType == "xperp" else "future"
    return kind, "inverse" if row.ctType == "inverse" else "linear", value
