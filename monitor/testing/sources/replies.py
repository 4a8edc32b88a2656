"""The services' replies as pure functions of the scenario and the time. All of it **synthetic**."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import log
from typing import Any

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.testing.scenario import BASES, Scenario, slow, tail
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS

HISTORY_DAYS = 400
COINS = {
    "BTC": 19.95e6, "ETH": 120.7e6, "SOL": 559e6, "XRP": 60.2e9, "BNB": 137.7e6, "DOGE": 152e9, "ADA": 35.9e9,
    "AVAX": 427e6, "LINK": 697e6, "LTC": 76.6e6, "SUI": 3.68e9, "ARB": 5.6e9, "OP": 1.9e9, "PEPE": 420.7e12,
    "UNI": 630e6, "ZEC": 16.3e6, "FIL": 713e6, "FET": 2.3e9, "SAND": 2.6e9, "RENDER": 518e6,
}  # fmt: skip
"""Coins in circulation, rounded."""

Query = Mapping[str, str]
Answer = tuple[int, bytes]


class SlowMarket:
    """Answers the requests of every slow source, from one place.

    Args:
        scenario: Gives the prices; the slow figures are those of `monitor.testing.scenario.slow`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._routes: list[tuple[str, Callable[..., Any]]] = [
            (r"/global", self._global),
            (r"/coins/categories", self._categories),
            (r"/coins/markets", self._markets),
            (r"/stablecoincharts/all", self._supply),
            (r"/stablecoins", self._pegs),
            (r"/v2/historicalChainTvl(?:/(?P<chain>\w+))?", self._tvl),
            (r"/protocols", self._protocols),
            (r"/openapi/v2/etf/historicalInflowChart", self._flows),
            (r"/futures/data/globalLongShortAccountRatio", self._binance_ratio),
            (r"/v5/market/account-ratio", self._bybit_ratio),
            (r"/api/v5/rubik/stat/contracts/long-short-account-ratio", self._okx_ratio),
            (r"/api/v3/klines", self._klines),
            (r"/api/v2/public/get_book_summary_by_currency", self._options),
        ]

    def answer(self, path: str, query: Query, body: bytes, now_ns: int) -> Answer:
        """Status and JSON body; 404 for a path that no service has."""
        for pattern, make in self._routes:
            match = re.fullmatch(pattern, path)
            if match is not None:
                return 200, json.dumps(make(query, body, now_ns, **match.groupdict())).encode()
        return 404, b'{"error":"not found"}'

    def _global(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        return {"data": {"total_market_cap": {"usd": slow.MARKET_CAP(now_ns)},
                         "market_cap_percentage": {"btc": 57.0, "eth": 11.5}, "updated_at": now_ns // NS_PER_S}}  # fmt: skip

    def _categories(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        stamp = _iso(now_ns)
        rows = [
            {"id": name, "market_cap": caps(now_ns), "updated_at": stamp} for name, caps in slow.SECTOR_CAPS.items()
        ]
        return [*rows, {"id": "category-without-data", "market_cap": None, "updated_at": None}]

    def _markets(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        caps = {base: COINS[base] * self._scenario.price(base, now_ns) for base in BASES}
        caps |= tail.RANKED_ONLY | {coin: tail.market_cap_usd(coin) for coin in tail.TAIL}
        stamp, ranked = _iso(now_ns), sorted(caps, key=lambda coin: -caps[coin])
        return [
            {"symbol": coin.lower(), "market_cap": caps[coin], "last_updated": stamp, "market_cap_rank": rank}
            for rank, coin in enumerate(ranked, start=1)
        ]

    def _supply(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        return [
            {"date": str(day_ns // NS_PER_S), "totalCirculatingUSD": {"peggedUSD": slow.STABLECOIN_SUPPLY(at_ns) - 6e8, "peggedEUR": 6e8}}
            for day_ns, at_ns in _days(now_ns)
        ]  # fmt: skip

    def _pegs(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        total = slow.STABLECOIN_SUPPLY(now_ns)
        return {"peggedAssets": [
            {"symbol": name, "pegType": "peggedUSD", "circulating": {"peggedUSD": total * share}, "price": price(now_ns)}
            for name, (share, price) in slow.STABLECOINS.items()
        ]}  # fmt: skip

    def _tvl(self, _query: Query, _body: bytes, now_ns: int, chain: str | None) -> Any:
        share = 1.0 if chain is None else slow.CHAIN_SHARE.get(chain, 0.01)
        return [{"date": day_ns // NS_PER_S, "tvl": slow.TVL(at_ns) * share} for day_ns, at_ns in _days(now_ns)]

    def _protocols(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        rows = [{"slug": name, "tvl": tvl(now_ns), "category": "Lending"} for name, tvl in slow.PROTOCOLS.items()]
        return [*rows, {"slug": "an-exchange", "tvl": 1.6e11, "category": "CEX"}]

    def _flows(self, _query: Query, body: bytes, now_ns: int) -> Any:
        asset = "BTC" if b"btc" in body else "ETH"
        known = now_ns - 3 * HOUR_NS  # a day's number appears in the evening, after the session
        days = [
            {"date": date, "totalNetInflow": million * 1e6}
            for date, million in slow.FLOWS_M_USD[asset].items()
            if _unix_ns(f"{date}T21:00:00+00:00") <= known
        ]
        return {"code": 0, "msg": None, "data": days[::-1]}

    def _binance_ratio(self, query: Query, _body: bytes, now_ns: int) -> Any:
        return [
            {
                "symbol": query["symbol"],
                "longShortRatio": f"{_ratio(now_ns, 1.02):.4f}",
                "timestamp": _period_ms(now_ns),
            }
        ]

    def _bybit_ratio(self, query: Query, _body: bytes, now_ns: int) -> Any:
        buy = _ratio(now_ns, 1.0) / (1 + _ratio(now_ns, 1.0))
        row = {"symbol": query["symbol"], "buyRatio": f"{buy:.4f}", "sellRatio": f"{1 - buy:.4f}", "timestamp": str(_period_ms(now_ns))}  # fmt: skip
        return {"retCode": 0, "retMsg": "OK", "result": {"list": [row]}}

    def _okx_ratio(self, _query: Query, _body: bytes, now_ns: int) -> Any:
        return {"code": "0", "msg": "", "data": [[str(_period_ms(now_ns)), f"{_ratio(now_ns, 0.98):.2f}"]]}

    def _klines(self, query: Query, _body: bytes, now_ns: int) -> Any:
        step_ns = {"1d": DAY_NS, "1h": HOUR_NS}[query["interval"]]
        base = query["symbol"].removesuffix("USDT")
        first = now_ns // step_ns - int(query.get("limit", "500")) + 1
        return [self._kline(base, number * step_ns, step_ns, now_ns) for number in range(first, now_ns // step_ns + 1)]

    def _kline(self, base: str, open_ns: int, step_ns: int, now_ns: int) -> list[Any]:
        close_ns = open_ns + step_ns
        start, end = self._price(base, open_ns), self._price(base, min(close_ns, now_ns))
        high, low = max(start, end) * 1.004, min(start, end) * 0.996
        open_ms, close_ms = open_ns // NS_PER_MS, close_ns // NS_PER_MS - 1
        prices = [f"{price:.8g}" for price in (start, high, low, end)]
        return [open_ms, *prices, "1000", close_ms, "1000000", 1000, "500", "500000", "0"]

    def _price(self, base: str, ts_ns: int) -> float:
        if base in tail.CHARTED:
            return tail.tail_price(base, ts_ns, self._scenario.price("BTC", ts_ns))
        return self._scenario.price(base, ts_ns)

    def _options(self, query: Query, _body: bytes, now_ns: int) -> Any:
        """Friday expiries and a straight smile in log-strike whose 25-delta skew is near the timeline's."""
        base = query["currency"]
        forward, rows = self._scenario.price(base, now_ns), []
        for days in (5, 12, 26, 40, 68, 131):
            expiry = datetime.fromtimestamp(now_ns // NS_PER_S, UTC) + timedelta(days=days)
            for step in range(-12, 13):
                strike = forward * 1.035**step
                rows += [
                    _option(
                        f"{base}-{expiry.day}{expiry.strftime('%b').upper()}{expiry:%y}-{round(strike)}-{kind}",
                        expiry,
                        strike,
                        forward,
                        now_ns,
                    )
                    for kind in "CP"
                ]
        return {"jsonrpc": "2.0", "result": rows}


def _option(name: str, expiry: datetime, strike: float, forward: float, now_ns: int) -> dict[str, Any]:
    years = max(0.01, (expiry.timestamp() - now_ns / NS_PER_S) / 31_536_000)
    dearer = slow.ETHER_DEARER if name.startswith("ETH") else 1.0
    atm = dearer * slow.ATM_IV(now_ns) * (1 + slow.TERM_SLOPE(now_ns) * (0.08 - years))
    wings = 2 * 0.674 * atm / 100 * years**0.5  # distance of the two 25-delta strikes in log terms
    iv = atm - slow.SKEW_25D(now_ns) / wings * log(strike / forward)
    return {"instrument_name": name, "mark_iv": round(max(iv, 5.0), 2), "underlying_price": round(forward, 2),
            "creation_timestamp": now_ns // NS_PER_MS}  # fmt: skip


def _days(now_ns: int) -> list[tuple[int, int]]:
    """Midnights and the instant that each day's point stands for: its midnight, for the running day now."""
    today = now_ns // DAY_NS
    days = [(day * DAY_NS, day * DAY_NS) for day in range(today - HISTORY_DAYS, today)]
    return [*days, (today * DAY_NS, now_ns)]


def _ratio(now_ns: int, factor: float) -> float:
    return slow.LONG_SHORT_RATIO(now_ns) * factor


def _period_ms(now_ns: int) -> int:
    return now_ns // (300 * NS_PER_S) * 300_000


def _iso(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // NS_PER_S, UTC).isoformat()


def _unix_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS_PER_S
