"""The shipped estimate of liquidations is what its comment says, and stands beside the reported total."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands import dispatch
from monitor.events import Channel
from monitor.feeds import FEEDS, feed_class

ESTIMATE = Path(__file__).parents[1] / "rules" / "estimate.yaml"
READER = """groups: [{name: reader, rules: [
  {alert: Estimated, expr: 'estimate:liquidations_1h > 0', annotations: {summary: '{{ value | usd }}'}},
  {alert: Reported, expr: 'sum(liquidations[1h]) > 0', annotations: {summary: '{{ value | usd }}'}}]}]
"""
TESTS = """rule_files: [ESTIMATE, reader.yaml]
tests:
  - name: a venue that publishes everything speaks for all, by open interest
    input_series:
      - {series: 'open_interest{venue="bybit", base="BTC"}', values: "1Bx90"}
      - {series: 'open_interest{venue="binance_usdm", base="BTC"}', values: "2Bx90"}
      - {series: 'open_interest{venue="hyperliquid", base="BTC"}', values: "1Bx90"}
    events:
      - {at: 5m, venue: bybit, base: BTC, usd: 10M}
      - {at: 5m, venue: binance_usdm, base: BTC, usd: 1M}
    alert_rule_test:
      - {alertname: Estimated, eval_time: 62m, exp_alerts: [{exp_labels: {}, exp_annotations: {summary: "40M"}}]}
      - {alertname: Reported, eval_time: 62m, exp_alerts: [{exp_labels: {}, exp_annotations: {summary: "11M"}}]}
"""


def test_it_is_what_the_complete_venues_say_of_all_open_interest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reader.yaml").write_text(READER)
    (tmp_path / "tests.yaml").write_text(TESTS.replace("ESTIMATE", str(ESTIMATE)))
    assert dispatch(["test", str(tmp_path / "tests.yaml")]) == 0, capsys.readouterr().out


def test_it_rests_on_exactly_the_venues_that_publish_every_liquidation() -> None:
    complete = sorted(
        venue
        for venue in FEEDS
        if (law := feed_class(venue).spec.laws.get(Channel.LIQUIDATIONS)) is not None and law.kind == "complete"
    )
    assert ESTIMATE.read_text(encoding="utf-8").count(f'venue=~"{"|".join(complete)}"') == 2
