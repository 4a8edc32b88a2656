"""Deribit's option summary: at-the-money implied volatility and 25-delta skew per tenor. Needs no key.

``GET /api/v2/public/get_book_summary_by_currency?currency=BTC&kind=option`` has no greeks; the delta is worked out from
``mark_iv`` and ``underlying_price`` (`monitor.derived.options`)::

    {"result": [{"instrument_name": "BTC-26DEC25-80000-P", "mark_iv": 51.5, "underlying_price": 84000.0,
                 "creation_timestamp": 1763700000000}]}
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from monitor.clock import NS_PER_MS
from monitor.derived.options import Quote, parse_name, surface
from monitor.events import MarketEvent
from monitor.feed import Request
from monitor.source import BaseSource, Parser, SourcePoll, SourceSpec, decode_json, service_time_ns

BASES = ("BTC", "ETH")
TENORS_D = (7, 30, 90)


class Summary(msgspec.Struct):
    """One option."""

    instrument_name: str
    creation_timestamp: int
    mark_iv: float | None = None
    underlying_price: float | None = None


class Reply(msgspec.Struct):
    """The envelope."""

    result: list[Summary]


class DeribitOptionsSource(BaseSource):
    """Two calls every two minutes."""

    spec = SourceSpec(
        name="deribit_options",
        title="Deribit options",
        series=("iv", "skew_25d"),
        url="https://www.deribit.com",
        key="none",
        quota=None,
        docs="https://docs.deribit.com/api-reference/market-data/public-get_book_summary_by_currency",
        settings=frozenset({"bases"}),
    )

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        path = "/api/v2/public/get_book_summary_by_currency?currency={}&kind=option"
        return [self.poll(f"options:{base}", path.format(base), 120.0) for base in self.names("bases", BASES)]

    def parsers(self) -> Mapping[str, Parser]:
        """One per kind of request."""
        return {"options": self._options}

    def _options(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        rows = decode_json(body, Reply).result
        if not rows:
            return []
        ts_ns = service_time_ns(max(row.creation_timestamp for row in rows) * NS_PER_MS / 1e9, recv_ns)
        base = request.name.partition(":")[2]
        events: list[MarketEvent] = []
        for tenor_d, point in surface(_quotes(rows), ts_ns, TENORS_D).items():
            labels = (("base", base), ("tenor", f"{tenor_d}d"), ("venue", "deribit"))
            events.append(self.sample("iv", labels, point.atm_iv, ts_ns, recv_ns))
            if point.skew_25d is not None:
                events.append(self.sample("skew_25d", labels, point.skew_25d, ts_ns, recv_ns))
        return events


def _quotes(rows: list[Summary]) -> list[Quote]:
    """Options with a volatility; names of another form (spreads) are passed over."""
    quotes = []
    for row in rows:
        option = parse_name(row.instrument_name)
        if option is not None and row.mark_iv and row.underlying_price:
            quotes.append(Quote(*option, iv_points=row.mark_iv, forward=row.underlying_price))
    return quotes
