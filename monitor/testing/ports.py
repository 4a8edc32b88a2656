"""Loopback ports for programs that are started to be looked at."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A loopback port that nobody listens on right now; bind it soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
