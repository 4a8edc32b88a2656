"""The rule pack over the synthetic sell-off: what fires, and when; every signal has a value; the totals are the timeline's."""

from __future__ import annotations

import pytest

from monitor.testing.scenario.curves import HOUR_NS, at
from monitor.testing.storm import Played
from monitor.testing.storm_hours import HOURS, SILENT

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("november")]


@pytest.mark.parametrize(("hour", "rule"), [(hour, rule) for hour, _, rules in HOURS for rule in rules])
def test_the_pack_fires_in_the_hour_of_the_timeline(played: Played, hour: str, rule: str) -> None:
    assert rule in played.fired
    begins_ns = at(f"2025-11-{hour}:00")
    assert begins_ns <= played.fired[rule] < begins_ns + HOUR_NS


def test_what_did_not_happen_does_not_fire(played: Played, pack: set[str]) -> None:
    named = {rule for _, _, rules in HOURS for rule in rules}
    assert set(played.fired) == named
    assert pack == named | set(SILENT), "say of every rule of the pack when it fires, or why not"
    assert not named & set(SILENT)


def test_what_must_hold_for_some_time_is_pending_before_it_fires(played: Played) -> None:
    waited = {rule for rule in played.pending if played.fired.get(rule, 0) > played.pending[rule]}
    assert {"AccountsNetShort", "PerpBelowIndex", "DepthThin", "MajorsMoveAsOne"} <= waited
    assert set(played.pending) - set(played.fired) == {"FundingNegativeFor8h"}


def test_what_is_held_for_want_of_history_was_true(played: Played) -> None:
    assert set(played.first_true) - set(played.fired) - set(played.pending) == {"EtfOutflowRecord"}


def test_every_signal_has_a_value(played: Played) -> None:
    assert len(played.at_noon) == 37
    assert {row.signal.id: row.absent for row in played.at_noon if row.absent} == {}
