"""The ways in: a watched folder, HTTP, MQTT."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from monitor.clock import SystemClock
from monitor.events import Sample
from monitor.inlets.door import Door
from monitor.inlets.folder import FolderInlet
from monitor.inlets.http import PATH, inlet_route
from monitor.inlets.mqtt import MqttInlet, MqttInletOptions
from monitor.testing.manual_clock import ManualClock

HEADER = "name,value,ts\n"
ROW = "spx,6500,2025-11-20T21:00:00Z\n"


async def test_a_file_is_read_once_it_has_settled_and_again_when_it_grows(tmp_path: Path) -> None:
    passed: list[Sample] = []
    inlet = FolderInlet(Door(passed.extend), tmp_path, ManualClock())
    path = tmp_path / "desk.csv"
    path.write_text(HEADER + ROW)
    await inlet.look()
    assert passed == []
    await inlet.look()
    assert [(s.value, s.source) for s in passed] == [(6500.0, "desk")]
    await inlet.look()
    path.write_text(HEADER + ROW + "gold,4077.5,2025-11-20T21:00:00Z\n")
    await inlet.look()
    await inlet.look()
    assert [dict(s.labels)["name"] for s in passed] == ["spx", "gold"]


async def test_links_and_other_files_are_passed_over(tmp_path: Path) -> None:
    passed: list[Sample] = []
    outside = tmp_path / "outside.csv"
    outside.write_text(HEADER + ROW)
    folder = tmp_path / "inbox"
    inlet = FolderInlet(Door(passed.extend), folder, ManualClock())
    await inlet.look()
    folder.mkdir()
    (folder / "link.csv").symlink_to(outside)
    (folder / "notes.txt").write_text(HEADER + ROW)
    for _ in range(3):
        await inlet.look()
    assert passed == []


async def test_http_answers_what_was_taken_and_refused() -> None:
    passed: list[Sample] = []
    app = web.Application()
    app.router.add_routes([inlet_route(Door(passed.extend), ManualClock())])
    async with TestClient(TestServer(app)) as client:
        answer = await client.post(PATH, data=HEADER + ROW + "spx,x,0\n", headers={"Content-Type": "text/csv"})
        assert answer.status == 200
        body = await answer.json()
        assert (body["taken"], body["refused_count"]) == (1, 1)
        assert body["refused"][0]["row"] == 2
        answer = await client.post(PATH, data="nonsense", headers={"Content-Type": "application/json"})
        assert answer.status == 422
        answer = await client.post(PATH, data="nonsense", headers={"Content-Type": "text/plain"})
        assert answer.status == 415
    assert [s.source for s in passed] == ["http"]


@pytest.mark.needs("mosquitto")
async def test_mqtt_rows_arrive(tmp_path: Path, binary: Callable[[str], Path], free_port: Callable[[], int]) -> None:
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen([binary("mosquitto"), "-c", config], stderr=subprocess.DEVNULL)
    arrived = asyncio.Event()
    passed: list[Sample] = []

    def take(samples: object) -> None:
        passed.extend(samples)  # type: ignore[arg-type]
        arrived.set()

    door = Door(take)
    inlet = MqttInlet(door, MqttInletOptions(f"mqtt://127.0.0.1:{port}"), SystemClock())
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(inlet.run())
            while not inlet.connects:
                await asyncio.sleep(0.05)
            async with aiomqtt.Client("127.0.0.1", port) as client:
                row = {"name": "spx", "value": 1, "ts": "2025-11-20T21:00:00Z"}
                await client.publish("monitor/inlet", json.dumps(row), qos=1)
                await arrived.wait()
                arrived.clear()
                await client.publish(
                    "monitor/inlet/desk/csv", HEADER + "gold,4077,2025-11-20T21:00:00Z\nbad row,1,0\n", qos=1
                )
                await arrived.wait()
            task.cancel()
    finally:
        broker.terminate()
        broker.wait(5)
    assert [dict(s.labels)["name"] for s in passed] == ["spx", "gold"]
    assert door.refused == {("mqtt", "bad_name"): 1}
