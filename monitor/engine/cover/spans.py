"""Live spans of one feed: when it delivered, as far as is known. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

FAR_NS = 1 << 62


class Spans:
    """Live spans of one (venue, channel), in time order; the last may be open."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.open_since: int | None = None
        self.down_since: int | None = None
        self.reason = ""

    def up(self, at_ns: int) -> None:
        """Live from `at_ns`."""
        if self.open_since is None:
            self.open_since, self.down_since = at_ns, None
            if self.ends and self.ends[-1] > at_ns:  # filled ahead: a value stands until it is stale
                self.cut(at_ns, self.ends[-1])
                self.open_since = at_ns

    def down(self, at_ns: int, reason: str) -> None:
        """Not live after `at_ns`."""
        if self.open_since is not None:
            self._close(self.open_since, at_ns)
            self.open_since = None
        if self.down_since is None:
            self.down_since = at_ns
        self.reason = reason

    def cut(self, start_ns: int, end_ns: int) -> None:
        """Take (start, end] out of what was covered."""
        pieces = list(zip(self.starts, self.ends, strict=True))
        self.starts, self.ends = [], []
        for a, b in pieces:
            self._close(a, min(b, start_ns))
            self._close(max(a, end_ns), b)
        if self.open_since is not None and self.open_since < end_ns:
            self._close(self.open_since, start_ns)
            self.open_since = end_ns

    def fill(self, start_ns: int, end_ns: int) -> None:
        """Add (start, end] to what was covered; what a span that is open now covers stays that span's."""
        end_ns = end_ns if self.open_since is None else min(end_ns, self.open_since)
        if end_ns <= start_ns:
            return
        low, high = bisect_left(self.ends, start_ns), bisect_right(self.starts, end_ns)  # what it touches
        if low < high:
            start_ns, end_ns = min(start_ns, self.starts[low]), max(end_ns, self.ends[high - 1])
        self.starts[low:high], self.ends[low:high] = [start_ns], [end_ns]

    def copy(self) -> Spans:
        """The same spans, apart from these."""
        other = Spans()
        other.starts, other.ends = list(self.starts), list(self.ends)
        other.open_since, other.down_since, other.reason = self.open_since, self.down_since, self.reason
        return other

    def covered_ns(self, start_ns: int, end_ns: int) -> int:
        """How much of (start, end] was live."""
        at = bisect_right(self.ends, start_ns)
        total = sum(
            max(0, min(b, end_ns) - max(a, start_ns)) for a, b in zip(self.starts[at:], self.ends[at:], strict=True)
        )
        if self.open_since is not None:
            total += max(0, end_ns - max(self.open_since, start_ns))
        return total

    def live_at(self, at_ns: int) -> bool:
        """Whether the channel was live at an instant."""
        if self.open_since is not None and self.open_since <= at_ns:
            return True
        at = bisect_right(self.ends, at_ns - 1)
        return at < len(self.starts) and self.starts[at] <= at_ns

    def silent_ns(self, at_ns: int) -> int | None:
        """For how long it has not been live at an instant: 0 where it is; None where it never was before.

        By what was covered, not by when somebody said that it is down: a gap that is found later begins earlier, and what
        was never live may be said to be down at any moment.
        """
        if self.live_at(at_ns):
            return 0
        at = bisect_right(self.ends, at_ns)
        return at_ns - self.ends[at - 1] if at else None

    def live_after(self, at_ns: int) -> bool:
        """Whether the channel was live right after an instant."""
        return self.live_at(at_ns + 1)

    def dark_ns(self, at_ns: int) -> int:
        """How long it was not live around an instant at which it was not."""
        at = bisect_right(self.ends, at_ns)
        before = self.ends[at - 1] if at else -FAR_NS
        opens = FAR_NS if self.open_since is None else self.open_since
        return min([*self.starts[at : at + 1], opens]) - before

    def next_edge_ns(self, after_ns: int) -> int:
        """When it next began or ceased to be live after an instant, as far as is known."""
        at = bisect_right(self.ends, after_ns)
        edges = [*self.starts[at : at + 1], *self.ends[at : at + 1]]
        if self.open_since is not None:
            edges.append(self.open_since)
        return min((edge for edge in edges if edge > after_ns), default=FAR_NS)

    def first_ns(self) -> int | None:
        """When it was first live."""
        return self.starts[0] if self.starts else self.open_since

    def forget(self, before_ns: int) -> None:
        """Drop spans that ended before `before_ns`."""
        at = bisect_right(self.ends, before_ns)
        del self.starts[:at], self.ends[:at]

    def _close(self, start_ns: int, end_ns: int) -> None:
        if end_ns > start_ns:
            self.starts.append(start_ns)
            self.ends.append(end_ns)
