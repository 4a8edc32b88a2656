"""Write docs/venues.md, and the table in README.md, from the registry of venues: ``python scripts/gen_venues.py``.

``--check`` compares only.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from monitor.events import Channel
from monitor.feed import FeedSpec, Limits, ReportingLaw
from monitor.feeds import FEEDS, feed_class
from monitor.venue import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "venues.md", ROOT / "README.md"
BEGIN, END = "<!-- venues: scripts/gen_venues.py -->\n", "<!-- /venues -->"
COLUMNS = (
    Channel.PRICE,
    Channel.TRADES,
    Channel.LIQUIDATIONS,
    Channel.FUNDING,
    Channel.OPEN_INTEREST,
    Channel.DEPTH,
    Channel.VOLATILITY,
)
WORDS = {"complete": "yes", "sampled": "sampled", "order_level": "orders", "not_covered": "**not covered**"}


def specs() -> list[FeedSpec]:
    """The constants of every registered venue, in the registry's order."""
    return [feed_class(venue).spec for venue in FEEDS]


def table(rows: list[FeedSpec]) -> str:
    """One line a venue: what each channel tells."""
    head = f"| venue | {' | '.join(channel.value.replace('_', ' ') for channel in COLUMNS)} |"
    lines = [head, "|---" * (len(COLUMNS) + 1) + "|"]
    for spec in rows:
        cells = [_cell(spec.laws.get(channel)) for channel in COLUMNS]
        lines.append(f"| {spec.title} (`{spec.venue}`) | {' | '.join(cells)} |")
    return "\n".join(lines)


def render() -> str:
    """The whole page."""
    rows = specs()
    return "\n\n".join([INTRO, table(rows), *(_section(spec) for spec in rows)]) + "\n"


INTRO = """# Venues

Generated from the registry by `scripts/gen_venues.py`; a test fails when it is stale. Edit the `spec` in
`monitor/feeds/<venue>.py`, never this page.

*yes*: the venue says that the channel tells everything. *sampled*: it tells a part, so a total is a lower bound.
*orders*: it tells orders that the liquidation engine places, not fills. *not covered*: it has no public source, and every
total that would need it says so. An empty cell: the venue has no such thing, or this program does not read it.
The laws repeat what the venues document; where a venue is silent, the law says so."""


def _cell(law: ReportingLaw | None) -> str:
    return "" if law is None else WORDS[law.kind]


def _section(spec: FeedSpec) -> str:
    lines = [f"## {spec.title}", f"`venue: {spec.venue}` · [documentation]({spec.docs})", _limits(spec.limits)]
    rows = ["| channel | law | what it tells | stale after | source |", "|---|---|---|---|---|"]
    for channel, law in spec.laws.items():
        age = spec.stale_s.get(channel)
        stale = f"{age:g} s" if age is not None else ""
        rows.append(f"| {channel.value} | {law.kind} | {law.rule} | {stale} | {law.source} |")
    lines.append(
        f"A connection without data for {spec.idle_s:g} s is replaced; later each time where that changes nothing, up to "
        f"{16 * spec.idle_s:g} s."
    )
    for channel, words in spec.gaps.items():
        lines.append(f"After a lost connection, {channel.value}: {words}.")
    return "\n\n".join([*lines, "\n".join(rows), *_settings(spec.venue)])


def _settings(venue: str) -> list[str]:
    """The venue's own keys of its entry under ``feeds:``."""
    kind = getattr(feed_class(venue), "settings_type", Settings)
    fields = msgspec.structs.fields(kind)
    if not fields:
        return []
    rows = [f"| `{field.name}` | `{_shown(field.default)}` |" for field in fields]
    text = " ".join((kind.__doc__ or "").replace("``", "`").split())
    return [f"Settings. {text}", "\n".join(["| setting | default |", "|---|---|", *rows])]


def _shown(value: object) -> str:
    """A default as YAML writes it."""
    return msgspec.json.encode(value).decode()


def _limits(limits: Limits) -> str:
    life = f"cut by the venue after {limits.lifetime_s / 3600:g} h" if limits.lifetime_s else "no fixed lifetime"
    return (
        f"Limits kept: {limits.connects} connects per {limits.connects_window_s:g} s, {limits.sends_per_s:g} frames up per "
        f"second, frames up to {limits.max_frame_bytes // 2**20} MiB, {life}."
    )


def readme(text: str) -> str:
    """README with a fresh table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(specs())}\n\n{END}{after}"


def main() -> int:
    """Write, or compare; 1 when a file is stale."""
    fresh = {PAGE: render(), README: readme(README.read_text(encoding="utf-8"))}
    if "--check" in sys.argv:
        return int(any(path.read_text(encoding="utf-8") != text for path, text in fresh.items()))
    for path, text in fresh.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
