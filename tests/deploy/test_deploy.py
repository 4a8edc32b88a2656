"""Container and service files. No container engine runs here: what they refer to, and what reads them, is checked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from monitor.runtime.load import Loaded, load

ROOT = Path(__file__).parents[2]


def yaml_of(path: str) -> Any:
    return YAML(typ="safe").load(ROOT / path)


COMPOSE = yaml_of("compose.yaml")
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def mounts() -> list[tuple[str, str]]:
    volumes = [volume for service in COMPOSE["services"].values() for volume in service["volumes"]]
    return [(source, target) for source, target in (volume.split(":")[:2] for volume in volumes)]


@pytest.fixture
def container(tmp_path: Path) -> Loaded:
    """The configuration, loaded in the folder that the Dockerfile makes."""
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    shutil.copy(ROOT / "deploy" / "config.yaml", tmp_path / "config.yaml")
    return load(tmp_path / "config.yaml", {"MONITOR_TOKEN": ""})


def test_the_container_starts_with_a_configuration_that_loads(container: Loaded) -> None:
    assert len(container.feeds) == 3
    assert not container.source.config.api.token


def test_the_names_inside_the_network_are_those_of_the_services(container: Loaded) -> None:
    text = "".join(
        (ROOT / path).read_text()
        for path in ("deploy/config.yaml", "deploy/prometheus.yml", "deploy/grafana/datasources.yml")
    )
    hosts = set(re.findall(r"(?://|\[\")([a-z]+):\d+", text))
    assert hosts == set(COMPOSE["services"]) - {"grafana"}
    assert "monitor" in container.source.config.api.allowed_hosts


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_have_a_version() -> None:
    images = [service["image"] for service in COMPOSE["services"].values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 6
    assert all(re.search(r":v?\d+\.\d+", image) for image in images)


def test_what_is_mounted_exists_and_volumes_are_declared() -> None:
    for source, _ in mounts():
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_dashboards_are_mounted_where_the_provider_looks() -> None:
    provider = yaml_of("grafana/provisioning/dashboards/market-risk.yml")["providers"][0]
    assert dict(mounts())["./grafana/dashboards"] == provider["options"]["path"]


def test_data_sources_are_those_of_the_dashboards() -> None:
    ours, original = (
        yaml_of(path)["datasources"]
        for path in ("deploy/grafana/datasources.yml", "grafana/provisioning/datasources/market-risk.yml")
    )
    assert [{**source, "url": ""} for source in ours] == [{**source, "url": ""} for source in original]


def test_the_image_copies_what_exists_and_what_is_let_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = set(re.findall(r"^COPY (?!--)(\S+)", DOCKERFILE, re.MULTILINE))
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_without_rights_and_asks_after_its_health() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "/healthz" in DOCKERFILE
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["monitor"]
    assert DOCKERFILE.index("USER monitor") < DOCKERFILE.index("ENTRYPOINT")


@pytest.mark.needs("promtool")
def test_prometheus_takes_its_configuration(binary: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(ROOT / "deploy" / "prometheus.yml", tmp_path)
    shutil.copytree(ROOT / "grafana" / "prometheus" / "rules", tmp_path / "rules")
    done = subprocess.run(
        [binary("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rule files found" in done.stdout


@pytest.mark.needs("amtool")
def test_alertmanager_takes_its_configuration(binary: Callable[[str], Path]) -> None:
    done = subprocess.run(
        [binary("amtool"), "check-config", ROOT / "deploy" / "alertmanager.yml"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_unit_is_hardened() -> None:
    lines = (ROOT / "deploy" / "market-risk-monitor.service").read_text().splitlines()
    settings = {line.partition("=")[0]: line.partition("=")[2] for line in lines if not line.startswith("#")}
    wanted = {"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}
    assert wanted.items() <= settings.items()


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_read_by_systemd_without_a_complaint(binary: Callable[[str], Path], tmp_path: Path) -> None:
    """Its programs do not exist here, so they are replaced by one that does; nothing else is."""
    text = (ROOT / "deploy" / "market-risk-monitor.service").read_text()
    unit = tmp_path / "market-risk-monitor.service"
    unit.write_text(text.replace("/opt/market-risk-monitor/.venv/bin/python", "/bin/true"))
    done = subprocess.run(
        [binary("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "market-risk-monitor" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClok=yes"))
    wrong = subprocess.run(
        [binary("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert "ProtectClok" in wrong.stderr


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_rated_well_by_systemd(binary: Callable[[str], Path]) -> None:
    analyze = binary("systemd-analyze")
    unit = ROOT / "deploy" / "market-risk-monitor.service"
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-300:]
