"""The configuration: kinds of values, the model of the file, and reading it with every mistake at its place."""

from monitor.config.file import Check, LoadedConfig, entries, load_config, parse_config, read_rule_files, read_text
from monitor.config.kinds import size_bytes
from monitor.config.model import DEFAULT_CHANNELS, DEFAULT_RULES, Config, FeedEntry, RecordOptions

__all__ = [
    "DEFAULT_CHANNELS",
    "DEFAULT_RULES",
    "Check",
    "Config",
    "FeedEntry",
    "LoadedConfig",
    "RecordOptions",
    "entries",
    "load_config",
    "parse_config",
    "read_rule_files",
    "read_text",
    "size_bytes",
]
