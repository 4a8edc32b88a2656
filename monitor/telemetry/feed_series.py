"""The series of what comes in: feeds, slow sources, inlets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from monitor.telemetry import specs
from monitor.telemetry.exposition import Family, MetricSpec, counts, seconds, simple_family
from monitor.telemetry.views.feeds import FeedView, InletView, SourceView


@dataclass(frozen=True, slots=True)
class _CounterByReason:
    """A counter of a feed by reason; those in ``always`` are written from the start."""

    spec: MetricSpec
    read: Callable[[FeedView], Mapping[str, int]]
    always: tuple[str, ...]


_BY_REASON = (
    _CounterByReason(specs.EVENTS, lambda feed: feed.events, specs.EVENT_TYPES),
    _CounterByReason(
        specs.DECODE_ERRORS, lambda feed: feed.decode_errors, ("malformed", "wrong_type", "missing_field", "unexpected")
    ),
    _CounterByReason(specs.RECONNECTS, lambda feed: feed.reconnects, ("closed", "idle", "error")),
    _CounterByReason(specs.SKIPPED, lambda feed: feed.skipped, ("history", "tradfi", "unselected")),
    _CounterByReason(specs.DROPPED, lambda feed: feed.dropped, ("overflow", "gap")),
    _CounterByReason(specs.PAST_FAILURES, lambda feed: feed.past.failures, ()),
    _CounterByReason(specs.PAST_POINTS, lambda feed: feed.past.points, ()),
    _CounterByReason(specs.GAPS, lambda feed: feed.past.gaps, ("filled", "failed", "lost")),
    _CounterByReason(specs.GAP_EVENTS, lambda feed: feed.past.gap_events, ()),
)
_PER_FEED: tuple[tuple[MetricSpec, Callable[[FeedView], float]], ...] = (
    (specs.FEED_UP, lambda feed: feed.up),
    (specs.FEED_CONNECTIONS, lambda feed: feed.connected),
    (specs.FRAMES, lambda feed: feed.frames),
    (specs.BYTES, lambda feed: feed.bytes_received),
    (specs.REFUSED, lambda feed: len(feed.refused)),
    (specs.UNKNOWN, lambda feed: feed.unknown_symbols),
    (specs.FEED_COVERAGE, lambda feed: feed.coverage_ratio),
    (specs.CLOCK_OFFSET, lambda feed: feed.clock_offset_s),
    (specs.FEED_SATURATION, lambda feed: feed.saturation_ratio),
    (specs.LATE, lambda feed: feed.late),
    (specs.PAST_WANTED, lambda feed: feed.past.wanted),
    (specs.PAST_MADE, lambda feed: feed.past.made),
)


def feed_families(feeds: Sequence[FeedView]) -> Iterator[Family]:
    """What the feeds received, lost and fetched of the past."""
    for spec, read in _PER_FEED:
        yield simple_family(spec, (((feed.venue,), read(feed)) for feed in feeds))
    for counter in _BY_REASON:
        yield simple_family(
            counter.spec,
            (
                ((feed.venue, reason), count)
                for feed in feeds
                for reason, count in counts(counter.read(feed), counter.always)
            ),
        )
    channels = [(feed.venue, channel) for feed in feeds for channel in feed.channels]
    yield simple_family(
        specs.PAST_SINCE,
        (
            ((feed.venue, channel), seconds(since_ns))
            for feed in feeds
            for channel, since_ns in feed.past.since_ns.items()
        ),
    )
    yield simple_family(specs.CHANNEL_UP, (((venue, str(channel.channel)), channel.up) for venue, channel in channels))
    yield simple_family(
        specs.LAST_MESSAGE,
        (((venue, str(channel.channel)), seconds(channel.last_message_ns)) for venue, channel in channels),
    )


def source_families(sources: Sequence[SourceView]) -> Iterator[Family]:
    """What the slow sources answered."""
    polls = [(source.name, poll) for source in sources for poll in source.polls]
    yield simple_family(specs.SOURCE_UP, (((source.name,), float(source.up)) for source in sources))
    yield simple_family(specs.SOURCE_REPLIES, (((name, poll.request), poll.replies) for name, poll in polls))
    failures = (
        ((name, poll.request, reason), count) for name, poll in polls for reason, count in poll.failures.items()
    )
    yield simple_family(specs.SOURCE_FAILURES, failures)
    for spec, moment in ((specs.SOURCE_LAST, "last_good_ns"), (specs.SOURCE_NEWEST, "newest_ns")):
        known = ((name, poll.request, getattr(poll, moment)) for name, poll in polls)
        yield simple_family(spec, (((name, request), seconds(at_ns)) for name, request, at_ns in known if at_ns))
    limited = ((source.name, source.calls_left) for source in sources)
    yield simple_family(specs.SOURCE_CALLS, (((name,), float(left)) for name, left in limited if left is not None))


def inlet_families(inlet: InletView) -> Iterator[Family]:
    """What users pushed in."""
    yield simple_family(specs.INLET_ROWS, (((way,), count) for way, count in inlet.taken.items()))
    yield simple_family(specs.INLET_REFUSED, inlet.refused.items())
    yield simple_family(specs.INLET_UNKEPT, [((), inlet.unkept)])
