"""``python -m monitor run``: what it says to whoever started it without a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from monitor.commands.run import say_if_all_are_silent
from monitor.runtime.app import App


class Room:
    """Feeds with so many frames each."""

    def __init__(self, *frames: int) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def feeds(self) -> list[tuple[Any, Any]]:
        return [(None, SimpleNamespace(frames=count)) for count in self.frames]


@pytest.mark.parametrize(("frames", "said"), [((0, 0), True), ((0, 1), False), ((), False)])
def test_a_start_without_a_network_is_explained_once(frames: tuple[int, ...], said: bool) -> None:
    app = SimpleNamespace(feeds=Room(*frames), log=structlog.get_logger())
    with structlog.testing.capture_logs() as lines:
        say_if_all_are_silent(cast("App", app))
    assert ["python -m monitor demo" in line["hint"] for line in lines] == [True] * said
