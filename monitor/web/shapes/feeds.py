"""Feeds, slow sources, and what was pushed in."""

from __future__ import annotations

from monitor.telemetry.views.feeds import FeedView, InletView, PastView, SourceView
from monitor.web.shapes.values import Json, millis


def feed_body(feed: FeedView) -> Json:
    """One venue's feed."""
    return {
        "venue": feed.venue,
        "title": feed.title,
        "up": feed.up,
        "connected": feed.connected,
        "connections": feed.connections,
        "instruments": feed.instruments,
        "frames": feed.frames,
        "events": dict(feed.events),
        "decode_errors": dict(feed.decode_errors),
        "reconnects": dict(feed.reconnects),
        "dropped": dict(feed.dropped),
        "skipped": dict(feed.skipped),
        "late": feed.late,
        "unknown_symbols": feed.unknown_symbols,
        "coverage": feed.coverage_ratio,
        "clock_offset_s": feed.clock_offset_s,
        "saturation": feed.saturation_ratio,
        "from_cache": feed.from_cache,
        "error": feed.last_error,
        "past": past_body(feed.past),
        "refused": [{"topic": r.topic, "words": r.words, "at": millis(r.at_ns)} for r in feed.refused],
        "channels": [
            {
                "channel": str(channel.channel),
                "up": channel.up,
                "last": millis(channel.last_message_ns),
                "coverage": channel.coverage_ratio,
                "law": channel.law.kind if channel.law else "not_covered",
                "law_rule": channel.law.rule if channel.law else "the venue does not carry this channel",
                "reason": channel.reason,
            }
            for channel in feed.channels
        ],
    }


def past_body(past: PastView) -> Json:
    """What was fetched of one venue's past."""
    return {
        "state": past.state,
        "wanted": past.wanted,
        "made": past.made,
        "points": dict(past.points),
        "kept": past.kept,
        "failures": dict(past.failures),
        "since": {channel: millis(since_ns) for channel, since_ns in past.since_ns.items()},
        "gaps": dict(past.gaps),
        "gap_events": dict(past.gap_events),
        "error": past.last_error,
    }


def source_body(source: SourceView) -> Json:
    """One slow source, with how each of its requests fares."""
    return {
        "name": source.name,
        "up": source.up,
        "calls_left": source.calls_left,
        "polls": [
            {
                "request": poll.request,
                "every_s": poll.every_s,
                "replies": poll.replies,
                "unchanged": poll.unchanged,
                "values": poll.values,
                "last_good": millis(poll.last_good_ns),
                "newest_value": millis(poll.newest_ns),
                "failures": dict(poll.failures),
                "error": poll.last_error,
            }
            for poll in source.polls
        ],
    }


def inlet_body(inlet: InletView) -> Json:
    """What users pushed in: taken by way in, refused by way in and reason, the newest refusals in words."""
    refused: dict[str, dict[str, int]] = {}
    for (way, reason), count in inlet.refused.items():
        refused.setdefault(way, {})[reason] = count
    return {
        "taken": dict(inlet.taken),
        "refused": refused,
        "unkept": inlet.unkept,
        "last": millis(inlet.last_ns),
        "last_refusals": list(inlet.last_refusals[-10:]),
    }
