"""Random well-typed rules: every construct of the language, as text, by labels and unit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.language import parse_expression
from monitor.series import SeriesSpec, Unit

Names = tuple[str, ...]
LITERALS: dict[Unit, Sequence[str]] = {
    Unit.USD: ("0.7", "4100", "231k", "1.3M", "77M", "-3100"),
    Unit.PRICE: ("61.5", "99.7", "101.3", "150.1", "-0.7"),
    Unit.RATIO: ("-1.3%", "0.17bp", "3.1bp", "21%", "0.77"),
    Unit.COUNT: ("0", "1", "2", "3.5"),
    Unit.NUMBER: ("-0.7", "0.3", "1.1", "2.3"),
    Unit.DURATION: ("0s", "7s", "45s", "3m", "20m"),
    Unit.VOL_POINTS: ("13.7", "400"),
    Unit.ANY: ("-0.7", "0.3", "100.3"),
}
MATCHERS = ("", "", "", '{side="long"}', '{venue!="okx"}', '{base=~"B.*"}', '{venue=~"bybit|okx"}')
GAUGE_MATCHERS = ("", "", '{venue!="okx"}', '{base=~"B.*|E.*"}')
EVENT_FUNCTIONS = ("sum", "sum", "count", "rate", "mean", "min", "max", "first", "last", "stddev")
ROW_FUNCTIONS = (
    "mean",
    "min",
    "max",
    "first",
    "last",
    "sum",
    "count",
    "rate",
    "delta",
    "stddev",
    "zscore",
    "sma",
    "slope",
)
SAMPLE_FUNCTIONS = (*ROW_FUNCTIONS, "ema")
POSITIVE_FUNCTIONS = ("change", "drawdown")
FOLDS = ("sum", "avg", "min", "max", "count", "stddev", "spread")
LABELS: Sequence[Names] = ((), ("base",), ("base",), ("base", "venue"))
COMPARISONS = (">", ">", "<", "<", ">=", "<=", "==", "!=")


@dataclass
class Grammar:
    """Draws expressions.

    Attributes:
        rng: Where chance comes from.
        samples: Whether expressions may be sampled; samples are as they were when taken.
        recordings: Series of recording rules that may be read.
    """

    rng: random.Random
    samples: bool = True
    recordings: list[SeriesSpec] = field(default_factory=list)

    def unit(self, text: str) -> Unit:
        return parse_expression(text, self.recordings).type.unit

    def pick(self, *makers: Callable[[], str]) -> str:
        return self.rng.choice(makers)()

    # Values

    def value(self, depth: int, names: Names) -> str:
        """A number per label set of exactly these labels."""
        if depth <= 0:
            return self.leaf(names)
        makers = [
            lambda: self.leaf(names),
            lambda: self.leaf(names),
            lambda: self.arithmetic(depth, names),
            lambda: self.share(depth, names),
            lambda: self.aggregate(depth, names),
            lambda: self.count(depth, names),
            lambda: f"topk({self.rng.randint(1, 3)}, {self.value(depth - 1, names)})",
        ]
        if self.samples:
            makers += [lambda: self.sampled(depth, names), lambda: self.pair(names)]
        return self.pick(*makers)

    def leaf(self, names: Names) -> str:
        makers = [lambda: self.events(names), lambda: self.gauge(names), lambda: self.ends(names)]
        if self.recordings:
            makers.append(lambda: self.recorded(names))
        if self.samples:
            makers.append(lambda: self.folded_window(names))
        return self.pick(*makers)

    def by(self, names: Names) -> str:
        return f" by ({', '.join(names)})" if names else self.rng.choice(["", " by ()"])

    def window(self) -> str:
        window = self.rng.choice(["10s", "45s", "60s", "5m", "20m"])
        offset = self.rng.choice(["", "", "", "", " offset 40s"])
        return f"[{window}]{offset}"

    def events(self, names: Names) -> str:
        selector = f"liquidations{self.rng.choice(MATCHERS)}"
        if self.rng.random() < 0.15:
            return f"quantile({self.rng.choice([0, 0.3, 0.5, 0.95])}, {selector}{self.window()}){self.by(names)}"
        window = "[2h]" if self.rng.random() < 0.15 else self.window()
        function = self.rng.choice(EVENT_FUNCTIONS if window != "[2h]" else EVENT_FUNCTIONS[:5])
        return f"{function}({selector}{window}){self.by(names)}"

    def selector(self, names: Names) -> str:
        series = self.rng.choice(["price", "open_interest", "funding_8h"])
        if series != "price":
            return series + self.rng.choice(GAUGE_MATCHERS)
        chosen = [] if "base" in names else [f'base="{self.rng.choice(["BTC", "ETH"])}"']
        chosen += self.rng.choice([[], ['kind="mark"'], ['venue!="okx"']])
        return f"price{{{', '.join(chosen)}}}" if chosen else "price"

    def gauge(self, names: Names) -> str:
        if self.rng.random() < 0.2:
            return f"weighted_avg(funding_8h{self.rng.choice(GAUGE_MATCHERS)}, open_interest){self.by(names)}"
        offset = self.rng.choice(["", "", "", " offset 30s"])
        return f"{self.selector(names)}{offset} by ({', '.join(names)})"

    def ends(self, names: Names) -> str:
        selector = self.selector(names)
        functions = ("delta", "rate") if selector.startswith("funding") else ("change", "delta", "rate")
        return f"{self.rng.choice(functions)}({selector}{self.window()}) by ({', '.join(names)})"

    def folded_window(self, names: Names) -> str:
        """Labels first, then time: sampled every second."""
        selector = self.selector(names)
        functions = ROW_FUNCTIONS if selector.startswith("funding") else ROW_FUNCTIONS + POSITIVE_FUNCTIONS
        return f"{self.rng.choice(functions)}({selector}[15s]) by ({', '.join(names)})"

    def recorded(self, names: Names) -> str:
        spec = self.rng.choice(self.recordings)
        inner = spec.name
        if self.rng.random() < 0.3:
            function = self.rng.choice(["mean", "min", "max", "last", "delta"])
            inner = f"{function}({spec.name}{self.window()})"
        kept = [name for name in names if name in spec.labels]
        if len(kept) < len(names):
            return self.events(names)
        return f"{self.rng.choice(['sum', 'max', 'avg'])}({inner}){self.by(names)}"

    def whole(self) -> tuple[str, Names]:
        """A gauge with all of its labels, over time or now."""
        series = self.rng.choice(['price{kind="mark"}', "open_interest", "funding_8h"])
        names: Names = ("base", "kind", "market", "quote", "symbol", "venue")
        if not series.startswith("price"):
            names = ("base", "quote", "symbol", "venue")
        if self.rng.random() < 0.3:
            return series, names
        functions = ROW_FUNCTIONS if series == "funding_8h" else ROW_FUNCTIONS + POSITIVE_FUNCTIONS
        return f"{self.rng.choice(functions)}({series}{self.window()})", names

    def sampled(self, depth: int, names: Names) -> str:
        inner = self.value(min(depth - 1, 1), names)
        positive = self.unit(inner) in (Unit.PRICE, Unit.USD, Unit.NUMBER, Unit.COUNT)
        functions = (*SAMPLE_FUNCTIONS, *(("change", "drawdown", "realized_vol") if positive else ()))
        window = self.rng.choice(["[2m:10s]", "[5m:30s]", "[100s:7s]", "[5m:30s] offset 1m"])
        return f"{self.rng.choice(functions)}(({inner}){window})"

    def pair(self, names: Names) -> str:
        window = self.rng.choice(["[3m:10s]", "[10m:1m]"])
        function = self.rng.choice(["corr", "beta"])
        if "base" in names:
            return f"{function}(price{window}, open_interest{window}) by ({', '.join(names)})"
        first, second = 'price{base="BTC"}', 'price{base="ETH"}'
        return f"{function}({first}{window}, {second}{window}) by ({', '.join(names)})"

    def arithmetic(self, depth: int, names: Names) -> str:
        left = self.value(depth - 1, names)
        how = self.rng.random()
        if how < 0.3:
            return f"({left}) {self.rng.choice('*/')} {self.rng.choice(['2', '3.5', '0.1'])}"
        if how < 0.4:
            return f"-({left})"
        if how < 0.5:
            return f"({left}) % 3"
        op = self.rng.choice(["+", "-", "/", "- ignoring (side)"])
        if self.rng.random() < 0.3:
            return f"({left}) {self.rng.choice('+-')} ({left})"
        right = self.value(depth - 1, names)
        if self.unit(left) is not self.unit(right) and op != "/":
            op = "/"
        return f"({left}) {op} ({right})"

    def share(self, depth: int, names: Names) -> str:
        """Many to one: parts of a whole."""
        many = self.value(depth - 1, names)
        fewer = tuple(name for name in names if self.rng.random() < 0.5)
        one = self.value(depth - 1, fewer)
        if fewer and self.rng.random() < 0.5:
            return f"({many}) / on ({', '.join(fewer)}) group_left ({one})"
        return f"({one}) / ({many})" if self.rng.random() < 0.3 else f"({many}) / ({one})"

    def aggregate(self, depth: int, names: Names) -> str:
        inner = self.value(depth - 1, tuple(sorted({*names, "base", "venue"})))
        if self.rng.random() < 0.4:
            inner, _ = self.whole()
        if self.rng.random() < 0.2:
            return f"quantile({self.rng.choice([0.1, 0.5, 1])}, {inner}){self.by(names)}"
        return f"{self.rng.choice(FOLDS)}({inner}){self.by(names)}"

    def count(self, depth: int, names: Names) -> str:
        return f"count({self.condition(depth - 1, tuple(sorted({*names, 'base', 'venue'})))}){self.by(names)}"

    # Conditions

    def condition(self, depth: int, names: Names) -> str:
        """A condition per label set of exactly these labels."""
        if depth <= 0:
            return self.compare(0, names)
        return self.pick(
            lambda: self.compare(depth, names),
            lambda: self.compare(depth, names),
            lambda: self.logic(depth, names),
            lambda: f"not ({self.condition(depth - 1, names)})",
            lambda: self.k_of(depth, names),
            lambda: self.then(depth, names),
            lambda: self.remembered(depth, names),
            lambda: self.crosses(depth, names),
            lambda: self.absent(names),
        )

    def compare(self, depth: int, names: Names) -> str:
        left = self.value(depth - 1, names)
        unit = self.unit(left)
        if depth > 0 and self.rng.random() < 0.25:
            fewer = tuple(name for name in names if self.rng.random() < 0.7)
            for _ in range(4):
                right = self.value(depth - 1, fewer)
                if self.unit(right) is unit:
                    return f"({left}) {self.rng.choice('<>')} ({right})"
        return f"({left}) {self.rng.choice(COMPARISONS)} {self.rng.choice(LITERALS[unit])}"

    def logic(self, depth: int, names: Names) -> str:
        op = self.rng.choice(["and", "or", "unless"])
        fewer = tuple(name for name in names if self.rng.random() < 0.6)
        left = self.condition(depth - 1, names)
        right = self.condition(depth - 1, fewer)
        if fewer and fewer != names and self.rng.random() < 0.3:
            return f"({left}) {op} on ({', '.join(fewer)}) group_left ({right})"
        return f"({left}) {op} ({right})"

    def k_of(self, depth: int, names: Names) -> str:
        parts = [self.condition(depth - 1, names)]
        parts += [
            self.condition(depth - 1, names[: self.rng.randint(0, len(names))]) for _ in range(self.rng.randint(1, 2))
        ]
        self.rng.shuffle(parts)
        return f"k_of({self.rng.randint(1, len(parts))}, {', '.join(parts)})"

    def then(self, depth: int, names: Names) -> str:
        first, second = self.condition(depth - 1, names), self.condition(depth - 1, names)
        return f"({first} then {second} within {self.rng.choice(['5s', '60s', '10m'])})"

    def remembered(self, depth: int, names: Names) -> str:
        function, op = self.rng.choice(["held", "since"]), self.rng.choice(["<", ">", ">="])
        return f"{function}({self.condition(depth - 1, names)}) {op} {self.rng.choice(LITERALS[Unit.DURATION])}"

    def crosses(self, depth: int, names: Names) -> str:
        left = self.value(depth - 1, names)
        unit = self.unit(left)
        right = self.rng.choice(LITERALS[unit])
        if self.rng.random() < 0.3:
            other = self.value(0, names[: self.rng.randint(0, len(names))])
            right = other if self.unit(other) is unit else right
        return f"crosses_{self.rng.choice(['above', 'below'])}({left}, {right})"

    def absent(self, names: Names) -> str:
        if self.rng.random() < 0.5:
            return f"absent(liquidations{self.rng.choice(MATCHERS)}{self.window()}){self.by(names)}"
        return f"absent({self.rng.choice(['open_interest', 'funding_8h'])}[{self.rng.choice(['60s', '5m'])}]){self.by(names)}"

    # Rules

    def labels(self) -> Names:
        return self.rng.choice(LABELS)
