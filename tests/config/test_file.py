"""The configuration reader: every mistake at once, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import Config, LoadedConfig, load_config, parse_config
from monitor.errors import ConfigError
from monitor.events import Channel
from monitor.sinks import sink_options

GOOD = "feeds: [{venue: bybit}]\n"


def parse(text: str, **environment: str) -> LoadedConfig:
    return parse_config(text, "config.yaml", Path(), environment)


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, **environment)
    return [f"{p.line}:{p.column} {p.message}" for p in caught.value.problems]


def test_defaults_need_nothing_but_a_feed() -> None:
    config = parse(GOOD).config
    assert config.listen_address == ("127.0.0.1", 9108)
    assert config.feeds[0].options().channels == {
        Channel.PRICE,
        Channel.LIQUIDATIONS,
        Channel.FUNDING,
        Channel.OPEN_INTEREST,
    }
    assert config.engine.min_coverage == 0.8


def test_all_mistakes_of_a_file_come_at_once_with_their_places() -> None:
    text = """listen: nope
windwo: 3
feeds:
  - venue: bybit
    top: 5
    symbols: [BTCUSDT]
    chanels: [price]
    channels: [prices]
    ws_url: http://x
sinks:
  - type: webhook
    url: ${NOPE}
"""
    found = problems(text)
    assert [line.split(" ")[0] for line in found] == ["1:9", "2:1", "5:5", "7:5", "8:16", "9:13", "12:10"]
    assert "unknown key 'chanels'" in found[3]
    assert found[-1].endswith("environment variable NOPE is not set")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feeds: []\n", "at least one entry is needed"),
        ("listen: 1\n", "missing key 'feeds'"),
        ("feeds: [{venue: a}, {venue: a}]\n", "venue 'a' is configured twice"),
        ("feeds: [{venue: a, channels: []}]\n", "at least one channel is needed"),
        ("feeds: [{venue: a, top: 0}]\n", "expected more than 0"),
        ("- a\n", "expected a mapping of settings"),
        ("", "expected a mapping of settings"),
        (GOOD + "listen: 127.0.0.1:99999\n", "expected HOST:PORT"),
        (GOOD + "engine: {interval: 1parsec}\n", "'1parsec' is not a duration; write 30s"),
        (GOOD + "engine: {min_coverage: x%}\n", "expected a share such as 80%"),
        (GOOD + "engine: {min_coverage: 120%}\n", "expected at most 1"),
        ("feeds: [{venue: okx, symbols: BTC}]\n", "feeds.0.symbols: 'BTC': expected '*', or a list such as [a, b]"),
        ("feeds: [{venue: okx}]\nwatch: BTC\n", "watch: 'BTC': expected a list such as [a, b]"),
        ("feeds: [{venue: okx}]\ndata_dir: [a]\n", "data_dir: expected a path"),
        ("feeds: [{venue: okx, channels: [prize]}]\n", "channels.0: 'prize': expected 'price', 'trades'"),
        ("feeds: [{venue: okx}]\nlog: {level: loud}\n", "log.level: 'loud': expected 'debug', 'info'"),
        ("feeds: [{venue: okx}]\nengine: quick\n", "engine: 'quick': expected keys with values"),
        ("feeds: [{venue: okx}]\nbackfill: perhaps\n", "backfill: 'perhaps': expected true or false"),
        ("feeds: [{venue: okx}]\nlisten: 7\n", "listen"),
        (GOOD + "feeds: [{venue: b}]\n", "duplicate key 'feeds'"),
    ],
)
def test_mistake_is_named(text: str, message: str) -> None:
    assert any(message in line for line in problems(text)), problems(text)


def test_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'channels'"):
        parse("feeds: [{venue: a, chanels: [price]}]\n")


def test_environment_is_substituted_and_remembered_as_secret() -> None:
    loaded = parse(GOOD + "sinks: [{type: webhook, url: 'https://h/${TOKEN}/x'}]\n", TOKEN="s3cret")
    assert loaded.config.sinks[0]["url"] == "https://h/s3cret/x"
    assert loaded.secrets == {"s3cret"}
    assert "s3cret" not in repr(loaded)[: repr(loaded).index("config=") + 7]


def test_durations_and_shares() -> None:
    config = parse(GOOD + "engine: {interval: 250ms, min_coverage: 75%, allowed_lateness: 1m30s}\n").config
    assert (config.engine.interval, config.engine.min_coverage, config.engine.allowed_lateness) == (0.25, 0.75, 90.0)


def test_missing_file_is_a_located_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration") as caught:
        load_config(tmp_path / "none.yaml", {})
    (problem,) = caught.value.problems
    assert all(words in problem.hint for words in ("monitor init", "--config", "monitor demo"))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, {})
    assert caught.value.problems[0].hint == "", "it is there, and no other is needed"


def test_rule_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text("groups: []\n")
    (tmp_path / "c.yaml").write_text(GOOD)
    loaded = load_config(tmp_path / "c.yaml", {})
    assert [text for _, text in loaded.rule_files()] == ["groups: []\n"]
    (tmp_path / "d.yaml").write_text(GOOD + "rules: [nowhere/*.yaml]\n")
    with pytest.raises(ConfigError, match="no rule file matches"):
        load_config(tmp_path / "d.yaml", {}).rule_files()


def test_a_plugins_check_is_reported_together_with_the_rest() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            "feeds: [{venue: x}]\nnope: 1\n",
            "c",
            Path(),
            {},
            [lambda data, document: [document.problem(("feeds", 0, "venue"), f"no venue {data['feeds'][0]['venue']}")]],
        )
    assert [problem.message for problem in caught.value.problems] == ["no venue x", "unknown key 'nope'"]


def test_api_token_is_not_shown() -> None:
    assert "abc" not in repr(Config.model_validate({"feeds": [{"venue": "x"}], "api": {"token": "abc"}}))


def test_every_relative_path_starts_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (tmp_path / "token").write_text("hidden")
    (tmp_path / "config.yaml").write_text(
        """feeds: [{venue: okx}]
sinks:
  - {type: file, path: data/alerts.jsonl}
  - {type: file, name: other, path: /var/log/alerts.jsonl}
  - {type: telegram, bot_token_file: token, chat_id: "1"}
inlets: [{type: folder, path: pushed}]
""",
        encoding="utf-8",
    )
    config = load_config(tmp_path / "config.yaml", {}).config
    assert [sink.get("path", sink.get("bot_token_file")) for sink in config.sinks] == [
        str(tmp_path / "data/alerts.jsonl"), "/var/log/alerts.jsonl", str(tmp_path / "token"),
    ]  # fmt: skip
    assert config.inlets[0]["path"] == str(tmp_path / "pushed")
    assert sink_options(config.sinks[2]).id  # the secret was found
