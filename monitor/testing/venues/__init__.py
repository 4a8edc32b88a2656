"""The server side of each venue's protocol, for the local venue servers of tests and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from monitor.instruments import Instrument
from monitor.testing.protocol import VenueProtocol

PROTOCOLS: dict[str, str] = {
    "binance_usdm": "monitor.testing.venues.binance:BinanceUsdmProtocol",
    "binance_coinm": "monitor.testing.venues.binance:BinanceCoinmProtocol",
    "binance_spot": "monitor.testing.venues.binance:BinanceSpotProtocol",
    "bybit": "monitor.testing.venues.bybit:BybitProtocol",
    "okx": "monitor.testing.venues.okx:OkxProtocol",
    "deribit": "monitor.testing.venues.deribit:DeribitProtocol",
    "bitmex": "monitor.testing.venues.bitmex:BitmexProtocol",
    "hyperliquid": "monitor.testing.venues.hyperliquid:HyperliquidProtocol",
    "bitget": "monitor.testing.venues.bitget:BitgetProtocol",
    "gate": "monitor.testing.venues.gate:GateProtocol",
    "htx": "monitor.testing.venues.htx:HtxProtocol",
    "kraken_futures": "monitor.testing.venues.kraken_futures:KrakenFuturesProtocol",
    "kraken": "monitor.testing.venues.kraken:KrakenProtocol",
    "coinbase": "monitor.testing.venues.coinbase:CoinbaseProtocol",
    "dydx": "monitor.testing.venues.dydx:DydxProtocol",
}
"""Venue name in `monitor.feeds.FEEDS` -> ``module:class`` of its protocol."""


def make_protocol(venue: str, instruments: Sequence[Instrument]) -> VenueProtocol:
    """Build a venue's protocol.

    Args:
        venue: A key of `PROTOCOLS`.
        instruments: What the venue lists.

    Raises:
        KeyError: No such venue.
    """
    module, _, name = PROTOCOLS[venue].partition(":")
    return cast("type[VenueProtocol]", getattr(import_module(module), name))(instruments)
