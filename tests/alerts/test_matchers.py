from __future__ import annotations

import pytest

from monitor.alerts.matchers import matcher_text, matches, parse_matcher

LABELS = {"base": "BTC", "severity": "critical"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('base="BTC"', True),
        ("base=BTC", True),
        (' base = "ETH" ', False),
        ('base!="ETH"', True),
        ('base=~"B.*"', True),
        ('base=~"B"', False),
        ('base!~"E.*|S.*"', True),
        ('venue=""', True),
        ('venue!=""', False),
    ],
)
def test_conditions(text: str, *, holds: bool) -> None:
    assert matches([parse_matcher(text)], LABELS) is holds


def test_quotes_inside_a_value_survive() -> None:
    matcher = parse_matcher(r'text="say \"hi\""')
    assert matcher.value == 'say "hi"'


def test_a_condition_is_written_as_it_is_read() -> None:
    assert matcher_text(parse_matcher('base=~"A|B"')) == 'base=~"A|B"'


@pytest.mark.parametrize("text", ["", "base", "base==x y", 'base=~"("', "1a=b", 'base=~"(.+)+x"'])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="matcher"):
        parse_matcher(text)
