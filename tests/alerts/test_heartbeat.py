"""The heartbeat beats once in each slot of its interval, whoever asks how often."""

from __future__ import annotations

from monitor.alerts.heartbeat import Heartbeat, heartbeat_alert
from monitor.alerts.plans import NEVER
from monitor.alerts.routes import HeartbeatConfig
from tests.alerts.build import S

MINUTE = HeartbeatConfig.model_validate({"sinks": ["a", "b"], "interval": "1m"})


def heartbeat(config: HeartbeatConfig | None = MINUTE) -> Heartbeat:
    return Heartbeat(config, heartbeat_alert((("monitor", "tokyo"),)))


def test_every_sink_hears_once_in_a_slot() -> None:
    beating = heartbeat()
    assert [planned.sink for planned in beating.beat(90 * S)] == ["a", "b"]
    assert beating.due_ns == 120 * S
    assert beating.beat(119 * S) == []
    assert len(beating.beat(120 * S)) == 2


def test_a_restart_within_a_slot_beats_with_the_same_key_which_the_outbox_knows() -> None:
    keys = [[p.notification.key for p in heartbeat().beat(at_s * S) if p.notification] for at_s in (60, 119, 120)]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])
    assert len(set(keys[0])) == 2, "one for each sink"


def test_it_says_who_is_alive() -> None:
    (planned, _) = heartbeat().beat(90 * S)
    assert planned.notification is not None
    (alert,) = planned.notification.alerts
    assert dict(alert.labels) == {"alertname": "MonitorHeartbeat", "monitor": "tokyo", "severity": "none"}
    assert (alert.starts_at_ns, alert.updated_ns) == (60 * S, 90 * S)


def test_without_a_configuration_it_never_beats() -> None:
    silent = heartbeat(None)
    assert silent.due_ns == NEVER
    assert silent.beat(NEVER) == []
