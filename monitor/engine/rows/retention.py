"""What rules keep in memory, in words: rows of series, panes of long windows, samples of expressions."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.engine.cover.coverage import duration_text
from monitor.engine.settings import EngineSettings
from monitor.series import SeriesSpec

ROW_BYTES, TOTAL_BYTES, SAMPLE_BYTES = 20, 28, 17
"""Bytes of a row (time, member, value), of a pane's total (and its count), of a sample per label set (value, link, mark)."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a rule keeps in memory; what it shares with other rules is counted for each of them.

    Attributes:
        bytes: Logs, samples and readings.
        rows: Rows of the logs, and samples.
        dropped: Rows that were dropped, to bound the memory.
    """

    bytes: int
    rows: int
    dropped: int


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows of a series, in panes of `pane_ns` (0: every row)."""

    spec: SeriesSpec
    pane_ns: int
    keep_ns: int

    def text(self, settings: EngineSettings) -> str:
        """One line: what, how long, how many bytes each, and the most of it."""
        size = TOTAL_BYTES if self.pane_ns and self.spec.form == "events" else ROW_BYTES
        what = "every row"
        if self.pane_ns:
            each = "totals" if self.spec.form == "events" else "first, lowest, highest and last value"
            what = f"{each} of every {duration_text(self.pane_ns)}"
        most = f"at most {settings.max_rows:,} ({settings.max_rows * size / 1e6:,.0f} MB)"
        kept = duration_text(self.keep_ns + settings.lateness_ns)
        return f"{self.spec.name}, {what}: for {kept}, {size} B each, {most}"


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """Samples of an expression, taken every `step_ns`."""

    text_of: str
    step_ns: int
    keep_ns: int

    def text(self, _settings: EngineSettings) -> str:
        """One line: what, how many, and bytes per label set."""
        count = self.keep_ns // self.step_ns + 2
        size = f"{count * SAMPLE_BYTES / 1e3:,.1f} kB per label set"
        return f"samples of {self.text_of} every {duration_text(self.step_ns)}: {count:,}, {size}"
