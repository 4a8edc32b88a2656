"""What would change with other rules: firings that are new, gone, earlier or later. Both sets see the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitor import format as fmt
from monitor.backtest.journal import Episode
from monitor.backtest.report import SENT, Report, alert_text, seconds, time_text
from monitor.config import read_rule_files
from monitor.errors import Problem
from monitor.events import Labels
from monitor.language import load_rules
from monitor.runtime.load import Loaded

OPTION = "--compare"
MOST_SHOWN = 20
NEVER = 1 << 62
Key = tuple[str, Labels]


def with_rules(loaded: Loaded, patterns: Sequence[str], option: str = OPTION) -> Loaded:
    """The same configuration with other rule files.

    Args:
        loaded: Feeds, routes and sinks are taken from here.
        patterns: Paths of the files, from the working directory, with ``*`` and the like.
        option: The option that they were given with, for messages.

    Raises:
        ConfigError: A pattern matches nothing, or with every mistake of the files.
    """
    base, text = Path.cwd(), " ".join(patterns)

    def problem(index: int, message: str) -> Problem:
        column = len(" ".join(patterns[:index])) + (2 if index else 1)
        return Problem(option, 1, column, message, source=text, width=len(patterns[index]))

    rules = load_rules(read_rule_files(base, patterns, problem))
    config = loaded.source.config.model_copy(update={"rules": tuple(patterns)})
    return replace(loaded, rules=rules, source=replace(loaded.source, config=config, base=base))


@dataclass(frozen=True, slots=True)
class Pair:
    """The same firing under both sets of rules; positive differences mean later under the others."""

    before: Episode
    after: Episode

    @property
    def fires_later_ns(self) -> int:
        """By how much it fires later."""
        return (self.after.fired_ns or 0) - (self.before.fired_ns or 0)

    @property
    def ends_later_ns(self) -> int | None:
        """By how much it resolves later; None where it does not resolve in both."""
        if self.before.end_ns is None or self.after.end_ns is None:
            return None if self.before.end_ns != self.after.end_ns else 0
        return self.after.end_ns - self.before.end_ns

    @property
    def same(self) -> bool:
        """Whether nothing moved."""
        return self.fires_later_ns == 0 and self.ends_later_ns == 0


@dataclass(frozen=True, slots=True)
class Difference:
    """What the other rules change.

    Attributes:
        added: Firings only under the others, and ``removed``: only under the first.
        moved: Firings under both, at other times, and ``same``: how many did not move.
        new_rules: Rules that only the others have, and ``gone_rules``: only the first.
        sent: Notifications under the first and under the others.
    """

    added: list[Episode]
    removed: list[Episode]
    moved: list[Pair]
    same: int
    new_rules: list[str]
    gone_rules: list[str]
    sent: tuple[int, int]


def compare(before: Report, after: Report) -> Difference:
    """Match firings of equal name and labels that overlap, in order of time."""
    left, right = _by_key(before), _by_key(after)
    pairs, removed, added = list[Pair](), list[Episode](), list[Episode]()
    for key in sorted(left.keys() | right.keys()):
        met, alone, new = _match(left.get(key, []), right.get(key, []))
        pairs += met
        removed += alone
        added += new
    names = ({rule.rule.name for rule in report.rules} for report in (before, after))
    first, second = names
    return Difference(
        _in_time(added),
        _in_time(removed),
        sorted((pair for pair in pairs if not pair.same), key=lambda pair: pair.before.fired_ns or 0),
        sum(pair.same for pair in pairs),
        sorted(second - first),
        sorted(first - second),
        (_sent(before), _sent(after)),
    )


def _sent(report: Report) -> int:
    return sum(message.outcome in SENT for message in report.messages)


def _by_key(report: Report) -> dict[Key, list[Episode]]:
    """Firings by name and labels; a severity may change without making it another alert."""
    found: dict[Key, list[Episode]] = {}
    for rule in report.rules:
        for episode in rule.fired:
            labels = tuple(pair for pair in episode.labels if pair[0] != "severity")
            found.setdefault((episode.name, labels), []).append(episode)
    return found


def _match(before: Sequence[Episode], after: Sequence[Episode]) -> tuple[list[Pair], list[Episode], list[Episode]]:
    pairs, removed, left = list[Pair](), list[Episode](), list(after)
    for episode in before:
        other = next((one for one in left if _overlap(episode, one)), None)
        if other is None:
            removed.append(episode)
        else:
            left.remove(other)
            pairs.append(Pair(episode, other))
    return pairs, removed, left


def _overlap(one: Episode, other: Episode) -> bool:
    return (one.fired_ns or 0) <= (other.end_ns or NEVER) and (other.fired_ns or 0) <= (one.end_ns or NEVER)


def _in_time(episodes: Sequence[Episode]) -> list[Episode]:
    return sorted(episodes, key=lambda episode: (episode.fired_ns or 0, episode.name, episode.labels))


def difference_text(difference: Difference) -> str:
    """For a terminal."""
    return "\n".join(_lines(difference))


def _lines(found: Difference) -> Iterator[str]:
    yield (
        f"compared with the other rules: {len(found.added)} added, {len(found.removed)} removed,"
        f" {len(found.moved)} moved, {found.same} the same; notifications {found.sent[0]} before, {found.sent[1]} after"
    )
    for words, names in (("only there", found.new_rules), ("only here", found.gone_rules)):
        if names:
            yield f"  rules {words}: {', '.join(names)}"
    for sign, episodes in (("+", found.added), ("-", found.removed)):
        for episode in episodes[:MOST_SHOWN]:
            yield f"  {sign} {fmt.utc_time(episode.fired_ns)}  {alert_text(episode.name, episode.labels)}"
        if len(episodes) > MOST_SHOWN:
            yield f"  {sign} and {len(episodes) - MOST_SHOWN} more (--json has them all)"
    for pair in found.moved[:MOST_SHOWN]:
        yield f"  ~ {fmt.utc_time(pair.before.fired_ns)}  {alert_text(pair.before.name, pair.before.labels)}: {_moved(pair)}"
    if len(found.moved) > MOST_SHOWN:
        yield f"  ~ and {len(found.moved) - MOST_SHOWN} more (--json has them all)"


def _moved(pair: Pair) -> str:
    words = [f"fires {_shift(pair.fires_later_ns)}"] if pair.fires_later_ns else []
    if pair.ends_later_ns is None:
        words.append("now resolves" if pair.before.end_ns is None else "no longer resolves in this stretch")
    elif pair.ends_later_ns:
        words.append(f"resolves {_shift(pair.ends_later_ns)}")
    return ", ".join(words)


def _shift(later_ns: int) -> str:
    return f"{fmt.duration(abs(later_ns))} {'later' if later_ns > 0 else 'earlier'}"


def plain_difference(found: Difference) -> dict[str, Any]:
    """For JSON."""
    return {
        "added": [_plain(episode) for episode in found.added],
        "removed": [_plain(episode) for episode in found.removed],
        "moved": [
            {
                **_plain(pair.before),
                "fires_later_s": seconds(pair.fires_later_ns),
                "ends_later_s": None if pair.ends_later_ns is None else seconds(pair.ends_later_ns),
            }
            for pair in found.moved
        ],
        "same": found.same,
        "new_rules": found.new_rules,
        "gone_rules": found.gone_rules,
        "sent_before": found.sent[0],
        "sent_after": found.sent[1],
    }


def _plain(episode: Episode) -> dict[str, Any]:
    assert episode.fired_ns is not None
    return {
        "alert": alert_text(episode.name, episode.labels),
        "fired_at": time_text(episode.fired_ns),
        "resolved_at": None if episode.end_ns is None else time_text(episode.end_ns),
    }
