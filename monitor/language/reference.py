"""The generated parts of ``docs/rules.md``: series and functions as Markdown. A test keeps the page fresh."""

from __future__ import annotations

from collections.abc import Callable

from monitor.format import duration
from monitor.language.functions import FUNCTIONS, Form, Labels, Signature
from monitor.language.template import FILTERS, NAMES
from monitor.series import SERIES, SeriesSpec, Unit

_SECTIONS = ("over time", "over labels", "crossing", "conditions")
_LABEL_RULES = {
    Labels.FOLD: "those of `by`; without it none",
    Labels.KEEP: "those of `by`, folded first; without it all",
    Labels.ALL: "all",
    Labels.MATCH: "those of the operator rule",
}
_FORMS = {
    Form.EVENTS: "events `x[w]`",
    Form.GAUGE: "gauge `x[w]`",
    Form.SAMPLES: "samples `e[w:s]`",
    Form.VECTOR: "numbers",
    Form.CONDITION: "condition",
}


def series_table() -> str:
    """Every built-in series."""
    lines = [
        "| series | kind | unit | labels | natural fold | missing after | what it is |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_series_row(spec) for spec in SERIES.values())])


def _series_row(spec: SeriesSpec) -> str:
    stale = "" if spec.form == "events" else "never" if spec.stale_s > 1e12 else duration(spec.stale_s * 1e9)
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    description = spec.description
    if spec.defaults:
        chosen = ", ".join(f'`{label}="{value}"`' for label, value in spec.defaults)
        description += f" Unless chosen or grouped: {chosen}."
    return f"| `{spec.name}` | {spec.form} | {spec.unit} | {labels} | {spec.fold} | {stale} | {description} |"


def function_reference() -> str:
    """Every function: what it takes and gives, formula, missing data, cost, an example."""
    parts = []
    for section in _SECTIONS:
        parts.append(f"### {section.capitalize()}")
        parts += [_function(signature) for signature in FUNCTIONS.values() if signature.group == section]
    return "\n\n".join(parts)


def _function(signature: Signature) -> str:
    takes = "; ".join(f"{_FORMS[form]} (labels: {_LABEL_RULES[rule]})" for form, rule in signature.accepts.items())
    return "\n".join(
        [
            f"#### `{_usage(signature)}`",
            "",
            signature.summary,
            "",
            f"- Takes: {takes}",
            f"- Gives: {_gives(signature)}",
            f"- Formula: {signature.formula}",
            f"- Missing data: {signature.missing}",
            f"- Cost: {signature.cost}",
            "",
            "```promql",
            signature.example,
            "```",
        ]
    )


def _usage(signature: Signature) -> str:
    leading = {"": (), "whole number": ("k",), "share": ("q",)}[signature.leading]
    trailing = {"": (), "same form": ("y",), "vector": ("w",), "vector or number": ("y",)}[signature.trailing]
    middle = ("a", "b", "...") if signature.is_node else ("x",)
    return f"{signature.name}({', '.join((*leading, *middle, *trailing))})"


def _gives(signature: Signature) -> str:
    if signature.gives_condition:
        return "a condition"
    return "the unit of its argument" if signature.unit == "same" else str(Unit(signature.unit))


def template_table() -> str:
    """Names and filters of templates."""
    names = [f"| `{name}` | {text} |" for name, text in NAMES.items()]
    examples = {"usd": 1.04e9, "pct": 0.0312, "price": 82010.5, "bp": 0.0025, "num": 412345.0}
    examples |= {"duration": 252e9, "time": 1_763_699_721e9}
    filters = [
        f"| `{name}` | {_plain(examples[name])} | `{apply(examples[name])}` |" for name, apply in FILTERS.items()
    ]
    return "\n".join(
        ["| name | what it is |", "|---|---|", *names, "", "| filter | of | gives |", "|---|---|---|", *filters]
    )


def _plain(number: float) -> str:
    """Without an exponent: a unix time in nanoseconds has nineteen digits."""
    return str(int(number)) if number.is_integer() else str(number)


GENERATED: dict[str, Callable[[], str]] = {
    "series": series_table,
    "functions": function_reference,
    "templates": template_table,
}
"""Marker in the page -> what stands between ``<!-- name -->`` and ``<!-- /name -->``."""


def refresh(page: str) -> str:
    """The page with every generated part as it is now."""
    for name, make in GENERATED.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}\n\n{make()}\n\n{end}{after}"
    return page
