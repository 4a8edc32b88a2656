"""The commands that ask a running monitor: what they print, and how they fail."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from monitor.commands import dispatch, silence, status, why
from monitor.errors import MonitorError
from monitor.testing.fake_view import FakeView
from monitor.web.server import WebSettings, make_app

TOKEN = "a-token-for-tests"
NOON = dt.datetime(2025, 11, 21, 12, tzinfo=dt.UTC)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A served monitor whose state changes need a token."""
    runner = web.AppRunner(make_app(FakeView(), WebSettings(token=TOKEN)), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
    await runner.cleanup()


async def command(*arguments: str) -> int:
    """Run a command beside the server that it asks."""
    return await asyncio.to_thread(dispatch, arguments)


async def test_status_says_which_feed_is_down_and_that_data_is_synthetic(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await command("status", "--url", url)
    assert code in (0, 1)
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert (code == 1) == ("DOWN" in shown)


async def test_status_as_json_is_the_reply_of_the_api(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    await command("status", "--url", url, "--json")
    assert json.loads(capsys.readouterr().out)["data"]["process"]["synthetic"] is True


@pytest.mark.parametrize("name", ["status", "why"])
async def test_no_monitor_is_exit_2_in_one_line(name: str, free_port: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [name, *(["SomeRule"] if name == "why" else []), "--url", f"http://127.0.0.1:{free_port()}"]
    assert await command(*arguments) == 2
    assert "no monitor answers" in capsys.readouterr().err


async def test_an_address_of_another_scheme_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert await command("status", "--url", "file:///etc/hostname") == 2
    assert "http://" in capsys.readouterr().err


async def test_changing_state_needs_the_token(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MONITOR_TOKEN", raising=False)
    assert await command("ack", "0123456789abcdef", "--url", url) == 2
    assert "MONITOR_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("MONITOR_TOKEN", "wrong")
    assert await command("silence", "base=BTC", "--url", url) == 2
    assert "401" in capsys.readouterr().err


async def test_a_silence_is_created_listed_and_ended(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    assert await command("silence", "base=DOGE", "--for", "2h", "--comment", "known", "--url", url) == 0
    created = json.loads(capsys.readouterr().out)["data"]["silenceID"]
    assert await command("silence", "--list", "--url", url) == 0
    assert created in capsys.readouterr().out
    assert await command("silence", "--expire", created, "--url", url) == 0


def test_a_silence_body_has_alertmanagers_shape() -> None:
    body = silence.request(["base=DOGE", 'venue!~"okx|bybit"'], "90m", "me", "", NOON)
    assert body["matchers"] == [
        {"name": "base", "value": "DOGE", "isRegex": False, "isEqual": True},
        {"name": "venue", "value": "okx|bybit", "isRegex": True, "isEqual": False},
    ]
    assert (body["startsAt"], body["endsAt"]) == ("2025-11-21T12:00:00+00:00", "2025-11-21T13:30:00+00:00")


@pytest.mark.parametrize(("matcher", "duration"), [("DOGE", "1h"), ("base=DOGE", "an hour"), ("base=DOGE", "1h30m")])
def test_a_silence_that_cannot_be_read_is_refused(matcher: str, duration: str) -> None:
    with pytest.raises(MonitorError, match="expected"):
        silence.request([matcher], duration, "me", "", NOON)


def test_status_shows_trouble_and_a_failed_reload() -> None:
    feeds = [{"venue": "okx", "up": False, "frames": 12345, "error": "waiting for funding"}]
    text = status.render({"process": {"reload": {"ok": False, "error": "rules.yaml:3:1: no"}}, "feeds": feeds})
    assert "DOWN  okx" in text
    assert "waiting for funding" in text
    assert "LAST RELOAD FAILED" in text
    assert "rules.yaml:3:1: no" in text


async def test_why_explains_each_row_of_a_rule(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rule = FakeView().rules()[0]
    assert await command("why", rule.id, "--url", url) == 0
    shown = capsys.readouterr().out
    assert "(whole market): firing" in shown
    assert "against 500M, coverage 96%" in shown
    assert await command("why", "NoSuchRule", "--url", url) == 2
    assert "404" in capsys.readouterr().err


def test_why_without_rows_says_what_that_means() -> None:
    assert "nothing that it reads has arrived" in why.render({"rows": []})


async def test_outbox_shows_what_was_given_up_and_sends_it_again(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await command("outbox", "--url", url) == 0
    shown = capsys.readouterr().out
    assert "waiting" in shown
    assert "       7  2025-11-21 08:00:00Z  webhook" in shown
    assert "HTTP 400" in shown
    assert await command("outbox", "--url", url, "--resend", "7") == 2
    assert "MONITOR_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    assert await command("outbox", "--url", url, "--resend", "all", "--sink", "mqtt") == 0
    assert await command("outbox", "--url", url, "--resend", "7", "8") == 1
    assert capsys.readouterr().out.splitlines() == ["0 of 0 put back in line", "1 of 2 put back in line"]
    assert await command("outbox", "--url", url) == 0
    assert "no dead letters" in capsys.readouterr().out


async def test_outbox_log_says_why_nothing_was_sent(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command("outbox", "--url", url, "--log", "--sink", "mqtt") == 0
    assert "silenced" in (shown := capsys.readouterr().out)
    assert "silence 1 by kim" in shown
    assert await command("outbox", "--url", url, "--log", "--sink", "none") == 0
    assert capsys.readouterr().out == "nothing yet\n"
    assert await command("outbox", "--url", url, "--json") == 0
    assert [letter["id"] for letter in json.loads(capsys.readouterr().out)["deadLetters"]] == [7]


async def test_outbox_refuses_what_is_no_number(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    with pytest.raises(SystemExit):
        await command("outbox", "--url", url, "--resend", "seven")
    assert "numbers of dead letters, or all" in capsys.readouterr().err


async def test_status_shows_sources_and_what_was_pushed_in(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    await command("status", "--url", url)
    shown = capsys.readouterr().out
    assert "up    coingecko" in shown
    assert "9,983 calls left" in shown
    assert "categories: rate_limited: HTTP 429" in shown
    assert "12 by http, REFUSED 1 by folder (last: folder: row 3: tvl is in USD, not ratio)" in shown
