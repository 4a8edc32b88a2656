"""SoSoValue: net flows of US spot ETFs, one number per trading day and asset. Needs the user's free key.

Without a key, the same series can be pushed through the inlet (``name: etf_flow``). Reply of
``POST /openapi/v2/etf/historicalInflowChart`` (`docs <https://sosovalue.gitbook.io/soso-value-api-doc>`_)::

    {"code": 0, "data": [{"date": "2025-11-20", "totalNetInflow": -903000000.0}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import MarketEvent
from monitor.feed import Request
from monitor.source import BaseSource, Parser, SourcePoll, SourceSpec, decode_json

SESSION_END_NS = 21 * 3600 * NS_PER_S
"""A day's flow is that of the New York session, which ends at 21:00 UTC in winter."""

ASSETS = {"BTC": "us-btc-spot", "ETH": "us-eth-spot"}


class Day(msgspec.Struct):
    """One trading day."""

    date: str
    totalNetInflow: float | None = None


class Days(msgspec.Struct):
    """The other documented shape of ``data``."""

    rows: list[Day] = msgspec.field(name="list")


class Reply(msgspec.Struct):
    """The envelope; ``code`` is 0 on success."""

    code: int
    data: list[Day] | Days | None = None
    msg: str | None = None


class SoSoValueSource(BaseSource):
    """Every half hour; a day's number appears in the US evening and is revised later."""

    spec = SourceSpec(
        name="sosovalue",
        title="SoSoValue",
        series=("etf_flow",),
        url="https://api.sosovalue.xyz",
        key="required",
        quota=None,
        docs="https://sosovalue.gitbook.io/soso-value-api-doc",
    )

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        return [
            self.poll(
                f"flows:{asset}",
                "/openapi/v2/etf/historicalInflowChart",
                1800.0,
                body=msgspec.json.encode({"type": kind}),
                headers={"x-soso-api-key": self.options.key},
            )
            for asset, kind in ASSETS.items()
        ]

    def parsers(self) -> Mapping[str, Parser]:
        """One per kind of request."""
        return {"flows": self._flows}

    def _flows(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        reply = decode_json(body, Reply)
        if reply.code != 0 or reply.data is None:
            raise DecodeError("unexpected", f"code {reply.code}: {(reply.msg or 'no data')[:100]}")
        days = reply.data.rows if isinstance(reply.data, Days) else reply.data
        labels = (("asset", request.name.partition(":")[2]), ("fund", "total"))
        return [
            self.sample("etf_flow", labels, day.totalNetInflow, _session_end_ns(day.date), recv_ns)
            for day in sorted(days, key=lambda day: day.date)
            if day.totalNetInflow is not None
        ]


def _session_end_ns(date: str) -> int:
    try:
        midnight = datetime.fromisoformat(date[:10]).replace(tzinfo=UTC)
    except ValueError:
        raise DecodeError("wrong_type", f"not a date: {date[:40]!r}") from None
    return int(midnight.timestamp()) * NS_PER_S + SESSION_END_NS
