"""What every sink must do, run over the whole registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from monitor import sinks
from monitor.clock import SystemClock
from monitor.errors import SinkError
from monitor.runtime.alerting.change import Outgoing
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.sink import Outcome, Result
from monitor.sinks import KINDS, build_sink, sink_kind, sink_options
from tests.sinks.build import note
from tests.sinks.server import Receiver, receiver

SECRET = "hunter2-very-secret"
HTTP_KINDS = ("webhook", "alertmanager", "telegram", "slack", "discord", "pagerduty")


def options(kind: str, base: str, folder: Path) -> dict[str, Any]:
    """The least that each kind needs, every secret filled in."""
    table: dict[str, dict[str, Any]] = {
        "console": {},
        "file": {"path": str(folder / "alerts.jsonl")},
        "mqtt": {"url": "mqtt://127.0.0.1:1", "password": SECRET, "command_token": SECRET},
        "webhook": {"url": f"{base}/{SECRET}", "secret": SECRET, "bearer_token": SECRET},
        "alertmanager": {"urls": [base], "bearer_token": SECRET},
        "telegram": {"bot_token": SECRET, "chat_id": 1, "api_url": base},
        "slack": {"url": f"{base}/{SECRET}"},
        "discord": {"url": f"{base}/{SECRET}"},
        "pagerduty": {"routing_key": SECRET, "api_url": base},
        "email": {
            "host": "127.0.0.1",
            "port": 1,
            "security": "none",
            "sender": "a@b",
            "to": ["c@d"],
            "password": SECRET,
        },
        "apprise": {"urls": [f"json://127.0.0.1:1/{SECRET}"]},
    }
    return table[kind]


def test_every_module_of_the_package_is_registered() -> None:
    shared = {"__init__", "http", "payload", "progress"}
    modules = {path.stem for path in Path(sinks.__file__).parent.glob("*.py")} - shared
    assert modules == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_in_texts_of_options(kind: str, tmp_path: Path) -> None:
    built = build_sink(kind, options(kind, "http://127.0.0.1:1", tmp_path))
    shown = repr(built.options) + str(built.options) + repr(built) + built.options.model_dump_json()
    assert SECRET not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_are_errors_that_show_no_input(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="passwrod: Extra inputs") as caught:
        build_sink(kind, {**options(kind, "http://127.0.0.1:1", tmp_path), "passwrod": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_can_come_from_files(kind: str, tmp_path: Path) -> None:
    needed = options(kind, "http://127.0.0.1:1", tmp_path)
    names = [
        n
        for n, info in sink_kind(kind).options.model_fields.items()
        if info.annotation in {SecretStr, SecretStr | None}
    ]
    for name in names:
        path = tmp_path / name
        path.write_text(f"{needed.get(name, SECRET)}\n")
        needed.pop(name, None)
        needed[f"{name}_file"] = str(path)
    validated = sink_options({"type": kind, **needed})
    for name in names:
        assert SECRET in getattr(validated, name).get_secret_value()


def test_a_secret_file_that_is_missing_is_named() -> None:
    with pytest.raises(ValidationError, match="password_file: cannot read"):
        sink_options({"type": "mqtt", "password_file": "/nowhere/at/all"})


@pytest.mark.parametrize("kind", ["webhook", "slack", "discord"])
def test_an_address_not_on_the_list_is_refused_without_showing_it(kind: str) -> None:
    with pytest.raises(SinkError, match=r"host evil\.example is not in allow_hosts") as caught:
        build_sink(kind, {"url": f"https://evil.example/{SECRET}", "allow_hosts": ["*.good.example"]})
    assert SECRET not in str(caught.value)
    build_sink(kind, {"url": "https://hooks.good.example/x", "allow_hosts": ["*.good.example"]})


@pytest.mark.parametrize("address", ["ftp://x/y", "file:///etc/passwd", "https://", ""])
def test_only_http_addresses(address: str) -> None:
    with pytest.raises(SinkError):
        build_sink("webhook", {"url": address})


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(SinkError, match="there are: alertmanager, apprise"):
        build_sink("pigeon", {})


async def deliver(kind: str, to: Receiver, folder: Path) -> Outcome:
    sink = build_sink(kind, options(kind, to.url, folder))
    try:
        return await sink.deliver(note())
    finally:
        await sink.close()


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {}), (Result.OK, None)),
        ((202, {}), (Result.OK, None)),
        ((301, {"Location": "http://127.0.0.1:1/elsewhere"}), (Result.DROP, None)),
        ((400, {}), (Result.DROP, None)),
        ((401, {}), (Result.DROP, None)),
        ((404, {}), (Result.DROP, None)),
        ((408, {}), (Result.RETRY, None)),
        ((429, {"Retry-After": "7"}), (Result.RETRY, 7.0)),
        ((500, {}), (Result.RETRY, None)),
        ((503, {"Retry-After": "3"}), (Result.RETRY, 3.0)),
    ],
)
async def test_answers_are_classified_alike(
    kind: str, answer: tuple[int, dict[str, str]], expected: tuple[Result, float | None], tmp_path: Path
) -> None:
    async with receiver() as to:
        to.judge = lambda path, body: (*answer, {"secret": SECRET})
        outcome = await deliver(kind, to, tmp_path)
    assert (outcome.result, outcome.retry_after_s) == expected
    assert SECRET not in outcome.reason


@pytest.mark.parametrize("kind", [*HTTP_KINDS, "email", "apprise"])
async def test_nobody_there_is_a_retry_without_secrets(kind: str, tmp_path: Path) -> None:
    outcome = await deliver(kind, Receiver(url="http://127.0.0.1:1"), tmp_path)
    assert outcome.result is Result.RETRY
    assert SECRET not in outcome.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400, 503])
async def test_no_secret_in_logs_state_or_what_the_api_shows(kind: str, status: int, tmp_path: Path) -> None:
    """Through the whole outbox: delivered, refused and failing; the receiver itself repeats the secret."""
    async with receiver() as to:
        to.judge = lambda path, body: (status, {"Retry-After": "60", "X-Echo": SECRET}, {"error": SECRET})
        sink = build_sink(kind, {**options(kind, to.url, tmp_path), "deadline_s": 0.3})
        store = await Store.open(tmp_path / "monitor.db", durable=False)
        with structlog.testing.capture_logs() as logs:
            delivery = Delivery({kind: sink}, store, SystemClock(), structlog.get_logger())
            task = asyncio.create_task(delivery.run())
            delivery.submit([Outgoing(kind, note())])
            async with asyncio.timeout(10):
                while not delivery.stats[kind].outcomes:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await delivery.close()
        shown = [repr(await store.deliveries()), repr(await store.dead_letters()), repr(await store.waiting(kind))]
        await store.close()
    state = b"".join(path.read_bytes() for path in tmp_path.glob("monitor.db*"))
    texts = [*shown, repr(logs), delivery.stats[kind].last_error, state.decode("latin-1")]
    assert [text for text in texts if SECRET in text] == []


def test_a_severity_that_does_not_exist_is_refused_where_it_decides_who_hears() -> None:
    """It ranked with ``warning``, so that the pager heard of everything, or the misspelt rule was too mild for it."""
    with pytest.raises(SinkError, match=r"min_severity: .*'critcal' is no severity; there are: none, info"):
        build_sink("console", {"min_severity": "critcal"})
