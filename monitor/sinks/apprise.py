"""The long tail of notification services through apprise, an optional package (``pip install .[notify]``).

apprise says whether it worked but not why not, so every failure is tried again.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from monitor.sink import Notification, Outcome, SinkBase, SinkKind, SinkOptions

_TYPES = {"resolved": "success", "held": "warning", "heartbeat": "info", "test": "info"}


def _known(url: SecretStr) -> SecretStr:
    """An address that apprise makes a service of; else it is refused when it is read, with its place."""
    _notifier((url,))
    return url


class Options(SinkOptions):
    """Settings of the apprise sink; ``urls`` are apprise addresses and hold their services' secrets."""

    type: Literal["apprise"] = "apprise"
    urls: tuple[Annotated[SecretStr, AfterValidator(_known)], ...] = Field(min_length=1)
    per_minute: float | None = Field(default=20.0, gt=0)
    max_chars: int = Field(default=2000, ge=200)
    deadline_s: float = Field(default=30.0, gt=0)


class AppriseSink(SinkBase):
    """Hands messages to apprise."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._apprise = _notifier(options.urls)

    async def deliver(self, notification: Notification) -> Outcome:
        """Notify every address; a repeat after a partial failure reaches those that worked again."""
        accepted = await self._apprise.async_notify(
            title=notification.title,
            body=notification.text or notification.title,
            notify_type=_TYPES.get(notification.status, "failure"),
        )
        return Outcome.ok() if accepted else Outcome.retry("apprise reports failure")


def _notifier(urls: tuple[SecretStr, ...]) -> Any:
    if importlib.util.find_spec("apprise") is None:
        raise ValueError("the apprise sink needs the package apprise: pip install 'market-risk-monitor[notify]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the standard library's modules that it imports
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings contain addresses
        notifier = apprise.Apprise()
        if not all(notifier.add(url.get_secret_value()) for url in urls):
            raise ValueError("apprise does not know this kind of address, or misses a part of it")
        return notifier


KIND = SinkKind(Options, AppriseSink)
