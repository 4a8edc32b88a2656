"""The files of the container set-up, each read by the real program it is for, on loopback instead of a network of containers.

`deploy/config.yaml`, `deploy/prometheus.yml`, `deploy/alertmanager.yml` and `deploy/mosquitto.conf` as they stand; only the names of the
containers become loopback, their ports free ones, and the venues an address where nobody listens. A rule that fires on the first silent
venue stands in for the market.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
PORTS = {"monitor": 9108, "prometheus": 9090, "alertmanager": 9093, "mosquitto": 1883}
NOWHERE = "    ws_url: ws://127.0.0.1:1\n    rest_url: http://127.0.0.1:1\n"
RULE = """\
groups:
  - name: wiring
    rules:
      - alert: Wired
        expr: last(feed_up) by (venue) == 0
        min_coverage: 0%
        labels: {severity: warning}
        annotations: {summary: "{{ labels.venue }} is silent"}
"""


@dataclass(frozen=True)
class Wired:
    """The folder, and each program's port by the name of its container."""

    folder: Path
    ports: Mapping[str, int]

    def put(self, source: str, target: str, *changes: tuple[str, str]) -> None:
        """Copy a file with the names of containers replaced, and further changes, each of which must find its place."""
        text = (ROOT / source).read_text(encoding="utf-8")
        for name, port in PORTS.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[name]}")
        for old, new in changes:
            text, count = re.subn(old, new, text)
            assert count, f"{source} has no {old}"
        (self.folder / target).write_text(text, encoding="utf-8")

    def read(self, name: str, path: str) -> Any:
        """JSON of one program; None where it is not ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=5) as reply:
                return json.load(reply)
        except OSError:
            return None

    def wait(self, what: str, found: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if got := found():
                return got
            time.sleep(0.1)
        return pytest.fail(f"no {what}; {(self.folder / 'log').read_text()[-3000:]}")


@pytest.fixture
def wired(tmp_path: Path, free_port: Callable[[], int], binary: Callable[[str], Path]) -> Iterator[Wired]:
    """All four programs, started with the files that compose.yaml mounts."""
    place = Wired(tmp_path, {name: free_port() for name in PORTS})
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "wiring.yaml").write_text(RULE)
    shutil.copytree(ROOT / "grafana" / "prometheus" / "rules", tmp_path / "prometheus" / "rules")
    place.put("deploy/prometheus.yml", "prometheus/prometheus.yml", ("scrape_interval: 5s", "scrape_interval: 1s"))
    place.put("deploy/alertmanager.yml", "alertmanager.yml")
    (tmp_path / "kept").mkdir(mode=0o777)
    place.put(
        "deploy/mosquitto.conf",
        "mosquitto.conf",
        (r"listener 1883", f"listener {place.ports['mosquitto']} 127.0.0.1"),
        (r"/mosquitto/data/", f"{tmp_path}/kept/"),
    )
    place.put(
        "deploy/config.yaml",
        "config.yaml",
        (r"0\.0\.0\.0:9108", f"127.0.0.1:{place.ports['monitor']}"),
        (r"(?m)^    top: 50\n", rf"\g<0>{NOWHERE}"),
    )
    with ExitStack() as running, (tmp_path / "log").open("w") as log:
        for command in commands(place, binary):
            environment = {**os.environ, "MONITOR_TOKEN": ""}
            process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=environment)
            running.callback(process.wait)
            running.callback(process.terminate)
        yield place


def commands(place: Wired, binary: Callable[[str], Path]) -> Iterator[list[str]]:
    """As compose.yaml and the images have them, with other addresses."""
    at = {name: f"127.0.0.1:{port}" for name, port in place.ports.items()}
    yield [str(binary("mosquitto")), "-c", "mosquitto.conf"]
    yield [
        *(str(binary("alertmanager")), "--config.file=alertmanager.yml", "--storage.path=alertmanager"),
        *(f"--web.listen-address={at['alertmanager']}", "--cluster.listen-address="),
    ]
    yield [
        *(str(binary("prometheus")), "--config.file=prometheus/prometheus.yml", "--storage.tsdb.path=tsdb"),
        *(f"--web.listen-address={at['prometheus']}", "--enable-feature=exemplar-storage"),
    ]
    yield [sys.executable, "-m", "monitor", "run", "--config", "config.yaml"]


@pytest.mark.needs("mosquitto", "prometheus", "alertmanager")
def test_an_alert_arrives_everywhere_and_prometheus_scrapes(wired: Wired) -> None:
    alerts = wired.wait("alert in Alertmanager", lambda: wired.read("alertmanager", "/api/v2/alerts"))
    assert {alert["labels"]["alertname"] for alert in alerts} == {"Wired"}
    topic, told = asyncio.run(first_alert(wired.ports["mosquitto"]))
    assert topic.startswith("monitor/alerts/")
    assert (told["alertname"], told["state"]) == ("Wired", "firing")
    (target,) = wired.wait("scrape", lambda: scraped(wired))
    assert target["scrapeUrl"] == f"http://127.0.0.1:{wired.ports['monitor']}/metrics"
    receivers = wired.wait("receiver of Prometheus' alerts", lambda: wired.read("prometheus", "/api/v1/alertmanagers"))
    assert [
        f":{wired.ports['alertmanager']}/" in found["url"] for found in receivers["data"]["activeAlertmanagers"]
    ] == [True]
    groups = wired.read("prometheus", "/api/v1/rules")["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {
        "ok",
        "unknown",
    }  # unknown: not yet its turn
    up = wired.read("prometheus", "/api/v1/query?query=sum(monitor_feed_up)")["data"]["result"]
    assert [sample["value"][1] for sample in up] == ["0"]


async def first_alert(port: int) -> tuple[str, Any]:
    """The broker keeps it for whoever comes later."""
    async with asyncio.timeout(PATIENCE_S), aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("monitor/alerts/+")
        message = await anext(client.messages)
        assert isinstance(message.payload, bytes)
        return message.topic.value, json.loads(message.payload)


def scraped(wired: Wired) -> Any:
    """Prometheus' targets, once the last scrape of each was good."""
    found = wired.read("prometheus", "/api/v1/targets")
    targets = found["data"]["activeTargets"] if found else []
    return targets if targets and all(target["health"] == "up" for target in targets) else None
