"""Where every way in ends: what is taken, counted, kept for the next run, and read by a rule."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from monitor.engine import Engine
from monitor.events import Sample
from monitor.inlets.door import Door
from monitor.inlets.journal import Journal
from monitor.inlets.payloads import MAX_ROWS
from monitor.language.rules import load_rules
from monitor.reading import TRUE

S = 10**9
NOW = 1_763_700_000 * S
GOOD = {"name": "spx", "value": 6538.76, "ts": "2025-11-20T21:00:00Z", "unit": "price", "source": "desk"}


async def test_the_door_counts_by_way_and_reason() -> None:
    passed: list[Sample] = []
    door = Door(passed.extend)
    taken, refused = await door.take("http", json.dumps([GOOD, {**GOOD, "value": "x"}]).encode(), "json", NOW)
    assert (taken, [r.reason for r in refused]) == (1, ["bad_value"])
    assert len(passed) == 1
    assert door.taken == {"http": 1}
    assert door.refused == {("http", "bad_value"): 1}
    assert door.last_ns == NOW


async def test_the_pages_series_of_ones_own_takes_a_line_and_its_rule_another() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "inlet.md").read_text(encoding="utf-8")
    section = page.partition("## A series of your own, in a line")[2]
    (rows,), (rule,) = (
        re.findall(rf"```{kind}\n(.*?)```", section.partition("\n## ")[0], re.DOTALL) for kind in ("csv", "yaml")
    )
    assert len(rows.splitlines()) == 2
    passed: list[Sample] = []
    now_ns = NOW + 4 * 3600 * S
    taken, refused = await Door(passed.extend).take("folder", rows.encode(), "csv", now_ns, "file")
    assert (taken, refused) == (1, [])
    engine = Engine(load_rules([("desk.yaml", rule)]))
    engine.ingest(passed)
    (evaluation,) = engine.evaluate(now_ns)
    assert evaluation.truth.tolist() == [TRUE]
    assert dict(evaluation.labels[0]) == {"name": "desk_stress", "source": "risk desk"}
    assert evaluation.value.tolist() == [7.4]


async def test_a_correction_may_come_another_way_and_replaces_the_value_in_the_rule() -> None:
    passed: list[Sample] = []
    door = Door(passed.extend)
    engine = Engine(
        load_rules([("r.yaml", "groups: [{name: g, rules: [{alert: Low, expr: 'external{name=\"spx\"} < 6500'}]}]")])
    )
    for way, value, revision, taken in (("http", 6400.0, 0, 1), ("mqtt", 6600.0, 0, 0), ("folder", 6600.0, 1, 1)):
        row = json.dumps({**GOOD, "value": value, "revision": revision}).encode()
        assert (await door.take(way, row, "json", NOW))[0] == taken
    assert door.refused == {("mqtt", "old_revision"): 1}
    engine.ingest(passed)
    assert engine.evaluate(NOW)[0].value.tolist() == [6600.0]


def row(value: float, revision: int = 0, name: str = "spx") -> bytes:
    return json.dumps({**GOOD, "name": name, "value": value, "revision": revision}).encode()


async def test_a_restart_knows_what_was_taken_and_a_correction_outlives_the_file_it_corrects(tmp_path: Path) -> None:
    first = Door(lambda _samples: None, Journal(tmp_path / "inlet.jsonl"))
    await first.take("folder", row(6400.0), "json", NOW)
    await first.take("http", row(6600.0, 1), "json", NOW)
    with (tmp_path / "inlet.jsonl").open("ab") as file:
        file.write(b'{"name": "spx", "val')  # the process was killed here

    passed: list[Sample] = []
    second = Door(passed.extend, Journal(tmp_path / "inlet.jsonl"))
    await second.pass_on(second.recall(NOW + S))
    assert [sample.value for sample in passed] == [6400.0, 6600.0]
    taken, refused = await second.take("folder", row(6400.0), "json", NOW + S)  # the folder is read anew
    assert (taken, [refusal.reason for refusal in refused]) == (0, ["old_revision"])
    assert second.taken == {"folder": 0}


async def test_a_full_journal_makes_room_and_forgets_only_the_oldest(tmp_path: Path) -> None:
    door = Door(lambda _samples: None, Journal(tmp_path / "inlet.jsonl", full_bytes=300))
    for number in range(12):
        await door.take("http", row(1.0, name=f"n{number}"), "json", NOW)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(sizes) < 600
    names = [
        dict(kept.sample.labels)["name"]
        for kept in Door(lambda _samples: None, Journal(tmp_path / "inlet.jsonl")).recall(NOW)
    ]
    assert names == [f"n{number}" for number in range(12 - len(names), 12)]
    assert len(names) >= 3


async def test_a_disk_that_refuses_is_counted_and_the_value_is_taken(tmp_path: Path) -> None:
    passed: list[Sample] = []
    door = Door(passed.extend, Journal(tmp_path / "no such folder" / "inlet.jsonl"))
    assert (await door.take("http", row(1.0), "json", NOW))[0] == 1
    assert (len(passed), door.unkept) == (1, 1)


@pytest.mark.parametrize("kind", ["json", "csv"])
async def test_a_large_payload_is_passed_on_in_pieces_that_leave_the_engine_its_turns(kind: str) -> None:
    pieces: list[int] = []
    door = Door(lambda samples: pieces.append(len(samples)))
    rows = [{"name": "spx", "value": n, "ts": NOW // S - n} for n in range(2500)]
    text = "name,value,ts\n" + "".join(f"spx,{row['value']},{row['ts']}\n" for row in rows)
    await door.take("http", (json.dumps(rows) if kind == "json" else text).encode(), kind, NOW)
    assert pieces == [100] * 25


async def test_a_hundred_thousand_rows_never_hold_the_engine_up(tmp_path: Path) -> None:
    """Taken in and kept at once, they had held the event loop for 1.6 s; a turn's own time is what is looked at."""
    text = "name,value,ts\n" + "".join(f"s{n % 50},{n},{NOW // S - n}\n" for n in range(MAX_ROWS))
    passed: list[Sample] = []
    door = Door(passed.extend, Journal(tmp_path / "inlet.jsonl"))
    task = asyncio.create_task(door.take("http", text.encode(), "csv", NOW))
    longest_s = 0.0
    while not task.done():
        before_s = time.thread_time()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.thread_time() - before_s)
    assert (await task, len(passed)) == ((MAX_ROWS, []), MAX_ROWS)
    assert [sample.ts_ns for sample in passed] == sorted(sample.ts_ns for sample in passed)
    assert longest_s < 0.25


async def test_one_row_too_many_and_none_is_taken() -> None:
    door = Door(lambda _samples: None)
    text = "name,value,ts\n" + "spx,1,1763672400\n" * (MAX_ROWS + 1)
    taken, refused = await door.take("http", text.encode(), "csv", NOW)
    assert (taken, [(refusal.number, refusal.reason) for refusal in refused]) == (0, [(0, "too_large")])
    assert door.refused == {("http", "too_large"): 1}


async def test_rows_are_numbered_over_all_pieces_and_revisions_ordered_over_them() -> None:
    rows: list[object] = [{**GOOD, "ts": NOW // S - n, "value": "x" if n == 250 else n} for n in range(300)]
    rows += [
        {**GOOD, "ts": NOW // S - 5, "value": 7.0, "revision": 2},
        {**GOOD, "ts": NOW // S - 5, "value": 6.0, "revision": 1},
    ]
    passed: list[Sample] = []
    taken, refused = await Door(passed.extend).take("http", json.dumps(rows).encode(), "json", NOW)
    assert (taken, [refusal.number for refusal in refused]) == (301, [251])
    assert [sample.value for sample in passed if sample.ts_ns == NOW - 5 * S] == [5.0, 6.0, 7.0]
