"""From the event on the socket to the webhook: this program beside a real Prometheus and Alertmanager, on the same feed.

    .venv/bin/python benchmarks/latency_pair.py [--alerts 200] [--seconds 60] [--load 1000]

A local Bybit (synthetic quotes, ``--load`` frames a second) sends to the real ``python -m monitor``. At random moments a coin
jumps over its threshold, each once. Two paths tell of it:

* ours: the monitor's rule, its outbox (committed to disk first), a webhook;
* the pair: Prometheus scrapes the same monitor's ``/metrics`` every second, evaluates ``market_price_usd > 110`` every second,
  and hands to Alertmanager (group_wait 0, every alert its own group), which calls a webhook.

The clock starts when the frame is written to the socket and ends when the receiver has read the request. The pair's stages
come from its own times: that of the sample in Prometheus, and ``startsAt``, which is that of the evaluation. Ours are the
program's histograms; receive, decode and engine are over all frames, dispatch over the alerts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import numpy as np
from aiohttp import web

from benchmarks.stage import Server, alertmanager, background, buckets, monitor, prometheus, quantile_ms, text
from monitor.clock import SystemClock
from monitor.events import Price
from monitor.instruments import Instrument
from monitor.testing.ports import free_port
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: state
rules: [rules.yaml]
watch: [%(coins)s]
feeds: [{venue: bybit, channels: [price], ws_url: '%(ws)s', rest_url: '%(rest)s'}]
sinks: [{type: webhook, url: 'http://127.0.0.1:%(hook)d/ours'}]
log: {format: json, level: error}
"""
RULES = """
groups:
  - name: pair
    rules:
      - {alert: High, expr: price by (base) > 110, labels: {severity: warning}}
"""
THEIR_RULES = """
groups:
  - name: pair
    rules:
      - {alert: High, expr: 'market_price_usd{kind="mark"} > 110', labels: {severity: warning}}
"""
CALM_USD, HIGH_USD, TURN_S = 100.0, 120.0, 0.02


@dataclass
class Hooks:
    """Both webhook receivers: when each coin was first told of, in unix seconds, and the start that was told."""

    at_s: dict[str, dict[str, float]] = field(default_factory=lambda: {"ours": {}, "pair": {}})
    start_s: dict[str, float] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        """One webhook of either path."""
        body = json.loads(await request.read())
        now_s, path = time.time(), request.path.strip("/")
        for alert in body["alerts"]:
            coin = alert["labels"].get("base") or alert["labels"]["symbol"].removesuffix("USDT")
            self.at_s[path].setdefault(coin, now_s)
            if path == "pair":
                self.start_s.setdefault(coin, _unix_s(alert["startsAt"]))
        return web.Response()


def _unix_s(moment: str) -> float:
    head, _, rest = moment.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{rest or 0}")


@dataclass
class Feed:
    """The market: quotes at a steady rate, and the jumps."""

    server: VenueServer
    instruments: list[Instrument]
    load: float
    jumped_s: dict[str, float] = field(default_factory=dict)
    _turn: int = 0

    async def run(self) -> None:
        """Quote for ever; late quotes are sent at once."""
        began_s, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began_s) * self.load)
            await self._quote([number % len(self.instruments) for number in range(sent, due)])
            sent = due
            await asyncio.sleep(TURN_S)

    async def _quote(self, numbers: list[int]) -> None:
        now_ns, self._turn = SystemClock().wall_ns(), self._turn + 1
        events = []
        for number in numbers:
            item = self.instruments[number]
            level = HIGH_USD if item.base in self.jumped_s else CALM_USD
            events.append(Price(item, "mark", level + self._turn % 97 / 1000, now_ns, now_ns))
        await self.server.publish(*events)

    async def jump(self, number: int) -> None:
        """Take one coin over its threshold."""
        self.jumped_s[self.instruments[number].base] = time.time()
        await self._quote([number])

    async def jumps(self, seconds: float, rng: random.Random) -> None:
        """All coins, at random moments."""
        count, began_s = len(self.instruments), time.monotonic()
        for number, moment in enumerate(sorted(rng.uniform(0, seconds) for _ in range(count))):
            await asyncio.sleep(max(0.0, began_s + moment - time.monotonic()))
            await self.jump(number)


async def sampled_s(http: aiohttp.ClientSession, server: Server, seconds: float) -> dict[str, float]:
    """When Prometheus first held a high price of each coin."""
    query = f'{server.url}/api/v1/query?query=market_price_usd{{kind="mark"}}[{int(seconds)}s]'
    found = json.loads(await text(http, query))["data"]["result"]
    return {
        series["metric"]["symbol"].removesuffix("USDT"): next(
            (float(at) for at, value in series["values"] if float(value) > 110), float("nan")
        )
        for series in found
    }


def row(name: str, ours: tuple[float, float] | None, pair: tuple[float, float] | None) -> None:
    """Print one line; times in milliseconds."""
    cells = [f"{value:12,.2f}" for both in (ours, pair) for value in (both or (float("nan"),) * 2)]
    print(f"{name:44}" + " ".join(cells).replace("nan", "  -"), flush=True)


def quantiles(seconds: dict[str, float], since: dict[str, float]) -> tuple[float, float]:
    """p50 and p99 of the differences, in milliseconds."""
    late = np.array([1000 * (at - since[coin]) for coin, at in seconds.items() if coin in since])
    p50, p99 = np.nanquantile(late, [0.5, 0.99])
    return float(p50), float(p99)


async def measure(alerts: int, seconds: float, load: float, folder: Path) -> int:
    """Set everything up, let the coins jump, print the table."""
    coins = [f"SYN{number:04}" for number in range(alerts)]
    instruments = [
        Instrument(venue="bybit", symbol=f"{coin}USDT", base=coin, quote="USDT", settle="USDT", kind="perp",
                   funding_interval_h=8.0, category="linear")
        for coin in coins
    ]  # fmt: skip
    hooks, port = Hooks(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        await _listen(hooks, port, stack)
        server = await stack.enter_async_context(VenueServer(make_protocol("bybit", instruments), SystemClock()))
        feed = Feed(server, instruments, load)
        await stack.enter_async_context(background(asyncio.create_task(feed.run())))
        config = CONFIG % {"ws": server.ws_url, "rest": server.rest_url, "hook": port, "coins": ", ".join(coins)}
        program = await stack.enter_async_context(monitor(folder, config, RULES))
        manager = await stack.enter_async_context(alertmanager(folder, f"http://127.0.0.1:{port}/pair"))
        target = f"127.0.0.1:{program.port}"
        scraper = await stack.enter_async_context(prometheus(folder, target, THEIR_RULES, manager.port))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
        await server.wait_for("subscribes", alerts, 60)
        await asyncio.sleep(5)  # several scrapes and evaluations, so that both paths are warm
        before = await text(http, f"{program.url}/metrics")
        await feed.jumps(seconds, random.Random(1))
        await _all_told(hooks, alerts)
        after = await text(http, f"{program.url}/metrics")
        samples = await sampled_s(http, scraper, seconds + 30)
    _table(feed, hooks, samples, before, after)
    told = {path: len(found) for path, found in hooks.at_s.items()}
    print(f"told: ours {told['ours']}, pair {told['pair']} of {alerts}")
    return 0 if set(told.values()) == {alerts} else 1


async def _listen(hooks: Hooks, port: int, stack: contextlib.AsyncExitStack) -> None:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/{path}", hooks.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()


async def _all_told(hooks: Hooks, alerts: int) -> None:
    deadline_s = time.monotonic() + 20
    while min(map(len, hooks.at_s.values())) < alerts and time.monotonic() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def _table(feed: Feed, hooks: Hooks, samples: dict[str, float], before: str, after: str) -> None:
    for stage, words in (
        ("receive", "socket read -> batch"),
        ("decode", "decode, per frame"),
        ("engine", "windows, rules, life cycle, routing"),
        ("dispatch", "commit to disk, webhook accepted"),
        ("total", "socket read -> webhook accepted"),
    ):
        ends = buckets(before, stage), buckets(after, stage)
        row(words, (quantile_ms(*ends, 0.5), quantile_ms(*ends, 0.99)), None)
    row("event -> sample in Prometheus", None, quantiles(samples, feed.jumped_s))
    row("sample -> rule evaluated", None, quantiles(hooks.start_s, samples))
    row("rule evaluated -> webhook read", None, quantiles(hooks.at_s["pair"], hooks.start_s))
    both = (quantiles(hooks.at_s[path], feed.jumped_s) for path in ("ours", "pair"))
    row("event on the socket -> webhook read", *both)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--alerts", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--load", type=float, default=1000.0, help="quotes per second besides")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {options.alerts} alerts in {options.seconds:g} s, "
        f"{options.load:,.0f} quotes/s besides; milliseconds\n"
        f"{'':44}{'ours p50':>12} {'p99':>12} {'pair p50':>12} {'p99':>12}"
    )
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(options.alerts, options.seconds, options.load, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
