"""What OKX keeps of the past: candles, rates and open interest, and the liquidations and trades of a gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.history import SETTLEMENTS, arrays, listed_rows, records, settled
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import HistoryPage, Request, Topic
from monitor.instruments import Instrument, Registry
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS, Archive, HistorySpan, older_edge
from monitor.venue import VenueFeed
from monitor.wire import ms_ns, read

WS = "wss://ws.okx.com:8443/ws/v5/public"
REST = "https://www.okx.com/api/v5/"
MOST_TRADES = 100
MOST_LIQUIDATIONS = 100


class _Answer(msgspec.Struct):
    code: str
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Detail(msgspec.Struct):
    ts: str


class _Liquidated(msgspec.Struct):
    details: list[_Detail] = []


_ANSWER = msgspec.json.Decoder(_Answer)
_LIQUIDATED = msgspec.json.Decoder(list[_Liquidated])


def data_of(body: bytes) -> msgspec.Raw:
    """The rows of a reply.

    Raises:
        DecodeError: It is not what the venue documents, or a refusal.
    """
    answer = read(_ANSWER, body)
    if answer.code != "0":
        raise DecodeError("refused", f"{answer.code}: {answer.msg[:160]}")
    return answer.data


class OkxPast(VenueFeed):
    """The part of the feed that asks about the past."""

    def request(self, label: str, path: str) -> Request:
        """A GET below the REST root."""
        return Request(f"okx/{label}", self.rest(REST + path))

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive({MINUTE_NS: "1m", 5 * MINUTE_NS: "5m", HOUR_NS: "1H", DAY_NS: "1Dutc"}, rows=100),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=100, keeps_s=90 * 86_400.0),
        Channel.OPEN_INTEREST: Archive({5 * MINUTE_NS: "5m", HOUR_NS: "1H", DAY_NS: "1Dutc"}, rows=100),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed mark prices, settled rates, open interest in dollars; the venue's bounds leave out their own instant."""
        item, word = span.instrument, self.archives[span.channel].words[span.step_ns]
        if item.kind == "spot" or (item.kind != "perp" and span.channel is not Channel.PRICE):
            return None
        market, label = f"instId={quote(item.symbol)}", f"history/{span.channel.value}/{item.symbol}"
        if span.channel is Channel.PRICE:
            query = f"{market}&bar={word}&before={span.start_ms - 1}&after={span.end_ms}&limit=100"
            return self.request(label, f"market/history-mark-price-candles?{query}")
        times = f"before={span.start_ms}&after={span.end_ms + 1}"
        if span.channel is Channel.FUNDING:
            return self.request(label, f"public/funding-rate-history?{market}&{times}&limit=100")
        times = f"begin={span.start_ms}&end={span.end_ms + 1}"
        return self.request(
            label, f"rubik/stat/contracts/open-interest-history?{market}&period={word}&{times}&limit=100"
        )

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """A candle is ``[opening, open, high, low, close, confirm]``, open interest ``[time, contracts, coins, dollars]``."""
        rows = data_of(body)
        if span.channel is Channel.PRICE:
            return arrays(rows, 0, 4, span.step_ns)
        if span.channel is Channel.FUNDING:
            return settled(records(rows, "fundingTime", "realizedRate"))
        return arrays(rows, 0, 3)

    gap_url: ClassVar[str] = WS
    gap_overlap_s: ClassVar[float] = 5.0

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Liquidations, one request per family of contracts; trades per instrument, from the newest backwards."""
        if not self.carries(channel):
            return []
        if channel is Channel.TRADES:
            after = f"type=2&after={end_ns // NS_PER_MS + 1}"
            return [self._trades_page(item.symbol, after, start_ns, end_ns) for item in instruments]
        families = {f"{_inst_type(item)}:{_family(item)}": None for item in instruments if item.kind != "spot"}
        return [self._liquidated_page(name, start_ns, end_ns) for name in families]

    def _liquidated_page(self, name: str, start_ns: int, end_ns: int) -> HistoryPage:
        """`name` is product line and family; both bounds leave out their own instant."""
        kind, _, family = name.partition(":")
        market = f"instType={kind}&instFamily={quote(family)}&state=filled"
        times = f"before={start_ns // NS_PER_MS}&after={end_ns // NS_PER_MS + 1}"
        path = f"public/liquidation-orders?{market}&{times}&limit={MOST_LIQUIDATIONS}"
        return HistoryPage(self.request(f"gap/{kind}/{family}", path), Channel.LIQUIDATIONS, name, start_ns, end_ns)

    def _trades_page(self, symbol: str, after: str, start_ns: int, end_ns: int) -> HistoryPage:
        path = f"market/history-trades?instId={quote(symbol)}&{after}&limit={MOST_TRADES}"
        return HistoryPage(self.request(f"gap/{symbol}", path), Channel.TRADES, symbol, start_ns, end_ns)

    def _lost_trades(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """A full page goes on before its oldest trade."""
        data = data_of(body)
        frame = f'{{"arg":{{"channel":"trades","instId":"{page.symbol}"}},"data":{bytes(data).decode()}}}'
        topic = Topic(f"trades:{page.symbol}", (page.channel,), page.symbol)
        events = self.lost(page, topic, [frame], recv_ns, registry)
        rows = [(ms_ns(row.get("ts") or ""), str(row.get("tradeId"))) for row in listed_rows(data)]
        if len(rows) < MOST_TRADES or (oldest := min(rows))[0] <= page.start_ns:
            return events, []
        return events, [self._trades_page(page.symbol, f"type=1&after={oldest[1]}", page.start_ns, page.end_ns)]

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the socket; a full page goes on before its oldest liquidation."""
        if page.channel is Channel.TRADES:
            return self._lost_trades(page, body, recv_ns, registry)
        kind, data = page.symbol.partition(":")[0], data_of(body)
        arg = f'{{"channel":"liquidation-orders","instType":"{kind}"}}'
        frame = f'{{"arg":{arg},"data":{bytes(data).decode()}}}'
        chosen = self.selection(self.wanted(registry)) if not self.selects_all else None
        topic = Topic(f"liquidation-orders:{kind}", (Channel.LIQUIDATIONS,), payload=chosen)
        times = [ms_ns(detail.ts) for row in read(_LIQUIDATED, data) for detail in row.details]
        edge_ns = older_edge(times, page.start_ns) if len(times) >= MOST_LIQUIDATIONS else None
        if edge_ns is None:
            return self.lost(page, topic, [frame], recv_ns, registry), []
        events = self.lost(page.after(edge_ns), topic, [frame], recv_ns, registry)
        return events, [self._liquidated_page(page.symbol, page.start_ns, edge_ns)]


def _inst_type(instrument: Instrument) -> str:
    return "SWAP" if instrument.kind == "perp" and instrument.symbol.endswith("-SWAP") else "FUTURES"


def _family(instrument: Instrument) -> str:
    """``BTC-USDT`` of ``BTC-USDT-SWAP``."""
    return "-".join(instrument.symbol.split("-")[:2])
