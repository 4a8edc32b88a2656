"""The rules that the monitor keeps about itself, whatever rules are configured. They read the series ``self``.

A configured alert of the same name takes the place of one of these; ``alerts: {self_rules: false}`` leaves all out.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.expression import series_names
from monitor.language import load_rules
from monitor.rule import RuleSet
from monitor.runtime.load import Loaded

FILE = "built in: self.yaml"
_HEAD = "groups:\n  - name: self\n    rules:\n"
SELF_RULES = {
    "MonitorDiskLow": """
        expr: self{what="disk_free_ratio"} < 5%
        clear: self{what="disk_free_ratio"} > 7%
        for: 30s
        labels: {severity: critical}
        annotations:
          summary: "{{ value | pct }} of the disk with data_dir is free; without space alerts are sent, but nothing can be kept"
          runbook_url: docs/runbooks/MonitorDiskLow.md
""",
    "MonitorStateNotWritten": """
        expr: self{what="state_write_failures"} > 0
        keep_firing_for: 1m
        labels: {severity: critical}
        annotations:
          summary: "the state file cannot be written: alerts are sent, but after a crash they may be told again, or forgotten"
          runbook_url: docs/runbooks/MonitorStateNotWritten.md
""",
    "MonitorMemoryHigh": """
        expr: self{what="memory_ratio"} > 85%
        clear: self{what="memory_ratio"} < 80%
        for: 1m
        labels: {severity: warning}
        annotations:
          summary: "the monitor uses {{ value | pct }} of the memory that it may use"
          runbook_url: docs/runbooks/MonitorMemoryHigh.md
""",
    "MonitorLoopLate": """
        expr: self{what="loop_lag_seconds"} * 1s > 1s
        for: 10s
        labels: {severity: warning}
        annotations:
          summary: "the event loop is {{ value | duration }} late: alerts come late"
          runbook_url: docs/runbooks/MonitorLoopLate.md
""",
    "MonitorClockSetBack": """
        expr: self{what="clock_ahead_seconds"} * 1s > 5s
        clear: self{what="clock_ahead_seconds"} * 1s < 1s
        for: 10s
        labels: {severity: warning}
        annotations:
          summary: "the host's clock was set back: the monitor's own time is {{ value | duration }} ahead of it, and runs slower until it is caught up"
          runbook_url: docs/runbooks/MonitorClockSetBack.md
""",
    "MonitorSaturated": """
        expr: self{what="busy_ratio"} > 90%
        for: 1m
        labels: {severity: warning}
        annotations:
          summary: "the event loop is busy for {{ value | pct }} of the time"
          runbook_url: docs/runbooks/MonitorSaturated.md
""",
    "MonitorOutboxBacklog": """
        expr: self{what="outbox_depth"} > 50
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: "{{ value | num }} notifications wait for {{ labels.name }}"
          runbook_url: docs/runbooks/MonitorOutboxBacklog.md
""",
    "MonitorTapeIncomplete": """
        expr: self{what="tape_dropped"} > 0
        keep_firing_for: 1m
        labels: {severity: warning}
        annotations:
          summary: "the disk is too slow or refuses: {{ value | num }} records are missing from the tape"
          runbook_url: docs/runbooks/MonitorTapeIncomplete.md
""",
    "MonitorFeedDown": """
        expr: last(feed_up{channel!="reference"}) by (venue) == 0
        for: 2m
        min_coverage: 0%
        labels: {severity: warning}
        annotations:
          summary: "{{ labels.venue }} is silent: rules that need it are held"
          runbook_url: docs/runbooks/MonitorFeedDown.md
""",
}
_INSTEAD = {"MonitorFeedDown": "feed_up"}
"""A configured rule that reads this series watches the same thing already."""


def with_self_rules(loaded: Loaded) -> Loaded:
    """The configuration with the monitor's own rules added behind the configured ones."""
    if not loaded.source.config.alerts.self_rules:
        return loaded
    names = {rule.name for rule in loaded.rules.alerts}
    read = {series for rule in loaded.rules.alerts for series in series_names(rule.expr)}
    wanted = [
        f"      - alert: {name}{body}"
        for name, body in SELF_RULES.items()
        if name not in names and _INSTEAD.get(name) not in read
    ]
    files = [(FILE, "".join((_HEAD, *wanted)))] if wanted else []
    rules = RuleSet((*loaded.rules.alerts, *load_rules(files).alerts), loaded.rules.recordings)
    return replace(loaded, rules=rules, rule_texts=(*loaded.rule_texts, *files))
