"""Coverage over whole seconds, one by one: which of them a source was live in, as far as is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitor.events import Channel

HORIZON = 200
"""Seconds that there are; what is live and has not gone down is live to the end of them."""
SLOW = (Channel.REFERENCE, Channel.VOLATILITY)


@dataclass
class Seconds:
    """Second k is (k, k + 1]."""

    live: set[int] = field(default_factory=set)
    up_since: int | None = None

    def up(self, at: int) -> None:
        if self.up_since is None:
            self.up_since = at
            self.live |= set(range(at, HORIZON))

    def down(self, at: int) -> None:
        if self.up_since is not None:
            self.live -= set(range(max(at, self.up_since), HORIZON))
            self.up_since = None

    def lost(self, start: int, end: int) -> None:
        """A gap takes away what was thought covered; who was up is so again after it."""
        self.live -= set(range(start, end))
        if self.up_since is not None:
            self.up_since = max(self.up_since, end)

    def found(self, start: int, end: int) -> None:
        """History fills a gap, up to where the source is live by itself."""
        self.live |= set(range(start, end if self.up_since is None else min(end, self.up_since)))

    def live_at(self, at: int) -> bool:
        """A second counts with both of its ends."""
        return at in self.live or at - 1 in self.live

    def share(self, start: int, end: int) -> float:
        """Of (start, end], or of an instant."""
        if start == end:
            return float(self.live_at(end))
        return sum(second in self.live for second in range(start, end)) / (end - start)

    def copy(self) -> Seconds:
        return Seconds(set(self.live), self.up_since)


@dataclass
class Sources:
    """Every (venue, channel) that was heard of or is expected, and every (series, part, source) of the slow ones."""

    fast: dict[tuple[str, Channel], Seconds] = field(default_factory=dict)
    slow: dict[tuple[str, str, str], Seconds] = field(default_factory=dict)

    def every(self, venue: str, channel: Channel) -> Iterable[Seconds]:
        """The seconds of a feed, and of all that it gives."""
        yield self.fast.setdefault((venue, channel), Seconds())
        if channel in SLOW:
            yield from (seconds for key, seconds in self.slow.items() if key[2] == venue)

    def gives(self, key: tuple[str, str, str], stretch: tuple[int, int] | None) -> None:
        """A slow value came; one of the past stood over a stretch."""
        feeds = [self.fast[key[2], channel] for channel in SLOW if (key[2], channel) in self.fast]
        mine = self.slow.setdefault(key, feeds[0].copy() if feeds else Seconds())
        if stretch is not None and not (mine.up_since is not None and stretch[0] >= mine.up_since):
            mine.found(*stretch)

    def leaves(self, venue: str, channel: Channel) -> None:
        """It was taken out of the configuration."""
        self.fast.pop((venue, channel), None)
        if channel in SLOW:
            self.slow = {key: seconds for key, seconds in self.slow.items() if key[2] != venue}

    def share(self, channel: Channel, accept: Callable[[str], bool], start: int, end: int) -> float:
        """The mean share of the feeds of a channel; before any is known, nothing is covered."""
        found = [seconds for (venue, of), seconds in self.fast.items() if of is channel and accept(venue)]
        return mean([seconds.share(start, end) for seconds in found], nobody=float(channel in SLOW))

    def slow_share(self, series: str, accept: Callable[[str], bool], start: int, end: int) -> float:
        """Of the parts that a reading wants, from the sources that report their health; by feed where none ever came."""
        parts = [(key[2], seconds) for key, seconds in self.slow.items() if key[0] == series and accept(key[1])]
        if not parts:
            return self.share(Channel.REFERENCE, lambda _: True, start, end)
        told = [seconds for source, seconds in parts if any((source, channel) in self.fast for channel in SLOW)]
        return mean([seconds.share(start, end) for seconds in told], nobody=1.0)


def mean(shares: list[float], nobody: float) -> float:
    """Rounded down to a thousandth."""
    share = sum(shares) / len(shares) if shares else nobody
    return int(share * 1000 + 1e-9) / 1000
