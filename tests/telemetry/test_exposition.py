import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor.telemetry.exposition import (
    ColumnFamily,
    MetricSpec,
    histogram_family,
    label_name,
    labelled_family,
    number_text,
    render_openmetrics,
    render_text,
    simple_family,
)
from monitor.telemetry.latency import LatencyHistogram

GAUGE = MetricSpec("depth_usd", "gauge", "Depth.", ("venue", "symbol"))
LABEL = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=12,
)


@given(LABEL, st.floats(allow_nan=False))
def test_any_label_value_and_number_survive_the_round_trip(label: str, value: float) -> None:
    text = render_text([simple_family(GAUGE, [((label, "x"), value)])]).decode()
    [family] = parse_text(text)
    [sample] = family.samples
    assert sample.labels == {"venue": label, "symbol": "x"}
    assert sample.value == value


def test_missing_is_left_out_and_never_zero() -> None:
    family = simple_family(GAUGE, [(("a", "x"), float("nan")), (("b", "x"), 0.0)])
    assert list(family.lines) == ['depth_usd{venue="b",symbol="x"} 0']


def test_numbers_are_whole_where_they_are() -> None:
    assert [number_text(value) for value in (3.0, 0.1, -0.0, 1e300, float("inf"), float("-inf"), float("nan"), True)] == [
        "3", "0.1", "0", "1e300", "+Inf", "-Inf", "NaN", "1",
    ]  # fmt: skip


def test_label_names_of_rules_are_made_safe() -> None:
    assert [label_name(name) for name in ("base", "25d", "a-b", "", "é")] == ["base", "_25d", "a_b", "_", "_"]
    family = labelled_family(GAUGE, [({"bad-name": "1"}, 2.0)])
    assert list(family.lines) == ['depth_usd{bad_name="1"} 2']


@given(
    st.lists(
        st.lists(st.one_of(st.floats(allow_infinity=False), st.integers(-(10**14), 10**14).map(float)), max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_keeping_lines_gives_what_writing_them_anew_gives(columns: list[list[float]]) -> None:
    kept = ColumnFamily(GAUGE)
    length = 0
    for column in columns:
        length = max(length, len(column))
        padded = column + [float("nan")] * (length - len(column))
        keys = [("v", str(row)) for row in range(length)]
        fresh = simple_family(GAUGE, zip(keys, padded, strict=True))
        family = kept.update(keys, np.array(padded, dtype=np.float64))
        assert render_text([family]) == render_text([fresh])


def test_a_histogram_is_cumulative_and_carries_exemplars_in_openmetrics_only() -> None:
    histogram = LatencyHistogram()
    histogram.observe(12_000)
    histogram.observe_exemplar(2_000_000, {"rule": "r"})
    spec = MetricSpec("latency_seconds", "histogram", "Latency.", ("stage",))
    family = histogram_family(spec, [(("total",), histogram)])
    [parsed] = parse_openmetrics(render_openmetrics([family]).decode())  # type: ignore[no-untyped-call]
    by_bound = {sample.labels["le"]: sample for sample in parsed.samples if sample.name.endswith("_bucket")}
    assert by_bound["1.5e-05"].value == 1
    assert by_bound["+Inf"].value == 2
    exemplar = by_bound["0.002"].exemplar
    assert exemplar is not None
    assert (exemplar.labels, exemplar.value) == ({"rule": "r"}, 0.002)
    assert b"# {" not in render_text([family])


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_a_column_is_written_as_its_numbers_are_one_by_one(numbers: list[float]) -> None:
    keys = [("okx", str(row)) for row in range(len(numbers))]
    text = render_text([ColumnFamily(GAUGE).update(keys, np.array(numbers))]).decode()
    found = {sample.labels["symbol"]: sample.value for family in parse_text(text) for sample in family.samples}
    assert found == {str(row): value for row, value in enumerate(numbers) if not math.isnan(value)}
