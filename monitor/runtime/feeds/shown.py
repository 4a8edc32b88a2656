"""A running feed as the outside sees it."""

from __future__ import annotations

from monitor.events import Channel
from monitor.feed import Feed
from monitor.runtime.feeds.stats import BackfillStats, FeedStats
from monitor.telemetry.views.feeds import ChannelView, FeedView, PastView, RefusedTopic

NAN = float("nan")
HOUR_S = 3600.0


def feed_view(feed: Feed, stats: FeedStats, now_ns: int) -> FeedView:
    """The feed with its channels, its past, and what keeps it from being up."""
    channels = tuple(_channel_view(feed, stats, channel, now_ns) for channel in sorted(feed.options.channels))
    down = [view.channel.words for view in channels if not view.up]
    trouble = [f"waiting for {', '.join(down)}"] if down else []
    if stats.instruments_error:
        trouble.append(f"instruments from {stats.instruments_source}: {stats.instruments_error}")
    offset = stats.clock_offset_s()
    return FeedView(
        venue=feed.spec.venue,
        title=feed.spec.title,
        up=stats.up,
        connected=stats.connected,
        connections=stats.connections,
        channels=channels,
        frames=stats.frames,
        bytes_received=stats.bytes_received,
        events=dict(stats.events),
        decode_errors=dict(stats.decode_errors),
        reconnects=dict(stats.reconnects),
        dropped=dict(stats.dropped),
        skipped=dict(stats.skipped),
        late=stats.late,
        coverage_ratio=stats.coverage_ratio(now_ns, HOUR_S),
        clock_offset_s=NAN if offset is None else offset,
        saturation_ratio=NAN if stats.saturation is None else stats.saturation.ratio(now_ns),
        instruments=stats.instruments,
        unknown_symbols=stats.dropped["unknown_instrument"],
        refused=tuple(
            RefusedTopic(topic, refusal.words, refusal.at_ns) for topic, refusal in list(stats.refused.items())
        ),
        from_cache=stats.instruments_source == "cache",
        last_error="; ".join([*trouble, *stats.symbol_problems]),
        past=_past_view(stats.backfill),
    )


def _past_view(past: BackfillStats) -> PastView:
    return PastView(
        state=past.state,
        wanted=past.wanted,
        made=past.made,
        points={channel.value: count for channel, count in past.points.items()},
        kept=past.kept,
        failures=dict(past.failures),
        since_ns={channel.value: since_ns for channel, since_ns in past.since_ns.items()},
        gaps=dict(past.gaps),
        gap_events={channel.value: count for channel, count in past.gap_events.items()},
        last_error=past.last_error,
    )


def _channel_view(feed: Feed, stats: FeedStats, channel: Channel, now_ns: int) -> ChannelView:
    uptime = stats.uptime.get(channel)
    return ChannelView(
        channel=channel,
        up=uptime is not None and uptime.up,
        last_message_ns=stats.last_message_ns.get(channel, 0),
        coverage_ratio=uptime.ratio(now_ns, HOUR_S) if uptime is not None else 0.0,
        law=feed.spec.laws.get(channel),
        reason="" if uptime is not None and uptime.up else "not live",
    )
