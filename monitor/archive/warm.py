"""An archive as what a starting monitor remembers: its events as history, and the time that it covers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.archive.reader import Archive, Span
from monitor.events import Channel, Depth, Event, FeedGap, FeedState

Source = tuple[str, Channel]


def remembered(folder: Path, now_ns: int) -> Iterator[Event]:
    """Everything that arrived before `now_ns`, marked as history; then what of the past was covered, and its gaps.

    Depth is left out: nothing reads it over a time.

    Raises:
        TapeError: There is no archive, or it cannot be read.
    """
    return _remembered(Archive(folder), now_ns)


def _remembered(archive: Archive, now_ns: int) -> Iterator[Event]:
    up_since: dict[Source, int] = {}
    covered: list[FeedGap] = []
    gaps: list[FeedGap] = []
    for _, event in archive.events(Span(end_ns=now_ns)):
        if isinstance(event, FeedGap):
            gaps.append(event)
        elif isinstance(event, FeedState):
            covered += _covered(up_since, event)
        elif not isinstance(event, Depth):
            yield msgspec.structs.replace(event, backfill=True)
    end_ns = min(now_ns, max(manifest.end_ns for manifest in archive.manifests))
    for venue, channel in list(up_since):
        covered += _covered(up_since, FeedState(venue, channel, up=False, ts_ns=end_ns))
    yield from covered
    yield from gaps


def _covered(up_since: dict[Source, int], state: FeedState) -> Iterator[FeedGap]:
    """The stretch that ends with a channel's going down."""
    source = state.venue, state.channel
    if state.up:
        up_since.setdefault(source, state.ts_ns)
    elif source in up_since:
        yield FeedGap(*source, up_since.pop(source), state.ts_ns, "history", filled=True)
