"""``python -m monitor init`` as a person meets it: in a terminal of its own, with typing errors, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.commands import dispatch
from monitor.testing.ports import free_port

PATIENCE_S = 60.0
CTRL_C, CTRL_D = "\x03", "\x04"
START = """
import os, signal, sys
os.login_tty(0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "monitor", *sys.argv[1:]])
"""
"""Makes the terminal the controlling one, so that its Ctrl-C is a signal, even where the tests run in the background,
which ignores it."""


class Terminal:
    """A program in a pseudo-terminal; `expect` reads on until it has said something."""

    def __init__(self, *arguments: str) -> None:
        self._main, side = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color"}
        command = [sys.executable, "-c", START, *arguments]
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment)
        os.close(side)
        self.seen = ""
        self._read_to = 0

    def expect(self, words: str) -> None:
        while words not in self.seen[self._read_to :]:
            assert self._read(), f"it ended without saying {words!r}:\n{self.seen}"
        self._read_to = self.seen.index(words, self._read_to) + len(words)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def end(self) -> int:
        """Read all that is left; the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._main)

    def _read(self) -> bool:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # Linux's word for the end of a terminal whose program has gone
            return False
        self.seen += data.decode().replace("\r\n", "\n")
        return bool(data)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal("init", "--dir", str(tmp_path / "desk"))
    yield opened
    opened.close()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_conversation_with_mistakes_ends_with_a_program_that_runs(tmp_path: Path, terminal: Terminal) -> None:
    for question, wrong, complaint, right in [
        ("1/5", "mtgox", "unknown venue mtgox; there are: binance_usdm", "okx bybit"),
        ("2/5", "-1", "expected a number from 1 to 5000", "5"),
        ("3/5", "?", "expected coins such as BTC", "btc, doge"),
        ("4/5", "pigeon", "expected one of: none, file", ""),
        ("5/5", "lots", "expected an amount such as 300M", "1.5B"),
    ]:
        terminal.expect(question)
        terminal.type(f"{wrong}\n")
        terminal.expect(complaint)
        terminal.expect(question)  # asked again
        terminal.type(f"{right}\n")
    assert terminal.end() == 0
    desk = tmp_path / "desk"
    assert files(desk) == {"config.yaml", "rules/starter.yaml"}
    config, rules = (desk / "config.yaml").read_text(), (desk / "rules" / "starter.yaml").read_text()
    assert [text.splitlines()[0][0] for text in (config, rules)] == ["#", "#"]
    assert "[BTC, DOGE]" in config
    assert "limit: 1.5B" in rules
    assert dispatch(["check", "--config", str(desk / "config.yaml")]) == 0
    assert_it_starts(desk / "config.yaml")


def assert_it_starts(config: Path) -> None:
    """Nobody listens at the venues' addresses here; the program comes up, says so, and ends when asked to."""
    address = f"127.0.0.1:{free_port()}"
    nowhere = "    ws_url: ws://127.0.0.1:1\n    rest_url: http://127.0.0.1:1\n"
    text = config.read_text().replace("127.0.0.1:9108", address)
    config.write_text(re.sub(r"(?m)^    top: .*\n", rf"\g<0>{nowhere}", text))
    command = [sys.executable, "-m", "monitor", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(f"http://{address}/healthz", process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[0]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    pytest.fail(f"{url} did not answer")


@pytest.mark.parametrize("answers", ["", "okx\n", "okx\n5\nBTC\nfile\n"])
@pytest.mark.parametrize(("key", "code"), [(CTRL_C, 130), (CTRL_D, 2)])
def test_who_leaves_early_leaves_nothing_behind(
    tmp_path: Path, terminal: Terminal, answers: str, key: str, code: int
) -> None:
    terminal.expect("1/5")
    terminal.type(answers)
    terminal.expect(f"{answers.count(chr(10)) + 1}/5" if answers else "]: ")
    terminal.type(key)
    assert terminal.end() == code
    assert ("the input ended before" in terminal.seen) == (key == CTRL_D)
    assert "Traceback" not in terminal.seen
    assert files(tmp_path) == set()


def test_ctrl_c_is_heard_even_between_the_interpreters_look_for_it_and_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        """A terminal at which nothing is typed: who reads it waits until a key comes, deaf to what came before."""

        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            raise AssertionError("reads with nothing typed")

    turns: list[float] = []

    def nothing_typed(_read: object, _write: object, _fail: object, seconds: float) -> tuple[list[int], ...]:
        turns.append(seconds)
        if len(turns) == 3:
            raise KeyboardInterrupt
        return [], [], []

    monkeypatch.setattr("sys.stdin", Silent())
    monkeypatch.setattr("select.select", nothing_typed)
    assert dispatch(["init", "--dir", str(tmp_path / "desk")]) == 130
    assert max(turns) < 1
    assert files(tmp_path) == set()


def test_what_is_in_the_way_is_said_before_the_first_question(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    opened = Terminal("init", "--dir", str(tmp_path))
    try:
        assert opened.end() == 2
    finally:
        opened.close()
    assert "exists already" in opened.seen
    assert "1/5" not in opened.seen
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_bytes_that_are_no_text_are_asked_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "init", "--dir", str(tmp_path)],
        input=b"\xff\xfe\nokx\n\n\n\n\n",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 2
