"""Coverage of slow series: where a source was live, or where history says what a value was.

A source is one feed, but its series differ in what is known of their past: a service may give a year of the total and
nothing of its parts. So each part of a series (the label by which it is told apart: `asset`, `scope`, `fund`) has spans
of its own. They follow the source's liveness; a value of the past adds the stretch in which it stands, which ends where
the series would call it stale. What comes without a source that reports its health (an inlet, a derived series) has no
spans: whether it is there is all that can be said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from monitor.engine.cover.spans import Spans
from monitor.events import Channel, Labels
from monitor.series import SeriesSpec

SLOW = frozenset({Channel.REFERENCE, Channel.VOLATILITY})
"""Channels of series that come as samples: from sources, whose health is that of `REFERENCE`, or from a venue's feed."""

Key = tuple[str, str, str]
"""Series, part and source."""


class SlowNeed(NamedTuple):
    """What a reading wants of a slow series."""

    series: str
    accept: Callable[[str], bool]


def part_label(spec: SeriesSpec) -> str:
    """The label that tells the parts of a series apart; empty where it is one."""
    return spec.defaults[0][0] if spec.defaults else ""


def part_of(spec: SeriesSpec, labels: Labels) -> str:
    """The part that a label set belongs to."""
    name = part_label(spec)
    return next((value for key, value in labels if key == name), "")


class SlowSpans:
    """Spans by series, part and source."""

    def __init__(self) -> None:
        self.spans: dict[Key, Spans] = {}

    def give(self, key: Key, stretch: tuple[int, int] | None, live: Spans | None) -> bool:
        """Note that a source gave a value; True when that changes what is known.

        Args:
            key: Of the value.
            stretch: (start, end] in which a value of the past stood; None for one of now.
            live: Of the source, for a key that is new; None where it reports no health.
        """
        spans = self.spans.get(key)
        fresh = spans is None
        if spans is None:
            spans = self.spans[key] = Spans() if live is None else live.copy()
        if stretch is None or (spans.open_since is not None and stretch[0] >= spans.open_since):
            return fresh
        spans.fill(*stretch)
        return True

    def of_source(self, source: str) -> Iterator[Spans]:
        """Everything that a source gives."""
        return (spans for (_, _, giver), spans in self.spans.items() if giver == source)

    def needed(self, need: SlowNeed) -> list[tuple[str, Spans]]:
        """Sources and spans of the parts that a reading wants; nothing where none of it ever came."""
        return [
            (source, spans)
            for (series, part, source), spans in self.spans.items()
            if series == need.series and need.accept(part)
        ]

    def drop(self, source: str) -> None:
        """A source was taken out of the configuration."""
        self.spans = {key: spans for key, spans in self.spans.items() if key[2] != source}

    def put_back(self, saved: Mapping[Key, Spans]) -> None:
        """Take up what was saved."""
        self.spans = dict(saved)
