"""From text to checked parts, and all or nothing on a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.events import Channel
from monitor.runtime.load import Loaded, load_text
from monitor.runtime.panels import LABELS, WINDOWS, panel_recordings, panel_text

GOOD = """rules: [rules.yaml]
feeds:
  - {venue: bybit, channels: [price, liquidations]}
  - {venue: okx, channels: [price]}
"""
RULES = """
groups:
  - name: desk
    rules:
      - {alert: BitcoinLow, expr: 'price{base="BTC"} by (base) < 90k'}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """Where the rules lie."""
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    return tmp_path


def loaded(folder: Path, text: str = GOOD) -> Loaded:
    return load_text(text, "config.yaml", folder, {})


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [problem.message for problem in caught.value.problems]


def test_expected_is_what_each_venue_should_carry(folder: Path) -> None:
    assert loaded(folder).expected() == {Channel.PRICE: ["bybit", "okx"], Channel.LIQUIDATIONS: ["bybit"]}


def test_who_carries_another_venues_channel_is_expected_to_bring_it(folder: Path) -> None:
    alone = "rules: [rules.yaml]\nfeeds:\n  - {venue: binance_usdm, channels: [price, liquidations]}\n"
    both = alone + "  - {venue: binance_coinm, channels: [price, liquidations]}\n"
    merged = ["binance_coinm", "binance_usdm"]
    assert loaded(folder, alone).expected() == {Channel.PRICE: ["binance_usdm"], Channel.LIQUIDATIONS: merged}
    assert sorted(loaded(folder, both).expected()[Channel.LIQUIDATIONS]) == merged, "once each"


def test_the_digest_follows_configuration_and_rules(folder: Path) -> None:
    first = loaded(folder).digest
    assert loaded(folder).digest == first
    assert loaded(folder, GOOD + "listen: 127.0.0.1:1\n").digest != first
    (folder / "rules.yaml").write_text(RULES.replace("90k", "91k"), encoding="utf-8")
    assert loaded(folder).digest != first


def test_sinks_and_routes_are_checked_against_each_other(folder: Path) -> None:
    wrong = "sinks: [{type: consol}, {type: file}]\n"
    found = mistakes(folder, GOOD + wrong)
    assert any("unknown sink 'consol'" in text for text in found)
    assert any(text.startswith("file: path") for text in found)


def test_a_channel_that_a_venue_does_not_carry_is_named(folder: Path) -> None:
    found = mistakes(folder, "rules: [rules.yaml]\nfeeds: [{venue: coinbase, channels: [liquidations]}]\n")
    assert found == ["coinbase has no channel 'liquidations'"]


def test_the_panels_windows_are_kept_whatever_rules_are_loaded(folder: Path) -> None:
    kept = {recording.text for recording in loaded(folder).rules.recordings}
    assert len(panel_recordings()) == 2 * len(WINDOWS) * len(LABELS)
    assert panel_text("sum", "1h", "venue") in kept
    assert panel_text("count", "24h", "base") in kept
