"""Write docs/metrics.md from the table of series: ``python scripts/gen_metrics_doc.py`` (``--check`` compares only)."""

from __future__ import annotations

import sys
from pathlib import Path

from monitor.telemetry.latency import BOUNDS_NS
from monitor.telemetry.specs import METRICS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEAD = """# Metrics

Every series at `/metrics`, generated from the code by `python scripts/gen_metrics_doc.py`. Do not edit this page.

Conventions: base units with the unit in the name (`_usd`, `_ratio` from 0 to 1, `_seconds`, `_bytes`); counters end in
`_total` and are born at 0; times are unix times of the monitor's own clock, which a demo runs faster. A value that is
missing has no line: it is never 0. `symbol` and `base` are label values for the watch list only; the rest is added up
as `other` where a sum means something, and left out of prices and funding. The formats are Prometheus text 0.0.4 and,
when the scraper asks for it, OpenMetrics 1.0.0, which carries exemplars of slow alerts.

"""
SECTIONS = (
    ("The market", "market_"),
    ("Feeds", "monitor_feed_"),
    ("Losses", "monitor_events_"),
    ("Rules and alerts", ("monitor_rule_", "ALERTS", "monitor_alerts_", "monitor_silences")),
    ("Delivery", ("monitor_notifications", "monitor_outbox", "monitor_sink")),
    ("The program", ("monitor_", "process_")),
)


def render() -> str:
    """The page as text."""
    left = dict(METRICS)
    parts = [HEAD]
    for title, prefix in SECTIONS:
        names = [name for name in left if name.startswith(prefix)]
        rows = [
            f"| `{name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels)} | {spec.help} |"
            for name, spec in ((name, left.pop(name)) for name in names)
        ]
        parts.append(
            f"## {title}\n\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        )
    if left:
        raise SystemExit(f"no section for {sorted(left)}")
    bounds = ", ".join(f"{bound / 1e9:g}" for bound in BOUNDS_NS)
    parts.append(
        f"`monitor_rule_value`, `monitor_rule_threshold` and `ALERTS` also carry the labels of the rule's rows.\n\n"
        f"Bounds of the latency histogram, in seconds: {bounds}.\n"
    )
    return "".join(parts)


def main() -> int:
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != render())
    PAGE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
