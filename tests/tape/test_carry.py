"""What a new file repeats: what still holds, and nothing of a program that is gone."""

from __future__ import annotations

from monitor.tape import course
from monitor.tape.carry import Carry


def test_a_program_that_starts_has_no_link_of_the_one_that_was_killed() -> None:
    carry = Carry()
    carry.hear((1, course.START, "config", "{}", False))
    carry.hear((2, "toy/metadata/0/all", "rest", b"[]", False))
    carry.hear((3, "toy/0#1", "connect", "{}", False))
    carry.hear((4, course.RELOAD, "config", '{"digest":"b"}', False))
    kept = carry.records()
    assert [record.name for record in kept] == [course.RELOAD, "toy/metadata/0/all", "toy/0#1"]
    assert all(record.carried for record in kept)
    carry.hear((5, course.START, "config", "{}", False))
    assert [record.name for record in carry.records()] == [course.START]


def test_steps_and_what_people_did_are_over_once_they_are_done() -> None:
    carry = Carry()
    for name, kind in ((course.TURN, "turn"), (course.HEARD, "events"), (course.ACT, "act"), (course.TOLD, "memory")):
        carry.hear((1, name, kind, "", False))
    assert carry.records() == []
