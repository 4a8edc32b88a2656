"""Panels with our habits: every one has a title, a description, a unit, a shown legend and the dashboard's data source.

The SDK leaves legends hidden, colour modes unset and panel ids missing; the functions here set them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, VIOLET, GREY = "green", "orange", "red", "purple", "text"
USD, RATIO, SECONDS, PER_SECOND, COUNT, BYTES = "currencyUSD", "percentunit", "s", "cps", "short", "bytes"
Builder = Any
"""The SDK's panel builders share no typed base with the setters that are used here."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are named."""

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False


def _target(query: Query, position: int, *, as_table: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(SOURCE).expr(query.expr).legend_format(query.legend or "__auto")
    target = target.ref_id(chr(ord("A") + position))
    if query.exemplars:
        target = target.exemplar(True)
    if as_table:
        target = target.format(queries.PromQueryFormat.TABLE)
    return target.instant() if query.instant else target.range()


def steps(*pairs: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Thresholds: (from value, colour); the first pair's value is None."""
    marks = [models.Threshold(value=value, color=color) for value, color in pairs]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(marks)


def _common(  # noqa: PLR0917 - what every panel needs
    panel: Builder, title: str, description: str, unit: str, queries_: Sequence[Query], size: tuple[int, int],
    *, as_table: bool = False,
) -> Builder:  # fmt: skip
    panel = panel.title(title).description(description).unit(unit).datasource(SOURCE).span(size[0]).height(size[1])
    for position, query in enumerate(queries_):
        panel = panel.with_target(_target(query, position, as_table=as_table))
    return panel


def _legend(calcs: Sequence[str] = ("lastNotNull",)) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).display_mode(kinds.LegendDisplayMode.LIST)
    return legend.placement(kinds.LegendPlacement.BOTTOM).calcs(list(calcs))


def lines(title: str, description: str, unit: str, *exprs: Query, size: tuple[int, int] = (12, 8), marks: dashboard.ThresholdsConfig | None = None, stack: bool = False, low: float | None = None, decimals: int | None = None) -> Builder:  # fmt: skip
    """Lines over time; `marks` are drawn across as thresholds, `decimals` where Grafana's own choice hides small shares."""
    panel = _common(timeseries.Panel(), title, description, unit, exprs, size)
    panel = panel.legend(_legend()).line_width(1).fill_opacity(8).show_points(kinds.VisibilityMode.NEVER)
    panel = panel.tooltip(
        common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    )
    panel = panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    if decimals is not None:
        panel = panel.decimals(decimals)
    if marks:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(marks).thresholds_style(style)
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL)).fill_opacity(30)
    return panel.min(low) if low is not None else panel


def number(title: str, description: str, unit: str, expr: str, *, marks: dashboard.ThresholdsConfig | None = None, size: tuple[int, int] = (4, 5), words: Sequence[tuple[float, str, str]] = ()) -> Builder:  # fmt: skip
    """One large number with its recent course behind it; or, where it stands for something, a word."""
    panel = _common(stat.Panel(), title, description, unit, [Query(expr)], size)
    if words:
        panel = panel.mappings([_mapping(words)])
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).graph_mode(
        kinds.BigValueGraphMode.AREA
    )
    panel = panel.color_mode(kinds.BigValueColorMode.VALUE).color_scheme(
        dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
    )
    return panel.thresholds(marks or steps((None, GREY)))


def _mapping(words: Sequence[tuple[float, str, str]]) -> models.ValueMap:
    """A word and a colour in place of a number: (value, word, colour)."""
    return models.ValueMap(
        options={str(int(value)): models.ValueMappingResult(text=word, color=color) for value, word, color in words}
    )


def states(title: str, description: str, expr: Query, words: Sequence[tuple[float, str, str]], *, size: tuple[int, int] = (12, 8)) -> Builder:  # fmt: skip
    """A band per series, coloured and named by value: (value, word, colour)."""
    panel = _common(statetimeline.Panel(), title, description, "none", [expr], size)
    panel = panel.mappings([_mapping(words)]).legend(_legend(())).show_value(kinds.VisibilityMode.NEVER).row_height(0.8)
    return panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)).thresholds(
        steps((None, GREY), *((value, color) for value, _, color in words))
    )


def bands(title: str, description: str, unit: str, expr: Query, marks: dashboard.ThresholdsConfig, *, size: tuple[int, int] = (12, 8)) -> Builder:  # fmt: skip
    """A heat map by series: a band per series, coloured by threshold."""
    panel = _common(statetimeline.Panel(), title, description, unit, [expr], size)
    panel = (
        panel.legend(_legend(())).show_value(kinds.VisibilityMode.NEVER).row_height(0.9).merge_values(True).decimals(4)
    )
    return panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)).thresholds(marks)


def rows(title: str, description: str, unit: str, *exprs: Query, size: tuple[int, int] = (12, 8), hide: Sequence[str] = (), order: Sequence[str] = ()) -> Builder:  # fmt: skip
    """A table of the newest values, columns in `order`; Prometheus' own labels are left out."""
    panel = _common(table.Panel(), title, description, unit, exprs, size, as_table=True)
    hidden = {"Time": True, "__name__": True, "instance": True, "job": True, **dict.fromkeys(hide, True)}
    options = {
        "excludeByName": hidden,
        "indexByName": {name: place for place, name in enumerate(order)},
        "renameByName": {},
    }
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options)).show_header(True)


def buckets(title: str, description: str, unit: str, expr: str, *, size: tuple[int, int] = (12, 8)) -> Builder:
    """A heat map of a histogram."""
    query = prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format("{{le}}").ref_id("A").range()
    query = query.format(queries.PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .span(size[0])
        .height(size[1])
    )
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64).reverse(False)
    return panel.with_target(query).show_legend().color(color).y_axis(heatmap.YAxisConfig().unit(unit))


class RawPanel:
    """A panel type that the SDK has no builder for."""

    def __init__(self, kind: str, title: str, description: str, options: dict[str, Any], size: tuple[int, int]) -> None:
        self._panel = models.Panel(
            type_val=kind, title=title, description=description, options=options,
            grid_pos=models.GridPos(w=size[0], h=size[1], x=0, y=0), transparent=False,
        )  # fmt: skip

    def build(self) -> models.Panel:
        """As the SDK's builders do."""
        return self._panel
