"""Binance USD-M futures: linear perpetuals and dated futures, settled in stablecoins.

The address decides what a connection can carry: ``/market`` has mark prices, tickers, trades and liquidations,
``/public`` the order book. Since June 2026 the all-market liquidation stream carries the COIN-M contracts too, marked
``st`` 2; they become events of the venue ``binance_coinm``, valued by their contract size (rows: `monitor.dialects.binance`).

A liquidation push counts ``z`` (filled) at ``ap`` (average fill price) once the order is filled, and its last fill
``l`` while it is filled in parts: a choice, the venue documents neither. Open interest is polled by REST.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from monitor.clock import NS_PER_MS
from monitor.dialects.binance import BinanceSession
from monitor.dialects.binance_coinm import COINM_LISTINGS, coinm_instrument, counted_by_usdm
from monitor.dialects.binance_futures import FUTURES_LIMITS, FuturesFeed, Listing, RestPlan
from monitor.dialects.binance_rest import MANY
from monitor.errors import FeedRefused
from monitor.events import Channel
from monitor.feed import Cap, Connection, FeedSpec, ReportingLaw, Request, Session, Source, Topic
from monitor.instruments import Instrument, Registry, canonical_base

DOCS = "https://developers.binance.com/docs/derivatives/usds-margined-futures"
MARKET = "wss://fstream.binance.com/market/ws"
PUBLIC = "wss://fstream.binance.com/public/ws"
_COIN_MARGINED = "binance_coinm"
_COIN_MARGINED_REST = "https://dapi.binance.com/dapi/v1/exchangeInfo"
_SERVED: Mapping[str, tuple[str, ...]] = {
    "market": ("markPrice", "aggTrade", "miniTicker", "ticker", "forceOrder"),
    "public": ("bookTicker",),
}


class BinanceUsdmFeed(FuturesFeed):
    """See the module."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="binance_usdm",
        title="Binance USD-M",
        laws={
            Channel.PRICE: ReportingLaw("complete", "mark and index every second; last on change; best bid and ask every 5 s", DOCS),
            Channel.TRADES: ReportingLaw("complete", "aggregated per taker order within 100 ms; insurance fund and ADL trades are left out", DOCS),
            Channel.LIQUIDATIONS: ReportingLaw("sampled", "at most one order per symbol per second; COIN-M's come along", DOCS, Cap(1)),
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
        shares_with=(_COIN_MARGINED,),
    )  # fmt: skip
    plan = RestPlan("https://fapi.binance.com/fapi/v1", interest_weight_per_min=900.0)
    trades_url: ClassVar[str] = "https://fapi.binance.com/fapi/v1/aggTrades"
    gap_url: ClassVar[str] = MARKET

    @property
    def counts_coin_margined(self) -> bool:
        """Whether this feed counts the liquidations of COIN-M that come on the merged stream."""
        return counted_by_usdm(self.options, self.options.beside.get(_COIN_MARGINED))

    def sources(self) -> frozenset[Source]:
        """This product's channels, and COIN-M's liquidations where they are counted here."""
        merged = {(_COIN_MARGINED, Channel.LIQUIDATIONS)} if self.counts_coin_margined else set[Source]()
        return super().sources() | merged

    def metadata(self) -> list[Request]:
        """This product's listings, and those of COIN-M where its liquidations are counted here."""
        requests = super().metadata()
        if self.counts_coin_margined:
            requests.append(Request(f"{self.spec.venue}/{COINM_LISTINGS}", self.rest(_COIN_MARGINED_REST)))
        return requests

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """See `monitor.feed.Feed`."""
        if urlsplit(request.url).path.startswith("/dapi/"):
            return self._instruments(body, coinm_instrument), []
        return super().parse_metadata(request, body)

    def instrument(self, listing: Listing) -> Instrument | None:
        """Always linear; a quantity is in units of the base asset, such as 1000PEPE."""
        base, units = canonical_base(listing.baseAsset)
        if not listing.contractType:
            return None
        return Instrument(
            venue=self.spec.venue,
            symbol=listing.symbol,
            base=base,
            quote=listing.quoteAsset,
            settle=listing.marginAsset,
            kind="perp" if listing.perpetual else "future",
            base_units=units,
            funding_interval_h=self.interval_h(listing),
            expiry_ns=None if listing.perpetual else listing.deliveryDate * NS_PER_MS,
            status=listing.state,
            asset_class="tradfi" if listing.tradfi else "crypto",
        )

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """One connection per category of address and 200 streams."""
        market, public = self._market_topics(instruments), self._public_topics(instruments)
        return self.connection_shards("market", MARKET, market) + self.connection_shards("public", PUBLIC, public)

    def _market_topics(self, instruments: Sequence[Instrument]) -> list[Topic]:
        chosen = self.selection(instruments)
        topics = []
        if self.carries(Channel.LIQUIDATIONS):
            topics.append(Topic("!forceOrder@arr", (Channel.LIQUIDATIONS,), payload=chosen))
        topics += self._price_topics(instruments, chosen)
        if self.carries(Channel.TRADES):
            topics += [Topic(f"{item.symbol.lower()}@aggTrade", (Channel.TRADES,), item.symbol) for item in instruments]
        if len(topics) == 1:  # liquidations can be silent for minutes: a busy companion shows that the socket lives
            topics.append(Topic("btcusdt@markPrice@1s", ()))
        return topics

    def _price_topics(self, instruments: Sequence[Instrument], chosen: frozenset[str] | None) -> list[Topic]:
        marks = tuple(item for item in (Channel.PRICE, Channel.FUNDING) if self.carries(item))
        streams = [("markPrice", "@1s", marks)] if marks else []
        if self.carries(Channel.PRICE):
            streams.append(("miniTicker", "", (Channel.PRICE,)))
        if self.selects_all or len(instruments) > MANY:
            return [Topic(f"!{name}@arr{speed}", channels, payload=chosen) for name, speed, channels in streams]
        return [
            Topic(f"{item.symbol.lower()}@{name}{speed}", channels, item.symbol)
            for name, speed, channels in streams
            for item in instruments
        ]

    def _public_topics(self, instruments: Sequence[Instrument]) -> list[Topic]:
        """Best bid and ask of the whole market every 5 s: per symbol it would be hundreds of messages a second."""
        if not self.carries(Channel.PRICE):
            return []
        return [Topic("!bookTicker", (Channel.PRICE,), payload=self.selection(instruments))]

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state.

        Raises:
            FeedRefused: The address does not serve the topics: the venue would acknowledge them and stay silent.
        """
        _check_address(connection)
        merged = registry.venue(_COIN_MARGINED) if self.counts_coin_margined else None
        return BinanceSession(self, connection, registry, merged=merged, marks=self.marks)


def _check_address(connection: Connection) -> None:
    category = urlsplit(connection.url).path.strip("/").split("/")[0]
    for topic in connection.topics:
        if not any(stream in topic.name for stream in _SERVED.get(category, ())):
            raise FeedRefused(f"{connection.url} acknowledges {topic.name} and then stays silent: not its category")
