"""Every function of the language in one table: what it takes, what it gives, and its line of the reference.

The engine registers an implementation under each name; a test holds the two tables together. ``docs/rules.md`` is
generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from monitor.series import Unit


class Form(StrEnum):
    """What an argument can be; the values are the words of error messages."""

    EVENTS = "a window of events, like liquidations[1h]"
    GAUGE = "a window of a gauge, like price[1h]"
    SAMPLES = "a sampled window, like price[7d:5m]"
    VECTOR = "a number per label set, like open_interest"
    CONDITION = "a condition, like funding < 0"


class Labels(StrEnum):
    """Which labels the result carries."""

    FOLD = "fold"
    """Those of ``by``; without ``by`` none: one number."""
    KEEP = "keep"
    """Those of ``by``, folded by the natural fold before the function is applied; without ``by`` all of them."""
    ALL = "all"
    """All of the argument's; ``by`` only says within which groups to look."""
    MATCH = "match"
    """As an operator between the two arguments would give; ``by`` is not taken."""


ResultUnit = Literal["same"] | Unit
Leading = Literal["", "whole number", "share"]
Trailing = Literal["", "same form", "vector", "vector or number"]


@dataclass(frozen=True, slots=True)
class Signature:
    """A function.

    Attributes:
        name: The word in rules.
        group: Section of the reference.
        accepts: For each accepted form of the main argument, what happens to its labels.
        unit: Unit of the result, or ``same`` as the main argument.
        form_units: Units that differ for one form.
        leading: A literal before the main argument: ``topk(3, ...)``, ``quantile(95%, ...)``.
        trailing: An argument after it.
        takes_units: Units of the main argument that make sense; empty: all.
        gives_condition: Whether the result is a condition.
        is_node: Whether the tree has a node of its own for it (``k_of``), so that no implementation has its name.
        summary: What it is, in a sentence.
        formula: How it is computed.
        missing: What it does with missing data.
        cost: What it costs per evaluation and in memory.
        example: A condition that loads; a test runs it.
    """

    name: str
    group: Literal["over time", "over labels", "crossing", "conditions"]
    accepts: Mapping[Form, Labels]
    summary: str
    formula: str
    missing: str
    cost: str
    example: str
    unit: ResultUnit = "same"
    form_units: Mapping[Form, Unit] = field(default_factory=dict)
    leading: Leading = ""
    trailing: Trailing = ""
    takes_units: tuple[Unit, ...] = ()
    gives_condition: bool = False
    is_node: bool = False


E, G, S, V, C = Form.EVENTS, Form.GAUGE, Form.SAMPLES, Form.VECTOR, Form.CONDITION
FOLD, KEEP, ALL, MATCH = Labels.FOLD, Labels.KEEP, Labels.ALL, Labels.MATCH
POSITIVE = (Unit.PRICE, Unit.USD, Unit.NUMBER, Unit.COUNT, Unit.VOL_POINTS, Unit.ANY)
_TIME = {G: KEEP, S: KEEP}

_SUM_COST = "O(new + expired events) per tick; shared log"
_SCAN_COST = "O(rows in the window), only when it changed"
_SAMPLE_COST = "one stored value per step and label set"
_NOW_COST = "O(label sets)"
_EMPTY_EVENTS = "A window without events is a fact: 0 for sum, count and rate. Coverage says how much of it was seen."
_NO_ROWS = "Unknown while the window holds no value."
_HISTORY = "Unknown until the history reaches back to the window's start (or was backfilled)."
_MEMBERS = "Members that are missing or stale are left out and coverage falls; no member left: unknown."

FUNCTIONS: dict[str, Signature] = {
    signature.name: signature
    for signature in (
        Signature(
            "sum", "over time", {E: FOLD, **_TIME, V: FOLD},
            "Total of the events in a window; of a gauge's window: total of the samples received (flows per day); over labels: total of the members.",
            "Σ amounts with t in (now - w, now]; over labels Σ members", _EMPTY_EVENTS + " Over labels: " + _MEMBERS, _SUM_COST,
            "sum(liquidations[1h]) > 1B",
        ),
        Signature(
            "count", "over time", {E: FOLD, **_TIME, V: FOLD, C: FOLD},
            "Number of events, of samples, of members, or of members for which a condition holds.",
            "how many; of a condition: how many label sets for which it is true", _EMPTY_EVENTS + " A condition that is unknown for some label sets is not counted for them.", _SUM_COST,
            "count(liquidations[24h]) > 400k", unit=Unit.COUNT,
        ),
        Signature(
            "rate", "over time", {E: FOLD, **_TIME},
            "USD per second over the window; of a gauge: change per second.",
            "sum / seconds of the window; gauges: (last - value at now - w) / seconds", _EMPTY_EVENTS + " Gauges: " + _HISTORY, _SUM_COST,
            "rate(liquidations[5m]) by (base) > 100k",
        ),
        Signature(
            "mean", "over time", {E: FOLD, **_TIME},
            "Mean size of an event; of a gauge: mean over time, each value weighted by how long it held; of samples: plain mean.",
            "Σ amounts / count; gauges: ∫ value dt / time it was known", _NO_ROWS + " Spans in which a gauge was stale weigh nothing.", _SCAN_COST,
            "mean(funding_8h[24h]) by (base) < 0",
        ),
        Signature(
            "min", "over time", {E: FOLD, **_TIME, V: FOLD},
            "Smallest event, smallest value in force in the window, or smallest member.", "minimum", _NO_ROWS + " Over labels: " + _MEMBERS, "amortised O(1) per value (monotone queue)",
            "min(price[24h]) by (base) < 80k",
        ),
        Signature(
            "max", "over time", {E: FOLD, **_TIME, V: FOLD},
            "Largest event, largest value in force in the window, or largest member.", "maximum", _NO_ROWS + " Over labels: " + _MEMBERS, "amortised O(1) per value (monotone queue)",
            "max(liquidations[1h]) by (base) > 10M",
        ),
        Signature(
            "first", "over time", {E: FOLD, **_TIME},
            "First event or oldest value in the window.", "value with the smallest t in (now - w, now]", _NO_ROWS, _NOW_COST,
            "first(price[1h]) by (base) > 100k",
        ),
        Signature(
            "last", "over time", {E: FOLD, **_TIME, V: KEEP},
            "Last event or newest value; of a bare gauge: its last value, which is what the bare name means too.",
            "value with the largest t", "A gauge is missing once its channel's staleness limit has passed.", _NOW_COST,
            "last(feed_up) by (venue) == 0",
        ),
        Signature(
            "delta", "over time", _TIME,
            "Difference to the value one window ago.", "x(now) - x(now - w), over the members present at both ends", _HISTORY, _NOW_COST,
            "delta(open_interest[24h]) by (base) < -1B",
        ),
        Signature(
            "change", "over time", _TIME,
            "Relative difference to the value one window ago.", "x(now) / x(now - w) - 1, over the members present at both ends", _HISTORY + " Unknown when the old value is 0.", _NOW_COST,
            "change(price[1h]) by (base) < -5%", unit=Unit.RATIO, takes_units=POSITIVE,
        ),
        Signature(
            "stddev", "over time", {E: FOLD, **_TIME, V: FOLD},
            "Standard deviation of event sizes, of a gauge over time, or of the members.", "population estimator: √(mean of squared distances to the mean); gauges weigh by time", _NO_ROWS + " Over labels: " + _MEMBERS, _SCAN_COST,
            "stddev(funding_8h) by (base) > 5bp",
        ),
        Signature(
            "quantile", "over time", {E: FOLD, **_TIME, V: FOLD},
            "The value below which a share of the events, values or members lies.", "linear interpolation between order statistics (numpy's default, type 7)", _NO_ROWS + " Over labels: " + _MEMBERS, "O(n) per changed window",
            "quantile(0.95, liquidations[1h]) > 1M", leading="share",
        ),
        Signature(
            "zscore", "over time", _TIME,
            "How far the newest value lies from the window's mean, in standard deviations.", "(x(now) - mean) / stddev, population estimator over the window including now", "Unknown with fewer than two values or a spread of 0.", _SCAN_COST,
            "zscore(sum(liquidations[5m])[7d:5m]) > 4", unit=Unit.NUMBER,
        ),
        Signature(
            "drawdown", "over time", _TIME,
            "Fall from the peak inside the window; 0 at a new peak, negative below.", "x(now) / max over the window - 1", _NO_ROWS, "amortised O(1) per value (monotone queue)",
            "drawdown(price[365d]) by (base) < -20%", unit=Unit.RATIO, takes_units=POSITIVE,
        ),
        Signature(
            "realized_vol", "over time", _TIME,
            "Realised volatility, annualised, in percent points: 50 means 50 % a year.", "100 * stddev of log returns between samples * √(samples a year); hourly samples unless the sub-range says another step (√8760)",
            "Unknown with fewer than two returns; a return across a gap is left out.", _SAMPLE_COST,
            'realized_vol(price{base="BTC"}[7d]) by (base) > 50', unit=Unit.VOL_POINTS, takes_units=POSITIVE,
        ),
        Signature(
            "sma", "over time", _TIME,
            "Simple moving average of samples.", "Σ samples / number of samples; a plain window weighs by time, as mean does", _NO_ROWS, _SAMPLE_COST,
            "crosses_below(price by (base), sma(price[200d:1d]) by (base))",
        ),
        Signature(
            "ema", "over time", {S: KEEP},
            "Exponential moving average of samples.", "weight of the newest a = 2 / (n + 1) with n samples in the window, oldest first", _NO_ROWS, _SAMPLE_COST,
            "price by (base) > ema(price[20h:1h]) by (base)",
        ),
        Signature(
            "slope", "over time", _TIME,
            "Least-squares slope, per hour.", "Σ (t - t̄)(x - x̄) / Σ (t - t̄)², t in hours", "Unknown with fewer than two values.", _SCAN_COST,
            "slope(open_interest[6h]) by (base) < -100M",
        ),
        Signature(
            "corr", "over time", {G: KEEP, S: KEEP},
            "Correlation of two series' returns.", "Pearson correlation of the log returns between samples; every 5 minutes unless the sub-range says another step", "Sample times at which either is missing are left out; fewer than three returns: unknown.", _SAMPLE_COST,
            'corr(price{base="BTC"}[24h:5m], price{base="ETH"}[24h:5m]) by () > 0.9', unit=Unit.NUMBER, trailing="same form", takes_units=POSITIVE,
        ),
        Signature(
            "beta", "over time", {G: KEEP, S: KEEP},
            "Sensitivity of the first series' returns to the second's.", "covariance of log returns / variance of the second's", "As corr; a second series that does not move: unknown.", _SAMPLE_COST,
            'beta(price{base="SOL"}[7d:1h], price{base="BTC"}[7d:1h]) by () > 1.5', unit=Unit.NUMBER, trailing="same form", takes_units=POSITIVE,
        ),
        Signature(
            "crosses_above", "crossing", {V: MATCH},
            "True at the evaluation at which the first rises above the second.", "x > y now, and x <= y at the evaluation before, over the same members at both", "Unknown while either is missing now, and until both were known once. A member that comes or goes is no crossing; one that was missing for up to an hour is compared with its last value.", _NOW_COST,
            'crosses_above(funding_8h{base="BTC"}, 10bp)', trailing="vector or number", gives_condition=True,
        ),
        Signature(
            "crosses_below", "crossing", {V: MATCH},
            "True at the evaluation at which the first falls below the second.", "x < y now, and x >= y at the evaluation before, over the same members at both", "As crosses_above.", _NOW_COST,
            "crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)", trailing="vector or number", gives_condition=True,
        ),
        Signature(
            "avg", "over labels", {V: FOLD},
            "Plain mean of the members.", "Σ members / number of members", _MEMBERS, _NOW_COST,
            "avg(funding_8h) by (base) < 0",
        ),
        Signature(
            "weighted_avg", "over labels", {V: FOLD},
            "Mean of the members of the first, weighted by the second.", "Σ x*w / Σ w over members that have both", _MEMBERS + " Weights that sum to 0: unknown.", _NOW_COST,
            "weighted_avg(funding_8h, open_interest) by (base) < 0", trailing="vector",
        ),
        Signature(
            "topk", "over labels", {V: ALL},
            "The k largest members; the others are not there.", "members in falling order, ties by label set", _MEMBERS, _NOW_COST,
            "topk(3, sum(liquidations[1h]) by (base)) > 10M", leading="whole number",
        ),
        Signature(
            "spread", "over labels", {V: FOLD},
            "Distance between the largest and the smallest member.", "max - min", _MEMBERS, _NOW_COST,
            "spread(funding_8h) by (base) > 10bp",
        ),
        Signature(
            "held", "conditions", {C: ALL},
            "For how long a condition has been true without a break; 0 while it is false.", "now - time at which it became true", "While it is unknown, held stays at its last known value.", _NOW_COST,
            "held(funding < 0) > 8h", unit=Unit.DURATION,
        ),
        Signature(
            "since", "conditions", {C: ALL},
            "How long ago a condition was last true; 0 while it is.", "now - last time at which it was true", "Unknown until it was true once.", _NOW_COST,
            "since(change(price[1h]) by (base) < -5%) < 30m", unit=Unit.DURATION,
        ),
        Signature(
            "absent", "conditions", {E: FOLD, G: FOLD},
            "True when nothing arrived in the window.", "no row with t in (now - w, now]; with by: for each label set seen before", "Unknown until the monitor has run for w. The one function that is true because data is missing: give its rule min_coverage: 0%.", _NOW_COST,
            'absent(price{venue="bybit"}[1m])', gives_condition=True,
        ),
        Signature(
            "k_of", "conditions", {C: ALL},
            "At least k of the conditions hold.", "count of true ones >= k", "True as soon as k are true; false once too few can still be true; else unknown.", _NOW_COST,
            "k_of(2, change(price[1h]) by (base) < -3%, sum(liquidations[1h]) by (base) > 50M, change(open_interest[1h]) by (base) < -5%)",
            leading="whole number", gives_condition=True, is_node=True,
        ),
    )
}  # fmt: skip
"""Every function by name."""

OTHER_NAMES = {
    "average": "avg over labels, mean over time", "avg_over_time": "mean", "sum_over_time": "sum", "count_over_time": "count",
    "min_over_time": "min", "max_over_time": "max", "last_over_time": "last", "stddev_over_time": "stddev", "stdev": "stddev",
    "std": "stddev", "quantile_over_time": "quantile", "percentile": "quantile", "p95": "quantile(0.95, ...)", "increase": "delta, or sum for events",
    "pct_change": "change", "changes": "change", "return": "change", "correlation": "corr", "volatility": "realized_vol", "vol": "realized_vol",
    "max_drawdown": "drawdown", "cross_above": "crosses_above", "cross_below": "crosses_below", "crossover": "crosses_above",
    "crossunder": "crosses_below", "median": "quantile(0.5, ...)", "wavg": "weighted_avg", "vwap": "weighted_avg", "for": "held",
    "deriv": "slope", "irate": "rate", "absent_over_time": "absent", "ma": "sma", "ewma": "ema", "atleast": "k_of",
}  # fmt: skip
"""What other systems call it -> what to write here."""
