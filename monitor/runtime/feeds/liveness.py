"""From connections and polls to what the stream says about each channel: live, not live, and what was lost.

A stream may bring events of another venue, too: then its states and gaps are said of both. Several carriers (connections, polled endpoints) may share a channel. The channel is live while all of them are. Each
loss of a carrier becomes one `FeedGap` when it is over, from the last sign of life to the recovery. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.events import Channel, FeedGap, FeedState
from monitor.feed import Source
from monitor.runtime.feeds.stats import FeedStats, UpTime

Emit = Callable[[list[FeedState | FeedGap]], None]


@dataclass(frozen=True, slots=True)
class Recovery:
    """A carrier delivers a channel, again or for the first time.

    Attributes:
        lost_ns: Unix time of the last sign of life before; None: it has never delivered.
        begun_ns: From when on it may have brought something: its opening, before any subscription.
        at_ns: From when on it is known to deliver.
        reason: Why it was lost.
    """

    carrier: str
    channel: Channel
    lost_ns: int | None
    begun_ns: int
    at_ns: int
    reason: str


@dataclass(slots=True)
class _Carrier:
    up: bool = False
    counts: bool = True
    lost_since_ns: int | None = None
    reason: str = "starting"


class Liveness:
    """The channels of one feed.

    Args:
        stats: Gets the up time of each channel.
        sources: All channels of the feed, and those of other venues that come with the channel of the same name; each
            is announced as not live at once.
        emit: Takes the events for the stream.
        now_ns: Unix time of the start.
        recovered: Hears of each carrier that delivers.
    """

    def __init__(
        self,
        stats: FeedStats,
        sources: Iterable[Source],
        emit: Emit,
        now_ns: int,
        recovered: Callable[[Recovery], None] = lambda _recovery: None,
    ) -> None:
        self._stats = stats
        self._emit = emit
        self._recovered = recovered
        self._venues: dict[Channel, list[str]] = {}
        for venue, channel in sorted(sources):
            self._venues.setdefault(channel, []).append(venue)
        self._carriers: dict[Channel, dict[str, _Carrier]] = {channel: {} for channel in sorted(self._venues)}
        for channel in self._carriers:
            stats.uptime.setdefault(channel, UpTime()).change(now_ns, up=False)
        emit([state for channel in self._carriers for state in self._states(channel, now_ns, "starting", up=False)])

    def expect(self, name: str, channels: Iterable[Channel], *, joining: bool = False) -> None:
        """Announce a carrier; one that is `joining` a running feed counts only once it has delivered."""
        for channel in channels:
            self._carriers.setdefault(channel, {}).setdefault(name, _Carrier(counts=not joining))

    def up(self, name: str, channel: Channel, now_ns: int, begun_ns: int | None = None) -> None:
        """The carrier delivers this channel; `begun_ns` as in `Recovery`, where it differs from now."""
        carrier = self._carriers[channel].setdefault(name, _Carrier())
        if carrier.up:
            return
        carrier.up = carrier.counts = True
        lost_ns = None if carrier.lost_since_ns is None else min(carrier.lost_since_ns, now_ns)
        if lost_ns is not None:
            self._emit([FeedGap(venue, channel, lost_ns, now_ns, carrier.reason) for venue in self._of(channel)])
            carrier.lost_since_ns = None
        begun_ns = now_ns if begun_ns is None else min(begun_ns, now_ns)
        self._recovered(Recovery(name, channel, lost_ns, begun_ns, now_ns, carrier.reason))
        self._settle(channel, now_ns, "")

    def down(self, name: str, channel: Channel, since_ns: int, reason: str) -> None:
        """The carrier stopped delivering this channel after `since_ns`."""
        carrier = self._carriers[channel].setdefault(name, _Carrier())
        if carrier.up:
            carrier.up = False
            carrier.lost_since_ns = since_ns
            carrier.reason = reason
        self._settle(channel, since_ns, reason)

    def forget(self, name: str, now_ns: int) -> None:
        """The carrier is no longer wanted; it holds no channel back."""
        for channel, carriers in self._carriers.items():
            if carriers.pop(name, None) is not None:
                self._settle(channel, now_ns, "")

    def down_all(self, now_ns: int, reason: str) -> None:
        """The feed as a whole stopped."""
        for channel, carriers in self._carriers.items():
            for name in tuple(carriers):
                self.down(name, channel, now_ns, reason)

    def _settle(self, channel: Channel, at_ns: int, reason: str) -> None:
        counted = [carrier for carrier in self._carriers[channel].values() if carrier.counts]
        up = bool(counted) and all(carrier.up for carrier in counted)
        uptime = self._stats.uptime.setdefault(channel, UpTime())
        if up != uptime.up:
            uptime.change(at_ns, up=up)
            self._emit(list(self._states(channel, at_ns, reason, up=up)))

    def _states(self, channel: Channel, at_ns: int, reason: str, *, up: bool) -> Iterator[FeedState]:
        return (FeedState(venue, channel, up, at_ns, reason) for venue in self._of(channel))

    def _of(self, channel: Channel) -> Sequence[str]:
        """Whose events of this channel come."""
        return self._venues.get(channel, (self._stats.venue,))
