"""The rolling-window engine: exact sliding windows over shared columnar logs, and the rules that read them."""

from monitor.engine.engine import Engine, EngineSettings, IngestReport

__all__ = ["Engine", "EngineSettings", "IngestReport"]
