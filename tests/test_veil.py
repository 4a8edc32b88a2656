"""No secret on a line that is shown because something on it is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.runtime.load import load
from monitor.sinks import KINDS
from monitor.veil import veiled


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("- {type: telegram, token: '123:abc', chat: 5}", "- {type: telegram, token: '*******', chat: 5}"),
        ("  bot_token: 123:abc # mine", "  bot_token: ******* # mine"),
        ('"Password" : "a b" ', '"Password" : "***" '),
        ("command_token_file: /run/t, secret_file: x", "command_token_file: /run/t, secret_file: x"),
        ("secret: ${HOOK_SECRET}", "secret: ${HOOK_SECRET}"),
        ("url: https://hooks.slack.com/services/T0/B0/xyz", "url: https://hooks.slack.com/******************"),
        ("url: 'mqtt://me:pw@127.0.0.1:1883'", "url: 'mqtt://*****@127.0.0.1:1883'"),
        ("url: 'tgram://1234:abc/77'", "url: 'tgram://***********'"),
        ("secret: {x: [abc], y: def}, z: 1", "secret: ************************"),
        ("urls: [a], tokens: [abc, def]", "urls: [a], tokens: **********"),
        ("max_keys_per_rule: 20k, security: x", "max_keys_per_rule: 20k, security: x"),
        ("expr: sum(liquidations[1h]) > 1Q", "expr: sum(liquidations[1h]) > 1Q"),
    ],
)
def test_stars_stand_for_what_may_be_secret(line: str, shown: str) -> None:
    assert veiled(line) == shown
    assert len(shown) == len(line), "carets point at the same column"


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "key", ["token", "bot_token", "secret", "sekret_token", "password", "routing_key", "command_token", "api_key"]
)
def test_a_wrong_line_of_any_sink_does_not_show_its_secret(kind: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"rules: []\nfeeds: [{{venue: bybit}}]\nsinks:\n  - {{type: {kind}, nosuchkey: 1, {key}: Hush-5ecret, url: 'https://u:Hush-5ecret@h/Hush-5ecret'}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert "nosuchkey" in str(caught.value)
    assert "Hush" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "bot_tokn",
        "tokne",
        "toekn",
        "tken",
        "secrt",
        "sercet",
        "scret",
        "pasword",
        "passwrd",
        "pswd",
        "routing_kye",
        "apikey",
    ],
)
def test_a_slip_in_the_key_shows_no_secret(key: str) -> None:
    assert "Hush" not in veiled(f"- {{type: telegram, {key}: Hush, chat_id: 5}}")
    assert "Hush" not in veiled(f"{key}: 'Hush'")


@pytest.mark.parametrize("piece", ["x", "token", "a.", "secret: ", "http://", "https://u:p@", "- ", "'"])
def test_a_line_of_a_megabyte_does_not_take_for_ever(piece: str) -> None:
    line = piece * (300_000 // len(piece))
    began_s = time.process_time()
    assert len(veiled(line)) == len(line)
    assert time.process_time() - began_s < 5
