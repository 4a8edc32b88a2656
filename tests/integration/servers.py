"""A real mosquitto and a real Alertmanager as child processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sinks.server import Receiver, receiver


class Broker:
    """A mosquitto process that can be stopped and started again on the same port, without persistence."""

    def __init__(self, binary: Path, folder: Path, port: int, *extra: str) -> None:
        self.port = port
        self._config = folder / "mosquitto.conf"
        lines = ("per_listener_settings true", f"listener {port} 127.0.0.1", *(extra or ("allow_anonymous true",)))
        self._config.write_text("\n".join(lines) + "\n")
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([self._binary, "-c", self._config], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            assert time.monotonic() < deadline, "mosquitto did not start"
            time.sleep(0.01)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(10)
            self._process = None


@dataclass
class Running:
    url: str
    hook: Receiver

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as reply:
            found: list[dict[str, Any]] = json.load(reply)
            return found

    async def hooked(self, count: int) -> list[Any]:
        async with asyncio.timeout(15):
            while len(self.hook.requests) < count:
                await asyncio.sleep(0.05)
        return self.hook.bodies()


@asynccontextmanager
async def alertmanager(program: Path, folder: Path, port: int) -> AsyncIterator[Running]:
    async with receiver() as hook:
        (folder / "am.yml").write_text(
            "route: {receiver: hook, group_by: [alertname], group_wait: 300ms, group_interval: 300ms}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook.url}/hook', send_resolved: true}}]}}]\n"
        )
        process = subprocess.Popen(
            [
                *(program, f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'am'}"),
                *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            running = Running(f"http://127.0.0.1:{port}", hook)
            await asyncio.to_thread(_wait_ready, running.url)
            yield running
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 10)


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("Alertmanager did not start")
