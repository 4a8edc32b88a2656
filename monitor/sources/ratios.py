"""Accounts net long over accounts net short, from the venues' own statistics. Needs no key.

Three venues, three shapes::

    Binance  [{"symbol": "BTCUSDT", "longShortRatio": "0.9512", "timestamp": 1763700000000}]
    Bybit    {"retCode": 0, "result": {"list": [{"buyRatio": "0.48", "sellRatio": "0.52", "timestamp": "1763700000000"}]}}
    OKX      {"code": "0", "data": [["1763700000000", "0.97"]]}
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import msgspec

from monitor.clock import NS_PER_MS
from monitor.errors import DecodeError
from monitor.events import Labels, MarketEvent
from monitor.feed import Request
from monitor.source import BaseSource, Parser, Quota, SourcePoll, SourceSpec, decode_json, service_time_ns

BYBIT_URL = "https://api.bybit.com"
OKX_URL = "https://www.okx.com"
BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE")


class BinanceRow(msgspec.Struct):
    """One period of ``globalLongShortAccountRatio``."""

    longShortRatio: str
    timestamp: int


class BybitRow(msgspec.Struct):
    """One period of ``account-ratio``."""

    buyRatio: str
    sellRatio: str
    timestamp: str


class BybitResult(msgspec.Struct):
    """Rows, newest first."""

    rows: list[BybitRow] = msgspec.field(name="list")


class BybitReply(msgspec.Struct):
    """The envelope."""

    retCode: int
    result: BybitResult


class OkxReply(msgspec.Struct):
    """Rows of time and ratio."""

    code: str
    data: list[tuple[str, str]]


class RatiosSource(BaseSource):
    """The newest five-minute period of each venue and coin, every five minutes."""

    spec = SourceSpec(
        name="ratios",
        title="Long/short account ratios",
        series=("long_short_ratio",),
        url="https://fapi.binance.com",
        key="none",
        quota=Quota(500, 300.0),
        docs="https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Long-Short-Ratio",
        settings=frozenset({"bases", "bybit_url", "okx_url"}),
    )

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        polls = []
        for base in self.names("bases", BASES):
            pair = f"{base}USDT"
            polls += [
                self.poll(f"binance_usdm:{base}", f"/futures/data/globalLongShortAccountRatio?symbol={pair}&period=5m&limit=1", 300.0),
                self._other("bybit", base, f"/v5/market/account-ratio?category=linear&symbol={pair}&period=5min&limit=1"),
                self._other("okx", base, f"/api/v5/rubik/stat/contracts/long-short-account-ratio?ccy={base}&period=5m"),
            ]  # fmt: skip
        return polls

    def parsers(self) -> Mapping[str, Parser]:
        """One per venue."""
        return {"binance_usdm": self._binance, "bybit": self._bybit, "okx": self._okx}

    def _other(self, venue: str, base: str, path: str) -> SourcePoll:
        default = {"bybit": BYBIT_URL, "okx": OKX_URL}[venue]
        url = str(self.options.extra.get(f"{venue}_url") or self.options.url or default)
        return SourcePoll(Request(f"{venue}:{base}", url.rstrip("/") + path), self.options.every_s.get(venue, 300.0))

    def _binance(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        return [
            self._ratio(request, _number(row.longShortRatio), row.timestamp, recv_ns)
            for row in decode_json(body, list[BinanceRow])
        ]

    def _bybit(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        reply = decode_json(body, BybitReply)
        if reply.retCode != 0:
            raise DecodeError("unexpected", f"retCode {reply.retCode}")
        events = []
        for row in reply.result.rows[:1]:
            short = _number(row.sellRatio)
            if short <= 0:
                raise DecodeError("unexpected", "sellRatio is not positive")
            events.append(self._ratio(request, _number(row.buyRatio) / short, _number(row.timestamp), recv_ns))
        return events

    def _okx(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        reply = decode_json(body, OkxReply)
        if reply.code != "0":
            raise DecodeError("unexpected", f"code {reply.code}")
        newest = max(reply.data, key=lambda row: _number(row[0]), default=None)
        return [] if newest is None else [self._ratio(request, _number(newest[1]), _number(newest[0]), recv_ns)]

    def _ratio(self, request: Request, ratio: float, ts_ms: float, recv_ns: int) -> MarketEvent:
        venue, _, base = request.name.partition(":")
        symbol = f"{base}-USDT-SWAP" if venue == "okx" else f"{base}USDT"
        labels: Labels = (("base", base), ("quote", "USDT"), ("symbol", symbol), ("venue", venue))
        ts_ns = service_time_ns(ts_ms * NS_PER_MS / 1e9, recv_ns)
        return self.sample("long_short_ratio", labels, ratio, ts_ns, recv_ns)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise DecodeError("wrong_type", f"not a number: {text[:40]!r}") from None
    if not isfinite(number):
        raise DecodeError("unexpected", f"not a finite number: {text[:40]!r}")
    return number
