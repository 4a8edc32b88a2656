"""How far a notification of many alerts was delivered, for sinks that send each alert by itself. Kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from monitor.alert import AlertView
from monitor.sink import Notification

_KEPT = 256


class Progress:
    """A retry goes on where the last attempt stopped: a thousand alerts need not all fit into one deadline."""

    def __init__(self) -> None:
        self._done: OrderedDict[str, int] = OrderedDict()

    def left(self, notification: Notification) -> Iterator[AlertView]:
        """The alerts that are still to be sent; asking for the next one says that the one before has been."""
        key, alerts = notification.key, notification.alerts
        while (number := self._done.get(key, 0)) < len(alerts):
            yield alerts[number]
            self._done[key] = number + 1
            if len(self._done) > _KEPT:
                self._done.popitem(last=False)

    def finish(self, notification: Notification) -> None:
        """All has been said of it; sent again it begins anew."""
        self._done.pop(notification.key, None)
