"""Every command of the documentation, and of the commands' help, is run, as it stands there, in one workspace with the demo beside it.

What is adapted: addresses (a free port for 9108), and venues (the demo's own servers for those of the configuration).
What is not run stands in `tests/docs/commands.py`, with the reason.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.testing.ports import free_port
from tests.docs.commands import ROOT, SHOWN_NOT_RUN, Command, commands, examples, reason_not_run

pytestmark = pytest.mark.xdist_group("documentation")
TOKEN = "a-long-enough-token"
PATIENCE_S = 60.0
EXIT_CODES = {"monitor status": (0, 1), "monitor tape info": (0, 1), "--fail-if": (0, 1)}
"""Those that tell by their exit code what they found."""

ALL = [*commands(), *examples()]
RUN = sorted({command.text: command for command in ALL if reason_not_run(command) is None}.values(), key=str)
UNTIL_STOPPED = re.compile(r"(?:MONITOR_TOKEN=\S+ )?python -m monitor( --config \S+( --\S.*)?| demo.*| record.*)?$")
FEW_RULES = "rules/liquidations.yaml, rules/price.yaml, rules/funding.yaml"  # a backtest of all takes a while
SINKS = "  - {type: file, name: desk, path: desk.jsonl}\n  - {type: file, name: pager, path: pager.jsonl}\n"
CANDLES = "open_time,close\n" + "".join(f"{1763683200000 + hour * 3_600_000},{85_000 - hour}\n" for hour in range(5))


@dataclass(frozen=True)
class Workspace:
    """A folder as a reader has it, and a demo that goes on beside it."""

    folder: Path
    address: str
    environment: Mapping[str, str]

    def shell(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run one line as bash would."""
        return subprocess.run(
            ["bash", "-euc", text],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Rules, a tape, an archive, two configurations that lead to the demo's servers, and the demo."""
    folder = tmp_path_factory.mktemp("docs")
    address = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "MONITOR_URL": f"http://{address}", "MONITOR_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{shims(folder)}{os.pathsep}{environment['PATH']}"
    shutil.copytree(ROOT / "rules", folder / "rules")
    (folder / "new-rules").mkdir()
    shutil.copy(ROOT / "rules" / "price.yaml", folder / "new-rules")
    (folder / "BTCUSDT-1h.csv").write_text(CANDLES)
    mapping = re.findall(r"^```yml\n(.*?)^```", (ROOT / "docs" / "archive.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (folder / "candles.yaml").write_text(mapping)
    demo = [sys.executable, "-m", "monitor", "demo", "--rules", FEW_RULES, "--listen"]
    first = [*demo, f"127.0.0.1:{free_port()}", "--from", "2025-11-21T05:00"]
    first += ["--record", "data/tape", "--data-dir", "data", "--speed", "10"]  # minutes, or each backtest takes long
    with (folder / "demo.log").open("w") as log:
        recording = subprocess.Popen(first, cwd=folder, env=environment, stdout=log, stderr=log)
        beside = subprocess.Popen(
            [*demo, address, "--record", "beside", "--speed", "20"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            answers(f"http://{address}/readyz", beside)
            time.sleep(3.0)  # market minutes for the tape
            recording.send_signal(signal.SIGTERM)
            assert recording.wait(PATIENCE_S) == 0, (folder / "demo.log").read_text()[-2000:]
            (folder / "data" / "alerts.jsonl").touch()  # who had nothing to send wrote no log
            configurations(folder)
            yield Workspace(folder, address, environment)
        finally:
            for process in (recording, beside):
                process.terminate()
                process.wait(PATIENCE_S)


def shims(folder: Path) -> Path:
    """``python``, ``monitor`` and ``sudo`` as this machine has them."""
    place = folder / "bin"
    place.mkdir()
    python = f'exec "{sys.executable}"'
    for name, text in {"python": f'{python} "$@"', "monitor": f'{python} -m monitor "$@"', "sudo": 'exec "$@"'}.items():
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)
    return place


def configurations(folder: Path) -> None:
    """``config.yaml`` and ``desk/config.yaml`` as the pages have them, with venues that are here."""
    played = (folder / "beside" / "config.yaml").read_text()
    text = re.sub(r"(?m)^data_dir: .*$", "data_dir: live", played).replace(f"{folder}/beside/state", "live") + SINKS
    for place in (folder, folder / "desk"):
        place.mkdir(exist_ok=True)
        (place / "config.yaml").write_text(text)
    shutil.copy(folder / "config.yaml", folder / "other.yaml")
    shutil.copytree(folder / "data" / "tape", folder / "tape")  # the same after a demo with --record tape
    export = [sys.executable, "-m", "monitor", "export", "--tape", "tape", "--out", "archive"]
    subprocess.run(export, cwd=folder, check=True)
    shutil.copytree(folder / "data" / "tape", folder / "tapes")


def answers(url: str, process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Wait until the address answers with 200."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} did not answer")


def needs(command: Command) -> list[pytest.MarkDecorator]:
    """What of it is another program's."""
    return [pytest.mark.needs("jq")] if "| jq " in command.text else []


@pytest.mark.parametrize("command", [pytest.param(command, id=str(command), marks=needs(command)) for command in RUN])
def test_it_runs(command: Command, workspace: Workspace) -> None:
    if UNTIL_STOPPED.match(command.text):
        until_stopped(command, workspace)
    elif command.text.endswith("monitor top"):
        in_a_terminal(command, workspace)
    else:
        to_its_end(command, workspace)


def to_its_end(command: Command, workspace: Workspace) -> None:
    text = command.text.replace("127.0.0.1:9108", workspace.address)
    own = re.sub(r"\W+", "-", f"{command.page}-{command.line}")  # what others read stays as it is
    if "monitor init" in text:
        text = text.replace(" --dir desk", "") + rf" --dir answered-{own} <<< $'\n\n\n\n\n'"
    text = re.sub(r"--out (\S+)", rf"--out written-{own}-\1", text)
    done = workspace.shell(text)
    allowed = next((codes for words, codes in EXIT_CODES.items() if words in text), (0,))
    assert done.returncode in allowed, f"exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    assert "Traceback" not in done.stderr
    assert "command not found" not in done.stderr


def until_stopped(command: Command, workspace: Workspace) -> None:
    """It starts, answers, and ends with 0 when it is asked to."""
    port = free_port()
    out = re.sub(r"\W+", "-", f"recorded-{command.page}-{command.line}")
    words = ["env", *shlex.split(command.text.replace("--out tapes", f"--out {out}"))]
    if "demo" in words:
        words += ["--listen", f"127.0.0.1:{port}"]
        if "--record" in words:
            shutil.rmtree(workspace.folder / words[words.index("--record") + 1])  # a tape begins in an empty folder
    else:
        file = workspace.folder / (words[words.index("--config") + 1] if "--config" in words else "config.yaml")
        file.write_text(re.sub(r"(?m)^listen: .*$", f"listen: 127.0.0.1:{port}", file.read_text()))
    said = workspace.folder / "running.log"
    with said.open("w") as log:
        process = subprocess.Popen(words, cwd=workspace.folder, env=dict(workspace.environment), stdout=log, stderr=log)
        try:
            if "record" in words:
                wait_for_a_tape(workspace.folder / words[words.index("--out") + 1], process)
            else:
                answers(f"http://127.0.0.1:{port}/readyz", process)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, said.read_text()[-2000:]
        finally:
            process.kill()
            process.wait()


def wait_for_a_tape(folder: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, "it ended by itself"
        if any(file.stat().st_size for file in folder.rglob("*") if file.is_file()):
            return
        time.sleep(0.1)
    pytest.fail("nothing was recorded")


def in_a_terminal(command: Command, workspace: Workspace) -> None:
    """It draws the market, and `q` ends it."""
    main, side = pty.openpty()
    environment = {**workspace.environment, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(
        ["env", *shlex.split(command.text)], cwd=workspace.folder, env=environment, stdin=side, stdout=side, stderr=side
    )
    os.close(side)
    seen = b""
    try:
        end = time.monotonic() + PATIENCE_S
        while b"BTC" not in seen and time.monotonic() < end:
            seen += os.read(main, 65536)
        assert b"BTC" in seen
        os.write(main, b"q")
        while process.poll() is None:
            try:
                os.read(main, 65536)
            except OSError:
                break
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main)


def test_the_service_is_installed(workspace: Workspace) -> None:
    """The first block of *As a service*, with another root; the environment is the one that runs the tests."""
    page = (ROOT / "docs" / "operating.md").read_text()
    block = re.search(r"## As a service\n\n```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    root = workspace.folder / "root"
    (root / "etc" / "systemd" / "system").mkdir(parents=True)
    text = re.sub(r"(?<![\w.])/(opt|etc)/", rf"{root}/\1/", block[1])
    text = text.replace("git archive HEAD", f"git -C {shlex.quote(str(ROOT))} archive HEAD")
    text, made = re.subn(
        r"sudo scripts/venv .*\n", f"mkdir -p .venv/bin; ln -s {workspace.folder}/bin/python .venv/bin/python\n", text
    )
    text, asked = re.subn(r"(monitor init .*)\n", r"\1 </dev/null\n", text)
    assert (made, asked) == (1, 1)
    done = workspace.shell(text.replace("</dev/null", "<<< $'\\n\\n\\n\\n\\n'"))
    assert done.returncode == 0, done.stderr[-2000:]
    installed = root / "etc" / "market-risk-monitor" / "config.yaml"
    assert workspace.shell(f"python -m monitor check --config {installed}").returncode == 0
    assert (root / "etc/systemd/system/market-risk-monitor.service").is_file()


OPTIONS = [command for command in ALL if re.match(r"(?:python )?(?:scripts|benchmarks|grafana)/\w+\.py", command.text)]


@pytest.mark.parametrize("script", sorted({re.findall(r"\w+/\w+\.py", command.text)[0] for command in OPTIONS}))
def test_a_script_that_is_not_run_has_the_options_that_are_shown(script: str) -> None:
    shown = {word for command in OPTIONS if script in command.text for word in re.findall(r"--[\w-]+", command.text)}
    source = (ROOT / script).read_text(encoding="utf-8")
    assert {option for option in shown if f'"{option}"' not in source} == set()


def test_every_exception_is_still_shown_somewhere() -> None:
    idle = [pattern for pattern in SHOWN_NOT_RUN if not any(re.search(pattern, command.text) for command in ALL)]
    assert idle == []


def test_commands_are_found_at_all() -> None:
    assert len(RUN) > 35
