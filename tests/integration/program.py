"""The real command as a child process: started on a free port, asked over HTTP until it is ready, ended with a signal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from monitor.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "monitor")
LOOK_S = 0.05


class Program:
    """One running monitor.

    Attributes:
        url: Where its page answers.
        folder: Its working folder; `stdout` and `stderr` are files in it.
        started_s: Monotonic time of the start of the process.
    """

    def __init__(
        self, url: str, folder: Path, process: asyncio.subprocess.Process, http: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.folder = folder
        self.process = process
        self.started_s = time.monotonic()
        self._http = http

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return (self.folder / "stdout").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return (self.folder / "stderr").read_text(encoding="utf-8")

    async def text(self, path: str) -> str:
        """The body of a reply, which must be a success."""
        async with self._http.get(self.url + path) as reply:
            body = await reply.text()
            assert reply.status == 200, f"{path}: {reply.status} {body[:500]}"
            return body

    async def data(self, path: str) -> Any:
        """The ``data`` of a reply of the API."""
        return json.loads(await self.text(path))["data"]

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            float(line.split("#")[0].rsplit(maxsplit=1)[1])
            for line in (await self.text("/metrics")).splitlines()
            if line.partition("{")[0].partition(" ")[0] == name and all(item in line for item in wanted)
        ]
        return sum(found)

    async def ready(self, within_s: float = 20.0) -> None:
        """Wait until ``/readyz`` says 200."""

        async def answers() -> bool:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with self._http.get(f"{self.url}/readyz") as reply:
                    return reply.status == 200
            return False

        await self.until(answers, within_s)

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
        """Ask until `condition` holds; the program's own words explain a failure."""
        deadline = time.monotonic() + within_s
        while not await condition():
            assert self.process.returncode is None, f"it ended with {self.process.returncode}: {self.stderr[-3000:]}"
            assert time.monotonic() < deadline, f"did not happen: {self.stdout[-1500:]}\n{self.stderr[-3000:]}"
            await asyncio.sleep(LOOK_S)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        async with asyncio.timeout(15):
            code = await self.process.wait()
        return code, time.monotonic() - began


@contextlib.asynccontextmanager
async def started(
    folder: Path, *arguments: str | Path, port: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Start ``python -m monitor`` with `arguments` in `folder`, and see to it that it ends.

    Args:
        folder: Where its output is kept.
        arguments: The command line.
        port: Where the arguments make it listen.
        environment: Added to the environment.
    """
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *map(str, arguments), stdout=out, stderr=err, cwd=folder, env=os.environ | dict(environment or {})
        )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        try:
            yield Program(f"http://127.0.0.1:{port}", folder, process, http)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def demo(
    folder: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Start the demo on a free port, with its state in ``folder/state``."""
    port = free_port()
    options = ("--listen", f"127.0.0.1:{port}", "--data-dir", folder / "state", *arguments)
    async with started(folder, "demo", *options, port=port, environment=environment) as program:
        yield program


def run_to_end(
    *arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd or ROOT,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def alert_names(lines: str, status: str = "firing") -> list[str]:
    """The rules of the notifications in an alerts file, in order."""
    notes = [json.loads(line) for line in lines.splitlines()]
    return [alert["alertname"] for note in notes if note["status"] == status for alert in note["alerts"]]
