"""A tape exported is the tape: the same events, the same alerts, and what it lacks is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.archive.export import Choice, export
from monitor.archive.reader import Archive
from monitor.clock import NS_PER_S, SystemClock
from monitor.commands import dispatch
from monitor.errors import TapeError
from monitor.events import Channel, Event
from monitor.feed import FeedOptions
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.course import START, Setting, write_setting
from monitor.tape.cut import window
from monitor.tape.folder import tape_files
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter
from tests.archive.market import arrivals
from tests.archive.test_round_trip import plain
from tests.backtest.scene import START_NS, cascade, loaded, write_tape
from tests.engine.market import at
from tests.integration.harness import running
from tests.toy_venue import ToyFeed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with config.yaml, rules.yaml, and the cascade in tape/."""
    loaded(tmp_path)
    write_tape(tmp_path / "tape", cascade(), note="SYNTHETIC, by hand")
    return tmp_path


def test_a_backtest_over_the_archive_says_what_one_over_the_tape_says(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["export", "--tape", str(place / "tape"), "--out", str(place / "archive")]) == 0
    assert "SYNTHETIC, by hand" in capsys.readouterr().out
    found = []
    for history in ("tape", "archive"):
        config = ["--config", str(place / "config.yaml"), "--tape", str(place / history)]
        assert dispatch(["backtest", *config, "--json", "--from", "2025-11-21T05:00:30"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [item.pop("history") for item in found] == ["tape", "parquet"]
    assert found[0] == found[1]
    assert any(rule["alerts"] for rule in found[0]["rules"])


async def test_recorded_frames_come_out_as_the_events_that_they_were_live(tmp_path: Path) -> None:
    tape, out = tmp_path / "tape", tmp_path / "archive"
    with Recorder(TapeWriter(tape), SystemClock(), flush_s=0.05) as tap:
        async with running(tap=tap) as rig:
            await rig.subscribed()
            for value in range(1, 10):
                await rig.quote(float(value))
            rig.server.drop_all()
            await rig.until(lambda: rig.stats.reconnects.total() > 0 and rig.stats.up)
        rig.pump.drain()
    manifest = export(tape, out, feeds=[ToyFeed(rig.runner.feed.options)], repeats=lambda: Repeats().is_new)
    found = [plain(event) for _, event in Archive(out).events()]
    assert found == [plain(event) for event in rig.stream]
    assert manifest.lost.total == 0
    assert {"prices", "states", "gaps"} <= set(manifest.rows)


def tape_of(folder: Path, seed: int = 1) -> list[Event]:
    """A tape of events that came by other ways than frames."""
    script = [((recv_ns - START_NS) / NS_PER_S, events) for recv_ns, events in arrivals(seed, 120)]
    write_tape(folder, script, end_s=max(second for second, _ in script) + 1)
    replay = Replay((), lambda: Repeats().is_new)
    return [event for _, events in replay.run(window(folder)) for event in events]


def test_only_the_chosen_venues(tmp_path: Path) -> None:
    everything = tape_of(tmp_path / "tape")
    choice = Choice(venues=frozenset({"okx"}))
    export(tmp_path / "tape", tmp_path / "a", feeds=(), repeats=lambda: Repeats().is_new, choice=choice)
    found = [plain(event) for _, event in Archive(tmp_path / "a").events()]
    assert found == [plain(event) for event in everything if choice.takes(event)]
    assert 0 < len(found) < len(everything)


def test_a_tape_that_names_its_feeds_needs_no_configuration(tmp_path: Path) -> None:
    options = FeedOptions(channels=frozenset({Channel.PRICE}))
    writer = TapeWriter(tmp_path / "tape")
    setting = write_setting(Setting("d", (), [], (("bybit", options),)))
    writer.write([(at(0), START, "config", setting, False), (at(1), "bybit/linear/0#1", "in", "{}", False)], at(1))
    writer.close()
    with pytest.raises(TapeError, match="no event was recorded"):
        export(tmp_path / "tape", tmp_path / "a", repeats=lambda: Repeats().is_new)
    assert not list((tmp_path / "a").rglob("*.parquet"))


def test_a_tape_that_names_none_says_so(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "tape")
    writer.write([(at(1), "bybit/linear/0#1", "in", "{}", False)], at(1))
    writer.close()
    with pytest.raises(TapeError, match="give --config"):
        export(tmp_path / "tape", tmp_path / "a", repeats=lambda: Repeats().is_new)


def test_what_the_tape_lacks_is_told_and_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape_of(tmp_path / "tape")
    writer = TapeWriter(tmp_path / "tape")
    writer.write([(at(20_000), "recorder", "lost", '{"frames": 7, "reason": "slow"}', False)], at(20_000))
    writer.close()
    command = ["export", "--tape", str(tmp_path / "tape"), "--out", str(tmp_path / "a")]
    assert dispatch(command) == 1
    assert "MISSING 7 frames dropped: slow" in capsys.readouterr().out
    assert dispatch([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["dropped"] == {"slow": 7}
    file = tape_files(tmp_path / "tape")[-1]
    file.write_bytes(file.read_bytes()[:-5])
    assert dispatch([*command, "--json"]) == 1
    (loss,) = json.loads(capsys.readouterr().out)["losses"]
    assert str(file) in loss


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tape", "nowhere"], "no tape here"),
        (["--tape", "tape", "--from", "2030-01-01"], "nothing was recorded in this stretch"),
        (["--tape", "tape", "--config", "missing.yaml"], "cannot read the configuration"),
    ],
)
def test_what_cannot_be_exported_is_an_error(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(place)
    assert dispatch(["export", *options, "--out", "archive"]) == 2
    assert words in capsys.readouterr().err
    assert not (place / "archive" / "_exports").exists()


def test_two_days_one_after_the_other(tmp_path: Path) -> None:
    """As a nightly job does it: the second starts with the liveness that the first ended with."""
    everything = tape_of(tmp_path / "tape")
    middle_ns = at(10)
    for choice in (Choice(end_ns=middle_ns), Choice(start_ns=middle_ns)):
        export(tmp_path / "tape", tmp_path / "a", feeds=(), repeats=lambda: Repeats().is_new, choice=choice)
    archive = Archive(tmp_path / "a")
    assert len(archive.manifests) == 2
    assert [plain(event) for _, event in archive.events()] == [plain(event) for event in everything]
