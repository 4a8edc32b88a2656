"""Trades of a gap: Binance keeps the aggregated trades of all its products, numbered, in one shape.

Forced orders are on no public REST address since the venue withdrew ``allForceOrders``: lost liquidations stay lost. ::

    [{"a":26129,"p":"84120.1","q":"0.25","f":100,"l":105,"T":1763700000098,"m":true}]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.history import listed_rows
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import HistoryPage, Request, Topic
from monitor.instruments import Instrument, Registry
from monitor.venue import VenueFeed

MOST_TRADES = 1000
LONGEST_NS = 900 * NS_PER_S
"""A longer gap would take the weight of minutes for one symbol alone: it stays open."""


class GapFeed(VenueFeed):
    """A feed that fetches the aggregated trades of a gap, per symbol, forwards by their number."""

    trades_url: ClassVar[str]
    trades_weight: ClassVar[int]

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """See `monitor.feed.Feed`."""
        if channel is not Channel.TRADES or not self.carries(channel) or end_ns - start_ns > LONGEST_NS:
            return []
        since = f"startTime={start_ns // NS_PER_MS}"
        return [self._trades_page(item.symbol, since, start_ns, end_ns) for item in instruments]

    def _trades_page(self, symbol: str, since: str, start_ns: int, end_ns: int) -> HistoryPage:
        url = self.rest(f"{self.trades_url}?symbol={quote(symbol)}&{since}&limit={MOST_TRADES}")
        request = Request(f"{self.spec.venue}/gap/{symbol}", url, weight=self.trades_weight)
        return HistoryPage(request, Channel.TRADES, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the socket, but for their type and symbol."""
        rows = [{**row, "e": "aggTrade", "s": page.symbol} for row in listed_rows(body)]
        topic = Topic(f"{page.symbol.lower()}@aggTrade", (page.channel,), page.symbol)
        events = self.lost(page, topic, map(msgspec.json.encode, rows), recv_ns, registry)
        if len(rows) < MOST_TRADES:
            return events, []
        number, ts_ms = rows[-1].get("a"), rows[-1].get("T")
        if not isinstance(number, int) or not isinstance(ts_ms, int):
            raise DecodeError("missing_field", f"{page.symbol}: a trade without its number")
        if ts_ms * NS_PER_MS > page.end_ns:
            return events, []
        return events, [self._trades_page(page.symbol, f"fromId={number + 1}", page.start_ns, page.end_ns)]
