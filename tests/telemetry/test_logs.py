import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from monitor.telemetry.logs import HIDDEN, Redactor, configure_logs

SECRET = "s3cr3t-token"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_secret_never_gets_out(stream: io.StringIO, style: str) -> None:
    configure_logs("debug", "json" if style == "json" else "console", [SECRET], stream)
    log = structlog.get_logger()
    log.info(
        "sink.connect",
        url=f"mqtt://user:{SECRET}@host",
        deep={"list": [SECRET, {SECRET: (SECRET,)}]},
        error=ValueError(SECRET),
    )
    try:
        raise ValueError(SECRET)  # noqa: TRY301 - the exception is the input
    except ValueError:
        log.exception("sink.failed")
        logging.getLogger("aiohttp.server").exception("failed with %s", SECRET)
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(HIDDEN) >= 6


def test_json_is_one_object_a_line(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream=stream)
    structlog.get_logger().info("feed.connected", venue="okx", topics=3)
    structlog.get_logger().debug("feed.noise")
    [line] = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["venue"], entry["topics"], entry["level"]) == ("feed.connected", "okx", 3, "info")
    assert entry["timestamp"].endswith("Z")


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["abcd", "abcdefgh"]).clean("x abcdefgh abcd") == f"x {HIDDEN} {HIDDEN}"


def test_very_short_values_are_no_secrets() -> None:
    assert Redactor(["", "a", "abc"]).clean("abc a") == "abc a"


class FullDisk(io.StringIO):
    """Takes nothing while it is full."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_ends_nothing_and_says_how_much_was_lost() -> None:
    """Found by filling a disk: the line that said so ended the program."""
    stream = FullDisk()
    configure_logs("info", "json", stream=stream)
    for _ in range(3):
        structlog.get_logger().warning("delivery.write_failed")
    stream.full = False
    structlog.get_logger().warning("now")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {"event": "logs.lost", "level": "warning", "lines": 3}
    assert second["event"] == "now"
