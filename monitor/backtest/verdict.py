"""``--fail-if``: a condition on the figures of a report, such as ``fired > 10 or Cascade.fired == 0``.

Names stand for the whole report, or with a rule's name in front for that rule. Lengths of time are compared with
durations (``firing > 2h``). Mistakes are located.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.backtest.report import SENT, Report, RuleReport
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError, Problem
from monitor.language.problems import did_you_mean
from monitor.literals import LiteralProblem, parse_literal
from monitor.series import Unit

OPTION = "--fail-if"
OF_RULE: Mapping[str, Callable[[RuleReport], float]] = {
    "fired": lambda rule: len(rule.fired),
    "resolved": lambda rule: rule.resolved,
    "pending": lambda rule: rule.dropped,
    "held": lambda rule: rule.held,
    "firing": lambda rule: rule.firing_ns / NS_PER_S,
    "sent": lambda rule: rule.sent,
    "known": lambda rule: rule.known_ratio,
}
"""Figures of one rule: ``pending`` counts what never fired, ``firing`` is in seconds, ``known`` a share of the time."""
OF_ALL: Mapping[str, Callable[[Report], float]] = {
    "fired": lambda report: report.fired,
    "fired_per_week": lambda report: report.fired / report.weeks,
    "resolved": lambda report: sum(rule.resolved for rule in report.rules),
    "pending": lambda report: sum(rule.dropped for rule in report.rules),
    "held": lambda report: sum(rule.held for rule in report.rules),
    "sent": lambda report: sum(message.outcome in SENT for message in report.messages),
    "missing": lambda report: report.missing.total,
    "too_late": lambda report: report.outcome.counts.too_late,
}
"""Figures of the whole."""
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_TOKEN = re.compile(r"\s*(?:(>=|<=|==|!=|[<>()])|([A-Za-z_][\w.]*)|([\d.][\w.%+]*)|(\S))")
Truth = Callable[[Report], bool]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_verdict(text: str, rules: Mapping[str, object] | None = None) -> Truth:
    """Read a condition.

    Args:
        text: As given on the command line.
        rules: Names of the rules, to catch misspellings; None: any.

    Raises:
        ConfigError: With the place of the first mistake.
    """
    return _Parser(text, rules).whole()


class _Parser:
    """``or`` of ``and`` of comparisons, with ``not`` and parentheses."""

    def __init__(self, text: str, rules: Mapping[str, object] | None) -> None:
        self._text = text
        self._rules = rules
        self._tokens = [self._token(match) for match in _TOKEN.finditer(text.rstrip())]
        self._at = 0

    def whole(self) -> Truth:
        """Everything, to the end."""
        truth = self._either()
        token = self._next()
        if token.kind != "end":
            raise self._wrong(token, f"unexpected {token.text!r}", "join conditions with and, or")
        return truth

    def _either(self) -> Truth:
        parts = [self._both()]
        while self._takes("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda report: any(part(report) for part in parts)

    def _both(self) -> Truth:
        parts = [self._single()]
        while self._takes("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda report: all(part(report) for part in parts)

    def _single(self) -> Truth:
        if self._takes("not"):
            inner = self._single()
            return lambda report: not inner(report)
        if self._takes("("):
            inner = self._either()
            if not self._takes(")"):
                raise self._wrong(self._next(), "a parenthesis is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Truth:
        left = self._figure()
        token = self._next()
        compare = _COMPARE.get(token.text)
        if compare is None:
            raise self._wrong(token, "expected a comparison", f"one of {' '.join(_COMPARE)}")
        right = self._number()
        return lambda report: compare(left(report), right)

    def _figure(self) -> Callable[[Report], float]:
        token = self._next()
        if token.kind != "name":
            raise self._wrong(token, "expected a figure", f"one of {', '.join(OF_ALL)}, or RULE.fired")
        name, _, figure = token.text.rpartition(".")
        if name:
            return self._figure_of_rule(token, name, figure)
        if figure not in OF_ALL:
            hint = did_you_mean(figure, OF_ALL) or f"one of {', '.join(OF_ALL)}, or RULE.fired"
            raise self._wrong(token, f"unknown figure {figure!r}", hint)
        return OF_ALL[figure]

    def _figure_of_rule(self, token: _Token, name: str, figure: str) -> Callable[[Report], float]:
        if self._rules is not None and name not in self._rules:
            raise self._wrong(token, f"no rule {name!r} in this backtest", did_you_mean(name, self._rules))
        if figure not in OF_RULE:
            hint = did_you_mean(figure, OF_RULE) or f"one of {', '.join(OF_RULE)}"
            raise self._wrong(token, f"unknown figure {figure!r} of a rule", hint)
        of_rule = OF_RULE[figure]
        return lambda report: sum(of_rule(rule) for rule in report.rules if rule.rule.name == name)

    def _number(self) -> float:
        token = self._next()
        try:
            value, unit = parse_literal(token.text)
        except LiteralProblem as error:
            raise self._wrong(token, "expected a number", error.hint or str(error)) from None
        return value / NS_PER_S if unit is Unit.DURATION else value

    # Tokens

    @staticmethod
    def _token(match: re.Match[str]) -> _Token:
        kind = ("sign", "name", "number", "other")[(match.lastindex or 1) - 1]
        return _Token(kind, match[match.lastindex or 0], match.start(match.lastindex or 0))

    def _next(self) -> _Token:
        self._at += 1
        if self._at <= len(self._tokens):
            return self._tokens[self._at - 1]
        return _Token("end", "", len(self._text))

    def _takes(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].text == text:
            self._at += 1
            return True
        return False

    def _wrong(self, token: _Token, message: str, hint: str = "") -> ConfigError:
        return ConfigError([Problem(OPTION, 1, token.at + 1, message, hint, self._text, max(len(token.text), 1))])
