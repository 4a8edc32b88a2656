"""What the benchmarks of the whole program share: the monitor, brokers and servers as child processes on loopback ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import aiohttp

from monitor.testing.ports import free_port

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin"
_BUCKET = re.compile(r"^monitor_stage_latency_seconds_bucket\{([^}]*)\} (\S+)", re.MULTILINE)


def program(*names: str) -> str:
    """The path of an installed program, under the first of its names that is there.

    Raises:
        SystemExit: It is not installed.
    """
    for name in names:
        if path := shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH):
            return path
    raise SystemExit(f"this benchmark needs {names[0]}")


class Server:
    """A child process on a port, which can be stopped and started again."""

    def __init__(self, command: list[str], folder: Path, port: int, ready_path: str = "") -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = command
        self._folder = folder
        self._ready_path = ready_path
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / f"{Path(self._command[0]).name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._folder, stdout=log, stderr=log
            )
        async with asyncio.timeout(30):
            while not await self._answers():
                if self._process.returncode is not None:
                    raise SystemExit(f"{self._command[0]} ended: {self.log[-2000:]}")
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        if not self._ready_path:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return False
            writer.close()
            return True
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with aiohttp.ClientSession() as http, http.get(self.url + self._ready_path) as reply:
                return reply.status == 200
        return False

    async def stop(self) -> None:
        """End it in an orderly way."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()

    @property
    def cpu_s(self) -> float:
        """CPU time that it has used, user and system (Linux): unlike a latency, the same on a busy machine."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def log(self) -> str:
        """What it printed."""
        return (self._folder / f"{Path(self._command[0]).name}.log").read_text(encoding="utf-8")


def monitor(folder: Path, config: str, rules: str) -> Server:
    """``python -m monitor`` with this configuration (``{port}`` is filled in) and these rules."""
    port = free_port()
    (folder / "config.yaml").write_text(config.replace("{port}", str(port)), encoding="utf-8")
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    return Server([sys.executable, "-m", "monitor", "--config", "config.yaml"], folder, port, "/readyz")


def mosquitto(folder: Path) -> Server:
    """A broker that keeps sessions over a restart."""
    port = free_port()
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "user root",
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
    )
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Server([program("mosquitto"), "-c", str(folder / "mosquitto.conf")], folder, port)


def alertmanager(folder: Path, hook: str) -> Server:
    """An Alertmanager that tells `hook` of every group at once."""
    port = free_port()
    (folder / "am.yml").write_text(
        "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}]\n",
        encoding="utf-8",
    )
    command = [
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={folder / 'am.yml'}",
        f"--storage.path={folder / 'am'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    return Server(command, folder, port, "/-/ready")


def prometheus(folder: Path, target: str, rules: str, alertmanager_port: int) -> Server:
    """A Prometheus that scrapes `target` and evaluates `rules` every second."""
    port = free_port()
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        f"scrape_configs: [{{job_name: feed, static_configs: [{{targets: ['{target}']}}]}}]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager_port}']}}]}}]}}\n",
        encoding="utf-8",
    )
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return Server(command, folder, port, "/-/ready")


async def text(http: aiohttp.ClientSession, url: str) -> str:
    """The body of a reply that must be a success."""
    async with http.get(url) as reply:
        reply.raise_for_status()
        return await reply.text()


Buckets = dict[float, float]


def buckets(metrics: str, stage: str) -> Buckets:
    """Cumulated counts by upper edge in seconds of one stage's latency histogram."""
    found: Buckets = {}
    for labels, count in _BUCKET.findall(metrics):
        edge = re.search(r'le="([^"]+)"', labels)
        if f'stage="{stage}"' in labels and edge is not None:
            found[float(edge[1])] = float(count.split("#")[0])
    return found


def quantile_ms(before: Buckets, after: Buckets, q: float) -> float:
    """A quantile of what was counted between two scrapes, by linear interpolation inside its bucket; NaN: nothing was."""
    low, below = 0.0, 0.0
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in sorted(after)}
    total = max(counts.values(), default=0.0)
    for edge, count in counts.items():
        if total and count >= q * total:
            width = (min(edge, 10.0) - low) * (q * total - below) / max(count - below, 1e-9)
            return 1000 * (low + width)
        low, below = edge, count
    return float("nan")


@contextlib.asynccontextmanager
async def background(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    """Run tasks while the block runs."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
