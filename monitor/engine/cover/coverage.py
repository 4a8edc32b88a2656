"""How complete the data is: live spans per (venue, channel), and the share of a window that they cover.

A pure ledger. Before the first `up` of a channel nothing is covered; a gap takes away what was thought covered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from monitor.clock import NS_PER_S
from monitor.engine.cover.slow_coverage import SLOW, Key, SlowNeed, SlowSpans
from monitor.engine.cover.spans import FAR_NS, Spans
from monitor.events import Channel, FeedGap, FeedState

STEP = 1000
"""Coverage is rounded down to 1/1000, so that a window sliding over a gap does not change every reading each tick."""

ROUNDING = 1e-9
"""Of a step: what division of whole nanoseconds may lose."""
SHY = 0.999
"""A forecast crossing is looked for a little early."""

Source = tuple[str, Channel]


class Ledger:
    """Spans of every source, and which sources each channel is expected to have."""

    def __init__(self, expected: Mapping[Channel, Sequence[str]]) -> None:
        self.version = 0
        self.spans: dict[Source, Spans] = {}
        self.slow = SlowSpans()
        self.expected: frozenset[Source] = frozenset()
        self._left: frozenset[Source] = frozenset()
        self._tracked = False
        self.expect(expected)

    def expect(self, expected: Mapping[Channel, Sequence[str]]) -> None:
        """Count on other feeds from now on; what was expected and is not any more takes nothing away from a reading."""
        self.version += 1
        self._tracked |= bool(expected)
        wanted = frozenset((venue, channel) for channel, venues in expected.items() for venue in venues)
        self._left = (self._left | self.expected) - wanted
        self.expected = wanted
        for source in self._left & self.spans.keys():
            del self.spans[source]
            if source[1] in SLOW:
                self.slow.drop(source[0])
        for source in sorted(wanted - self.spans.keys()):
            self.spans[source] = Spans()

    def record(self, event: FeedState | FeedGap) -> None:
        """Take in a change of a feed; the last words of one that was taken out of the configuration change nothing."""
        if (event.venue, event.channel) in self._left:
            return
        self._tracked = True
        self.version += 1
        _change(self.spans.setdefault((event.venue, event.channel), Spans()), event)
        if event.channel in SLOW:
            for spans in self.slow.of_source(event.venue):
                _change(spans, event)

    def give(self, key: Key, stretch: tuple[int, int] | None) -> None:
        """A source gave a value of a slow series; one of the past stood over a stretch."""
        if any((key[2], channel) in self._left for channel in SLOW):
            return
        live = next((self.spans[key[2], channel] for channel in SLOW if (key[2], channel) in self.spans), None)
        self.version += self.slow.give(key, stretch, live)

    def needed(
        self, channel: Channel, accept: Callable[[str], bool], slow: SlowNeed | None = None
    ) -> list[tuple[str, Spans]]:
        """The (venue, spans) that a reading of a channel needs; of a slow series those who give it, once they do."""
        given = self.slow.needed(slow) if slow is not None else []
        if given:
            return [(source, spans) for source, spans in given if any((source, c) in self.spans for c in SLOW)]
        return [(venue, s) for (venue, c), s in self.spans.items() if c is channel and accept(venue)]

    def share(
        self,
        channel: Channel,
        accept: Callable[[str], bool],
        start_ns: int,
        end_ns: int,
        slow: SlowNeed | None = None,
    ) -> tuple[float, int]:
        """Mean share of (start, end] in which the needed feeds were live; of an instant when start equals end.

        Without any feed tracked at all the caller does not keep track, and 1 is returned.

        Returns:
            The share, and until when it stays that (as `end_ns`, exclusive, the window's length being the same and
            the ledger, too).
        """
        needed = [spans for _, spans in self.needed(channel, accept, slow)]
        if not needed:
            return 0.0 if self._tracked and channel not in SLOW else 1.0, FAR_NS
        if start_ns == end_ns:
            edge_ns = min(spans.next_edge_ns(end_ns - 1) for spans in needed)
            until_ns = end_ns + 1 if edge_ns == end_ns else edge_ns
            return rounded(sum(spans.live_at(end_ns) for spans in needed) / len(needed)), until_ns
        length_ns = end_ns - start_ns
        mean = sum(spans.covered_ns(start_ns, end_ns) for spans in needed) / (length_ns * len(needed))
        return rounded(mean), end_ns + _constant_ns(needed, mean, start_ns, end_ns)

    def silent(self, channel: Channel, accept: Callable[[str], bool], now_ns: int, slow: SlowNeed | None = None) -> str:
        """Which needed feeds are not live now, and for how long: ``bybit liquidations silent 4m12s``."""
        words = []
        for venue, spans in self.needed(channel, accept, slow):
            silent_ns = spans.silent_ns(now_ns)
            if silent_ns is None:
                words.append(f"{venue} {channel.words} never live")
            elif silent_ns:
                words.append(f"{venue} {channel.words} silent {duration_text(silent_ns)}")
        return ", ".join(words)


def _change(spans: Spans, event: FeedState | FeedGap) -> None:
    if isinstance(event, FeedGap):
        change = spans.fill if event.filled else spans.cut
        change(event.start_ns, event.end_ns)
    elif event.up:
        spans.up(event.ts_ns)
    else:
        spans.down(event.ts_ns, event.reason)


def rounded(share: float) -> float:
    """A share rounded down to whole steps."""
    return int(share * STEP + ROUNDING) / STEP


def _constant_ns(needed: Sequence[Spans], mean: float, start_ns: int, end_ns: int) -> int:
    """For how long the rounded mean share of a sliding window stays what it is; a little less is never wrong.

    Between two edges of spans the share moves in a straight line: up where a feed is live at the window's end and was
    not at its start, down the other way round.
    """
    flat_ns = min(
        min(spans.next_edge_ns(start_ns) - start_ns, max(spans.next_edge_ns(end_ns) - end_ns, 1)) for spans in needed
    )
    slope = sum(spans.live_after(end_ns) - spans.live_after(start_ns) for spans in needed)
    if not slope:
        return max(flat_ns, 1)
    steps = mean * STEP + ROUNDING
    left = 1.0 - steps % 1.0 if slope > 0 else steps % 1.0
    crossing_ns = left / STEP * (end_ns - start_ns) * len(needed) / abs(slope)
    return max(min(flat_ns, int(crossing_ns * SHY)), 1)


def duration_text(ns: int) -> str:
    """A length of time for people.

    >>> duration_text(252_000_000_000), duration_text(7_200_000_000_000), duration_text(250_000_000)
    ('4m12s', '2h', '0.25s')
    """
    seconds = ns / NS_PER_S
    if seconds < 1:
        return f"{seconds:.2g}s"
    parts, left = [], int(seconds)
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{name}")
            left %= size
    return "".join(parts[:2])
