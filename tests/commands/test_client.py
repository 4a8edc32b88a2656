"""The commands that ask a running monitor: what they print, and how they fail."""

from __future__ import annotations

import asyncio
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


def test_made_up_data_is_called_so_once() -> None:
    said = [status.render({"process": {"synthetic": True, "synthetic_note": note}}) for note in ("SYNTHETIC market: a story", "a story", "")]  # fmt: skip
    assert said == ["SYNTHETIC market: a story", "SYNTHETIC DATA: a story", "SYNTHETIC DATA: not a live market"]


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


async def test_a_token_does_not_follow_where_a_monitor_points_to(
    free_port: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/stolen")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    assert await command("silence", "base=BTC", "--url", f"http://127.0.0.1:{port}") == 2
    await runner.cleanup()
    assert "302" in capsys.readouterr().err
    assert asked == ["/api/v1/silences"]


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
    created = capsys.readouterr().out.split()[1]
    assert await command("silence", "--list", "--url", url, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["data"]
    assert (listed["id"], listed["status"]["state"], listed["comment"]) == (created, "active", "known")
    assert await command("silence", "--list", "--url", url) == 0
    until = listed["endsAt"].replace("T", " ")[:19]
    assert (shown := capsys.readouterr().out).startswith(f"{created}  active   until {until}Z  ")
    assert 'base="DOGE"' in shown
    assert await command("silence", "--expire", created, "--url", url) == 0
    assert capsys.readouterr().out == "the silence has ended\n"
    assert await command("silence", "--expire", "../x y", "--url", url) == 2
    assert "no silence of this id" in capsys.readouterr().err


async def test_what_others_wrote_moves_no_cursor(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    assert await command("silence", 'base!~"A|B"', "base=C", "--comment", "\x1b[2Jgone ü", "--url", url) == 0
    capsys.readouterr()
    assert await command("silence", "--list", "--url", url) == 0
    shown = capsys.readouterr().out
    assert "\\x1b[2Jgone ü" in shown
    assert 'base!~"A|B" base="C"' in shown


async def test_an_alert_is_found_acknowledged_and_given_back(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    assert await command("ack", "--list", "--url", url) == 0
    fingerprint = next(line.split()[0] for line in capsys.readouterr().out.splitlines() if "  firing " in line)
    assert await command("ack", fingerprint, "--for", "2h", "--by", "kim", "--url", url) == 0
    assert capsys.readouterr().out == f"{fingerprint} is acknowledged for 2h by kim\n"
    assert await command("ack", "--list", "--url", url) == 0
    assert "acknowledged by kim" in capsys.readouterr().out
    assert await command("ack", fingerprint, "--withdraw", "--url", url, "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "success"
    assert await command("ack", "a/b?c", "--withdraw", "--url", url) == 2
    assert "not acknowledged" in capsys.readouterr().err


async def test_a_user_without_a_name_may_ask(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITOR_TOKEN", TOKEN)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_123_456)
    assert await command("silence", "base=DOGE", "--url", url) == 0
    assert await command("silence", "--list", "--url", url) == 0
    assert "by user 4123456: from the command line" in capsys.readouterr().out


def test_a_silence_is_asked_for_by_the_monitors_clock() -> None:
    body = silence.request(["base=DOGE", 'venue!~"okx|bybit"'], "1h30m", "me", "")
    assert body["matchers"] == [
        {"name": "base", "value": "DOGE", "isRegex": False, "isEqual": True},
        {"name": "venue", "value": "okx|bybit", "isRegex": True, "isEqual": False},
    ]
    assert (body["duration"], {"startsAt", "endsAt"} & set(body)) == ("1h30m", set())


@pytest.mark.parametrize(("matcher", "duration"), [("DOGE", "1h"), ("base=DOGE", "an hour"), ("base=DOGE", "1h30")])
def test_a_silence_that_cannot_be_read_is_refused(matcher: str, duration: str) -> None:
    with pytest.raises(MonitorError, match=r"expected LABEL|is not a duration"):
        silence.request([matcher], duration, "me", "")


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
