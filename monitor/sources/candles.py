"""Closed daily and hourly candles of Binance spot: the history behind moving averages, volatility and drawdown. No key.

A row of ``/api/v3/klines`` is ``[openTime ms, "open", "high", "low", "close", "volume", closeTime ms, ...]``; the last
row is the running period and is left out. The close counts at the end of its period.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.clock import NS_PER_MS
from monitor.errors import DecodeError
from monitor.events import MarketEvent, Price
from monitor.feed import Request
from monitor.instruments import Instrument
from monitor.source import BaseSource, Parser, Quota, SourceOptions, SourcePoll, SourceSpec, decode_json

VENUE = "binance_spot"
BASES = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE")
DAYS, HOURS = 400, 200


class CandlesSource(BaseSource):
    """Each pair's last `DAYS` daily and `HOURS` hourly closes, as history of ``price{kind="last"}``."""

    spec = SourceSpec(
        name="candles",
        title="Binance spot candles",
        series=("price",),
        url="https://data-api.binance.vision",
        key="none",
        quota=Quota(1_000, 60.0),
        docs="https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints",
        settings=frozenset({"bases"}),
    )

    def __init__(self, options: SourceOptions) -> None:
        super().__init__(options)
        self._pairs = {
            base: Instrument(venue=VENUE, symbol=f"{base}USDT", base=base, quote="USDT", settle="USDT", kind="spot")
            for base in self.names("bases", BASES)
        }

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        return [
            self.poll(
                f"{interval}:{base}", f"/api/v3/klines?symbol={base}USDT&interval={interval}&limit={limit}", 3600.0
            )
            for base in self._pairs
            for interval, limit in (("1d", DAYS), ("1h", HOURS))
        ]

    def parsers(self) -> Mapping[str, Parser]:
        """Both intervals have one shape."""
        return {"1d": self._closes, "1h": self._closes}

    def _closes(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        pair = self._pairs[request.name.partition(":")[2]]
        events: list[MarketEvent] = []
        for row in decode_json(body, list[list[Any]]):
            ts_ns, close = _close(row)
            if ts_ns <= recv_ns:
                events.append(Price(pair, "last", close, ts_ns, recv_ns, backfill=True))
        return events


def _close(row: list[Any]) -> tuple[int, float]:
    try:
        close_ms, close = int(row[6]), float(row[4])
    except (IndexError, TypeError, ValueError, OverflowError):
        raise DecodeError("wrong_type", "a candle is not a row of 12 fields") from None
    if not (0 < close < 1e15 and 0 < close_ms < 1e14):
        raise DecodeError("unexpected", f"a close of {close} at {close_ms}")
    return (close_ms + 1) * NS_PER_MS, close
