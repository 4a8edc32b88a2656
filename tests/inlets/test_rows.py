"""The inlet's rows: every documented form is read, each bad row is refused by itself with a reason."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events import Sample
from monitor.inlets.rows import SCHEMA, Revisions, read_payload, written

S = 10**9
NOW = 1_763_700_000 * S
GOOD = {"name": "spx", "value": 6538.76, "ts": 1_763_672_400, "unit": "price", "source": "desk"}


def one(**changes: Any) -> tuple[Sample | None, str]:
    reading = read_payload(json.dumps({**GOOD, **changes}).encode(), "json", NOW)
    if reading.refused:
        return None, reading.refused[0].reason
    return reading.rows[0].sample, ""


def test_a_name_of_ones_own_is_an_external_series_with_its_source() -> None:
    sample, _ = one()
    assert sample == Sample(
        "external", (("name", "spx"), ("source", "desk")), 6538.76, 1_763_672_400 * S, NOW, "desk", backfill=True
    )


def test_a_series_with_labels_goes_to_that_series() -> None:
    sample, reason = one(name='etf_flow{asset="BTC", fund="IBIT"}', value="-523e6", unit="USD")
    assert reason == ""
    assert sample is not None
    assert (sample.series, sample.labels, sample.value) == ("etf_flow", (("asset", "BTC"), ("fund", "IBIT")), -523e6)
    total, _ = one(name='etf_flow{asset="BTC"}', unit="USD")
    assert total is not None
    assert dict(total.labels) == {"asset": "BTC", "fund": "total"}


@pytest.mark.parametrize(
    "ts",
    [1_763_672_400, 1_763_672_400_000, 1_763_672_400_000_000, 1_763_672_400 * S, "1763672400", "2025-11-20T21:00:00Z",
     "2025-11-20T22:00:00+01:00"],
)  # fmt: skip
def test_times_in_every_documented_form(ts: Any) -> None:
    sample, _ = one(ts=ts)
    assert sample is not None
    assert sample.ts_ns == 1_763_672_400 * S


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": None}, "missing_field"),
        ({"value": "abc"}, "bad_value"),
        ({"value": "nan"}, "bad_value"),
        ({"value": True}, "bad_value"),
        ({"ts": "2025-11-20T21:00:00"}, "bad_time"),
        ({"ts": 1_763_800_000}, "bad_time"),
        ({"ts": 12}, "bad_time"),
        ({"ts": 1e300}, "bad_time"),
        ({"name": "two words"}, "bad_name"),
        ({"name": 'spx{a="b"}'}, "unknown_series"),
        ({"name": 'price{base="BTC"}'}, "not_yours"),
        ({"name": "liquidations"}, "not_yours"),
        ({"name": 'etf_flow{fnd="x"}', "unit": "USD"}, "bad_labels"),
        ({"name": "etf_flow{asset=BTC}", "unit": "USD"}, "bad_labels"),
        ({"name": 'etf_flow{asset="BTC"}', "unit": "ratio"}, "bad_unit"),
        ({"unit": "euros"}, "bad_unit"),
        ({"revision": -1}, "bad_revision"),
        ({"source": "x" * 101}, "bad_source"),
        ({"valeu": 1}, "unknown_field"),
    ],
)
def test_a_bad_row_says_why(changes: dict[str, Any], reason: str) -> None:
    assert one(**changes) == (None, reason)


def test_good_rows_are_kept_beside_bad_ones_in_every_format() -> None:
    bad = {**GOOD, "name": "two words"}
    lines = "\n".join(json.dumps(row) for row in (GOOD, bad, GOOD)) + "\nnot json\n"
    header = "name,value,ts,unit,source"
    table = f"{header}\nspx,6538.76,1763672400,price,desk\ntwo words,1,1763672400,,\ngold,4077.5,1763672400,,"
    parquet = io.BytesIO()
    when = datetime(2025, 11, 20, 21, tzinfo=UTC)
    pl.DataFrame({"name": ["spx", "two words"], "value": [6538.76, 1.0], "ts": [when, when]}).write_parquet(parquet)
    for payload, kind, good, refused in (
        (lines.encode(), "json", 2, [2, 4]),
        (json.dumps([GOOD, bad]).encode(), "json", 1, [2]),
        (table.encode(), "csv", 2, [2]),
        (parquet.getvalue(), "parquet", 1, [2]),
    ):
        reading = read_payload(payload, kind, NOW)
        assert len(reading.rows) == good
        assert [refusal.number for refusal in reading.refused] == refused
        assert reading.rows[0].sample.ts_ns == 1_763_672_400 * S


@pytest.mark.parametrize(
    ("payload", "kind"), [(b"PAR1 no", "parquet"), (b"\xff\xfe", "csv"), (b"a,b\n1,2\n", "csv"), (b"[1,", "json"), (b"x" * 9_000_000, "json")]
)  # fmt: skip
def test_an_unreadable_payload_is_one_refusal(payload: bytes, kind: str) -> None:
    reading = read_payload(payload, kind, NOW)
    assert reading.rows == ()
    assert [refusal.number for refusal in reading.refused] == [0]


@given(payload=st.binary(max_size=200), kind=st.sampled_from(["json", "csv", "parquet"]))
def test_no_bytes_raise(payload: bytes, kind: str) -> None:
    read_payload(payload, kind, NOW)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=3)))
def test_no_value_or_time_raises(value: Any) -> None:
    for field in ("value", "ts", "name", "revision", "unit", "source"):
        read_payload(json.dumps([{**GOOD, field: value}]).encode(), "json", NOW)


HEAD = "name,value,ts,source\n"
AT = "2025-11-20T21:00:00Z"
DAMAGED = {
    "a byte that is no UTF-8": HEAD.encode()
    + f"a,1,{AT},x\nb,2,{AT},d".encode()
    + b"\xe9sk\n"
    + f"c,3,{AT},x\n".encode(),
    "text after a closing quote": f'{HEAD}a,1,{AT},x\nb,2,{AT},"d"esk\nc,3,{AT},x\n'.encode(),
    "a field without end": f"{HEAD}a,1,{AT},x\n{'b' * 200_000},2,{AT},x\nc,3,{AT},x\n".encode(),
    "a line break in a text": f'{HEAD}a,1,{AT},x\nb,2,{AT},"two\nlines"\nc,3,{AT},x\n'.encode(),
    "a NUL": f"{HEAD}a,1,{AT},x\nb\0,2,{AT},x\nc,3,{AT},x\n".encode(),
    "a mark of the byte order, and a terminal's escape": f"\ufeff{HEAD}a,1,{AT},x\nb,2,{AT},\x1b[2Jx\nc,3,{AT},x\n".encode(),
    "an underscore in a number": f"{HEAD}a,1,{AT},x\nb,1_000,{AT},x\nc,3,{AT},x\n".encode(),
    "a digit of another script": f"{HEAD}a,1,{AT},x\nb,\u0661,{AT},x\nc,3,{AT},x\n".encode(),
    "a time beyond all floats": f"{HEAD}a,1,{AT},x\nb,2,{'9' * 400},x\nc,3,{AT},x\n".encode(),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_row_of_a_csv_costs_itself_alone(damage: str) -> None:
    reading = read_payload(DAMAGED[damage], "csv", NOW)
    assert [dict(row.sample.labels)["name"] for row in reading.rows] == ["a", "c"]
    assert [refusal.number for refusal in reading.refused] == [2]
    assert "\x1b" not in reading.refused[0].detail


def test_a_quote_that_is_never_closed_takes_what_follows_and_nothing_before() -> None:
    reading = read_payload(f'{HEAD}a,1,{AT},x\nb,2,{AT},"open\nc,3,{AT},x\n'.encode(), "csv", NOW)
    assert [dict(row.sample.labels)["name"] for row in reading.rows] == ["a"]
    assert [(refusal.number, refusal.reason) for refusal in reading.refused] == [(2, "malformed")]


@pytest.mark.parametrize(
    "payload", ["\ufeff" + json.dumps(GOOD), json.dumps(GOOD, indent=2), json.dumps([GOOD], indent=2)]
)
def test_json_as_editors_and_tools_write_it(payload: str) -> None:
    assert len(read_payload(payload.encode(), "json", NOW).rows) == 1


def test_a_column_twice_is_no_table() -> None:
    (refusal,) = read_payload(b"name,value,ts,value\nspx,1,1763672400,2\n", "csv", NOW).refused
    assert (refusal.number, refusal.detail) == (0, "the header has value twice")


def test_what_is_worked_out_here_and_what_cannot_be_is_not_taken() -> None:
    names = {
        'streak{name="x", source="y"}': "not_yours",
        'band_correlation{band="1-10"}': "not_yours",
        'price_peak{base="BTC"}': "not_yours",
        'market_cap{asset="total"}': "bad_value",
        'tvl{name="x"}': "bad_value",
        'etf_flow{asset="BTC"}': "",
        "spx": "",
    }
    for name, reason in names.items():
        reading = read_payload(json.dumps({"name": name, "value": -1, "ts": AT}).encode(), "json", NOW)
        assert [refusal.reason for refusal in reading.refused] == ([reason] if reason else []), name


def test_parquet_of_decimals_is_read_and_of_endless_texts_refused() -> None:
    frame = pl.DataFrame(
        {"name": ["a", "b"], "value": ["1.5", "2.5"], "ts": [1763672400] * 2, "source": ["x", "y" * 10_000_000]}
    )
    buffer = io.BytesIO()
    frame.with_columns(pl.col("value").cast(pl.Decimal(10, 2))).write_parquet(buffer)
    reading = read_payload(buffer.getvalue(), "parquet", NOW)
    assert [row.sample.value for row in reading.rows] == [1.5]
    assert [(refusal.number, refusal.reason) for refusal in reading.refused] == [(2, "bad_source")]


def test_a_higher_revision_replaces_and_the_same_row_again_is_silent() -> None:
    revisions = Revisions()

    def push(value: float, revision: int) -> tuple[list[float], list[str]]:
        row = {**GOOD, "value": value, "revision": revision}
        taken, refused = revisions.accept(read_payload(json.dumps(row).encode(), "json", NOW))
        return [row.sample.value for row in taken], [refusal.reason for refusal in refused]

    assert push(1.0, 0) == ([1.0], [])
    assert push(1.0, 0) == ([], [])
    assert revisions.repeats == 1
    assert push(2.0, 0) == ([], ["old_revision"])
    assert push(2.0, 1) == ([2.0], [])
    assert push(1.0, 0) == ([], ["old_revision"])


def test_the_schema_describes_the_rows() -> None:
    jsonschema.validate(GOOD, SCHEMA)
    for bad in ({**GOOD, "valeu": 1}, {"name": "x", "value": 1}, {**GOOD, "unit": "euros"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)


def test_a_name_of_ones_own_keeps_the_unit_that_it_was_first_given() -> None:
    revisions = Revisions()

    def push(unit: str, second: int) -> list[str]:
        row = {"name": "my_rate", "value": 1, "ts": NOW // S - second, "unit": unit}
        return [refusal.detail for refusal in revisions.accept(read_payload(json.dumps(row).encode(), "json", NOW))[1]]

    assert push("", 9) == []
    assert push("ratio", 8) == []
    assert push("price", 7) == ["my_rate was given in ratio, not price"]
    assert push("", 6) == []


def test_names_beyond_the_bound_are_refused_and_the_known_ones_go_on() -> None:
    revisions = Revisions(most=2)

    def push(name: str, second: int) -> list[str]:
        row = {"name": name, "value": 1, "ts": NOW // S - second}
        return [refusal.reason for refusal in revisions.accept(read_payload(json.dumps(row).encode(), "json", NOW))[1]]

    assert [push(name, 9) for name in ("a", "b", "c", "a", "d")] == [[], [], ["too_many_names"], [], ["too_many_names"]]
    assert push("b", 8) == []


def test_more_rows_than_are_taken_are_counted_before_they_are_unpacked(tmp_path: Path) -> None:
    pl.DataFrame({"name": ["spx"], "value": [1.0], "ts": [NOW]}).select(
        pl.all().repeat_by(3_000_000).explode()
    ).write_parquet(path := tmp_path / "many.parquet")
    assert path.stat().st_size < 100_000
    (refusal,) = read_payload(path.read_bytes(), "parquet", NOW).refused
    assert (refusal.reason, refusal.detail) == ("too_large", "3000000 rows; at most 100000")
    (refusal,) = read_payload(b"[" + b"1," * 100_001 + b"1]", "json", NOW).refused
    assert refusal.reason == "too_large"


@given(value=st.floats(allow_nan=False, allow_infinity=False), revision=st.integers(0, 99))
@pytest.mark.parametrize("name", ["spx", 'etf_flow{asset="BTC", fund="IBIT"}', "tvl", 'market_cap{asset="BTC"}'])
def test_a_row_that_is_written_out_is_read_as_the_same(name: str, value: float, revision: int) -> None:
    value = value if name in ("spx", 'etf_flow{asset="BTC", fund="IBIT"}') else abs(value)
    pushed = {**GOOD, "name": name, "value": value, "revision": revision, "unit": ""}
    (row,) = read_payload(json.dumps(pushed).encode(), "json", NOW).rows
    (again,) = read_payload(json.dumps(written(row)).encode(), "json", NOW).rows
    assert again == row
