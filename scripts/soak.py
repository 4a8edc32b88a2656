"""Run the monitor at a steady message rate and watch its memory: ``python scripts/soak.py --rate 5000 --minutes 10``.

A local Bybit (synthetic quotes of every instrument of the demo) sends ``--rate`` frames per second to the real program, a
child process. Prints its resident memory every 30 s, and at the end the slope over the second half, what it dropped, and
the 99th percentile of the time from receipt to the engine. Exit code 1 when it dropped a frame or fell behind.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from monitor.clock import SystemClock
from monitor.events import Price
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

RULES = Path(__file__).resolve().parents[1] / "rules"
STEP_S = 0.01
EVERY_S = 30.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*?)\})? (\S+)", re.MULTILINE)


async def send(server: VenueServer, rate: float) -> None:
    """Publish quotes at a rate, for ever; what is late is sent at once."""
    clock = SystemClock()
    instruments = instruments_of("bybit")
    prices = [100.0] * len(instruments)
    sent, began_s = 0, time.monotonic()
    while True:
        due = int((time.monotonic() - began_s) * rate)
        now_ns = clock.wall_ns()
        for number in range(sent, due):
            index = number % len(instruments)
            prices[index] = 100.0 + number % 997 / 100
            await server.publish(Price(instruments[index], "mark", prices[index], now_ns, now_ns))
        sent = due
        await asyncio.sleep(STEP_S)


def resident_mib(process_id: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def total(metrics: str, name: str, contains: str = "") -> float:
    """The sum of a metric's samples."""
    found = _SAMPLE.findall(metrics)
    return sum(float(value) for found_name, labels, value in found if found_name == name and contains in labels)


def p99_s(metrics: str, stage: str) -> float:
    """The upper edge of the histogram bucket that holds the 99th percentile."""
    samples = _SAMPLE.findall(metrics)
    rows = [(labels, float(value)) for name, labels, value in samples if name == "monitor_stage_latency_seconds_bucket"]
    edges = [
        (float(edge[1]), count)
        for labels, count in rows
        if f'stage="{stage}"' in labels and (edge := re.search(r'le="([^"]+)"', labels))
    ]
    edges.sort()
    return (
        next((edge for edge, count in edges if count >= 0.99 * edges[-1][1]), float("nan")) if edges else float("nan")
    )


async def soak(rate: float, minutes: float, folder: Path, rules: list[str]) -> int:
    """Run it and print the figures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with VenueServer(make_protocol("bybit", instruments_of("bybit")), SystemClock()) as server:
        config = folder / "config.yaml"
        config.write_text(configuration(port, folder, server, rules), encoding="utf-8")
        command = (sys.executable, "-m", "monitor", "--config", str(config))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        sending = asyncio.create_task(send(server, rate))
        try:
            return await watch(process.pid, f"http://127.0.0.1:{port}/metrics", rate, minutes)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            process.terminate()
            await process.wait()


def configuration(port: int, folder: Path, server: VenueServer, rules: list[str]) -> str:
    """One feed, the given rules."""
    lines = [
        f"listen: 127.0.0.1:{port}",
        f"data_dir: {folder}/state",
        f"rules: [{', '.join(rules)}]",
        "feeds:",
        "  - venue: bybit",
        "    channels: [price]",
        '    symbols: "*"',
        f"    ws_url: {server.ws_url}",
        f"    rest_url: {server.rest_url}",
        "log: {level: warning}",
    ]
    return "\n".join(lines)


async def watch(process_id: int, url: str, rate: float, minutes: float) -> int:
    """Read memory every half minute, metrics at the end."""
    began_s = time.monotonic()
    memory: list[tuple[float, float]] = []
    while (passed_s := time.monotonic() - began_s) < minutes * 60:
        await asyncio.sleep(min(EVERY_S, minutes * 60 - passed_s))
        memory.append((time.monotonic() - began_s, resident_mib(process_id)))
        print(f"{memory[-1][0]:6.0f} s  {memory[-1][1]:7.1f} MiB", flush=True)
    async with aiohttp.ClientSession() as http, http.get(url) as reply:
        metrics = await reply.text()
    return conclude(metrics, memory, rate)


def conclude(metrics: str, memory: list[tuple[float, float]], rate: float) -> int:
    """Print what it comes to."""
    late = memory[len(memory) // 2 :]
    if len(late) > 1:
        slope = statistics.linear_regression(*zip(*late, strict=True)).slope * 60
        print(f"slope over the second half: {slope:+.2f} MiB/min")
    frames = total(metrics, "monitor_feed_frames_total")
    dropped = total(metrics, "monitor_events_dropped_total") - total(
        metrics, "monitor_events_dropped_total", 'reason="duplicate"'
    )
    arrived = frames / memory[-1][0]
    print(f"frames {frames:,.0f} ({arrived:,.0f}/s)  dropped {dropped:,.0f}")
    print(f"p99 receive <= {p99_s(metrics, 'receive') * 1e3:g} ms, engine <= {p99_s(metrics, 'engine') * 1e3:g} ms")
    return 0 if not dropped and arrived > 0.9 * rate else 1


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000.0, help="frames per second (default 5000)")
    parser.add_argument("--rules", nargs="+", default=[f"{RULES}/price.yaml", f"{RULES}/venues.yaml"], metavar="FILE")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitor-soak-") as folder:
        return asyncio.run(
            soak(options.rate, options.minutes, Path(folder), [str(Path(name).resolve()) for name in options.rules])
        )


if __name__ == "__main__":
    sys.exit(main())
