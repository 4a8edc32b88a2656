"""What each sink says, against a local receiver."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import smtplib
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from monitor.alert import AlertState
from monitor.errors import ConfigError
from monitor.runtime.load import load
from monitor.sink import Command, Result, SinkContext
from monitor.sinks import build_sink
from monitor.sinks.alertmanager import AlertmanagerSink
from monitor.sinks.console import ConsoleSink
from monitor.sinks.console import Options as ConsoleOptions
from monitor.sinks.email import mail
from monitor.sinks.telegram import TelegramSink
from tests.sinks.build import alert, note
from tests.sinks.server import receiver


async def console(*alerts: Any, colour: bool | None = None, **fields: Any) -> str:
    out = io.StringIO()
    await ConsoleSink(ConsoleOptions(colour=colour), out).deliver(note(*alerts, **fields))
    return out.getvalue()


async def test_console_says_value_threshold_coverage_and_contributors() -> None:
    text = await console(alert(base="BTC"))
    assert text.splitlines()[0] == "FIRING    [critical] High {base=BTC}  ≥ 1.04B against 1B"
    assert "coverage 93%" in text
    assert "58% bybit long 600M" in text
    assert "\x1b" not in text


async def test_console_says_what_happened_before_what_to_do_next() -> None:
    both = replace(alert(), annotations=(("next", "look at depth"), ("summary", "1.04B USD liquidated")))
    assert [line.strip() for line in (await console(both)).splitlines()[1:3]] == [
        "1.04B USD liquidated",
        "next: look at depth",
    ]


async def test_console_colours_only_when_asked_or_on_a_terminal() -> None:
    assert "\x1b[1;31m" in await console(colour=True)


async def test_words_of_others_cannot_drive_the_terminal() -> None:
    text = await console(alert(base="BTC\x1b[2J\r"), colour=True)
    assert "{base=BTC\\x1b[2J\\r}" in text
    assert text.count("\x1b") == 2, "our own colour, and its end"
    wide = replace(alert(), annotations=(("next", "one\n\ttwo\x07"),))
    assert "  next: one\n      two\\x07\n" in await console(wide)


async def test_console_names_the_other_states() -> None:
    assert (await console(alert(state=AlertState.RESOLVED))).startswith("RESOLVED")
    assert (await console(alert(state=AlertState.HELD), status="held")).startswith("HELD")
    digest = await console(alert("A"), alert("B"), status="digest")
    assert digest.count("DIGEST") == 1, "the title says it"
    assert digest.startswith("DIGEST")
    assert "A" in digest


async def test_console_on_a_closed_stream_is_final() -> None:
    out = io.StringIO()
    out.close()
    assert (await ConsoleSink(ConsoleOptions(colour=False), out).deliver(note())).result is Result.DROP


async def test_file_appends_json_lines_and_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "alerts.jsonl"
    sink = build_sink("file", {"path": str(path)})
    await sink.deliver(note(key="one"))
    path.rename(tmp_path / "old.jsonl")
    await sink.deliver(note(key="two"))
    assert json.loads((tmp_path / "old.jsonl").read_text())["key"] == "one"
    line = json.loads(path.read_text())
    assert line["alerts"][0]["coverage"] == 0.93
    assert line["alerts"][0]["explanation"]["contributors"][0]["share"] == 0.58


class StoppedTerminal(io.StringIO):
    """Takes nothing until it is let go on, as after Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        assert self.go_on.wait(20)
        return super().write(text)


async def test_a_terminal_that_was_stopped_stops_nobody_and_gets_each_alert_once() -> None:
    """Found by reading: writing to a pipe that nobody reads stood still with everything else."""
    out = StoppedTerminal()
    sink = ConsoleSink(ConsoleOptions(colour=False), out)
    for key in ("one", "one", "two"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await sink.deliver(note(alert(key.title()), key=key))
    out.go_on.set()
    assert [(await sink.deliver(note(alert(key.title()), key=key))).result for key in ("one", "two")] == [Result.OK] * 2
    assert [line.split()[2] for line in out.getvalue().splitlines() if line.startswith("FIRING")] == ["One", "Two"]


def test_a_process_whose_output_nobody_reads_ends_all_the_same() -> None:
    code = (
        "import asyncio\n"
        "from monitor.sinks.console import ConsoleSink, Options\n"
        "from tests.sinks.build import note\n"
        "async def tell():\n"
        "    sink = ConsoleSink(Options())\n"
        "    for number in range(1000):\n"
        "        async with asyncio.timeout(2):\n"
        "            await sink.deliver(note(key=str(number)))\n"
        "try:\n"
        "    asyncio.run(tell())\n"
        "except TimeoutError:\n"
        "    raise SystemExit(7)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.wait(60) == 7


async def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    """Found by reading: after a full disk the retry was appended to the half line, and both were lost to a reader."""
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"key":"ha')
    sink = build_sink("file", {"path": str(path)})
    for key in ("one", "two"):
        await sink.deliver(note(key=key))
    half, *whole = path.read_text().splitlines()
    assert half == '{"key":"ha'
    assert [json.loads(line)["key"] for line in whole] == ["one", "two"]


async def test_file_that_cannot_be_written_is_a_retry(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = await build_sink("file", {"path": str(tmp_path / "file" / "x")}).deliver(note())
    assert outcome.result is Result.RETRY


async def test_webhook_is_alertmanagers_version_4_signed_and_keyed() -> None:
    async with receiver() as to:
        sink = build_sink("webhook", {"url": f"{to.url}/hook", "secret": "s3", "external_url": "http://monitor:9108"})
        await sink.deliver(note(alert(base="BTC"), alert(base="ETH", state=AlertState.RESOLVED), key="the-key"))
        await sink.close()
    ((path, headers, raw),) = to.requests
    assert path == "/hook"
    assert headers["Idempotency-Key"] == "the-key"
    assert headers["X-Signature-256"] == "sha256=" + hmac.new(b"s3", raw, hashlib.sha256).hexdigest()
    (body,) = to.bodies()
    assert set(body) == {
        *("version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels"),
        *("commonLabels", "commonAnnotations", "externalURL", "alerts"),
    }
    assert (body["version"], body["status"], body["truncatedAlerts"]) == ("4", "firing", 0)
    assert body["commonLabels"] == {"alertname": "High", "severity": "critical"}
    assert body["commonAnnotations"] == {"summary": "High is up"}
    first, second = body["alerts"]
    version_4 = {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
    assert set(first) == {*version_4, "details"}, "what version 4 has not comes under one key"
    assert (first["status"], first["startsAt"]) == ("firing", "2025-11-21T00:00:00.000000Z")
    assert first["endsAt"] == "0001-01-01T00:00:00Z"
    assert (second["status"], second["endsAt"]) == ("resolved", "2025-11-21T00:01:00.000000Z")


async def test_a_refused_connection_is_said_in_words_without_the_address(free_port: Callable[[], int]) -> None:
    sink = build_sink("webhook", {"url": f"http://127.0.0.1:{free_port()}/secret-path"})
    outcome = await sink.deliver(note(alert()))
    await sink.close()
    assert outcome.result is Result.RETRY
    assert outcome.reason == "ClientConnectorError: connection refused"


async def test_webhook_calls_a_held_alert_firing_and_truncates_with_a_count() -> None:
    async with receiver() as to:
        sink = build_sink("webhook", {"url": to.url, "max_alerts": 1})
        await sink.deliver(note(alert(state=AlertState.HELD), alert("B"), status="firing"))
        await sink.close()
    (body,) = to.bodies()
    assert (body["alerts"][0]["status"], body["truncatedAlerts"], len(body["alerts"])) == ("firing", 1, 1)


async def test_alertmanager_sends_again_with_an_end_ahead_and_repeats_the_resolved() -> None:
    async with receiver() as to:
        sink = build_sink("alertmanager", {"urls": [to.url], "resend_s": 60})
        assert isinstance(sink, AlertmanagerSink)
        await sink.deliver(note(alert("A")))
        await sink.deliver(note(alert("B", state=AlertState.RESOLVED), key="k2"))
        await sink.resend([alert("A")])
        await sink.close()
    first, over, over_again, again = to.bodies()
    assert first[0]["endsAt"] > first[0]["startsAt"]
    assert over_again == over
    assert [body["labels"]["alertname"] for body in again] == ["A"]
    assert again[0]["endsAt"] > over[0]["endsAt"]


async def test_alertmanager_is_told_no_end_before_the_start_after_a_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([1_800_000_000_000_000_000, 1_799_996_400_000_000_000])
    monkeypatch.setattr("monitor.sinks.alertmanager.time.time_ns", lambda: next(now))
    began = replace(alert("A"), starts_at_ns=1_799_999_999_000_000_000)
    async with receiver() as to:
        sink = build_sink("alertmanager", {"urls": [to.url]})
        await sink.deliver(note(began))
        await sink.deliver(note(replace(began, state=AlertState.RESOLVED, ends_at_ns=began.starts_at_ns), key="k2"))
        await sink.close()
    (fires,), (over,) = to.bodies()
    assert fires["startsAt"] <= fires["endsAt"]
    assert over["startsAt"] == over["endsAt"] < fires["startsAt"]


async def test_alertmanager_resolves_the_former_severity_of_a_ladder() -> None:
    from dataclasses import replace

    mild = alert(severity="warning")
    worse = replace(mild, labels=alert(severity="critical").labels, severity="critical")
    async with receiver() as to:
        sink = build_sink("alertmanager", {"urls": [to.url]})
        await sink.deliver(note(mild))
        await sink.deliver(note(worse))
        await sink.close()
    _, second = to.bodies()
    assert [body["labels"]["severity"] for body in second] == ["warning", "critical"]
    assert second[0]["endsAt"] < second[1]["endsAt"]


async def test_alertmanager_understands_a_400_that_stored_the_valid_ones() -> None:
    def judge(path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        return (400 if b"Bad" in body else 200), {}, {"error": "invalid label set"}

    async with receiver() as to:
        to.judge = judge
        sink = build_sink("alertmanager", {"urls": [to.url]})
        assert isinstance(sink, AlertmanagerSink)
        outcome = await sink.deliver(note(alert("A"), alert("Bad"), alert("C")))
        await sink.close()
    assert (outcome.result, sink.refused) == (Result.OK, 1)
    assert outcome.reason == "2 of 3 accepted, the others refused"
    assert len(to.requests) == 4


async def test_alertmanager_batches_and_is_content_with_one_peer() -> None:
    async with receiver() as to:
        sink = build_sink("alertmanager", {"urls": [to.url, "http://127.0.0.1:1"], "batch": 2})
        outcome = await sink.deliver(note(*[alert(f"A{n}") for n in range(5)]))
        await sink.close()
    assert outcome.reason == "1 of 2 peers accepted"
    assert [len(body) for body in to.bodies()] == [2, 2, 1]


async def test_telegram_fits_the_limit_and_bears_a_button() -> None:
    async with receiver() as to:
        sink = build_sink("telegram", {"bot_token": "T:1", "chat_id": 5, "api_url": to.url})
        await sink.deliver(note(alert(), key="k"))
        await sink.deliver(note(*[alert(f"A{n}", long="x" * 300) for n in range(100)], status="digest"))
        await sink.close()
    assert to.requests[0][0] == "/botT:1/sendMessage"
    first, second = to.bodies()
    (((button,),),) = [first["reply_markup"]["inline_keyboard"]]
    assert button["callback_data"] == f"ack:{alert().fingerprint}"
    assert len(button["callback_data"].encode()) <= 64
    assert len(second["text"]) <= 4096
    assert "reply_markup" not in second


async def test_telegram_reads_how_long_to_wait_from_the_body() -> None:
    async with receiver() as to:
        to.answer(429, body={"ok": False, "parameters": {"retry_after": 31}})
        sink = build_sink("telegram", {"bot_token": "T:1", "chat_id": 5, "api_url": to.url})
        outcome = await sink.deliver(note())
        await sink.close()
    assert (outcome.result, outcome.retry_after_s) == (Result.RETRY, 31.0)


async def test_telegram_takes_presses_from_its_own_chat_only() -> None:
    def press(update: int, chat: int) -> dict[str, Any]:
        return {
            "update_id": update,
            "callback_query": {
                "id": str(update),
                "data": "ack:abc",
                "from": {"username": "ann"},
                "message": {"chat": {"id": chat}},
            },
        }

    taken: list[Command] = []

    async def handle(command: Command) -> str:
        taken.append(command)
        return "acknowledged"

    async with receiver() as to:
        to.answer(200, body={"ok": True, "result": [press(7, 666), press(8, 5)]})
        sink = build_sink("telegram", {"bot_token": "T:1", "chat_id": 5, "api_url": to.url, "poll_s": 0})
        assert isinstance(sink, TelegramSink)
        await sink.poll_once(SinkContext(handle, tuple))
        await sink.poll_once(SinkContext(handle, tuple))
        await sink.close()
    assert [(c.action, c.actor, c.fingerprint) for c in taken] == [("ack", "telegram:ann", "abc")]
    assert [path.rsplit("/", 1)[1] for path, _, _ in to.requests] == ["getUpdates", "answerCallbackQuery", "getUpdates"]
    assert to.bodies()[2]["offset"] == 9


async def test_slack_escapes_and_discord_mentions_nobody() -> None:
    async with receiver() as to:
        slack = build_sink("slack", {"url": to.url})
        discord = build_sink("discord", {"url": to.url})
        await slack.deliver(note(alert(base="<!channel>")))
        await discord.deliver(note(*[alert(f"A{n}") for n in range(200)]))
        to.answer(429, body={"retry_after": 1.5})
        limited = await discord.deliver(note())
        await slack.close()
        await discord.close()
    said, posted, _ = to.bodies()
    assert "&lt;!channel&gt;" in said["text"]
    assert len(posted["content"]) <= 2000
    assert posted["allowed_mentions"] == {"parse": []}
    assert limited.retry_after_s == 1.5


async def test_signs_that_slack_wants_escaped_do_not_push_the_count_of_the_rest_over_the_limit() -> None:
    """The escapes are longer than what was counted; cut after them, a digest lost its end, or was cut within one."""
    text = "<" * 2900 + " ... and 87 more"
    async with receiver() as to:
        sink = build_sink("slack", {"url": to.url})
        await sink.deliver(replace(note(), text=text))
        await sink.close()
    assert to.bodies()[0]["attachments"][0]["text"] == "&lt;" * 2900 + " ... and 87 more"


async def test_pagerduty_triggers_and_resolves_by_fingerprint() -> None:
    async with receiver() as to:
        sink = build_sink("pagerduty", {"routing_key": "R", "api_url": to.url})
        await sink.deliver(note(alert()))
        await sink.deliver(note(alert(state=AlertState.RESOLVED)))
        await sink.close()
    up, over = to.bodies()
    assert (up["event_action"], up["payload"]["severity"]) == ("trigger", "critical")
    assert (over["event_action"], over["dedup_key"]) == ("resolve", up["dedup_key"])


def test_mail_has_one_subject_line_and_an_id_of_its_key() -> None:
    message = mail(note(alert(base="BTC\r\nBcc: evil@example.org"), key="k9"), "a@b.c", ("d@e.f",))
    assert message["Bcc"] is None
    assert message["Message-ID"] == "<k9@market-risk-monitor>"
    assert "\n" not in message["Subject"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (smtplib.SMTPAuthenticationError(535, b"hunter2"), Result.DROP),
        (smtplib.SMTPDataError(451, b"try later hunter2"), Result.RETRY),
        (smtplib.SMTPServerDisconnected("hunter2"), Result.RETRY),
        (smtplib.SMTPRecipientsRefused({"d@e.f": (550, b"no")}), Result.DROP),
        (smtplib.SMTPRecipientsRefused({"d@e.f": (450, b"later")}), Result.RETRY),
    ],
)
async def test_mail_answers(error: Exception, result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    sink: Any = build_sink("email", {"host": "localhost", "sender": "a@b.c", "to": ["d@e.f"]})

    def send(message: EmailMessage) -> None:
        raise error

    monkeypatch.setattr(sink, "_send", send)
    outcome = await sink.deliver(note())
    assert outcome.result is result
    assert "hunter2" not in outcome.reason


async def test_mail_over_a_real_socket() -> None:
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                writer.write(b"354 go\r\n")
                got.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 ok\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        raw = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "a@b.c", "to": ["d@e.f"]}
        outcome = await build_sink("email", raw).deliver(note())
    assert outcome.result is Result.OK
    assert b"Subject: FIRING High" in got[0]


async def test_apprise_refuses_what_it_does_not_know() -> None:
    from monitor.errors import SinkError

    with pytest.raises(SinkError, match=r"urls\.0") as caught:
        build_sink("apprise", {"urls": ["nonsense-hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_an_address_that_apprise_cannot_use_is_told_when_it_is_read_and_with_its_place(tmp_path: Path) -> None:
    """A start refused what `check` had let pass."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "rules: []\nfeeds: [{venue: bybit}]\nsinks:\n  - type: apprise\n    urls: ['json://h/x', 'tgram://hunter2/bad']\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert f"{path}:5:26: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_apprise_delivers() -> None:
    async with receiver() as to:
        address = to.url.replace("http://", "json://")
        outcome = await build_sink("apprise", {"urls": [address]}).deliver(note())
    assert outcome.result is Result.OK
    assert to.bodies()[0]["title"].startswith("FIRING High")


async def test_machines_are_told_everything_that_people_are() -> None:
    async with receiver() as to:
        hook, manager = build_sink("webhook", {"url": to.url}), build_sink("alertmanager", {"urls": [to.url]})
        for sink in (hook, manager):
            await sink.deliver(note(alert(base="BTC")))
            await sink.close()
    hooked, managed = to.bodies()
    details = hooked["alerts"][0]["details"]
    assert (details["value"], details["coverage"], details["peak"]) == (1.04e9, 0.93, 1.2e9)
    assert details["explanation"]["contributors"][0]["share"] == 0.58
    annotations = managed[0]["annotations"]
    assert annotations["summary"] == "High is up"
    assert annotations["value"].startswith("≥ ")
    assert "coverage 93%" in annotations["facts"]
    assert "58% bybit long" in annotations["evidence"]
    assert "largest: $12M BTCUSDT long on bybit" in annotations["evidence"]


async def test_pagerduty_goes_on_where_it_stopped_and_skips_what_is_refused() -> None:
    """Found by reading: a thousand alerts that did not fit into one deadline began anew for ever, and one that was refused
    kept back all behind it."""
    alerts = [alert(f"A{number}") for number in range(6)]
    async with receiver() as to:
        sink = build_sink("pagerduty", {"routing_key": "r0ut1ng", "api_url": to.url})
        to.answers = [(202, {}, {}), (400, {}, {}), (202, {}, {}), (503, {}, {})]
        assert (await sink.deliver(note(*alerts))).result is Result.RETRY
        outcome = await sink.deliver(note(*alerts))
        assert (outcome.result, outcome.reason) == (Result.DROP, "HTTP 400")
        told = [body["payload"]["class"] for body in to.bodies()]
        assert told == ["A0", "A1", "A2", "A3", "A3", "A4", "A5"]
        assert (await sink.deliver(note(*alerts))).result is Result.OK, "sent again by hand it begins anew"
        assert len(to.requests) == 7 + 6
        await sink.close()


async def test_a_poll_for_presses_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: after a connection had died unseen no button worked any more."""
    monkeypatch.setattr("monitor.sinks.telegram._ANSWERS_WITHIN_S", 0.05)
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    sink = build_sink("telegram", {"bot_token": "t", "chat_id": 1, "api_url": url, "poll_s": 0})
    assert isinstance(sink, TelegramSink)
    outcome = await sink.poll_once(SinkContext(None, lambda: ()))  # type: ignore[arg-type]  # nothing is pressed
    assert (outcome.result, outcome.reason) == (Result.RETRY, "timeout")
    await sink.close()
    for writer in accepted:
        writer.close()
    server.close()
