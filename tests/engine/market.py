"""Small markets for engine tests: instruments, events at seconds, rules from text."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.clock import NS_PER_S
from monitor.engine import Engine
from monitor.events import Channel, FeedState, Labels, Liquidation, OpenInterest, Price, Sample
from monitor.instruments import Instrument
from monitor.language import parse_expression
from monitor.reading import Evaluation
from monitor.rule import Rule, RuleSet

T0_NS = 1_763_000_000 * NS_PER_S // (3600 * NS_PER_S) * 3600 * NS_PER_S


def at(seconds: float) -> int:
    return T0_NS + round(seconds * NS_PER_S)


def perp(venue: str, base: str) -> Instrument:
    return Instrument(venue=venue, symbol=f"{base}USDT", base=base, quote="USDT", settle="USDT", kind="perp")


BYBIT_BTC, OKX_BTC, BYBIT_ETH = perp("bybit", "BTC"), perp("okx", "BTC"), perp("bybit", "ETH")


def liquidation(
    instrument: Instrument, usd: float, s: float, side: str = "long", recv: float | None = None
) -> Liquidation:
    return Liquidation(instrument, side, round(usd * 1e6), 1.0, at(s), at(s if recv is None else recv))  # type: ignore[arg-type]


def price(instrument: Instrument, value: float, s: float) -> Price:
    return Price(instrument, "mark", value, at(s), at(s))


def interest(instrument: Instrument, usd: float, s: float) -> OpenInterest:
    return OpenInterest(instrument, usd, at(s), at(s))


def external(name: str, value: float, s: float, source: str = "test") -> Sample:
    return Sample("external", (("name", name), ("source", source)), value, at(s), at(s))


def feed(venue: str, channel: Channel, s: float, *, up: bool = True) -> FeedState:
    return FeedState(venue, channel, up, at(s))


def rules(*texts: str) -> RuleSet:
    return RuleSet(
        tuple(Rule(f"r{i}", "g", parse_expression(text, expect="condition"), text) for i, text in enumerate(texts))
    )


def engine(*texts: str) -> Engine:
    return Engine(rules(*texts))


def only(evaluations: Iterable[Evaluation]) -> Evaluation:
    (found,) = evaluations
    return found


def table(evaluation: Evaluation) -> dict[Labels, tuple[int, float]]:
    return {
        labels: (int(evaluation.truth[row]), float(evaluation.value[row]))
        for row, labels in enumerate(evaluation.labels)
    }
