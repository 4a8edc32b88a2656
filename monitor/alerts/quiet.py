"""Why an alert is not announced now: silences, acknowledgements, mute times. Pure; people's words survive a restart."""

from __future__ import annotations

from collections.abc import Container, Iterable

import msgspec

from monitor.alert import AlertView, MemoryRow
from monitor.alerts.matchers import matches
from monitor.alerts.memory import Memory, rows
from monitor.alerts.routes import Route, RoutingConfig
from monitor.alerts.silences import Acknowledgement, Silence

_SILENCE, _ACK = "silence", "ack"
KINDS = (_SILENCE, _ACK)
"""The records of this module."""
MAX_SILENCES = 10_000


class Quiet:
    """What people said about alerts, and the hours at which a route is quiet."""

    def __init__(self, config: RoutingConfig, memory: Memory) -> None:
        self._times = config.mute_times
        self._memory = memory
        self._silences: dict[str, Silence] = {}
        self._acks: dict[str, Acknowledgement] = {}

    # -- silences ------------------------------------------------------------------------------------------------------

    def silence(self, silence: Silence, now_ns: int) -> None:
        """Add or replace a silence.

        Raises:
            ValueError: When it is empty, mutes everything, ends before it begins, or there are too many.
        """
        if not silence.matchers or silence.ends_ns <= silence.starts_ns:
            raise ValueError("a silence needs a matcher, and must end after it starts")
        if all(matcher.op in {"=", "=~"} and matches([matcher], {}) for matcher in silence.matchers):
            raise ValueError("at least one matcher must not match the empty text, or everything would be muted")
        for over in [s.id for s in self._silences.values() if s.ends_ns <= now_ns]:
            self.expire(over)
        if len(self._silences) >= MAX_SILENCES:
            raise ValueError(f"there are {MAX_SILENCES} silences already")
        self._silences[silence.id] = silence
        self._memory.keep(_SILENCE, silence.id, silence)

    def expire(self, silence_id: str) -> bool:
        """End a silence; returns whether it was there."""
        if self._silences.pop(silence_id, None) is None:
            return False
        self._memory.forget(_SILENCE, silence_id)
        return True

    def silences(self, now_ns: int) -> list[Silence]:
        """Silences that are active or to come."""
        return [silence for silence in self._silences.values() if now_ns < silence.ends_ns]

    def silencing(self, alert: AlertView, now_ns: int) -> list[Silence]:
        """The silences that keep an alert quiet now."""
        return [silence for silence in self._silences.values() if silence.covers(alert, now_ns)]

    # -- acknowledgements ----------------------------------------------------------------------------------------------

    def acknowledge(self, ack: Acknowledgement) -> None:
        """Someone takes care of an alert for a while."""
        self._acks[ack.fingerprint] = ack
        self._memory.keep(_ACK, ack.fingerprint, ack)

    def withdraw(self, fingerprint: str) -> bool:
        """Forget an acknowledgement; returns whether there was one."""
        if self._acks.pop(fingerprint, None) is None:
            return False
        self._memory.forget(_ACK, fingerprint)
        return True

    def keep_acknowledgements(self, alerts: Container[str]) -> None:
        """Forget those of alerts that are over; `alerts` are the fingerprints of the others."""
        for fingerprint in [one for one in self._acks if one not in alerts]:
            self.withdraw(fingerprint)

    def acknowledgements(self) -> list[Acknowledgement]:
        """All acknowledgements of active alerts, expired ones too."""
        return list(self._acks.values())

    def acknowledgement(self, alert: AlertView) -> Acknowledgement | None:
        """That of this life of an alert, expired or not."""
        ack = self._acks.get(alert.fingerprint)
        return ack if ack is not None and ack.covers(alert) else None

    # -- mute times ----------------------------------------------------------------------------------------------------

    def muted_by(self, route: Route, now_ns: int) -> str:
        """Why a route is quiet at this hour; empty when it is not."""
        for name in route.mute_times:
            if any(interval.contains(now_ns) for interval in self._times[name]):
                return f"mute time {name}"
        active = route.active_times
        if active and not any(interval.contains(now_ns) for name in active for interval in self._times[name]):
            return f"outside of {', '.join(active)}"
        return ""

    # -- over a restart ------------------------------------------------------------------------------------------------

    def dump(self) -> list[MemoryRow]:
        """All of it, for `restore`."""
        return rows(_SILENCE, self._silences.items()) + rows(_ACK, self._acks.items())

    def restore(self, records: Iterable[MemoryRow]) -> None:
        """Take over what a former run left."""
        for record in records:
            if record.kind == _SILENCE:
                self._silences[record.id] = msgspec.json.decode(record.payload, type=Silence)
            elif record.kind == _ACK:
                self._acks[record.id] = msgspec.json.decode(record.payload, type=Acknowledgement)
