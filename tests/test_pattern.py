"""Regular expressions of people: what may take long is refused before it is used, what they need is not."""

from __future__ import annotations

import re
from time import process_time

import pytest

from monitor.pattern import LONGEST, MAX_CHARS, compiled


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "BTC|ETH",
        "1000.*|1INCH|.*PERP",
        r"(BTC|ETH)-?(USDT|USD\d*)(-\d{6})?",
        "(?i)btc.*",
        "(?!USD).*",
        "[A-Z]+(USDT|USDC)",
        ".*a.*b.*c.*",
        "(?>a+)b",
        "(?P<coin>BTC)?(?(coin)USD|USDT)",
        "(A|B|C)*",
        "BTC{3}",
    ],
)
def test_what_people_write_is_taken_and_answers_quickly(pattern: str) -> None:
    found = compiled(pattern)
    assert found.pattern == pattern
    start = process_time()
    for letter in "aAB0 ":
        found.fullmatch(letter * LONGEST)
    assert process_time() - start < 0.5


@pytest.mark.parametrize(
    "pattern",
    [
        "(.+)+x",
        "(.*)*",
        "(a|ab)*c",
        "(a?){30}b",
        "a?" * 30 + "a" * 30,
        r"(\w+\s?)*!",
        "((a{1,30}){1,30}){1,30}b",
        ".*.*.*.*.*x",
        "(?=(a+)+x)a*",
    ],
)
def test_what_may_take_long_is_refused(pattern: str) -> None:
    re.compile(pattern)
    with pytest.raises(ValueError, match="may take too long"):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "not a regular expression: missing \\)"),
        ("a{99999999999}", "not a regular expression: the repetition number is too large"),
        ("(" * 249 + "a" + ")" * 249, None),
        ("a" * (MAX_CHARS + 1), "more than 500 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(pattern: str, words: str | None) -> None:
    if words is None:
        assert compiled(pattern).fullmatch("a")
        return
    with pytest.raises(ValueError, match=words):
        compiled(pattern)
