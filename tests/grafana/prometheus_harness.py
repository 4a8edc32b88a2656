"""A real Prometheus that scrapes a running monitor, and the check that every panel then has data."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from monitor.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "grafana" / "prometheus" / "rules"
JOB = "market-risk"
MACROS = {"$__interval": "1s", "$__range": "1m", "${datasource}": "prometheus"}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str
    session: aiohttp.ClientSession
    interval_s: int = 1

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector of an expression; an error of the expression fails the test with Prometheus' words."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": expr}) as reply:
            body = await reply.json()
        assert body["status"] == "success", f"{expr}: {body.get('error')}"
        result = body["data"]["result"]
        return result if isinstance(result, list) else [result]

    async def get(self, path: str, **params: str) -> Any:
        """The ``data`` of any other endpoint."""
        async with self.session.get(f"{self.url}{path}", params=params) as reply:
            body = await reply.json()
        assert body["status"] == "success", body
        return body["data"]


def _config(scrape_url: str, interval_s: int) -> str:
    target = urlsplit(scrape_url)
    return f"""
global: {{scrape_interval: {interval_s}s, evaluation_interval: 1s}}
rule_files: ["{RULES}/*.yml"]
scrape_configs:
  - job_name: {JOB}
    metrics_path: {target.path if target.path not in ("", "/") else "/metrics"}
    static_configs: [{{targets: ["{target.netloc}"]}}]
"""


@asynccontextmanager
async def run_prometheus(
    scrape_url: str, folder: Path, interval_s: int = 1, port: int | None = None
) -> AsyncIterator[Prometheus]:
    """Start Prometheus in `folder`, scraping `scrape_url`, and wait until it has scraped once.

    Args:
        scrape_url: Where the monitor is: ``http://127.0.0.1:9108``, with ``/metrics`` or without.
        folder: An empty folder for configuration and data.
        interval_s: Seconds between scrapes, and the time that a scrape may take: more for a busy monitor.
        port: Where it listens; None takes a free one.
    """
    (folder / "prometheus.yml").write_text(_config(scrape_url, interval_s), encoding="utf-8")
    port = port or free_port()
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=subprocess.STDOUT)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                server = Prometheus(f"http://127.0.0.1:{port}", session, interval_s)
                await _until_scraped(server, process, folder / "prometheus.log")
                yield server
        finally:
            process.terminate()
            await process.wait()


async def _until_scraped(server: Prometheus, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(30 + 5 * server.interval_s):
        while True:
            assert process.returncode is None, log.read_text(encoding="utf-8")
            try:
                if any(sample["value"][1] == "1" for sample in await server.query(f'up{{job="{JOB}"}}')):
                    return
            except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
                pass  # it is still starting
            await asyncio.sleep(0.1)


def fill_in(expr: str, values: Mapping[str, str] | None = None, interval_s: int = 1) -> str:
    """Replace Grafana's macros and variables; a variable that is not in `values` matches everything."""
    for macro, value in {"$__rate_interval": f"{5 * interval_s}s", **MACROS}.items():
        expr = expr.replace(macro, value)
    return _VARIABLE.sub(lambda match: (values or {}).get(match[1], ".+"), expr)


def panel_queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(panel title, expression) of every target of a dashboard."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def variable_queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(variable, metric, label) of every ``label_values`` variable of a dashboard."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert match, f"{variable['name']}: {variable['query']}"
            yield variable["name"], match[1], match[2]


async def assert_every_panel_has_data(
    server: Prometheus, board: Mapping[str, Any], *, allow_empty: frozenset[str] = frozenset(), within_s: float = 45.0
) -> None:
    """Fail unless every panel and every variable of `board` returns something.

    Args:
        server: A Prometheus that has scraped the monitor for a few seconds.
        board: A dashboard's JSON.
        allow_empty: Titles of panels that may stay empty, because the venue set has no such figure.
        within_s: How long rates and ranges may take to have enough samples.
    """
    for name, metric, label in variable_queries(board):
        values = await server.get(f"/api/v1/label/{label}/values", **{"match[]": metric})
        assert values, f"{board['title']}: variable {name} has no values"
    missing = {(title, expr) for title, expr in panel_queries(board) if title not in allow_empty}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while missing:
        missing = {
            (title, expr)
            for title, expr in missing
            if not _has_number(await server.query(fill_in(expr, None, server.interval_s)))
        }
        if not missing:
            return
        assert loop.time() < deadline, f"{board['title']}: no data for {sorted(missing)}"
        await asyncio.sleep(1)


async def until_samples(server: Prometheus, expr: str, within_s: float) -> list[dict[str, Any]]:
    """The samples of `expr`, as soon as there are any: a scrape that took too long leaves none for a moment.

    Raises:
        AssertionError: There was none within `within_s` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not _has_number(samples := await server.query(expr)):
        assert loop.time() < deadline, f"no sample of {expr}"
        await asyncio.sleep(1)
    return samples


def _has_number(samples: list[dict[str, Any]]) -> bool:
    return any(sample["value"][1] != "NaN" for sample in samples)
