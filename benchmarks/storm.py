"""A storm of alerts with each receiver stopped in turn, through the whole program.

    .venv/bin/python benchmarks/storm.py [--alerts 1000] [--outage 10]

A local Bybit (synthetic quotes of as many coins as there are alerts, 1,000 frames a second besides) sends to the real
``python -m monitor``, which tells a real mosquitto, a real Alertmanager and a webhook receiver. In each phase every coin
crosses its threshold once, spread over the outage: ten minutes scaled to ``--outage`` seconds, 60 times by default. The
program's waits between attempts are not scaled: they grow up to 60 s, so a phase ends within that after the outage.

"all delivered" counts distinct alerts at the receiver after the outage: the beginning of each, then its end. The engine's
times are the program's own histogram over the seconds of the outage, as is its CPU time; the sink's are from the event's time to the arrival of
the webhook, over the same alerts, where the webhook was not the one that was stopped. Exit code 1 when anything is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import aiomqtt
import numpy as np
from aiohttp import web

from benchmarks.stage import Server, alertmanager, background, buckets, monitor, mosquitto, quantile_ms, text
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
feeds: [{venue: bybit, channels: [price], ws_url: '%(ws)s', rest_url: '%(rest)s'}]
sinks:
  - {type: webhook, url: 'http://127.0.0.1:%(hook)d/'}
  - {type: mqtt, url: 'mqtt://127.0.0.1:%(mqtt)d'}
  - {type: alertmanager, urls: ['http://127.0.0.1:%(am)d'], resend_s: 5}
log: {format: json, level: error}
"""
RULES = """
groups:
  - name: storm
    rules:
      - {alert: High, expr: price by (base) > 110, labels: {severity: warning}}
"""
CALM_USD, HIGH_USD = 100.0, 120.0
TURN_S, BACKGROUND = 0.05, 50
PHASES = ("none", "broker", "webhook", "Alertmanager")


@dataclass
class Arrivals:
    """What reached one receiver: by status, the alerts and when each was first told; and whether an end came first."""

    told: dict[str, dict[str, int]] = field(default_factory=lambda: {"firing": {}, "resolved": {}})
    late_ms: list[float] = field(default_factory=list)
    messages: int = 0

    def note(self, symbol: str, status: str, start: str) -> None:
        """One alert of one message."""
        now_ns = time.time_ns()
        if symbol not in self.told[status] and status == "firing":
            self.late_ms.append(now_ns / 1e6 - datetime.fromisoformat(start).timestamp() * 1e3)
        self.told[status].setdefault(symbol, now_ns)

    def disorder(self) -> int:
        """Alerts whose end came before their beginning."""
        firing, over = self.told["firing"], self.told["resolved"]
        return sum(symbol not in firing or at_ns < firing[symbol] for symbol, at_ns in over.items())


class Hook:
    """The webhook receiver; can be stopped and started on its port."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.arrivals.messages += 1
        for alert in body["alerts"]:
            self.arrivals.note(alert["labels"]["base"], alert["status"], alert["startsAt"])
        return web.Response()


class Subscriber:
    """A subscriber of all events with a session that outlives the broker's restart."""

    def __init__(self, port: int) -> None:
        self.arrivals = Arrivals()
        self._port = port

    async def run(self) -> None:
        """Read for ever."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self._port, identifier="storm", clean_session=False) as client:
                    await client.subscribe("monitor/events", qos=1)
                    async for message in client.messages:
                        self._take(json.loads(bytes(message.payload)))
            await asyncio.sleep(0.2)

    def _take(self, event: dict[str, Any]) -> None:
        self.arrivals.messages += 1
        for alert in event["alerts"]:
            status = "resolved" if alert["state"] == "resolved" else "firing"
            self.arrivals.note(alert["labels"]["base"], status, alert["startsAt"])


class Market:
    """Quotes of every coin, some per turn; a coin in `high` stands above its threshold."""

    def __init__(self, server: VenueServer, instruments: list[Instrument]) -> None:
        self._server = server
        self._instruments = instruments
        self._high: set[int] = set()
        self._turn = 0
        self._clock = SystemClock()

    async def run(self) -> None:
        """Quote for ever."""
        while True:
            first = self._turn * BACKGROUND
            numbers = range(first, first + BACKGROUND)
            await self._quote([number % len(self._instruments) for number in numbers])
            self._turn += 1
            await asyncio.sleep(TURN_S)

    async def _quote(self, numbers: list[int]) -> None:
        now_ns = self._clock.wall_ns() // 1_000_000 * 1_000_000
        wiggle = self._turn % 97 / 1000
        events = [
            Price(self._instruments[n], "mark", wiggle + (HIGH_USD if n in self._high else CALM_USD), now_ns, now_ns)
            for n in numbers
        ]
        await self._server.publish(*events)

    async def move(self, *, high: bool, seconds: float) -> None:
        """Take every coin over (or back below) its threshold, spread over some seconds."""
        count, began = len(self._instruments), time.monotonic()
        for number in range(count):
            (self._high.add if high else self._high.discard)(number)
            await self._quote([number])
            await asyncio.sleep(max(0.0, began + seconds * (number + 1) / count - time.monotonic()))


@dataclass
class Stand:
    """Everything that runs."""

    market: Market
    program: Server
    broker: Server
    manager: Server
    hook: Hook
    subscriber: Subscriber
    http: aiohttp.ClientSession
    alerts: int
    outage_s: float

    async def active(self) -> int:
        """Alerts that Alertmanager holds."""
        try:
            return len(json.loads(await text(self.http, f"{self.manager.url}/api/v2/alerts")))
        except (aiohttp.ClientError, OSError):
            return -1

    async def until(self, status: str, within_s: float = 150.0) -> float:
        """Wait until every receiver knows of every alert's beginning (or end); the seconds that it took."""
        wanted, began = self.alerts if status == "firing" else 0, time.monotonic()
        while time.monotonic() < began + within_s:
            told = [len(there.arrivals.told[status]) for there in (self.hook, self.subscriber)]
            if min(told) >= self.alerts and await self.active() == wanted:
                break
            await asyncio.sleep(0.1)
        return time.monotonic() - began


async def phase(
    stand: Stand, name: str, stop: Callable[[], Awaitable[None]], start: Callable[[], Awaitable[None]]
) -> bool:
    """One storm; prints one row. Returns whether all was delivered."""
    for there in (stand.hook, stand.subscriber):
        there.arrivals = Arrivals()
    before = buckets(await text(stand.http, f"{stand.program.url}/metrics"), "engine")
    await stop()
    began_cpu_s = stand.program.cpu_s
    await stand.market.move(high=True, seconds=stand.outage_s)
    cpu_s = stand.program.cpu_s - began_cpu_s
    after = buckets(await text(stand.http, f"{stand.program.url}/metrics"), "engine")
    await start()
    caught_up_s = await stand.until("firing")
    firing = [len(there.arrivals.told["firing"]) for there in (stand.hook, stand.subscriber)] + [await stand.active()]
    late = np.array(stand.hook.arrivals.late_ms if name != "webhook" else [np.nan])
    await stand.market.move(high=False, seconds=stand.outage_s / 3)
    await stand.until("resolved")
    over = [len(there.arrivals.told["resolved"]) for there in (stand.hook, stand.subscriber)]
    left, disorder = await stand.active(), stand.hook.arrivals.disorder() + stand.subscriber.arrivals.disorder()
    complete = {*firing, *over} == {stand.alerts} and not left and not disorder
    print(
        f"{name:14} {firing[0]:8} {firing[1]:6} {firing[2]:6} {over[0]:9} {over[1]:6} {stand.alerts - left:6} {caught_up_s:9.1f} {cpu_s:6.1f} "
        f"{quantile_ms(before, after, 0.5):10.3f} {quantile_ms(before, after, 0.99):8.3f} "
        f"{np.quantile(late, 0.5):11.1f} {np.quantile(late, 0.99):8.1f}   {'all delivered' if complete else 'MISSING'}",
        flush=True,
    )
    return complete


async def storm(alerts: int, outage_s: float, phases: Sequence[str], folder: Path) -> int:
    """Set everything up and run the phases."""
    names = [f"SYN{number:04}" for number in range(alerts)]
    instruments = [
        Instrument(venue="bybit", symbol=f"{name}USDT", base=name, quote="USDT", settle="USDT", kind="perp",
                   funding_interval_h=8.0, category="linear")
        for name in names
    ]  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(VenueServer(make_protocol("bybit", instruments), SystemClock()))
        market, hook, sponge = Market(server, instruments), Hook(), Hook()
        for receiver in (hook, sponge):
            await receiver.start()
            stack.push_async_callback(receiver.stop)
        broker = await stack.enter_async_context(mosquitto(folder))
        manager = await stack.enter_async_context(alertmanager(folder, f"http://127.0.0.1:{sponge.port}/"))
        subscriber = Subscriber(broker.port)
        tasks = [asyncio.create_task(work) for work in (market.run(), subscriber.run())]
        await stack.enter_async_context(background(*tasks))
        addresses = {
            "ws": server.ws_url,
            "rest": server.rest_url,
            "hook": hook.port,
            "mqtt": broker.port,
            "am": manager.port,
        }
        program = await stack.enter_async_context(monitor(folder, CONFIG % addresses, RULES))
        await server.wait_for("subscribes", alerts, 60)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        stand = Stand(market, program, broker, manager, hook, subscriber, http, alerts, outage_s)
        await asyncio.sleep(3)
        switches = {
            "none": (_nothing, _nothing),
            "broker": (broker.stop, broker.start),
            "webhook": (hook.stop, hook.start),
            "Alertmanager": (manager.stop, manager.start),
        }
        done = [await phase(stand, name, *switches[name]) for name in phases]
    return 0 if all(done) else 1


async def _nothing() -> None:
    pass


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--alerts", type=int, default=1000)
    parser.add_argument("--outage", type=float, default=10.0, help="seconds that stand for ten minutes")
    parser.add_argument(
        "--phases", nargs="+", choices=PHASES, default=PHASES, help="which receivers to stop, in this order"
    )
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {options.alerts} alerts in {options.outage:g} s, which stand for ten minutes; "
        f"{BACKGROUND / TURN_S:,.0f} quotes/s besides\n"
        f"{'':14} {'beginnings told by':>22} {'ends told by':>23} {'caught up':>9} {'CPU':>6} {'engine, ms':>19} {'event to webhook, ms':>20}\n"
        f"{'stopped':14} {'webhook':>8} {'mqtt':>6} {'AM':>6} {'webhook':>9} {'mqtt':>6} {'AM':>6} {'s':>9} {'s':>6} "
        f"{'p50':>10} {'p99':>8} {'p50':>11} {'p99':>8}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(storm(options.alerts, options.outage, options.phases, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
