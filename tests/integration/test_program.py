"""``python -m monitor --config``: reload, bad input, kills and restarts of the real process against a local venue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from monitor.clock import SystemClock
from monitor.events import Funding, Price
from monitor.testing.ports import free_port
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
from tests.integration.program import Program, alert_names, run_to_end, started

pytestmark = pytest.mark.xdist_group("program")

RULE = """
groups:
  - name: desk
    rules:
      - alert: {name}
        expr: price{{base="BTC"}} by (base) < {limit}
"""
HINT = "did you mean"


class Desk:
    """A configuration in a folder, and the local venue that it leads to."""

    def __init__(self, folder: Path, server: VenueServer) -> None:
        self.folder = folder
        self.server = server
        self.port = free_port()
        self.feeds = [self.feed("bybit", server)]
        self.rules = folder / "rules" / "desk.yaml"
        self.rules.parent.mkdir()
        self.rule("BitcoinLow", "90k")
        self.write()

    def feed(self, venue: str, server: VenueServer) -> str:
        """One entry of ``feeds:``."""
        channels = "[price, funding]"
        return f"  - {{venue: {venue}, channels: {channels}, ws_url: '{server.ws_url}', rest_url: '{server.rest_url}'}}"

    def rule(self, name: str, limit: str) -> None:
        """Replace the rule file."""
        self.rules.write_text(RULE.format(name=name, limit=limit), encoding="utf-8")

    def write(self) -> None:
        """Write the configuration."""
        lines = [f"listen: 127.0.0.1:{self.port}", "data_dir: state", "rules: [rules/*.yaml]", "feeds:", *self.feeds]
        lines += ["sinks: [{type: console}, {type: file, path: state/alerts.jsonl}]", "log: {format: json}"]
        lines += ["alerts: {self_rules: false}", ""]
        (self.folder / "config.yaml").write_text("\n".join(lines), encoding="utf-8")

    @contextlib.asynccontextmanager
    async def program(self) -> AsyncIterator[Program]:
        """The running program."""
        async with started(self.folder, "--config", self.folder / "config.yaml", port=self.port) as program:
            yield program

    @property
    def notes(self) -> str:
        """The alerts file."""
        path = self.folder / "state" / "alerts.jsonl"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A Bybit where bitcoin stands at 80,000."""
    async with quoting("bybit") as server:
        yield Desk(tmp_path, server)


@contextlib.asynccontextmanager
async def quoting(venue: str) -> AsyncIterator[VenueServer]:
    """A local venue that never stands still."""
    clock = SystemClock()
    instruments = [item for item in instruments_of(venue) if item.base == "BTC"]

    async def beat(server: VenueServer) -> None:
        number = 0
        while True:
            now_ns, number = clock.wall_ns(), number + 1
            for item in instruments:
                price = Price(item, "mark", 80_000.0 + number % 9, now_ns, now_ns)
                await server.publish(price, Funding(item, 0.0001, 8.0, now_ns, now_ns))
            await asyncio.sleep(0.05)

    async with VenueServer(make_protocol(venue, instruments), clock) as server:
        beating = asyncio.create_task(beat(server))
        try:
            yield server
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


async def firing(program: Program) -> set[str]:
    """Names of the alerts that fire now."""
    alerts = (await program.data("/api/v1/alerts"))["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


async def fires(program: Program, name: str, within_s: float = 15.0) -> None:
    """Wait until an alert fires."""

    async def does() -> bool:
        return name in await firing(program)

    await program.until(does, within_s)


async def rule_names(program: Program) -> set[str]:
    """Names of the loaded rules."""
    groups = (await program.data("/api/v1/rules"))["groups"]
    return {rule["name"] for group in groups for rule in group["rules"]}


async def reload_state(program: Program) -> dict[str, Any]:
    """How the last reload went."""
    found: dict[str, Any] = (await program.data("/api/v1/status"))["process"]["reload"]
    return found


# -- reload ------------------------------------------------------------------------------------------------------------


async def test_sighup_and_a_changed_file_reload_the_rules(desk: Desk) -> None:
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BitcoinLow")
        desk.rule("BitcoinLower", "85k")
        program.process.send_signal(signal.SIGHUP)
        await fires(program, "BitcoinLower")
        assert await rule_names(program) == {"BitcoinLower"}
        assert (await reload_state(program))["ok"]
        desk.rule("BitcoinLowest", "81k")
        await fires(program, "BitcoinLowest")
        assert await rule_names(program) == {"BitcoinLowest"}
        assert await program.metric("monitor_config_last_reload_successful") == 1


async def test_a_bad_reload_keeps_the_old_rules_and_says_why(desk: Desk) -> None:
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BitcoinLow")
        desk.rule("Broken", "nonsense(")
        program.process.send_signal(signal.SIGHUP)

        async def refused() -> bool:
            return not (await reload_state(program))["ok"]

        await program.until(refused)
        assert "desk.yaml:6:" in (await reload_state(program))["error"]
        assert "reload.refused" in program.stderr
        assert await program.metric("monitor_config_last_reload_successful") == 0
        assert await program.metric("monitor_config_reloads_total", outcome="failure") >= 1
        assert await rule_names(program) == {"BitcoinLow"}
        assert await firing(program) == {"BitcoinLow"}
        desk.rule("Mended", "90k")
        await fires(program, "Mended")
        assert (await reload_state(program))["ok"]


async def test_feeds_are_added_and_removed_by_a_reload(desk: Desk) -> None:
    async with quoting("okx") as okx, desk.program() as program:
        await program.ready()
        bybit = desk.feeds[0]

        async def up() -> list[str]:
            return [feed["venue"] for feed in (await program.data("/api/v1/status"))["feeds"] if feed["up"]]

        async def follow(*feeds: str) -> None:
            desk.feeds = list(feeds)
            desk.write()
            program.process.send_signal(signal.SIGHUP)

        async def both() -> bool:
            return await up() == ["bybit", "okx"]

        async def only_okx() -> bool:
            return await up() == ["okx"] and not desk.server.clients

        await follow(bybit, desk.feed("okx", okx))
        await program.until(both)
        await follow(desk.feed("okx", okx))
        await program.until(only_okx)
        assert await firing(program) <= {"BitcoinLow"}


# -- restarts ----------------------------------------------------------------------------------------------------------


async def test_a_firing_alert_survives_a_kill_and_is_not_told_again(desk: Desk) -> None:
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BitcoinLow")

        async def written() -> bool:
            return "BitcoinLow" in desk.notes

        await program.until(written)
        assert (await program.end(signal.SIGKILL))[0] == -signal.SIGKILL
    first = {json.loads(line)["key"] for line in desk.notes.splitlines()}
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BitcoinLow")
        back_s = await program.metric("monitor_rule_last_evaluation_timestamp_seconds")

        async def judged() -> bool:
            return await program.metric("monitor_rule_last_evaluation_timestamp_seconds") > back_s + 1

        await program.until(judged)
        assert (await program.data("/api/v1/status"))["feeds"][0]["coverage"] < 0.5, (
            "the time that it was down is missing"
        )
        assert (await program.end())[0] == 0
    assert {json.loads(line)["key"] for line in desk.notes.splitlines()} == first
    assert set(alert_names(desk.notes)) == {"BitcoinLow"}
    assert alert_names(desk.notes, "resolved") == []


async def test_a_start_without_the_metadata_endpoint_uses_the_cache_and_says_so(desk: Desk) -> None:
    async with desk.program() as program:
        await program.ready()
        assert (await program.end())[0] == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        desk.feeds = [desk.feeds[0].replace(desk.server.rest_url, url)]
        desk.write()
        async with desk.program() as program:
            await program.ready()
            await fires(program, "BitcoinLow")
            feed = (await program.data("/api/v1/status"))["feeds"][0]
            assert feed["from_cache"]
            assert "instruments from cache" in feed["error"]
            assert "instruments.from_cache" in program.stderr


# -- bad input ---------------------------------------------------------------------------------------------------------

GOOD = "  - {venue: bybit, channels: [price]}\n"
BAD_CONFIGS = {
    "unknown key": (f"lisen: 127.0.0.1:1\nfeeds:\n{GOOD}", ["config.yaml:1:1:", "'lisen'", HINT]),
    "wrong type": (f"engine: {{interval: soon}}\nfeeds:\n{GOOD}", ["config.yaml:1:20:", "duration"]),
    "unknown venue": ("feeds:\n  - {venue: bibit}\n", ["config.yaml:2:13:", "'bibit'", "did you mean 'bybit'"]),
    "bad URL": ("feeds:\n  - {venue: bybit, ws_url: 'ftp://x'}\n", ["config.yaml:2:28:", "wss://"]),
    "duplicate key": (f"listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\nfeeds:\n{GOOD}", ["config.yaml:2:1:", "listen"]),
    "missing variable": (f"api: {{token: '${{NOT_SET_HERE}}'}}\nfeeds:\n{GOOD}", ["config.yaml:1:14:", "NOT_SET_HERE"]),
}


@pytest.mark.parametrize(("text", "expected"), BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_bad_configuration_is_told_with_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "config.yaml").write_text(f"{text}rules: [rules.yaml]\n", encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(RULE.format(name="Low", limit="1k"), encoding="utf-8")
    run = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert run.returncode == 2, run.stderr
    assert [part for part in expected if part not in run.stderr] == [], run.stderr
    assert "Traceback" not in run.stderr


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    lines = [
        "lisen: x",
        "engine: {interval: soon}",
        "feeds:",
        "  - {venue: bibit}",
        "  - {venue: okx, ws_url: 'ftp://x'}",
    ]
    (tmp_path / "config.yaml").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "one.yaml").write_text("groups: [{name: n, rules: [{alert: A, expr: prise > 1}]}]")
    run = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert run.returncode == 2
    assert [line for line in (1, 2, 4, 5) if f"config.yaml:{line}:" not in run.stderr] == [], run.stderr
    assert "one.yaml:1:45:" in run.stderr
    assert "5 problems found" in run.stderr


def test_bad_rules_are_told_all_at_once_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"rules: [one.yaml, two.yaml]\nfeeds:\n{GOOD}", encoding="utf-8")
    (tmp_path / "one.yaml").write_text(RULE.format(name="Bad", limit="nonsense("), encoding="utf-8")
    (tmp_path / "two.yaml").write_text(
        RULE.format(name="Worse", limit="90k").replace("price", "prise"), encoding="utf-8"
    )
    run = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert run.returncode == 2
    assert "one.yaml:6:" in run.stderr
    assert "two.yaml:6:" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_in_use_is_told_with_its_place(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (tmp_path / "config.yaml").write_text(
            f"rules: [r.yaml]\nlisten: 127.0.0.1:{port}\nfeeds:\n{GOOD}", encoding="utf-8"
        )
        (tmp_path / "r.yaml").write_text(RULE.format(name="Low", limit="1k"), encoding="utf-8")
        run = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert run.returncode == 2, run.stderr
    assert f"config.yaml:2:9: cannot listen on 127.0.0.1:{port}" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_missing_configuration_is_no_traceback(tmp_path: Path) -> None:
    run = run_to_end("--config", "nowhere.yaml", cwd=tmp_path)
    assert run.returncode == 2
    assert "nowhere.yaml" in run.stderr
    assert "Traceback" not in run.stderr


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_the_api_speaks_https_when_it_has_a_certificate(desk: Desk) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(desk.folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(desk.folder / "cert.pem")
    authority.cert_pem.write_to_path(desk.folder / "ca.pem")
    with (desk.folder / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("api: {tls_cert: cert.pem, tls_key: key.pem}\n")
    async with desk.program() as program:

        async def started() -> bool:
            return "https://127.0.0.1" in program.stderr

        await program.until(started)
        environment = {"SSL_CERT_FILE": str(desk.folder / "ca.pem")}
        ask = ("status", "--json", "--url", f"https://127.0.0.1:{desk.port}")
        trusted = await asyncio.to_thread(run_to_end, *ask, environment=environment)
        assert json.loads(trusted.stdout)["status"] == "success", trusted.stderr
        refused = await asyncio.to_thread(run_to_end, *ask)
        assert refused.returncode == 2
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr


def test_a_certificate_that_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"rules: [r.yaml]\napi: {{tls_cert: none.pem, tls_key: none.pem}}\nfeeds:\n{GOOD}", encoding="utf-8"
    )
    (tmp_path / "r.yaml").write_text(RULE.format(name="Low", limit="1k"), encoding="utf-8")
    run = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert run.returncode == 2, run.stderr
    assert "config.yaml:2:17: cannot use certificate and key: No such file" in run.stderr
    (tmp_path / "config.yaml").write_text(
        f"rules: [r.yaml]\napi: {{tls_cert: none.pem}}\nfeeds:\n{GOOD}", encoding="utf-8"
    )
    half = run_to_end("--config", "config.yaml", cwd=tmp_path)
    assert "tls_cert and tls_key are given together" in half.stderr
