"""The shipped configurations keep quiet what the comments of the rule pack say they do."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from monitor.alerts.matchers import matches
from monitor.alerts.routes import InhibitRule, RoutingConfig
from monitor.language import load_rules

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = ("config.yaml", "deploy/config.yaml")
PROMISED = {
    ("CascadeComplete", "LeverageCascade", ()),
    ("EtfOutflowMonthToDate", "EtfOutflowMonth", ("asset",)),
    ("FundingNegativeFor8h", "FundingFlippedNegative", ("base",)),
    ("FundingNegativeForDays", "FundingFlippedNegative", ("base",)),
    ("FundingNegativeForDays", "FundingNegativeFor8h", ("base",)),
    ("MarketCapBelow3T", "MarketCapCrosses3T", ()),
    ("VolatilityIndexHigh", "ImpliedVolatilityHigh", ("base",)),
}
"""Which alert keeps which quiet, over which labels."""


def inhibited(path: str) -> tuple[InhibitRule, ...]:
    return RoutingConfig.model_validate(YAML(typ="safe").load(ROOT / path)["routes"]).inhibit


@pytest.fixture(scope="module")
def pack() -> set[str]:
    files = [(path.name, path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))]
    return {rule.name for rule in load_rules(files).alerts}


@pytest.mark.parametrize("path", CONFIGURATIONS)
def test_each_promised_pair_and_no_other_is_kept_quiet(path: str, pack: set[str]) -> None:
    found = {
        (source, target, rule.equal)
        for rule in inhibited(path)
        for source in pack
        for target in pack
        if matches(rule.source, {"alertname": source}) and matches(rule.target, {"alertname": target})
    }
    assert found == PROMISED


def test_the_comments_of_the_pack_promise_as_many() -> None:
    files = {path.stem for path in (ROOT / "rules").glob("*.yaml") if "shipped configuration" in path.read_text()}
    assert files == {"etf_flows", "funding", "liquidations", "market_cap", "options"}
