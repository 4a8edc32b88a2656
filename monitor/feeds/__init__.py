"""The venues: one file and one line of this table each; nothing here imports a venue until it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import cast

from monitor.feed import Feed, FeedOptions
from monitor.pegs import pegged

FEEDS: dict[str, str] = {
    "binance_usdm": "monitor.feeds.binance_usdm:BinanceUsdmFeed",
    "binance_coinm": "monitor.feeds.binance_coinm:BinanceCoinmFeed",
    "binance_spot": "monitor.feeds.binance_spot:BinanceSpotFeed",
    "bybit": "monitor.feeds.bybit:BybitFeed",
    "okx": "monitor.feeds.okx:OkxFeed",
    "deribit": "monitor.feeds.deribit:DeribitFeed",
    "bitmex": "monitor.feeds.bitmex:BitmexFeed",
    "hyperliquid": "monitor.feeds.hyperliquid:HyperliquidFeed",
    "bitget": "monitor.feeds.bitget:BitgetFeed",
    "gate": "monitor.feeds.gate:GateFeed",
    "htx": "monitor.feeds.htx:HtxFeed",
    "kraken_futures": "monitor.feeds.kraken_futures:KrakenFuturesFeed",
    "kraken": "monitor.feeds.kraken:KrakenFeed",
    "coinbase": "monitor.feeds.coinbase:CoinbaseFeed",
    "dydx": "monitor.feeds.dydx:DydxFeed",
}
"""Venue name in the configuration -> ``module:class`` of its feed."""


def feed_class(venue: str) -> type[Feed]:
    """The class of a venue's feed.

    Raises:
        KeyError: No such venue.
    """
    module, _, name = FEEDS[venue].partition(":")
    return cast("type[Feed]", getattr(import_module(module), name))


def make_feed(venue: str, options: FeedOptions) -> Feed:
    """Build a venue's feed.

    Args:
        venue: A key of `FEEDS`.
        options: One validated entry of ``feeds:``; ``options.extra`` is validated here, by the feed.

    Raises:
        KeyError: No such venue.
        ValueError: A setting in ``options.extra`` or a channel is not one of this venue's.
    """
    kind = feed_class(venue)
    made = pegged(kind, options.pegs) if options.pegs else kind
    return made(options)  # type: ignore[call-arg]  # a Protocol cannot say how it is constructed


def make_feeds(entries: Sequence[tuple[str, FeedOptions]]) -> list[Feed]:
    """Build every configured feed, each told of those with which it shares a stream that only one may count.

    Raises:
        KeyError: No such venue.
        ValueError: As `make_feed`.
    """
    configured = dict(entries)
    return [
        make_feed(
            venue,
            replace(
                options,
                beside={name: configured[name] for name in feed_class(venue).spec.shares_with if name in configured},
            ),
        )
        for venue, options in entries
    ]


def named_feeds(entries: Sequence[tuple[str, FeedOptions]]) -> list[Feed]:
    """The feeds that a tape names, as far as this program has them; raises ValueError as `make_feed`."""
    return make_feeds([(venue, options) for venue, options in entries if venue in FEEDS])
