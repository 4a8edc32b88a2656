"""The command as a user runs it, over a tape on the disk."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from monitor.backtest.history import Stretch
from monitor.clock import NS_PER_S, StillClock
from monitor.commands import dispatch
from monitor.commands.backtest import Bar
from tests.backtest.scene import CONFIG, RULES, START_NS, at, cascade, loaded, write_tape


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with config.yaml, rules.yaml, and the cascade in tape/."""
    loaded(tmp_path)
    write_tape(tmp_path / "tape", cascade(), note="SYNTHETIC, by hand")
    return tmp_path


def backtest(place: Path, *options: str) -> int:
    return dispatch(["backtest", "--config", str(place / "config.yaml"), "--tape", str(place / "tape"), *options])


def as_json(place: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert backtest(place, "--json", *options) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_terminal_report_says_what_happened_and_when(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(place) == 0
    out = capsys.readouterr()
    assert out.err == ""  # no progress bar where there is no terminal
    assert "SYNTHETIC, by hand" in out.out
    assert (
        "pending 2025-11-21 05:01:20  fired 2025-11-21 05:01:30  resolved 2025-11-21 05:02:10  after 40s"
        "  peak 140k against 100k" in out.out
    )
    assert "behind it: long BTC-USDT-SWAP okx 85.7%, long ETH-USDT-SWAP okx 14.3%" in out.out
    assert "NeverTrue  between 0 and 140k" in out.out
    assert "2 to file, 4 to screen" in out.out
    assert "2025-W47      2  Coin 1, MinuteOver100k 1" in out.out


def test_json_has_every_moment(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(place, capsys)
    rule = next(rule for rule in found["rules"] if rule["name"] == "MinuteOver100k")
    (alert,) = rule["alerts"]
    assert (alert["pending_at"], alert["fired_at"], alert["resolved_at"]) == (
        "2025-11-21T05:01:20.000Z", "2025-11-21T05:01:30.000Z", "2025-11-21T05:02:10.000Z",
    )  # fmt: skip
    assert (alert["firing_s"], alert["peak"], alert["threshold"], alert["sent"]) == (40, 140_000, 100_000, 4)
    assert found["note"] == "SYNTHETIC, by hand"
    assert found["missing"]["total"] == 0
    assert found["totals"]["fired"] == 2
    assert found["totals"]["not_sent"] == {"below_severity": 1, "unannounced": 1}
    assert found["weeks"] == [{"week": "2025-W47", "fired": 2, "by_rule": {"Coin": 1, "MinuteOver100k": 1}}]
    assert {(feed["venue"], feed["channel"], feed["live_ratio"]) for feed in found["feeds"]} == {
        ("okx", "liquidations", 1.0), ("okx", "price", 1.0),
    }  # fmt: skip


def test_the_same_tape_gives_the_same_bytes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for number in range(2):
        report = place / f"{number}.html"
        sweep = ["--rule", "Coin", "--sweep", "limit=10k..1M", "--compare", str(place / "rules.yaml")]
        assert backtest(place, "--json", "--html", str(report), *sweep) == 0
        outputs.append((capsys.readouterr().out, report.read_bytes()))
    assert outputs[0] == outputs[1]


def test_a_stretch(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(place, capsys, "--from", "2025-11-21T05:01:15", "--to", "2025-11-21T05:01:35Z", "--rule", "Coin")
    (rule,) = found["rules"]
    assert [(alert["fired_at"], alert["state"]) for alert in rule["alerts"]] == [("2025-11-21T05:01:15.000Z", "firing")]
    assert found["warm_from"] == "2025-11-21T05:00:15.000Z"


def test_other_rule_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "more.yaml").write_text(RULES.replace("MinuteOver100k", "Renamed"))
    found = as_json(place, capsys, "--rules", str(place / "more.yaml"))
    assert [rule["name"] for rule in found["rules"]] == ["Renamed", "Coin", "NeverTrue"]


def test_a_sweep_and_a_comparison_are_printed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "more.yaml").write_text(RULES.replace("limit: 50k", "limit: 100k"))
    code = backtest(place, "--rule", "Coin", "--sweep", "limit=10k,100k", "--compare", str(place / "more.yaml"))
    assert code == 0
    out = capsys.readouterr().out
    assert "~ 2025-11-21 05:01:10Z  Coin (base=BTC): fires 10s later, resolves 10s earlier" in out
    assert "Coin with limit at 2 values" in out


@pytest.mark.parametrize(("condition", "code"), [("fired > 1", 1), ("fired > 2", 0), ("Coin.fired == 1", 1)])
def test_the_exit_code_is_the_verdict(
    place: Path, capsys: pytest.CaptureFixture[str], condition: str, code: int
) -> None:
    assert backtest(place, "--fail-if", condition) == code
    assert (condition in capsys.readouterr().err) is bool(code)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "Coyn"], "no rule 'Coyn'"),
        (["--fail-if", "Coyn.fired > 1"], "did you mean 'Coin'"),
        (["--rule", "Coin", "--fail-if", "NeverTrue.fired == 0"], "no rule 'NeverTrue' in this backtest"),
        (["--fail-if", "fired >"], "--fail-if:1:8"),
        (["--sweep", "limit=1M..2M"], "a sweep is of one rule"),
        (["--from", "2026-01-01"], "the history covers 2025-11-21 05:00:00Z to 2025-11-21 05:04:00Z"),
        (["--to", "1970-01-01"], "the history covers 2025-11-21 05:00:00Z to 2025-11-21 05:04:00Z"),
        (["--from", "2025-11-22", "--to", "2025-11-21"], "it ends before it begins: from 2025-11-22 00:00:00Z to 2025"),
        (["--compare", "nothing/*.yaml"], "no rule file matches 'nothing/*.yaml'"),
        (["--exact"], "it does not say when rules were evaluated"),
        (["--exact", "--grid", "1s"], "--grid"),
        (["--html", "/dev/null/r.html"], "File exists"),
    ],
)
def test_mistakes_end_with_two_and_a_reason(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert backtest(place, *options) == 2
    assert words in capsys.readouterr().err


def test_a_backtest_that_is_refused_leaves_no_page_and_the_old_one_as_it_was(place: Path) -> None:
    page = place / "r.html"
    assert backtest(place, "--html", str(page), "--rule", "Coyn") == 2
    assert not page.exists()
    page.write_text("old")
    assert backtest(place, "--html", str(page), "--rule", "Coyn") == 2
    assert page.read_text() == "old"


@pytest.mark.parametrize("command", ["backtest", "replay", "export"])
def test_one_history_is_asked_for(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of two would be taken, and the first left out in silence."""
    with pytest.raises(SystemExit, match="2"):
        dispatch([command, "--tape", "one", "--tape", "other"])
    assert "--tape is given twice: one and other" in capsys.readouterr().err


@pytest.mark.parametrize("grid", ["0s", "fast", "-1s"])
def test_a_wrong_grid_is_refused(place: Path, grid: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        backtest(place, "--grid", grid)


def test_a_folder_without_history_and_one_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty").mkdir()
    for name, words in (("empty", "no history here"), ("nowhere", "no such folder")):
        assert dispatch(["backtest", "--config", str(place / "config.yaml"), "--tape", str(place / name)]) == 2
        assert words in capsys.readouterr().err


def test_a_tape_of_another_version_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (place / "tape").glob("*.tape")
    data = bytearray(file.read_bytes())
    data[8] = 99
    file.write_bytes(data)
    assert backtest(place) == 2
    err = capsys.readouterr().err
    assert "the tape holds no record" in err
    assert f"{file}:0:" in err
    assert "version 99" in err


def test_what_a_damaged_tape_lost_is_told_and_can_fail_a_build(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (place / "tape").glob("*.tape")
    other = write_tape(place / "other", [(300, cascade()[0][1])], end_s=310)
    (more,) = other.glob("*.tape")
    data = bytearray(more.read_bytes())
    data[-3] ^= 0xFF
    (place / "tape" / more.name.replace("00000001", "00000002")).write_bytes(data)
    assert backtest(place, "--fail-if", "missing > 0") == 1
    out = capsys.readouterr().out
    assert re.search(r"MISSING .*00000002-.*\.tape:\d+: \d+ bytes with 2 records are missing", out)
    assert file.exists()


def test_a_broken_rule_file_is_reported_with_its_place(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "rules.yaml").write_text(RULES.replace("sum(liquidations[1m]) > 1B", "sum(liquidations[1m]) > 1Q"))
    assert backtest(place) == 2
    assert re.search(r"rules\.yaml:\d+:\d+", capsys.readouterr().err)


def test_a_venue_that_the_history_does_not_have_leaves_rules_undecided(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "config.yaml").write_text(CONFIG.replace("feeds:\n", "feeds:\n  - {venue: bybit}\n"))
    assert backtest(place, "--rule", "NeverTrue") == 0
    out = capsys.readouterr().out
    assert "NeverTrue  never had enough data to decide" in out
    assert "not always live: bybit" in out


def test_the_bar_is_one_line_that_goes_away() -> None:
    out = io.StringIO()
    clock = StillClock()
    bar = Bar(out, Stretch(START_NS, at(100)), clock)
    for second, took_s in ((-100, 0), (0, 1), (50, 9), (50, 0), (95, 30), (120, 1)):
        clock.now_ns += took_s * NS_PER_S
        bar(at(second))
    bar.clear()
    lines = out.getvalue().split("\r\x1b[K")
    assert lines == [
        "",
        "[                              ]   0%  filling the windows",
        "[===============               ]  50%  2025-11-21 05:00:00Z",
        "[======================        ]  75%  2025-11-21 05:00:50Z, 4s to go",
        "[============================= ]  98%  2025-11-21 05:01:35Z, 4s to go",
        "[==============================] 100%  2025-11-21 05:02:00Z",
        "",
    ]
