"""Rule unit tests: promtool's file format with this language inside, and events, outages and states beside it.

``promtool test rules`` files differ only in what the expressions and series are. `read_test_file` parses and checks;
`monitor.alerts.ruletest_runner` runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from monitor.errors import ConfigError, Problem
from monitor.events import Channel, Labels
from monitor.feeds import FEEDS
from monitor.language.problems import ExpressionError, TextProblem, did_you_mean
from monitor.language.shape import Amount, Duration, Model, Texts, model_problems, read_duration, read_params
from monitor.literals import parse_literal, parse_time
from monitor.series import SERIES, Unit
from monitor.yamlsource import Document, Path, load_yaml

MAX_SAMPLES = 100_000


def _time_text(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(value) if is_number else value


def _check_time(text: str) -> str:
    parse_time(text)
    return text


Time = Annotated[
    str,
    BeforeValidator(_time_text),
    AfterValidator(_check_time),
    Field(json_schema_extra={"type": ["string", "number"]}),
]
ValuesText = Annotated[str, BeforeValidator(_time_text), Field(json_schema_extra={"type": ["string", "number"]})]


class SeriesInput(Model):
    """Values of one gauge, at the test's interval."""

    series: str = Field(description='A gauge with its labels: price{venue="bybit", base="BTC"}.')
    values: ValuesText = Field(description="promtool's notation: 1 2 _ 3+1x4 _x5 stale.")


class EventInput(Model):
    """Events of one stream at one time, or repeated."""

    at: Duration = Field(description="Time after the start.")
    series: Literal["liquidations", "trades"] = "liquidations"
    venue: str = "binance_usdm"
    base: str = "BTC"
    quote: str = "USDT"
    symbol: str | None = Field(None, description="Default: base and quote together.")
    kind: Literal["spot", "perp", "future", "option"] = "perp"
    side: Literal["long", "short", "buy", "sell"] = "long"
    usd: Amount = Field(description="Size of each event.")
    price: Amount = "1"
    every: Duration | None = Field(None, description="Distance of repeated events.")
    count: int = Field(1, ge=1, le=MAX_SAMPLES, description="How many events.")


class FeedDown(Model):
    """A span in which a venue's feed was down."""

    venue: str
    channels: list[Annotated[Channel, Field(strict=False)]] = Field(
        default_factory=list, description="Default: all that the rules read."
    )
    from_: Duration = Field(alias="from")
    to: Duration | None = Field(None, description="Default: it stays down.")


class ExpectedAlert(Model):
    """One alert that must be firing (or in ``exp_state``)."""

    exp_labels: Texts = Field(default_factory=dict)
    exp_annotations: dict[str, str] | None = Field(None, description="Compared only when given.")


class AlertTest(Model):
    """What must be true of one alert rule at one time, or through a span."""

    alertname: str
    eval_time: Duration | None = Field(None, description="When to look.")
    from_: Duration | None = Field(None, alias="from", description="Look at every evaluation from here ...")
    to: Duration | None = Field(None, description="... to here.")
    exp_alerts: list[ExpectedAlert] | None = Field(None, description="Exactly these are firing; [] means none.")
    exp_state: Literal["pending", "firing", "unknown", "none"] | None = None
    exp_labels: Texts = Field(default_factory=dict, description="The label set that the expectations are about.")
    exp_fired_at: Duration | None = Field(None, description="When it fired.")
    exp_resolved_at: Duration | None = Field(None, description="When it resolved.")


class TestCase(Model):
    """One scenario."""

    __test__ = False

    name: str = ""
    interval: Duration | None = Field(None, description="Distance of input samples; default: evaluation_interval.")
    start_timestamp: Time = "0"
    input_series: list[SeriesInput] = Field(default_factory=list)
    events: list[EventInput] = Field(default_factory=list)
    feed_down: list[FeedDown] = Field(default_factory=list)
    alert_rule_test: list[AlertTest] = Field(default_factory=list)


class TestFile(Model):
    """A file of rule unit tests."""

    __test__ = False

    rule_files: list[str] = Field(min_length=1, description="Rule files, relative to this file; globs.")
    evaluation_interval: Duration = "1m"
    fuzzy_compare: bool = Field(default=False, description="Read for compatibility; texts are compared exactly.")
    group_eval_order: list[str] = Field(default_factory=list, description="Read for compatibility.")
    tests: list[TestCase]


@dataclass(frozen=True, slots=True)
class InputSeries:
    """A gauge's samples: None where it says nothing, NaN where it ends (``stale``)."""

    series: str
    labels: Labels
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One checked scenario; ``case`` holds events, outages and expectations as written."""

    case: TestCase
    document: Document
    path: Path
    inputs: tuple[InputSeries, ...] = ()

    @property
    def name(self) -> str:
        """Its name, or its number in the file."""
        return self.case.name or f"test {self.path[-1]}"


@dataclass(frozen=True, slots=True)
class RuleTestFile:
    """A checked test file."""

    file: str
    head: TestFile
    tests: tuple[RuleTest, ...] = field(default=())


def read_test_file(text: str, file: str) -> RuleTestFile:
    """Parse and check a test file.

    Raises:
        ConfigError: With every mistake in it.
    """
    document = load_yaml(text, file)
    try:
        head = TestFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(model_problems(document, (), TestFile, error)) from None
    problems: list[Problem] = []
    tests = []
    for number, case in enumerate(head.tests):
        path: Path = ("tests", number)
        inputs = tuple(_inputs(document, path, case, problems))
        problems += _case_problems(document, path, case, max(read_duration(head.evaluation_interval), 1))
        tests.append(RuleTest(case, document, path, inputs))
    if problems:
        raise ConfigError(problems)
    return RuleTestFile(file, head, tuple(tests))


def _inputs(document: Document, path: Path, case: TestCase, problems: list[Problem]) -> Iterator[InputSeries]:
    for place, entry in enumerate(case.input_series):
        where: Path = (*path, "input_series", place)
        try:
            series, labels = read_series(entry.series)
            yield InputSeries(series, labels, tuple(read_values(entry.values)))
        except ExpressionError as error:
            key = "values" if error.text == entry.values else "series"
            problems += [
                document.problem((*where, key), one.message, hint=one.hint, offset=one.offset, width=one.width)
                for one in error.problems
            ]


_LABEL = re.compile(r"""\s*([A-Za-z_]\w*)\s*=\s*("(?:[^"\\\n]|\\.)*"|'[^'\n]*')\s*(,|$)""", re.ASCII)


def read_series(text: str) -> tuple[str, Labels]:
    """Name and labels of ``price{venue="bybit", base="BTC"}``.

    Raises:
        ExpressionError: It is no gauge with labels of its own.
    """
    match = re.fullmatch(r"\s*([A-Za-z_][\w:]*)\s*(?:\{(.*)\})?\s*", text, re.DOTALL)
    if match is None:
        raise ExpressionError(text, [TextProblem(0, len(text), "a series is a name and labels in braces")])
    name, body = match[1], match[2] or ""
    spec = SERIES.get(name)
    if spec is None or spec.form == "events":
        message = f"{name} is a stream of events" if spec else f"unknown series {name!r}"
        hint = "give it under events:" if spec else did_you_mean(name, SERIES)
        raise ExpressionError(text, [TextProblem(match.start(1), len(name), message, hint)])
    labels, at = dict[str, str](), 0
    while body[at:].strip():
        part = _LABEL.match(body, at)
        if part is None:
            raise ExpressionError(text, [TextProblem(match.start(2) + at, 1, 'expected label="value"')])
        if part[1] not in spec.labels:
            hint = did_you_mean(part[1], spec.labels)
            place = match.start(2) + part.start(1)
            raise ExpressionError(text, [TextProblem(place, len(part[1]), f"{name} has no label {part[1]!r}", hint)])
        labels[part[1]] = re.sub(r"\\(.)", r"\1", part[2][1:-1])
        at = part.end()
    return name, tuple(sorted(labels.items()))


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:[kMBT%]|bps?)?"
_RUN = re.compile(rf"({_NUMBER})(?:([-+])({_NUMBER.removeprefix('[-+]?')}))?x(\d+)")


def read_values(text: str) -> Iterator[float | None]:
    """Samples of promtool's notation: ``a+bxn`` is n + 1 values, ``_`` says nothing, ``stale`` (NaN) ends the series.

    Raises:
        ExpressionError: At the first item that is none of these.
    """
    total = 0
    for match in re.finditer(r"\S+", text):
        items = _values(match[0])
        if items is None:
            hint = "write 1, _, 1x5, 1+2x5, 10-1x5, _x5 or stale"
            raise ExpressionError(text, [TextProblem(match.start(), len(match[0]), "not a value", hint)])
        count, first, step = items
        total += count
        if total > MAX_SAMPLES:
            raise ExpressionError(text, [TextProblem(match.start(), len(match[0]), f"more than {MAX_SAMPLES} values")])
        for index in range(count):
            yield None if first is None else first + step * index


def _values(item: str) -> tuple[int, float | None, float] | None:
    """How many samples, the first, and the step between them."""
    if item == "stale":
        return 1, float("nan"), 0.0
    if re.fullmatch(r"_(x\d{1,6})?", item):
        return (int(item[2:]) if len(item) > 1 else 1), None, 0.0
    if re.fullmatch(_NUMBER, item):
        return 1, _number(item), 0.0
    match = _RUN.fullmatch(item)
    if match is None or len(match[4]) > 6:
        return None
    step = _number(match[3]) if match[3] else 0.0
    return int(match[4]) + 1, _number(match[1]), -step if match[2] == "-" else step


def _number(text: str) -> float:
    value, unit = parse_literal(text.lstrip("+-"))
    assert unit in (Unit.ANY, Unit.RATIO)
    return -value if text.startswith("-") else value


def _case_problems(document: Document, path: Path, case: TestCase, step_ns: int) -> Iterator[Problem]:
    if not case.alert_rule_test:
        yield document.problem(path, "this test expects nothing", hint="give alert_rule_test:")
    for place, event in enumerate(case.events):
        yield from _event_problems(document, (*path, "events", place), event)
    for place, down in enumerate(case.feed_down):
        yield from _venue_problems(document, (*path, "feed_down", place, "venue"), down.venue)
        if down.to is not None and read_duration(down.to) <= read_duration(down.from_):
            yield document.problem((*path, "feed_down", place, "to"), "to: is not after from:")
    for place, test in enumerate(case.alert_rule_test):
        where = (*path, "alert_rule_test", place)
        yield from _time_problems(document, where, test, step_ns)
        yield from _expectation_problems(document, where, test)


def _venue_problems(document: Document, where: Path, venue: str) -> Iterator[Problem]:
    """Of a name that is nearly a venue's; others may be brought by an inlet."""
    hint = "" if venue in FEEDS else did_you_mean(venue, FEEDS)
    if hint.startswith("did you mean"):
        yield document.problem(where, f"unknown venue {venue!r}", hint=hint)


def _event_problems(document: Document, where: Path, event: EventInput) -> Iterator[Problem]:
    yield from _venue_problems(document, (*where, "venue"), event.venue)
    allowed = ("long", "short") if event.series == "liquidations" else ("buy", "sell")
    if event.side not in allowed:
        hint = f"one of: {', '.join(allowed)}"
        yield document.problem((*where, "side"), f"{event.series} have no side {event.side!r}", hint=hint)
    if event.count > 1 and event.every is None:
        yield document.problem((*where, "count"), "repeated events need every:", key=True)
    if event.count == 1 and event.every is not None:
        yield document.problem((*where, "every"), "every: says nothing of one event", hint="give count:", key=True)


def _time_problems(document: Document, where: Path, test: AlertTest, step_ns: int) -> Iterator[Problem]:
    looks = (test.exp_alerts, test.exp_state) != (None, None)
    if test.eval_time is not None and test.from_ is not None:
        yield document.problem((*where, "from"), "give either eval_time: or from:", key=True)
    elif test.from_ is None and test.to is not None:
        yield document.problem((*where, "to"), "to: needs from:", key=True)
    elif test.from_ is not None and test.to is None:
        yield document.problem((*where, "from"), "from: needs to:", key=True)
    elif test.from_ is not None and test.to is not None:
        if -(-read_duration(test.from_) // step_ns) > read_duration(test.to) // step_ns:
            yield document.problem((*where, "to"), "no evaluation falls between from: and to:")
    elif test.eval_time is None and looks:
        yield document.problem(
            where, "give eval_time:, or from: and to:", hint="when to look for exp_alerts: or exp_state:"
        )
    if not looks and _has_times(test) and (test.eval_time is not None or test.from_ is not None):
        key, hint = (
            "from" if test.eval_time is None else "eval_time",
            "exp_fired_at: and exp_resolved_at: are times themselves",
        )
        yield document.problem((*where, key), "nothing is looked for at this time", hint=hint, key=True)


def _expectation_problems(document: Document, where: Path, test: AlertTest) -> Iterator[Problem]:
    if (test.exp_alerts, test.exp_state) == (None, None) and not _has_times(test):
        yield document.problem(where, "nothing is expected here", hint="give exp_alerts: [] for silence")
    elif test.exp_labels and test.exp_state is None and not _has_times(test):
        hint = "inside exp_alerts:, as - exp_labels: {...}; beside it they choose the alert of exp_state: and exp_fired_at:"
        yield document.problem((*where, "exp_labels"), "exp_labels: belong to an alert", hint=hint, key=True)


def _has_times(test: AlertTest) -> bool:
    return (test.exp_fired_at, test.exp_resolved_at) != (None, None)


def event_usd(event: EventInput) -> float:
    """The size of an event in USD."""
    return read_params({"usd": event.usd})["usd"].value


def event_price(event: EventInput) -> float:
    """The price of an event."""
    return read_params({"price": event.price})["price"].value


def span_ns(text: str) -> int:
    """Nanoseconds after the start of a checked duration."""
    return read_duration(text)


__all__ = ["RuleTest", "RuleTestFile", "read_series", "read_test_file", "read_values"]
