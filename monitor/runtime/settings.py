"""The numbers of the plumbing that are ours, not a venue's; tests shorten them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.events import Channel


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Patience and pace of one feed's plumbing. Seconds of the feed's clock, except where real seconds are named.

    Attributes:
        connect_timeout_s: Real seconds for name lookup, TCP, TLS and handshake together.
        backoff_base_s: Ceiling of the first wait after a failure; each further failure doubles it.
        backoff_cap_s: Largest ceiling.
        stable_s: A connection that delivered for so long resets the back-off.
        tick_s: Period of pings, idle checks and renewals.
        idle_s: Replaces the venue's own idle limit where set.
        ping_every_s: A connection that received nothing for so long gets a protocol ping.
        pong_within_s: A connection that still received nothing so long after that ping is half-open.
        dead_after_s: Per channel, silence that counts as a dead subscription while companion channels deliver.
        companion_s: A companion channel counts as delivering when its last data is no older.
        moved_ratio: Where a whole market moved so far without one liquidation, and
        moved_silence_s: for so long, its liquidations count as a dead subscription.
        hot_standby: Keep a second connection beside each, which takes over when the first is lost: no gap, at twice the
            connections. Liquidations are taken from both without repeats, trades from one at a time.
        renewal_lead_s: A connection is renewed this long before its lifetime ends, at most a tenth of the lifetime.
        renewal_patience_s: A successor that is not delivering by then is given up; the old connection stays.
        metadata_every_s: Period of the instruments' refresh.
        metadata_gap_s: Least distance between refreshes caused by unknown symbols.
        rank_every_s: ``top: N`` is worked out anew with the first refresh after this time.
        metadata_patience_s: Real seconds to wait for the venue's metadata before the cache is used, if there is one.
        metadata_timeout_s: Real seconds for one metadata request.
        poll_timeout_s: Real seconds for one polled request.
        polls_at_once: Polled requests of one feed in flight together.
        poll_speed: Polls so many times as often as the venue asks; only where market time is scaled (the demo).
    """

    connect_timeout_s: float = 10.0
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 60.0
    stable_s: float = 30.0
    tick_s: float = 1.0
    idle_s: float | None = None
    ping_every_s: float = 20.0
    pong_within_s: float = 20.0
    dead_after_s: Mapping[Channel, float] = field(default_factory=dict)
    companion_s: float = 10.0
    moved_ratio: float = 0.02
    moved_silence_s: float = 120.0
    hot_standby: bool = False
    renewal_lead_s: float = 600.0
    renewal_patience_s: float = 30.0
    metadata_every_s: float = 3600.0
    metadata_gap_s: float = 60.0
    rank_every_s: float = 4 * 3600.0
    metadata_patience_s: float = 2.0
    metadata_timeout_s: float = 15.0
    poll_timeout_s: float = 10.0
    polls_at_once: int = 4
    poll_speed: float = 1.0
