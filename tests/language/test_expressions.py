"""Expressions that load, expressions that are refused, and the round trip between text and tree."""

from __future__ import annotations

import pytest

from monitor.expression import Call, Compare, Expr, Number, Range, Selector, Shape, children
from monitor.language import ExpressionError, parse, parse_expression, to_text
from monitor.language.functions import FUNCTIONS
from monitor.series import Unit

LOADS = """
sum(liquidations[1h]) > 1B
sum(liquidations{side="long"}[4h]) by (base) > 100M
sum(liquidations{side="long"}[4h]) / sum(liquidations[4h]) > 90%
count(liquidations[24h]) > 400k
crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)
held(funding < 0) > 8h
change(open_interest[30d]) by (base) < -35%
drawdown(price[365d]) by (base) < -20%
realized_vol(price{base="BTC"}[7d]) by (base) > 50
crosses_below(price by (base), sma(price[200d:1d]) by (base))
zscore(sum(liquidations[5m])[7d:5m]) > 4
corr(price{base="BTC"}[24h:5m], price{base="ETH"}[24h:5m]) by () > 0.9
k_of(2, change(price[1h]) by (base) < -3%, sum(liquidations[1h]) by (base) > 50M, change(open_interest[1h]) by (base) < -5%)
change(price[10m]) by (base) < -2% then sum(liquidations[10m]) by (base) > 20M within 30m
absent(price{venue="bybit"}[1m])
topk(3, sum(liquidations[1h]) by (base)) > 10M
quantile(0.95, liquidations[1h]) > 1M
sum(trades{market="spot"}[24h]) / sum(trades[24h]) < 20%
last(feed_up) by (venue) == 0
funding_apr{symbol=~"BTC.*"} < -10%
sum(liquidations{side="long"}[4h]) by (base) > 100M and change(price[1h]) by (base) < -3%
price / on (base) group_left (price by (base)) - 1 > 1%
sum(open_interest) by (base) / sum(open_interest) > 50%
sum(liquidations[1h]) without (venue, symbol, quote, kind, side) > 1B
change(price[1h]) by (base) < -3% unless sum(liquidations[1h]) by (base) > 1M
not (price{base="BTC"} by (base) > 100k)
sum(liquidations[1h] offset 1d) < sum(liquidations[1h]) / 2
price{base="BTC", venue!="okx", symbol!~"X.*"} offset 1h > 82k
since(price by (base) > 100k) > 30d
-change(price[1h]) by (base) > 5%
delta(funding_8h[8h]) by (base) < -5bps # a comment
1B < sum(liquidations[1h])
sum(sum(liquidations[5m]) by (base)[1h:5m]) by (base) > 1B
a_then_b_is_not_a_keyword > 1 or price > 1
""".strip().split("\n")[:-1]
EXAMPLES = [signature.example for signature in FUNCTIONS.values()]


@pytest.mark.parametrize("text", LOADS + EXAMPLES)
def test_loads_typed_and_round_trips(text: str) -> None:
    tree = parse_expression(text, expect="condition")
    assert tree.type.shape is Shape.CONDITION
    canonical = to_text(tree)
    assert parse(canonical) == tree
    assert parse_expression(canonical, expect="condition") == tree
    assert to_text(parse_expression(canonical)) == canonical
    assert to_text(parse(to_text(parse(text)))) == to_text(parse(text))


def walk(node: Expr) -> list[Expr]:
    return [node, *(found for child in children(node) for found in walk(child))]


@pytest.mark.parametrize("text", LOADS)
def test_every_node_has_a_type_and_a_place(text: str) -> None:
    for node in walk(parse_expression(text)):
        assert 0 <= node.span.start < node.span.end <= len(text)
        assert "?" not in node.type.labels
        assert list(node.type.labels) == sorted(node.type.labels)


def test_every_function_is_in_the_examples() -> None:
    used = {node.name for text in EXAMPLES for node in walk(parse_expression(text)) if isinstance(node, Call)}
    assert used | {"k_of"} >= FUNCTIONS.keys()


@pytest.mark.parametrize(
    ("text", "unit", "labels"),
    [
        ("sum(liquidations[1h])", Unit.USD, ()),
        ("count(liquidations[1h]) by (side, base)", Unit.COUNT, ("base", "side")),
        ("change(price[1h]) by (base)", Unit.RATIO, ("base",)),
        ("held(funding < 0)", Unit.DURATION, ("base", "quote", "symbol", "venue")),
        ("realized_vol(price[7d]) by (base)", Unit.VOL_POINTS, ("base",)),
        ("sum(liquidations[1h]) / sum(trades[1h])", Unit.RATIO, ()),
        ("sum(open_interest) / 2", Unit.USD, ()),
        ("sum(open_interest) * 50%", Unit.USD, ()),
        ("1 + change(price[1h]) by (base)", Unit.RATIO, ("base",)),
        ("open_interest / on (base) group_left (price by (base))", Unit.NUMBER, ("base", "quote", "symbol", "venue")),
        ("topk(2, open_interest) by (base)", Unit.USD, ("base", "quote", "symbol", "venue")),
        ('price by (base) - price{venue="okx"} by (base)', Unit.PRICE, ("base",)),
        ("sum(liquidations[1h]) by (base) > sum(liquidations[1h])", Unit.USD, ("base",)),
    ],
)  # fmt: skip
def test_types(text: str, unit: Unit, labels: tuple[str, ...]) -> None:
    found = parse_expression(text).type
    assert (found.unit, found.labels) == (unit, labels)


def test_equal_meaning_is_an_equal_tree() -> None:
    pairs = [
        ('price{venue="a", base="b"} > 1', 'price{base="b",venue="a"}>1'),
        ("sum(liquidations[60m]) by (venue, base) > 1B", "sum(liquidations[1h]) by (base, venue) > 1000M"),
        ("sum(liquidations[1h]) by () > 1B", "1B < sum(liquidations[1h])"),
        ("sum(open_interest) without (venue, symbol, quote) > 1", "sum(open_interest) by (base) > 1"),
        ("price[5m] offset 1h", "(price offset 1h)[5m]"),
    ]
    for one, other in pairs:
        assert parse_expression(one) == parse_expression(other)
        assert hash(parse_expression(one)) == hash(parse_expression(other))


def test_precedence() -> None:
    assert parse("1 + 2 * 3 ^ 2 ^ 2 > 4 or not 1 > 2 and 3 > 4") == parse(
        "((1 + (2 * (3 ^ (2 ^ 2)))) > 4) or ((not (1 > 2)) and (3 > 4))"
    )
    assert parse("-2 ^ 2") != parse("(-2) ^ 2")
    assert parse("a > 1 then b > 2 within 1m then c > 3 within 2m") == parse(
        "(a > 1 then b > 2 within 1m) then c > 3 within 2m"
    )


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1B", 1e9, Unit.ANY), ("600M", 6e8, Unit.ANY), ("20k", 2e4, Unit.ANY), ("35%", 0.35, Unit.RATIO),
        ("25bp", 0.0025, Unit.RATIO), ("5bps", 0.0005, Unit.RATIO), ("8h", 8 * 3600e9, Unit.DURATION), ("1e9", 1e9, Unit.ANY),
        ("1h30m", 5400e9, Unit.DURATION), ("-0.1%", -0.001, Unit.RATIO), ("1.5T", 1.5e12, Unit.ANY), (".5", 0.5, Unit.ANY),
        ("1e-3", 0.001, Unit.ANY), ("250ms", 0.25e9, Unit.DURATION), ("2w", 14 * 86400e9, Unit.DURATION),
    ],
)  # fmt: skip
def test_literals(text: str, value: float, unit: Unit) -> None:
    assert parse(text) == Number(value, unit)


def test_spans_are_offsets_into_the_text() -> None:
    text = '  sum(liquidations{side="long"}[1h]) > 1B'
    tree = parse_expression(text)
    assert isinstance(tree, Compare)
    assert isinstance(tree.left, Call)
    window = tree.left.args[0]
    assert isinstance(window, Range)
    assert isinstance(window.inner, Selector)
    slices = [text[node.span.start : node.span.end] for node in (tree, tree.left, window, window.inner, tree.right)]
    assert slices == [
        'sum(liquidations{side="long"}[1h]) > 1B',
        'sum(liquidations{side="long"}[1h])',
        'liquidations{side="long"}[1h]',
        'liquidations{side="long"}',
        "1B",
    ]


def test_quoted_values_keep_regular_expressions_as_they_look() -> None:
    tree = parse(r'price{symbol=~"BTC\.P\d+", base="a\"b\\"}')
    assert isinstance(tree, Selector)
    assert [matcher.value for matcher in tree.matchers] == ['a"b\\', r"BTC\.P\d+"]
    assert parse(to_text(tree)) == tree


def test_all_mistakes_of_one_expression_are_reported() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression('sum(liquidations{side="lng"}[1h]) > 5m and foo(price) > 1 and price{knd="x"} > 1 and x > 2')
    assert [problem.message for problem in caught.value.problems] == [
        "liquidations has no side 'lng'",
        "unknown function 'foo'",
        "price has no label 'knd'",
        "unknown series 'x'",
    ]


def test_of_a_very_long_line_the_part_around_the_mistake_is_shown() -> None:
    good = " + ".join(["sum(liquidations[1h])"] * 20)
    with pytest.raises(ExpressionError) as caught:
        parse_expression(f"{good} + sum(liqidations[1h]) + {good} > 1B", expect="condition")
    line, caret, *_ = caught.value.problems[0].render(caught.value.text).split("\n")
    assert line.startswith("...")
    assert line.endswith("...")
    assert len(line) <= 206
    assert line[caret.index("^") :].startswith("liqidations")
