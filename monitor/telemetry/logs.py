"""Log set-up: structlog to standard error, one JSON object a line or readable lines, and never a secret in either."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["json", "console", "auto"]
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN = "[hidden]"
_SHORTEST_SECRET = 4


class Redactor:
    """A structlog processor that replaces configured secrets wherever they stand in an entry, deep inside too."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # the longest first, so that a secret inside another one leaves nothing behind
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _clean_value(self, value: object) -> object:
        if isinstance(value, str):
            return self.clean(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self._clean_value(name): self._clean_value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean_value(inner) for inner in value]
        return self.clean(repr(value) if not isinstance(value, BaseException) else f"{type(value).__name__}: {value}")

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Clean one entry."""
        return {name: self._clean_value(value) for name, value in event.items()}


def _renderer(style: LogFormat, stream: TextIO) -> list[Processor]:
    if style == "json" or (style == "auto" and not stream.isatty()):
        return [structlog.processors.JSONRenderer(sort_keys=False)]
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]


def processors(style: LogFormat, secrets: Iterable[str], stream: TextIO) -> list[Processor]:
    """The chain of one log entry; tracebacks become text before secrets are taken out."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redactor(secrets),
        *_renderer(style, stream),
    ]


class LossyStream:
    """A stream that loses lines rather than the program when it cannot be written: a full disk, a closed pipe.

    Attributes:
        lost: Writes that failed since the last good one, which says how many they were.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self.lost = 0

    def write(self, text: str) -> int:
        """Write, or count."""
        said = f'{{"event":"logs.lost","level":"warning","lines":{self.lost}}}\n' if self.lost else ""
        try:
            self._target.write(said + text)
            self._target.flush()
        except (OSError, ValueError):
            self.lost += 1
        else:
            self.lost = 0
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._target.isatty()


def configure_logs(
    level: str = "info", style: LogFormat = "auto", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set up logging for the process; the standard library's loggers (aiohttp, websockets) go the same way.

    Args:
        level: One of `LEVELS`.
        style: ``json``, ``console``, or ``auto``: console on a terminal, else JSON.
        secrets: Values that must never appear; shorter than four characters is not a secret.
        stream: Where to write; standard error by default.
    """
    target = cast("TextIO", LossyStream(stream or sys.stderr))
    chain = processors(style, list(secrets), target)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=chain[:-1], processors=_stdlib_end(chain))
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), handlers=[handler], force=True)


def _stdlib_end(chain: list[Processor]) -> list[Processor]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, chain[-1]]
