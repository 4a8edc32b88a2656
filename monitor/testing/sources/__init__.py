"""Local stand-ins of the slow services: they answer as the real ones do, out of the synthetic scenario."""

from __future__ import annotations

from monitor.testing.sources.replies import SlowMarket
from monitor.testing.sources.server import SourceServer

__all__ = ["SlowMarket", "SourceServer"]
