"""What the venues do not tell about liquidations, in words for alerts that are built on them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from monitor import format as fmt
from monitor.alerts.matchers import matches
from monitor.events import Channel
from monitor.expression import Expr, Matcher, Selector, children
from monitor.feed import Feed
from monitor.rule import RuleSet
from monitor.runtime.feeds.stats import FeedStats

SERIES = "liquidations"
Feeds = Sequence[tuple[Feed, FeedStats]]


class Reporting:
    """Says of a rule how much its liquidation totals can be missing although every feed is live.

    Args:
        rules: Where rules and recordings are looked up.
        feeds: Gives the configured feeds with their counters.
        now_ns: Gives the present unix time.
    """

    def __init__(self, rules: RuleSet, feeds: Callable[[], Feeds], now_ns: Callable[[], int]) -> None:
        self._feeds = feeds
        self._now_ns = now_ns
        self.replace_rules(rules)

    def replace_rules(self, rules: RuleSet) -> None:
        """Follow other rules from now on."""
        recorded = {recording.name: recording.expr for recording in rules.recordings}
        self._reads = {rule.id: tuple(_liquidation_reads(rule.expr, recorded, frozenset())) for rule in rules.alerts}

    def notes(self, rule: str) -> tuple[str, ...]:
        """Nothing for a rule that reads no liquidations, or only from venues that publish all of them."""
        reads = self._reads.get(rule, ())
        if not reads:
            return ()
        concerned = [
            (feed, stats)
            for feed, stats in self._feeds()
            if any(matches(matchers, {"venue": venue}) for matchers in reads for venue in _venues(feed))
        ]
        parts = [*_sampled(concerned, self._now_ns()), *_silent(concerned)]
        return (f"a lower bound: {'; '.join(parts)}",) if parts else ()


def _sampled(feeds: Iterable[tuple[Feed, FeedStats]], now_ns: int) -> Iterator[str]:
    names = [
        feed.spec.title + _at_cap(stats, now_ns)
        for feed, stats in feeds
        if _law_kind(feed) in ("sampled", "order_level")
    ]
    if names:
        yield f"sampled by {', '.join(names)}"


def _silent(feeds: Iterable[tuple[Feed, FeedStats]]) -> Iterator[str]:
    names = [feed.spec.title for feed, _ in feeds if _law_kind(feed) == "not_covered"]
    if names:
        yield f"not published by {', '.join(names)}"


def _at_cap(stats: FeedStats, now_ns: int) -> str:
    ratio = math.nan if stats.saturation is None else stats.saturation.ratio(now_ns)
    return "" if math.isnan(ratio) else f" (at its cap in {fmt.pct(ratio)} of symbol-seconds)"


def _venues(feed: Feed) -> set[str]:
    """Whose liquidations it brings, or would bring if the venue published them."""
    return {feed.spec.venue} | {venue for venue, channel in feed.sources() if channel is Channel.LIQUIDATIONS}


def _law_kind(feed: Feed) -> str:
    law = feed.spec.laws.get(Channel.LIQUIDATIONS)
    return "" if law is None or Channel.LIQUIDATIONS not in feed.options.channels else law.kind


def _liquidation_reads(node: Expr, recorded: dict[str, Expr], seen: frozenset[str]) -> Iterator[tuple[Matcher, ...]]:
    """The conditions on venues of every place where liquidations are read, through recordings too."""
    if isinstance(node, Selector):
        if node.series == SERIES:
            yield tuple(matcher for matcher in node.matchers if matcher.label == "venue")
        elif node.series in recorded and node.series not in seen:
            yield from _liquidation_reads(recorded[node.series], recorded, seen | {node.series})
    for child in children(node):
        yield from _liquidation_reads(child, recorded, seen)
