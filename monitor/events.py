"""The shared vocabulary: what a venue said, as immutable values with two timestamps each.

``ts_ns`` is the venue's time of the event, ``recv_ns`` ours at receipt, both unix nanoseconds. A venue that gives no
time (BitMEX liquidations) has ``ts_ns == recv_ns``. Money of events is an integer number of micro-dollars, so sums
never drift; gauges are floats. ``backfill`` marks history: it corrects windows and never alerts as if live.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from monitor.instruments import Instrument

Labels = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name."""

PositionSide = Literal["long", "short"]
TakerSide = Literal["buy", "sell"]
PriceKind = Literal["mark", "index", "last", "mid"]


class Channel(StrEnum):
    """What a feed can carry; the values are the words of ``channels:`` in the configuration."""

    __hash__ = str.__hash__  # that of the equal text; the enum's own hashes the name, and in Python

    PRICE = "price"
    TRADES = "trades"
    LIQUIDATIONS = "liquidations"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    DEPTH = "depth"
    VOLATILITY = "volatility"
    REFERENCE = "reference"

    @property
    def words(self) -> str:
        """As people read it: ``open interest``."""
        return self.value.replace("_", " ")


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A position was closed by force. ``side`` is the side of the *position*, on every venue.

    ``key`` is the venue's own identity of the row where it has one; it is used to drop repeats across reconnects.
    """

    instrument: Instrument
    side: PositionSide
    usd_micros: int
    price: float
    ts_ns: int
    recv_ns: int
    key: str = ""
    backfill: bool = False


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade; ``side`` is the taker's."""

    instrument: Instrument
    side: TakerSide
    usd_micros: int
    price: float
    ts_ns: int
    recv_ns: int
    backfill: bool = False


class Price(msgspec.Struct, frozen=True, gc=False):
    """A price in quote money per venue unit (divide by ``instrument.base_units`` for one coin)."""

    instrument: Instrument
    kind: PriceKind
    value: float
    ts_ns: int
    recv_ns: int
    backfill: bool = False


class Funding(msgspec.Struct, frozen=True, gc=False):
    """A funding rate as a fraction per its own interval; positive means that longs pay shorts."""

    instrument: Instrument
    rate: float
    interval_h: float
    ts_ns: int
    recv_ns: int
    next_ns: int = 0
    backfill: bool = False


class OpenInterest(msgspec.Struct, frozen=True, gc=False):
    """Open interest in US dollars, one side only."""

    instrument: Instrument
    usd: float
    ts_ns: int
    recv_ns: int
    backfill: bool = False


class Depth(msgspec.Struct, frozen=True, gc=False):
    """Resting orders within 1 % of mid in US dollars, and the spread as a fraction of mid."""

    instrument: Instrument
    bid_usd: float
    ask_usd: float
    spread_ratio: float
    ts_ns: int
    recv_ns: int


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One value of any other gauge: what pollers and inlets deliver."""

    series: str
    labels: Labels
    value: float
    ts_ns: int
    recv_ns: int
    source: str = ""
    backfill: bool = False


class FeedState(msgspec.Struct, frozen=True, gc=False):
    """A feed's channel became live, or stopped being so, at ``ts_ns``."""

    venue: str
    channel: Channel
    up: bool
    ts_ns: int
    reason: str = ""


class FeedGap(msgspec.Struct, frozen=True, gc=False):
    """Data of (start, end] was lost on one channel; ``dropped`` counts events where that is known.

    ``filled`` says the opposite: the venue's history of (start, end] has been taken in, and counts as if seen.
    """

    venue: str
    channel: Channel
    start_ns: int
    end_ns: int
    reason: str
    dropped: int = 0
    filled: bool = False


MarketEvent = Liquidation | Trade | Price | Funding | OpenInterest | Depth | Sample
Event = MarketEvent | FeedState | FeedGap
