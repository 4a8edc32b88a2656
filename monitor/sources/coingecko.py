"""CoinGecko: total market capitalisation, sectors, and the coins by rank. The key is optional (a free one raises limits).

Payload of ``/global`` (`docs <https://docs.coingecko.com/reference/crypto-global>`_)::

    {"data": {"total_market_cap": {"usd": 2985000000000.0}, "market_cap_percentage": {"btc": 57.1, "eth": 11.9},
              "updated_at": 1763700000}}
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import MarketEvent
from monitor.feed import Request
from monitor.source import BaseSource, Parser, Quota, SourcePoll, SourceSpec, decode_json, service_time_ns

MONTH_S = 30 * 86_400.0

SECTORS = (
    "layer-1", "layer-2", "meme-token", "gaming", "depin", "artificial-intelligence", "privacy-coins", "storage",
    "non-fungible-tokens-nft", "real-world-assets-rwa", "decentralized-finance-defi", "socialfi",
)  # fmt: skip
"""Ids of the categories that are kept unless ``sectors`` says otherwise."""


class GlobalData(msgspec.Struct):
    """The part of ``/global`` that is used."""

    total_market_cap: dict[str, float]
    updated_at: int


class GlobalReply(msgspec.Struct):
    """``/global``."""

    data: GlobalData


class Category(msgspec.Struct):
    """One row of ``/coins/categories``; nulls occur."""

    id: str
    market_cap: float | None = None
    updated_at: str | None = None


class Coin(msgspec.Struct):
    """One row of ``/coins/markets``."""

    symbol: str
    market_cap: float | None = None
    last_updated: str | None = None


class CoinGeckoSource(BaseSource):
    """Polls within the free key's 10,000 calls a month: /global every 10 minutes, the rest every half hour."""

    spec = SourceSpec(
        name="coingecko",
        title="CoinGecko",
        series=("market_cap", "sector_cap"),
        url="https://api.coingecko.com/api/v3",
        key="optional",
        quota=Quota(10_000, MONTH_S),
        docs="https://docs.coingecko.com/reference/introduction",
        settings=frozenset({"sectors"}),
    )

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        plan = (
            "pro" if "pro-api." in (self.options.url or "") else "demo"
        )  # a paid key has a host and a header of its own
        headers = {f"x-cg-{plan}-api-key": self.options.key} if self.options.key else {}
        ranked = "/coins/markets?vs_currency=usd&order=market_cap_desc&per_page=100&page=1"
        return [
            self.poll("global", "/global", 600.0, headers=headers),
            self.poll("categories", "/coins/categories?order=market_cap_desc", 1800.0, headers=headers),
            self.poll("markets", ranked, 1800.0, headers=headers),
        ]

    def parsers(self) -> Mapping[str, Parser]:
        """One per kind of request."""
        return {"global": self._global, "categories": self._categories, "markets": self._markets}

    def _global(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        data = decode_json(body, GlobalReply).data
        total = data.total_market_cap.get("usd")
        if total is None:
            raise DecodeError("missing_field", "total_market_cap.usd")
        ts_ns = service_time_ns(data.updated_at, recv_ns)
        return [self.sample("market_cap", (("asset", "total"),), total, ts_ns, recv_ns)]

    def _categories(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        wanted = self.names("sectors", SECTORS)
        return [
            self.sample("sector_cap", (("sector", row.id),), row.market_cap, iso_ns(row.updated_at, recv_ns), recv_ns)
            for row in decode_json(body, list[Category])
            if row.id in wanted and row.market_cap
        ]

    def _markets(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        largest: dict[str, Coin] = {}
        for row in decode_json(body, list[Coin]):
            known = largest.get(row.symbol.upper())
            if row.market_cap and (known is None or row.market_cap > (known.market_cap or 0)):
                largest[row.symbol.upper()] = row
        return [
            self.sample("market_cap", (("asset", asset),), row.market_cap or 0.0, iso_ns(row.last_updated, recv_ns), recv_ns)
            for asset, row in largest.items()
        ]  # fmt: skip


def iso_ns(text: str | None, recv_ns: int) -> int:
    """Nanoseconds of an ISO time; of receipt where the service gave none.

    Raises:
        DecodeError: It is no ISO time, or far in the future.
    """
    if text is None:
        return recv_ns
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError("wrong_type", f"not an ISO time: {text[:40]!r}") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return service_time_ns(int(when.timestamp() * NS_PER_S) / NS_PER_S, recv_ns)
