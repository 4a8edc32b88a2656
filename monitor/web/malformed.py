"""What the log says of clients that speak no HTTP or leave halfway: aiohttp would write a traceback for each of them."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

NAME = "monitor.web.http"
EVERY_S = 60.0
"""One line in so long, however often they try."""


class Malformed(logging.Filter):
    """Makes one short warning of what is the client's mistake, and lets everything else pass as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0
        self._unsaid = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written, and how."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            return True
        if record.created < self._next_s:
            self._unsaid += 1
            return False
        more = f"; {self._unsaid} more since the last such line" if self._unsaid else ""
        record.msg, record.args = f"web.client_failed from {_client(record)}: {reason(error)}{more}", ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
        self._next_s, self._unsaid = record.created + EVERY_S, 0
        return True


def reason(error: Exception) -> str:
    """What is wrong, in one line; what the client sent stands below it in aiohttp's words, and is left out."""
    lines = [line.strip() for line in str(error).rpartition("message:")[2].splitlines()]
    return next(filter(None, lines), type(error).__name__).rstrip(":")[:100]


def _client(record: logging.LogRecord) -> object:
    return record.args[0] if isinstance(record.args, tuple) and record.args else "a client"


def http_logger() -> logging.Logger:
    """The logger to give to a new server of the pages."""
    logger = logging.getLogger(NAME)
    logger.filters = [Malformed()]
    return logger
