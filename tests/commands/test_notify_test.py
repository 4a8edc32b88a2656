"""``python -m monitor notify-test``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest

from monitor.commands import dispatch
from monitor.commands.notify_test import attempt, notification
from monitor.sink import Notification, Outcome, Result, SinkBase, SinkContext, SinkOptions
from monitor.sinks import build_sink
from tests.integration.servers import Broker
from tests.sinks.server import receiver


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "r.yaml").write_text("groups: [{name: g, rules: [{alert: A, expr: 'price > 1'}]}]")
    sinks = [
        {"type": "file", "path": str(tmp_path / "alerts.jsonl")},
        {"type": "webhook", "name": "dead", "url": "http://127.0.0.1:1/x"},
    ]
    text = f"rules: [r.yaml]\nfeeds: [{{venue: okx}}]\nsinks: {json.dumps(sinks)}\n"
    (tmp_path / "config.yaml").write_text(text)
    return str(tmp_path / "config.yaml")


def test_success_is_0_and_the_message_is_there(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["notify-test", "--sink", "file", "--config", config]) == 0
    assert capsys.readouterr().err.startswith("file (file): delivered (written)")
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "test"


def test_failure_is_1_with_the_reason(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["notify-test", "--sink", "dead", "--config", config]) == 1
    assert capsys.readouterr().err.startswith("dead (webhook): not delivered (")


def test_an_unknown_sink_is_2_and_names_those_that_exist(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["notify-test", "--sink", "ded", "--config", config]) == 2
    assert "there are: file, dead" in capsys.readouterr().err


async def test_a_receiver_is_given_an_alert_that_is_over() -> None:
    async with receiver() as hook:
        outcome = await attempt(build_sink("webhook", {"url": hook.url}), notification("webhook", 10**18))
    assert outcome.result is Result.OK
    (body,) = hook.bodies()
    assert body["status"] == "resolved"
    assert body["alerts"][0]["labels"]["alertname"] == "MonitorNotificationTest"


async def test_two_tests_are_not_taken_for_repeats() -> None:
    assert notification("a", 1).key != notification("a", 2).key


class _Odd(SinkBase):
    def __init__(self, error: Exception | None, deadline_s: float) -> None:
        self.options = SinkOptions(type="odd", deadline_s=deadline_s)
        self.closed = False
        self._error = error

    async def deliver(self, notification: Notification) -> Outcome:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError

    async def run(self, context: SinkContext) -> None:
        assert context.probe
        raise OSError("background")

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("error", "reason"), [(None, "no answer within 0.01 s"), (ValueError("token=hunter2"), "ValueError")]
)
async def test_a_sink_that_hangs_or_raises_is_reported_without_its_text(error: Exception | None, reason: str) -> None:
    sink = _Odd(error, 0.01)
    assert await attempt(sink, notification("odd", 1)) == Outcome.retry(reason)
    assert sink.closed


@pytest.mark.needs("mosquitto")
async def test_mqtt_beside_a_running_monitor(
    binary: Callable[[str], Path], free_port: Callable[[], int], tmp_path: Path
) -> None:
    """The running monitor's presence and connection stay as they are."""
    broker = Broker(binary("mosquitto"), tmp_path, free_port())
    broker.start()
    try:
        async with aiomqtt.Client("127.0.0.1", broker.port, identifier="monitor") as running:
            await running.publish("monitor/status", b"online", qos=1, retain=True)
            await running.subscribe("monitor/events", qos=1)
            url = f"mqtt://127.0.0.1:{broker.port}"
            sink = build_sink("mqtt", {"url": url, "client_id": "monitor"})
            assert (await attempt(sink, notification("mqtt", 10**18))).result is Result.OK
            event = await anext(running.messages)
            assert json.loads(bytes(event.payload))["status"] == "test"
            await running.subscribe("monitor/status", qos=1)
            status = await anext(running.messages)
            assert (status.topic.value, status.payload) == ("monitor/status", b"online")
    finally:
        broker.stop()
