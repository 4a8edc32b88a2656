"""The rule language: text to typed trees, YAML to rules. Pure: no file is opened here, no clock is read."""

from __future__ import annotations

from monitor.language.expressions import parse_expression
from monitor.language.parser import parse
from monitor.language.problems import ExpressionError
from monitor.language.rules import load_rules
from monitor.language.text import to_text

__all__ = ["ExpressionError", "load_rules", "parse", "parse_expression", "to_text"]
