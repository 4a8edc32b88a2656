"""The process as a whole, its reloads and its tape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessView:
    """The process as a whole.

    ``synthetic`` is true whenever any market data is made up (demo, replay). ``config_hash`` is short and stable.
    ``saturation_ratio`` is the share of time that the event loop was busy lately, NaN when it is not measured.
    ``snapshot_copy_s`` is how long the event loop was held by the last copy of the windows, ``snapshot_bytes`` its size on disk.
    ``collided_alerts`` counts alerts that were not opened because another active alert has the same labels.
    ``label_sets`` are known to the engine, ``label_sets_left`` have left it, because nothing was left of them.
    ``buffer_dropped`` counts events that never became readings, by reason: a newer value of the same gauge waited behind
    (superseded), or the engine failed on their batch (engine_error).
    """

    version: str
    started_ns: int
    now_ns: int
    synthetic: bool = False
    synthetic_note: str = ""
    config_hash: str = ""
    draining: bool = False
    loop_lag_s: float = float("nan")
    saturation_ratio: float = float("nan")
    snapshot_copy_s: float = float("nan")
    snapshot_bytes: float = float("nan")
    collided_alerts: int = 0
    label_sets: int = 0
    label_sets_left: int = 0
    buffer_dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReloadView:
    """Configuration and rule reloads; ``last_error`` is empty after a good one."""

    ok: bool = True
    last_success_ns: int = 0
    last_attempt_ns: int = 0
    successes: int = 0
    failures: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class TapeView:
    """The tape that is being written. ``budget_bytes`` is None where the folder may grow for ever.

    ``dropped`` counts records by reason (``slow``, ``disk``); ``failing`` is what the disk said last while it refuses.
    """

    folder: str
    records: int = 0
    frames: int = 0
    bytes_written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    queue_bytes: int = 0
    folder_bytes: int = 0
    budget_bytes: int | None = None
    files: int = 0
    removed_files: int = 0
    failing: str = ""
