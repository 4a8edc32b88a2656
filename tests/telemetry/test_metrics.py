"""Every series, read from a made-up monitor and judged by other people's parsers."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from monitor.telemetry.metrics import Budget, Metrics, MonitorCollector
from monitor.telemetry.specs import METRICS
from monitor.testing.fake_view import FakeView

DESIGN = [
    "market_liquidations_usd_total",
    "market_liquidations_total",
    "market_price_usd",
    "market_funding_rate_ratio",
    "market_funding_rate_8h_ratio",
    "market_open_interest_usd",
    "monitor_feed_up",
    "monitor_feed_last_message_timestamp_seconds",
    "monitor_feed_frames_total",
    "monitor_feed_events_total",
    "monitor_feed_decode_errors_total",
    "monitor_feed_reconnects_total",
    "monitor_feed_coverage_ratio",
    "monitor_feed_clock_offset_seconds",
    "monitor_events_dropped_total",
    "monitor_events_late_total",
    "monitor_stage_latency_seconds",
    "monitor_rule_value",
    "monitor_rule_coverage_ratio",
    "monitor_rule_state",
    "ALERTS",
    "monitor_notifications_total",
    "monitor_outbox_depth",
]


def samples(metrics: Metrics) -> list[Sample]:
    return [sample for family in parse_text(metrics.expose()[0].decode()) for sample in family.samples]


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in samples(metrics) if sample.name == name}


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_say() -> None:
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=Metrics(FakeView()).expose()[0], capture_output=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", DESIGN)
def test_the_promised_series_are_there(name: str) -> None:
    names = {sample.name.removesuffix("_bucket") for sample in samples(Metrics(FakeView()))}
    assert name in names


def test_every_documented_series_is_exposed_with_its_labels_and_no_other() -> None:
    found = samples(Metrics(FakeView()))
    histograms = tuple(name for name, spec in METRICS.items() if spec.kind == "histogram")
    seen: dict[str, set[str]] = {}
    for sample in found:
        base = next((name for name in histograms if sample.name.startswith(f"{name}_")), sample.name)
        seen.setdefault(base, set()).update(set(sample.labels) - {"le"})
    open_ended = {"monitor_rule_value", "monitor_rule_threshold", "ALERTS"}
    assert set(seen) == set(METRICS) - {"monitor_scrape_duration_seconds"}, "a first scrape has no previous one"
    for name, labels in seen.items():
        expected = set(METRICS[name].labels)
        assert labels >= expected if name in open_ended else labels == expected, name


def test_no_series_comes_twice() -> None:
    identities = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples(Metrics(FakeView()))]
    assert len(identities) == len(set(identities))


def test_openmetrics_says_the_same_when_asked_for() -> None:
    metrics = Metrics(FakeView())
    body, content_type = metrics.expose("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
    there = {sample.name for family in families for sample in family.samples}
    assert there == {sample.name for sample in samples(metrics)}


def test_the_collector_fits_a_prometheus_client_registry() -> None:
    registry = MonitorCollector(Metrics(FakeView())).registry()
    assert registry.get_sample_value("monitor_feed_up", {"venue": "okx"}) == 1.0


def test_counters_are_born_at_zero() -> None:
    metrics = Metrics(FakeView())
    assert values(metrics, "monitor_events_dropped_total")["bybit", "overflow"] == 0
    assert values(metrics, "monitor_notifications_total")["console", "drop"] == 0


def test_money_is_exact_dollars() -> None:
    view = FakeView()
    table = view.market().liquidations_usd_micros
    exposed = values(Metrics(view), "market_liquidations_usd_total")
    for key, micros in zip(table.keys, table.values.tolist(), strict=True):
        assert exposed[key] == pytest.approx(micros / 1e6, rel=1e-12)


def test_what_is_off_the_watch_list_is_added_into_other_where_that_means_something() -> None:
    view = FakeView()
    every = values(Metrics(view), "market_open_interest_usd")
    metrics = Metrics(view, Budget(watch=frozenset({"BTC", "ETH"})))
    folded = values(metrics, "market_open_interest_usd")
    assert {key[2] for key in folded} == {"BTC", "ETH", "other"}
    rest = sum(value for key, value in every.items() if key[0] == "okx" and key[2] not in ("BTC", "ETH"))
    assert folded["okx", "other", "other"] == pytest.approx(rest)
    assert sum(folded.values()) == pytest.approx(sum(every.values()))
    assert {key[2] for key in values(metrics, "market_price_usd")} == {"BTC", "ETH"}, "there is no price of other"
    assert values(metrics, "market_symbols")[("price",)] == 54


def test_a_symbol_can_be_watched_too() -> None:
    metrics = Metrics(FakeView(), Budget(watch=frozenset({"SOLUSDT"})))
    assert {key[1] for key in values(metrics, "market_price_usd")} == {"SOLUSDT"}


def test_alerts_look_like_prometheus_own_and_a_held_one_still_fires() -> None:
    found = [sample.labels for sample in samples(Metrics(FakeView())) if sample.name == "ALERTS"]
    states = {(labels["alertname"], labels.get("base", "")): labels["alertstate"] for labels in found}
    assert states["LongsWipedOut", "SOL"] == "firing"
    assert states["LongsWipedOut", "BTC"] == "pending"
    assert ("OpenInterestFell", "DOGE") not in states, "a resolved alert is not active"


def test_rule_states_count_label_sets() -> None:
    states = values(Metrics(FakeView()), "monitor_rule_state")
    assert states["LongsWipedOut", "held"] == 1
    assert states["LongsWipedOut", "inactive"] == 4


def test_rows_of_a_rule_are_bounded_and_active_ones_go_first() -> None:
    metrics = Metrics(FakeView(), Budget(rows_per_rule=2))
    shown = [
        sample.labels["base"]
        for sample in samples(metrics)
        if sample.name == "monitor_rule_value" and sample.labels["alert"] == "LongsWipedOut"
    ]
    assert shown == ["BTC", "SOL"]
    assert values(metrics, "monitor_rule_hidden_series")[("LongsWipedOut",)] == 4


def test_a_large_market_stays_within_the_budget() -> None:
    view = FakeView(extra_symbols=1000)
    budget = Budget(watch=frozenset({"BTC", "ETH", "SOL"}))
    assert len(samples(Metrics(view))) > 20_000
    assert len(samples(Metrics(view, budget))) < 1_000


def test_the_page_of_metrics_is_current() -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, root / "scripts/gen_metrics_doc.py", "--check"], check=False)
    assert run.returncode == 0, "run python scripts/gen_metrics_doc.py"
