"""Which alert keeps which quiet."""

from __future__ import annotations

from dataclasses import replace

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
