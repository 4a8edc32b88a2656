"""What Bybit keeps of the past: mark candles, rates and open interest, and the last trades of a gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from monitor.dialects.fields import Millis
from monitor.dialects.history import SETTLEMENTS, arrays, records, settled
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import HistoryPage, Request, Topic
from monitor.instruments import Instrument, Registry
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS, Archive, HistorySpan
from monitor.venue import VenueFeed
from monitor.wire import Rows, ms_ns, read

WS = "wss://stream.bybit.com/v5/public/"
REST = "https://api.bybit.com/v5/market/"


class _Fill(msgspec.Struct):
    symbol: str
    price: str
    size: str
    side: str
    time: str


class Result(msgspec.Struct):
    """Whatever a reply holds: rows with a page after them, or a book."""

    list: msgspec.Raw = msgspec.Raw(b"[]")
    nextPageCursor: str = ""
    b: Sequence[Sequence[str]] = ()
    a: Sequence[Sequence[str]] = ()
    ts: Millis = 0


class _Answer(msgspec.Struct):
    retCode: int
    retMsg: str = ""
    result: Result = msgspec.field(default_factory=Result)


_ANSWER = msgspec.json.Decoder(_Answer)
_FILLS = Rows(_Fill)


def result_of(body: bytes) -> Result:
    """The result of a reply.

    Raises:
        DecodeError: It is not what the venue documents, or a refusal.
    """
    answer = read(_ANSWER, body)
    if answer.retCode != 0:
        raise DecodeError("refused", f"{answer.retCode}: {answer.retMsg[:160]}")
    return answer.result


def category_of(request: Request) -> str:
    """The product line that a request is about."""
    return parse_qs(urlsplit(request.url).query)["category"][0]


class BybitPast(VenueFeed):
    """The part of the feed that asks about the past."""

    interest_in_coins: ClassVar[bool] = True
    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive({MINUTE_NS: "1", 5 * MINUTE_NS: "5", HOUR_NS: "60", DAY_NS: "D"}, rows=1000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=200),
        Channel.OPEN_INTEREST: Archive({5 * MINUTE_NS: "5min", HOUR_NS: "1h", DAY_NS: "1d"}, rows=200),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed mark prices, settled rates, open interest (of both sides, in coins or, inverse, in dollars)."""
        item, word = span.instrument, self.archives[span.channel].words[span.step_ns]
        if item.kind == "spot":
            return None
        market = f"category={item.category}&symbol={quote(item.symbol)}"
        if span.channel is Channel.PRICE:
            path = f"mark-price-kline?{market}&interval={word}&start={span.start_ms}&end={span.end_ms - 1}"
        elif item.kind != "perp":
            return None
        elif span.channel is Channel.FUNDING:
            path = f"funding/history?{market}&startTime={span.start_ms + 1}&endTime={span.end_ms}"
        else:
            path = f"open-interest?{market}&intervalTime={word}&startTime={span.start_ms + 1}&endTime={span.end_ms}"
        limit = min(self.archives[span.channel].rows, span.rows)
        url = self.rest(f"{REST}{path}&limit={limit}")
        return Request(f"bybit/history/{span.channel.value}/{item.symbol}", url)

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Open interest comes in coins: it is valued at the mark price of its own time, kept from the candles."""
        rows = result_of(body).list
        if span.channel is Channel.PRICE:
            return arrays(rows, 0, 4, span.step_ns)
        if span.channel is Channel.FUNDING:
            return settled(records(rows, "fundingRateTimestamp", "fundingRate"))
        one_side = ((ts_ns, both / 2) for ts_ns, both in records(rows, "timestamp", "openInterest"))
        return one_side if span.instrument.form == "inverse" else self.valuation.dollars(span, one_side)

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """The last trades of each symbol, 1000 of contracts and 60 of spot pairs; past liquidations are not kept."""
        if channel is not Channel.TRADES or not self.carries(channel):
            return []
        return [
            HistoryPage(
                Request(
                    f"bybit/gap/{item.key}",
                    self.rest(f"{REST}recent-trade?category={item.category}&symbol={quote(item.symbol)}&limit=1000"),
                ),
                channel, item.key, start_ns, end_ns,
            )
            for item in instruments
        ]  # fmt: skip

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Rows spelt out. The venue tells no older ones, so a gap that begins before them stays open."""
        category = category_of(page.request)
        rows = _FILLS.strict(result_of(body).list)
        if rows and min(ms_ns(row.time) for row in rows) > page.start_ns:
            raise DecodeError("gone", f"{page.symbol}: the venue's last {len(rows)} trades are younger than the gap")
        data = [{"T": row.time, "s": row.symbol, "S": row.side, "v": row.size, "p": row.price} for row in rows]
        topic = Topic(f"publicTrade.{page.symbol.removeprefix('spot:')}", (page.channel,), page.symbol)
        frame = msgspec.json.encode({"topic": topic.name, "type": "snapshot", "data": data})
        return self.lost(page, topic, [frame], recv_ns, registry, url=WS + category), []
