"""How a local venue server can misbehave: switches that a test flips while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.testing.protocol import Frame


@dataclass(slots=True)
class RestFault:
    """What every HTTP request gets instead of the venue's answer.

    ``delay_s`` waits first (real seconds); ``status`` and ``body`` replace the answer where they are set.
    """

    delay_s: float = 0.0
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @classmethod
    def html(cls) -> RestFault:
        """A maintenance page where JSON was asked for, with status 200."""
        return cls(status=200, body=b"<!doctype html><title>Maintenance</title>", content_type="text/html")

    @classmethod
    def rate_limited(cls, retry_after_s: int = 1, status: int = 429) -> RestFault:
        """Too many requests, with the wait in ``Retry-After``."""
        return cls(status=status, body=b'{"msg":"too many requests"}', headers={"Retry-After": str(retry_after_s)})

    @classmethod
    def huge(cls, size_bytes: int = 64 * 1024 * 1024) -> RestFault:
        """A reply larger than any client should accept."""
        return cls(status=200, body=b" " * size_bytes)


@dataclass(slots=True)
class Faults:
    """Misbehaviour of one server, or of one of its connections; every switch is off at first.

    Attributes:
        silent_handshake: Accept the TCP connection and never answer.
        refuse_status: Answer the websocket's handshake with this HTTP status, and with ``Retry-After`` where
            ``refuse_retry_after_s`` is set.
        accept_then_close: Complete the handshake, then hang up at once.
        half_open: Send not one byte more and read none; the socket stays open.
        stall: Send no market data; acknowledgements and pongs go on.
        dead_topic: Topics for which it is true are acknowledged and then silent for ever.
        duplicate: Send every data frame twice.
        out_of_order: Send the frames of each publication in reverse.
        garble: Replaces every data frame's content.
        no_acks: Swallow replies to client frames, while subscriptions take effect.
        rest: Replaces every HTTP answer.
    """

    silent_handshake: bool = False
    refuse_status: int | None = None
    refuse_retry_after_s: int | None = None
    accept_then_close: bool = False
    half_open: bool = False
    stall: bool = False
    dead_topic: Callable[[str], bool] | None = None
    duplicate: bool = False
    out_of_order: bool = False
    garble: Callable[[Frame], Frame] | None = None
    no_acks: bool = False
    rest: RestFault | None = None

    def is_dead(self, topic: str) -> bool:
        """Whether `topic` is acknowledged but never delivered."""
        return self.dead_topic is not None and self.dead_topic(topic)

    def mangle(self, frames: list[Frame]) -> list[Frame]:
        """Apply the faults of delivery to the data frames of one publication."""
        if self.stall or self.half_open:
            return []
        if self.garble is not None:
            frames = [self.garble(frame) for frame in frames]
        if self.duplicate:
            frames = [frame for frame in frames for _ in range(2)]
        if self.out_of_order:
            frames = frames[::-1]
        return frames
