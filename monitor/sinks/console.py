"""Alerts on a terminal: one line to read at a glance, then what stands behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Literal, TextIO

from monitor import format as fmt
from monitor.alert import AlertView
from monitor.alerts import message
from monitor.sink import Notification, Outcome, SinkBase, SinkKind, SinkOptions

_COLOURS = {
    "firing": "\x1b[1;31m",
    "escalated": "\x1b[1;31m",
    "deescalated": "\x1b[33m",
    "held": "\x1b[1;33m",
    "resolved": "\x1b[1;32m",
}
_RESET = "\x1b[0m"


class Options(SinkOptions):
    """Settings of the console: which stream, and colour (by default only on a terminal)."""

    type: Literal["console"] = "console"
    stream: Literal["stdout", "stderr"] = "stdout"
    colour: bool | None = None


class ConsoleSink(SinkBase):
    """Writes to standard output or standard error; `out` replaces the stream in tests.

    Nobody may be reading: a pager that stands still, a terminal that was stopped with Ctrl-S. So a thread writes, one
    notification at a time, and it ends with the process if it is stuck.
    """

    def __init__(self, options: Options, out: TextIO | None = None) -> None:
        self.options = options
        self._out = out
        self._last: asyncio.Future[Outcome] | None = None
        self._unheard: dict[str, asyncio.Future[Outcome]] = {}
        """Writes that outlasted their deadline, by key: their retry waits for them and does not write again."""

    async def deliver(self, notification: Notification) -> Outcome:
        """Write; a closed pipe is final."""
        key = notification.key
        writing = self._unheard.pop(key, None)
        if writing is None:
            if self._last is not None:
                await asyncio.wait([self._last])
            writing = self._last = self._start(notification)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            self._unheard[key] = writing
            raise

    def _start(self, notification: Notification) -> asyncio.Future[Outcome]:
        out = self._out or (sys.stdout if self.options.stream == "stdout" else sys.stderr)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def write() -> None:
            outcome = self._write(out, notification)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set_result, outcome)

        threading.Thread(target=write, name="console", daemon=True).start()
        return done

    def _write(self, out: TextIO, notification: Notification) -> Outcome:
        try:
            colour = out.isatty() if self.options.colour is None else self.options.colour
            _put(out, "\n".join(_lines(notification, colour=colour)) + "\n")
        except (OSError, ValueError) as error:
            return Outcome.drop(type(error).__name__)
        return Outcome.ok("written")


def _put(out: TextIO, text: str) -> None:
    """Write past the stream's buffer where there is a file behind it: whoever is stuck in that holds its lock at the exit."""
    try:
        number = out.fileno()
    except io.UnsupportedOperation:
        out.write(text)
        out.flush()
        return
    left = memoryview(text.encode(out.encoding or "utf-8", "replace"))
    while left:
        left = left[os.write(number, left) :]


def _lines(notification: Notification, *, colour: bool) -> Iterator[str]:
    if notification.status in {"digest", "heartbeat", "test"} or not notification.alerts:
        yield _paint(notification.status, notification.title, colour=colour)
        if notification.text:
            yield from _indented(notification.text)
        return
    for alert in notification.alerts:
        status = notification.status if len(notification.alerts) == 1 else str(alert.state)
        yield _paint(status, headline(alert, status), colour=colour)
        yield from (line for text in details(alert) for line in _indented(text))


def _indented(text: str) -> Iterator[str]:
    return ("  " + fmt.printable(line.expandtabs(4)) for line in text.splitlines())


def _paint(status: str, text: str, *, colour: bool) -> str:
    shown = fmt.printable(text)
    return f"{_COLOURS[status]}{shown}{_RESET}" if colour and status in _COLOURS else shown


def headline(alert: AlertView, status: str) -> str:
    """``FIRING    [critical] Name {base=BTC}  1.04B against 1B USD``."""
    labels = ", ".join(f"{name}={value}" for name, value in alert.labels if name not in {"alertname", "severity"})
    severity = f"[{alert.severity}] " if alert.severity else ""
    where = f" {{{labels}}}" if labels else ""
    return f"{status.upper():<9} {severity}{alert.name}{where}  {message.reading(alert)}"


def details(alert: AlertView) -> Iterator[str]:
    """The rule's summary and its other texts, then coverage, peak and contributors."""
    texts = {name: text for name, text in alert.annotations if text}
    if summary := texts.pop("summary", ""):
        yield summary
    yield from (f"{name}: {text}" for name, text in texts.items())
    yield message.facts(alert) + (f"; {alert.reason}" if alert.reason else "")
    if alert.explanation is not None:
        yield from message.evidence(alert.explanation)


KIND = SinkKind(Options, ConsoleSink)
