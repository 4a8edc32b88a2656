"""DefiLlama: stablecoin supply and prices, value locked in DeFi by chain and protocol. Needs no key.

Stablecoins have a host of their own (`docs <https://api-docs.defillama.com/>`_)::

    [{"date": "1609372800", "totalCirculatingUSD": {"peggedUSD": 1.0e9, "peggedEUR": 1.0e6}}]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Labels, MarketEvent
from monitor.feed import Request
from monitor.source import BaseSource, Parser, SourcePoll, SourceSpec, decode_json, fresh, service_time_ns

DAY_NS = 86_400 * NS_PER_S
HISTORY_NS = 400 * DAY_NS
RUNNING_NS = DAY_NS + DAY_NS // 2
"""A daily point at most so old is the running day's: its value is of now."""

STABLECOINS_URL = "https://stablecoins.llama.fi"
CHAINS = ("Ethereum", "Solana", "BSC", "Bitcoin", "Tron", "Base", "Arbitrum")
LARGEST_PROTOCOLS = 60


class SupplyPoint(msgspec.Struct):
    """One day of ``/stablecoincharts``; the date is a text of unix seconds."""

    date: str
    totalCirculatingUSD: dict[str, float]


class Pegged(msgspec.Struct):
    """One stablecoin of ``/stablecoins``."""

    symbol: str
    pegType: str
    circulating: dict[str, float] = {}
    price: float | None = None


class PeggedReply(msgspec.Struct):
    """``/stablecoins``."""

    peggedAssets: list[Pegged]


class TvlPoint(msgspec.Struct):
    """One day of ``/v2/historicalChainTvl``."""

    date: int
    tvl: float


class Protocol(msgspec.Struct):
    """One row of ``/protocols``."""

    slug: str
    tvl: float | None = None
    category: str | None = None


class DefiLlamaSource(BaseSource):
    """Daily charts every quarter of an hour; their last point moves during the day."""

    spec = SourceSpec(
        name="defillama",
        title="DefiLlama",
        series=("stablecoin_supply", "stablecoin_price", "tvl"),
        url="https://api.llama.fi",
        key="none",
        quota=None,
        docs="https://api-docs.defillama.com/",
        settings=frozenset({"stablecoins_url", "chains", "protocols", "coins"}),
    )

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """See `monitor.source.Source`."""
        chains = self.names("chains", CHAINS)
        return [
            self._stable("supply", "/stablecoincharts/all"),
            self._stable("pegs", "/stablecoins?includePrices=true"),
            self.poll("tvl", "/v2/historicalChainTvl", 900.0),
            *(self.poll(f"chain:{name}", f"/v2/historicalChainTvl/{quote(name)}", 3600.0) for name in chains),
            self.poll("protocols", "/protocols", 900.0),
        ]

    def parsers(self) -> Mapping[str, Parser]:
        """One per kind of request."""
        return {
            "supply": self._supply,
            "pegs": self._pegs,
            "tvl": self._tvl,
            "chain": self._tvl,
            "protocols": self._protocols,
        }

    def _stable(self, name: str, path: str) -> SourcePoll:
        base = str(self.options.extra.get("stablecoins_url") or self.options.url or STABLECOINS_URL)
        request = Request(name=name, url=base.rstrip("/") + path)
        return SourcePoll(request, self.options.every_s.get(name, 900.0))

    def _supply(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        points = [
            (_unix_s(point.date), sum(point.totalCirculatingUSD.values()))
            for point in decode_json(body, list[SupplyPoint])
        ]
        return self._daily("stablecoin_supply", (("asset", "total"),), points, recv_ns)

    def _pegs(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        wanted = self.names("coins", ("USDT", "USDC", "DAI", "USDe", "FDUSD", "PYUSD", "USDS"))
        events: list[MarketEvent] = []
        for coin in decode_json(body, PeggedReply).peggedAssets:
            if coin.symbol not in wanted or coin.pegType != "peggedUSD":
                continue
            labels = (("asset", coin.symbol),)
            supply = coin.circulating.get("peggedUSD")
            if supply:
                events.append(self.sample("stablecoin_supply", labels, supply, recv_ns, recv_ns))
            if coin.price:
                events.append(self.sample("stablecoin_price", labels, coin.price, recv_ns, recv_ns))
        return events

    def _tvl(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        kind, _, chain = request.name.partition(":")
        labels = (("name", chain or "total"), ("scope", "chain" if kind == "chain" else "total"))
        points = [(float(point.date), point.tvl) for point in decode_json(body, list[TvlPoint])]
        return self._daily("tvl", labels, points, recv_ns)

    def _protocols(self, _request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        wanted = self.names("protocols", ())
        rows = [row for row in decode_json(body, list[Protocol]) if row.tvl and row.category != "CEX"]
        rows.sort(key=lambda row: -(row.tvl or 0.0))
        kept = rows[:LARGEST_PROTOCOLS] + [row for row in rows[LARGEST_PROTOCOLS:] if row.slug in wanted]
        return [
            self.sample("tvl", (("name", row.slug), ("scope", "protocol")), row.tvl or 0.0, recv_ns, recv_ns)
            for row in kept
        ]

    def _daily(
        self, series: str, labels: Labels, points: Iterable[tuple[float, float]], recv_ns: int
    ) -> list[MarketEvent]:
        """A daily chart: closed days at their date; the running day's point is of now."""
        stamped = sorted((service_time_ns(unix_s, recv_ns), value) for unix_s, value in points)
        if not stamped:
            raise DecodeError("unexpected", f"{series}: an empty chart")
        last_ns, last = stamped[-1]
        events: list[MarketEvent] = [
            self.sample(series, labels, value, ts_ns, recv_ns) for ts_ns, value in stamped[:-1]
        ]
        now_ns = recv_ns if recv_ns - last_ns <= RUNNING_NS else last_ns
        events.append(self.sample(series, labels, last, now_ns, recv_ns))
        return fresh(events, recv_ns - HISTORY_NS)


def _unix_s(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DecodeError("wrong_type", f"not a time: {text[:40]!r}") from None
