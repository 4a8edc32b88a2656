"""Texts of labels and annotations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.language import ExpressionError
from monitor.language.template import FILTERS, NAMES, compile_template, render

VALUES = {
    "value": 1.04e9, "threshold": None, "coverage": 0.98, "lower_bound": True, "labels": {"base": "BTC"}, "state": "firing",
    "severity": "critical", "reason": "", "peak": 2e9, "duration": 252.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ value | usd }} liquidated ({{ coverage | pct }} live)", "1.04B liquidated (98% live)"),
        ("{{$labels.base}} {{ $value }} {{labels.base|usd}}", "BTC 1.04B n/a"),
        ("{{ threshold | usd }} {{ threshold }}", "n/a n/a"),
        ("{{ duration | duration }} {{ duration }} {{ severity }}{{ reason }}", "4m12s 4m12s critical"),
        ("{{ labels.venue }}|", "|"),
        ("no placeholder } here {", "no placeholder } here {"),
        ("{{ lower_bound }}", "True"),
        ("", ""),
    ],
)
def test_render(text: str, expected: str) -> None:
    assert render(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("x {{ valu }}", 5, "unknown name 'valu'"),
        ("{{ value | used }}", 11, "unknown filter 'used'"),
        ("{{ labels }}", 3, "labels needs the name of a label"),
        ("{{ labels.bse }}", 10, "no label 'bse'"),
        ("{{ value.real }}", 3, "value has no parts"),
        ("{{ value", 0, "'{{' is never closed"),
        ("{{ }}", 3, "a name is missing here"),
        ("{{ ''.join }}", 3, "\"''.join\" is neither a name nor a filter"),
        ("{{ value | usd | pct }}", 0, "one filter is enough"),
        ("{{ labels.__class__.x }}", 3, "'labels.__class__.x' is neither a name nor a filter"),
    ],
)
def test_refused_with_a_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(text, ["base"])
    (problem,) = caught.value.problems
    assert (problem.offset, problem.message) == (offset, message)


def test_every_name_renders_with_every_filter() -> None:
    for name in NAMES:
        for name_filter in FILTERS:
            label = ".base" if name == "labels" else ""
            assert render(f"{{{{ {name}{label} | {name_filter} }}}}", VALUES)


@given(st.text(st.sampled_from("{}|$. valuebspct\n'x"), max_size=40))
def test_any_text_renders_or_is_refused(text: str) -> None:
    try:
        template = compile_template(text)
    except ExpressionError as error:
        found = error.problems
    else:
        assert isinstance(template.render(VALUES), str)
        return
    assert found
    assert all(0 <= problem.offset <= len(text) for problem in found)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{{ value | pct }}, beyond {{ threshold | pct }}", {"value": -0.12041, "threshold": -0.12}, "-12.04%, beyond -12%"),
        ("{{ value | pct }}, beyond {{ threshold | pct }}", {"value": -0.31, "threshold": -0.12}, "-31%, beyond -12%"),
        ("{{ value | usd }} over {{ threshold | usd }}", {"value": 1_000_400_000.0, "threshold": 1e9}, "1.0004B over 1B"),
        ("{{ value | price }} under {{ threshold | price }}", {"value": 81_999.998, "threshold": 82e3}, "81,999.998 under 82,000.000"),
        ("{{ value | num }} of {{ threshold | num }}", {"value": 4.0, "threshold": 4.0}, "4 of 4"),
        ("{{ value | num }} of {{ threshold | num }}", {"value": None, "threshold": 4.0}, "n/a of 4"),
        ("{{ value | pct }} {{ threshold | pct }} {{ coverage | pct }}", {"value": 0.10004, "threshold": 0.1, "coverage": 0.98765}, "10.004% 10% 98.8%"),
        ("{{ value | pct }} of {{ threshold | num }}", {"value": 0.10004, "threshold": 0.1}, "10% of 0.1"),
    ],
)  # fmt: skip
def test_a_value_beside_its_threshold_shows_how_they_differ(
    text: str, values: dict[str, float | None], expected: str
) -> None:
    assert render(text, values) == expected
