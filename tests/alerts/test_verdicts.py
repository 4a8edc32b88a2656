"""What one sink is told of one alert: every state of it against everything that the sink may have been told before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.alert import AlertState, AlertView
from monitor.alerts.inhibition import Inhibition
from monitor.alerts.memory import Memory
from monitor.alerts.plans import NEVER, SinkPolicy, Told
from monitor.alerts.quiet import Quiet
from monitor.alerts.routes import Route, RoutingConfig, route_tree
from monitor.alerts.silences import Acknowledgement
from monitor.alerts.verdicts import Case, Judge
from tests.alerts.build import T0, S, alert

FIRING, HELD, RESOLVED = AlertState.FIRING, AlertState.HELD, AlertState.RESOLVED
SINK = SinkPolicy("a")


def judge(config: RoutingConfig | None = None) -> tuple[Judge, Quiet, Route]:
    config = config or RoutingConfig.model_validate([])
    quiet = Quiet(config, Memory())
    return Judge(quiet, Inhibition(config.inhibit)), quiet, route_tree(config, ("a",)).find({})[0]


def told(view: AlertView, status: str = "firing", at_s: float = 0) -> Told:
    return Told("a", status, T0 + round(at_s * S), 1, view)


@pytest.mark.parametrize(
    ("now", "before", "status", "outcome"),
    [
        (alert(), None, "firing", "send"),
        (alert(state=HELD), None, "firing", "send"),
        (alert(), told(alert()), None, ""),
        (alert(starts_s=9), told(alert()), "firing", "send"),
        (alert(ladder=True, severity="critical"), told(alert(ladder=True, severity="warning")), "escalated", "send"),
        (alert(ladder=True, severity="info"), told(alert(ladder=True, severity="warning")), "deescalated", "send"),
        (alert(), told(alert(state=HELD), "held"), "firing", "send"),
        (alert(state=HELD), told(alert(state=HELD), "held"), None, ""),
        (alert(state=HELD), told(alert()), None, ""),
        (alert(state=RESOLVED), told(alert()), "resolved", "send"),
        (alert(state=RESOLVED), None, None, "unannounced"),
    ],
)
def test_only_what_differs_from_what_was_told_is_news(
    now: AlertView, before: Told | None, status: str | None, outcome: str
) -> None:
    verdict = judge()[0].verdict(Case(SINK, now, judge()[2], before), T0 + 10 * S)
    assert (verdict.status, verdict.outcome) == (status, outcome)


def test_an_end_is_told_to_a_digest_that_has_yet_to_tell_the_beginning() -> None:
    deciding, _, route = judge()
    assert deciding.verdict(Case(SINK, alert(state=RESOLVED), route, waits=True), T0).status == "resolved"


def test_held_is_told_when_it_has_lasted_and_is_looked_at_again_then() -> None:
    deciding, _, route = judge()
    case = Case(SINK, alert(state=HELD), route, told(alert()))
    due_ns = T0 + route.held_after_ns
    assert deciding.verdict(case, due_ns - 1).again_ns == due_ns
    assert deciding.verdict(case, due_ns).status == "held"


def test_an_acknowledgement_puts_off_the_repeat_and_reminds_when_it_ends() -> None:
    deciding, quiet, route = judge()
    view = alert()
    repeat_ns = T0 + route.repeat_interval_ns
    until_ns = repeat_ns + 5 * S
    case = Case(SINK, view, route, told(view))
    assert deciding.verdict(case, repeat_ns).status == "repeat"
    quiet.acknowledge(Acknowledgement(view.fingerprint, view.starts_at_ns, "ann", T0, until_ns, ""))
    assert deciding.verdict(case, repeat_ns).again_ns == until_ns
    reminder = deciding.verdict(case, until_ns)
    assert (reminder.status, reminder.reason) == (
        "repeat",
        "the acknowledgement by ann has expired and it still fires",
    )


def test_a_sink_that_takes_only_the_worse_hears_that_it_became_milder() -> None:
    deciding, _, route = judge()
    sink = replace(SINK, min_severity="critical")
    mild = alert(ladder=True, severity="warning")
    before = told(alert(ladder=True, severity="critical"))
    assert deciding.verdict(Case(sink, mild, route), T0).outcome == "below_severity"
    assert deciding.verdict(Case(sink, mild, route, before), T0).status == "deescalated"
    assert deciding.verdict(Case(sink, mild, route), T0).again_ns == NEVER, "time alone changes nothing"
