"""Which alert keeps which quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.alert import AlertState
from monitor.alerts.inhibition import Inhibition
from monitor.alerts.routes import RoutingConfig
from tests.alerts.build import alert

RULES = RoutingConfig.model_validate(
    {"inhibit": [{"source": ["severity=critical"], "target": ['severity=~"warning|critical"'], "equal": ["base"]}]}
).inhibit


def test_a_source_keeps_its_targets_quiet_as_long_as_it_fires() -> None:
    inhibition = Inhibition(RULES)
    source, target = alert("Crash", severity="critical", base="BTC"), alert("Low", severity="warning", base="BTC")
    other = alert("Low", severity="warning", base="ETH")
    assert inhibition.source(target) is None
    inhibition.note(source)
    assert inhibition.source(target) == source
    assert inhibition.source(other) is None
    assert inhibition.source(source) is None, "not by itself"
    inhibition.note(replace(source, state=AlertState.HELD))
    assert inhibition.source(target) is None
    inhibition.note(source)
    inhibition.note(replace(source, labels=alert("Crash", severity="warning", base="BTC").labels))
    assert inhibition.source(target) is None, "its severity fell"
    inhibition.note(source)
    inhibition.forget(source.fingerprint)
    inhibition.forget(source.fingerprint)
    assert inhibition.source(target) is None
    assert inhibition._sources == [{}]


def ring(*names: str) -> Inhibition:
    """Each keeps the next quiet, and the last the first."""
    inhibit = [
        {"source": [f"alertname={one}"], "target": [f"alertname={other}"]}
        for one, other in zip(names, (*names[1:], names[0]), strict=True)
    ]
    return Inhibition(RoutingConfig.model_validate({"inhibit": inhibit}).inhibit)


@pytest.mark.parametrize("names", [("A", "B"), ("A", "B", "C"), ("C", "A", "B")])
def test_alerts_that_keep_each_other_quiet_are_not_all_quiet(names: tuple[str, ...]) -> None:
    """Two rules, each the other's source: of a fall that fired both nobody was told anything."""
    inhibition = ring(*names)
    alerts = {name: alert(name, starts_s=number) for number, name in enumerate(sorted(names))}
    for each in alerts.values():
        inhibition.note(each)
    assert inhibition.source(alerts["A"]) is None, "the oldest"
    assert inhibition.source(alerts["B"]) is not None
    inhibition.forget(alerts["A"].fingerprint)
    assert sum(inhibition.source(alerts[name]) is None for name in names if name != "A") == 1


def test_a_ring_does_not_free_an_alert_from_a_source_outside_it() -> None:
    rules = [
        {"source": ["alertname=A"], "target": ["alertname=B"]},
        {"source": ["alertname=B"], "target": ["alertname=A"]},
        {"source": ["alertname=Halt"], "target": ['alertname=~"A|B"']},
    ]
    inhibition = Inhibition(RoutingConfig.model_validate({"inhibit": rules}).inhibit)
    first, second, halt = alert("A"), alert("B", starts_s=1), alert("Halt", starts_s=2)
    for each in (first, second, halt):
        inhibition.note(each)
    assert inhibition.source(first) == halt
