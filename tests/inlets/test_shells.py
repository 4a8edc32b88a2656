"""The ways in: a watched folder, HTTP, MQTT."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
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


async def test_a_file_that_another_program_still_handles_harms_nothing(tmp_path: Path) -> None:
    """Half a row, then the rest; another content of the same size and date; a pipe, a folder, a hidden copy; gone again."""
    passed: list[Sample] = []
    door = Door(passed.extend)
    inlet = FolderInlet(door, tmp_path, ManualClock())

    async def told() -> list[tuple[str, float]]:
        passed.clear()
        for _ in range(2):
            await inlet.look()
        return [(dict(sample.labels)["name"], sample.value) for sample in passed]

    path = tmp_path / "Desk.CSV"
    path.write_text(HEADER + ROW + "gold,4077.5,2025-11-20T2")
    assert await told() == [("spx", 6500.0)]
    assert [(where, refusal.number) for where, refusal in door.recent] == [("folder Desk.CSV", 2)]
    path.write_text(HEADER + ROW + "gold,4077.5,2025-11-20T21:00:00Z\n")
    assert await told() == [("gold", 4077.5)]
    before = path.stat()
    path.write_text(HEADER + ROW + "lead,4077.5,2025-11-20T21:00:00Z\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert await told() == [("lead", 4077.5)]
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / ".Desk.csv").write_text(HEADER + "zinc,1,2025-11-20T21:00:00Z\n")
    assert await told() == []
    path.unlink()
    assert await told() == []


async def test_a_files_name_that_a_terminal_would_obey_is_shown_escaped(tmp_path: Path) -> None:
    door = Door(lambda _samples: None)
    inlet = FolderInlet(door, tmp_path, ManualClock())
    (tmp_path / "a\x1b[31m.csv").write_text(HEADER + ROW)
    for _ in range(2):
        await inlet.look()
    ((where, refusal),) = door.recent
    assert (where, refusal.reason) == ("folder a\\x1b[31m.csv", "bad_source")


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
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "desk", "s3cret-word"], check=True, capture_output=True)
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\nuser {getpass.getuser()}\n"
    )
    broker = subprocess.Popen([binary("mosquitto"), "-c", config], stderr=subprocess.DEVNULL)
    arrived = asyncio.Event()
    passed: list[Sample] = []

    def take(samples: object) -> None:
        passed.extend(samples)  # type: ignore[arg-type]
        arrived.set()

    door = Door(take)
    url = f"mqtt://127.0.0.1:{port}"
    inlet = MqttInlet(door, MqttInletOptions(url, username="desk", password="s3cret-word"), SystemClock())
    stranger = MqttInlet(door, MqttInletOptions(url, username="desk", password="guess"), SystemClock())
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task, refused = tasks.create_task(inlet.run()), tasks.create_task(stranger.run())
            while not inlet.connects:
                await asyncio.sleep(0.05)
            async with aiomqtt.Client("127.0.0.1", port, username="desk", password="s3cret-word") as client:
                row = {"name": "spx", "value": 1, "ts": "2025-11-20T21:00:00Z"}
                await client.publish("monitor/inlet", json.dumps(row), qos=1)
                await arrived.wait()
                arrived.clear()
                await client.publish(
                    "monitor/inlet/desk/csv", HEADER + "gold,4077,2025-11-20T21:00:00Z\nbad row,1,0\n", qos=1
                )
                await arrived.wait()
            task.cancel()
            refused.cancel()
    finally:
        broker.terminate()
        broker.wait(5)
    assert [dict(s.labels)["name"] for s in passed] == ["spx", "gold"]
    assert door.refused == {("mqtt", "bad_name"): 1}
    assert [where for where, _ in door.recent] == ["mqtt monitor/inlet/desk/csv"]
    assert stranger.connects == 0
    assert "s3cret-word" not in repr(inlet._options)
