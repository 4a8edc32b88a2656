"""The program itself, its tape, its receivers, how long its stages take."""

from __future__ import annotations

from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.program import TapeView
from monitor.web.shapes.values import Json, millis

QUANTILES = (0.5, 0.99)


def process_body(view: MonitorView) -> Json:
    """The program, its clock and its last reload."""
    process, reload = view.process(), view.reload()
    return {
        "version": process.version,
        "started": millis(process.started_ns),
        "synthetic": process.synthetic,
        "synthetic_note": process.synthetic_note,
        "config_hash": process.config_hash,
        "draining": process.draining,
        "saturation_ratio": process.saturation_ratio,
        "loop_lag_s": process.loop_lag_s,
        "tape": tape_body(view.tape()),
        "reload": {
            "ok": reload.ok,
            "last_success": millis(reload.last_success_ns),
            "last_attempt": millis(reload.last_attempt_ns),
            "error": reload.last_error,
        },
    }


def tape_body(tape: TapeView | None) -> Json | None:
    """The tape that is being written; null where nothing is recorded."""
    if tape is None:
        return None
    return {
        "folder": tape.folder,
        "records": tape.records,
        "frames": tape.frames,
        "bytes_written": tape.bytes_written,
        "dropped": dict(tape.dropped),
        "waiting_bytes": tape.waiting_bytes,
        "queue_bytes": tape.queue_bytes,
        "folder_bytes": tape.folder_bytes,
        "budget_bytes": tape.budget_bytes,
        "files": tape.files,
        "removed_files": tape.removed_files,
        "failing": tape.failing,
    }


def sink_bodies(view: MonitorView) -> list[Json]:
    """Notification channels."""
    return [
        {
            "name": sink.name,
            "kind": sink.kind,
            "up": sink.up,
            "outcomes": dict(sink.outcomes),
            "outbox": sink.outbox_depth,
            "oldest": millis(sink.oldest_ns),
            "error": sink.last_error,
        }
        for sink in view.sinks()
    ]


def latency_bodies(view: MonitorView) -> Json:
    """Quantiles by stage, seconds."""
    return {
        stage: {"count": seen.count, **{f"p{int(q * 100)}": seen.quantile_s(q) for q in QUANTILES}}
        for stage, seen in view.latencies().items()
    }
