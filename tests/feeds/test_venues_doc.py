from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.events import Channel
from monitor.feeds import FEEDS, feed_class

ROOT = Path(__file__).parents[2]


def test_page_is_fresh() -> None:
    run = subprocess.run([sys.executable, ROOT / "scripts/gen_venues.py", "--check"], check=False, cwd=ROOT)
    assert run.returncode == 0, "run python scripts/gen_venues.py"


@pytest.mark.parametrize("venue", FEEDS)
def test_every_law_states_its_rule_and_its_source(venue: str) -> None:
    spec = feed_class(venue).spec
    assert spec.venue == venue
    for law in spec.laws.values():
        assert law.rule
        assert law.source
    assert spec.stale_s.keys() <= spec.laws.keys()


def test_hyperliquids_liquidations_are_shown_as_not_covered() -> None:
    page = (ROOT / "docs" / "venues.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| Hyperliquid"))
    assert "**not covered**" in row
    assert feed_class("hyperliquid").spec.laws[Channel.LIQUIDATIONS].kind == "not_covered"
