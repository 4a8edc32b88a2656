"""Binance COIN-M futures: inverse contracts of a fixed number of US dollars, settled in coin.

A quantity is contracts: 25 of BTCUSD_PERP are 25 x 100 = 2,500 USD whatever the price. Liquidations of these contracts
also arrive on USD-M's merged stream. They are counted once: where this process also runs ``binance_usdm`` with
liquidations of all symbols, that feed counts them and this one does not subscribe; ``liquidations_via_merged`` overrides
the choice.
Rows: `monitor.dialects.binance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from monitor.dialects.binance import BinanceSession
from monitor.dialects.binance_coinm import coinm_instrument, counted_by_usdm
from monitor.dialects.binance_futures import FUTURES_LIMITS, FuturesFeed, Listing, RestPlan
from monitor.dialects.books import BookSettings
from monitor.errors import FeedRefused
from monitor.events import Channel
from monitor.feed import Cap, Connection, FeedSpec, ReportingLaw, Session, Source, Topic
from monitor.instruments import Instrument, Registry

DOCS = "https://developers.binance.com/docs/derivatives/coin-margined-futures"
WS = "wss://dstream.binance.com/ws"


class CoinmSettings(BookSettings, frozen=True):
    """``liquidations_via_merged``: leave liquidations to ``binance_usdm``; None decides by what else runs."""

    liquidations_via_merged: bool | None = None


class BinanceCoinmFeed(FuturesFeed):
    """See the module."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="binance_coinm",
        title="Binance COIN-M",
        laws={
            Channel.PRICE: ReportingLaw("complete", "mark every second; last on change; best bid and ask in real time", DOCS),
            Channel.TRADES: ReportingLaw("complete", "aggregated per taker order within 100 ms; insurance fund and ADL trades are left out", DOCS),
            Channel.LIQUIDATIONS: ReportingLaw("sampled", "at most one order per symbol per second", DOCS, Cap(1)),
            Channel.FUNDING: ReportingLaw("complete", "running estimate of the next rate, every second", DOCS),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "polled per symbol within the request weight", DOCS),
            Channel.DEPTH: ReportingLaw("sampled", "best 1000 levels a side of the majors, every 10 s: a lower bound", DOCS),
        },
        limits=FUTURES_LIMITS,
        idle_s=20.0,
        stale_s={
            Channel.PRICE: 30.0, Channel.TRADES: 300.0, Channel.LIQUIDATIONS: 3600.0, Channel.FUNDING: 60.0,
            Channel.OPEN_INTEREST: 300.0, Channel.DEPTH: 60.0,
        },
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "lost: the venue withdrew its public REST address",
            Channel.TRADES: "aggregated trades, for gaps of up to 15 minutes",
        },
        shares_with=("binance_usdm",),
    )  # fmt: skip
    settings_type = CoinmSettings
    settings: CoinmSettings
    plan = RestPlan("https://dapi.binance.com/dapi/v1", interest_weight_per_min=300.0)
    trades_url: ClassVar[str] = "https://dapi.binance.com/dapi/v1/aggTrades"
    gap_url: ClassVar[str] = WS

    def instrument(self, listing: Listing) -> Instrument | None:
        """Always inverse."""
        return coinm_instrument(listing, self.interval_h(listing))

    @property
    def counts_liquidations(self) -> bool:
        """Whether this feed, not USD-M's, counts them."""
        usdm = self.options.beside.get("binance_usdm")
        elsewhere = self.settings.liquidations_via_merged if usdm is None else counted_by_usdm(usdm, self.options)
        return self.carries(Channel.LIQUIDATIONS) and not elsewhere

    def sources(self) -> frozenset[Source]:
        """Its channels, without liquidations where USD-M counts them."""
        own = super().sources()
        return own if self.counts_liquidations else own - {(self.spec.venue, Channel.LIQUIDATIONS)}

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """A stream per symbol: there are few, and the all-market ones carry USD-M too."""
        topics = []
        if self.counts_liquidations:
            topics.append(Topic("!forceOrder@arr", (Channel.LIQUIDATIONS,), payload=self.selection(instruments)))
        for name, channels in self._streams():
            topics += [Topic(f"{item.symbol.lower()}@{name}", channels, item.symbol) for item in instruments]
        if len(topics) == 1:  # liquidations can be silent for minutes: a busy companion shows that the socket lives
            topics.append(Topic("btcusd_perp@markPrice@1s", ()))
        return self.connection_shards("market", WS, topics)

    def _streams(self) -> list[tuple[str, tuple[Channel, ...]]]:
        marks = tuple(item for item in (Channel.PRICE, Channel.FUNDING) if self.carries(item))
        streams = [("markPrice@1s", marks)] if marks else []
        if self.carries(Channel.PRICE):
            streams += [("miniTicker", (Channel.PRICE,)), ("bookTicker", (Channel.PRICE,))]
        if self.carries(Channel.TRADES):
            streams.append(("aggTrade", (Channel.TRADES,)))
        return streams

    def interest_key(self, instrument: Instrument) -> str:
        """By pair and type of contract; only perpetuals are asked for."""
        return f"pair={instrument.symbol.partition('_')[0]}&contractType=PERPETUAL"

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state.

        Raises:
            FeedRefused: The address is not one that this product serves.
        """
        if urlsplit(connection.url).path not in {"/ws", "/stream"}:
            raise FeedRefused(f"{connection.url} does not serve COIN-M streams")
        return BinanceSession(self, connection, registry, coin_margined=True, marks=self.marks)
