"""What a file must repeat of the ones before it, so that it can be read alone: rules, instruments, open links, liveness. Pure."""

from __future__ import annotations

from monitor.events import FeedState
from monitor.tape.course import OWNER, START
from monitor.tape.facts import is_of_feed, read_states, snapshot_name, venue_of, write_states
from monitor.tape.format import Record, Row

_ORDER = ("config", "rest", "chosen", "known", "connect", "promote", "state")
_PASSING = frozenset({"in", "out", "lost", "turn", "events", "memory", "act"})


class Carry:
    """Hears every record and knows what is still true."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], Record] = {}

    def hear(self, row: Row) -> None:
        """Note one record."""
        kind = row[2]
        if kind not in _PASSING:
            getattr(self, f"_hear_{kind}")(Record(*row)._replace(carried=True))

    def records(self) -> list[Record]:
        """What to repeat, marked as carried: instruments first, then what depends on them."""
        return sorted(self._held.values(), key=lambda record: _ORDER.index(record.kind))

    def _hear_config(self, record: Record) -> None:
        """A program that starts has no link and no instrument; one that was killed did not say that it lost them."""
        if record.name == START:
            self._held.clear()
        self._held[OWNER, record.kind, ""] = record

    def _hear_connect(self, record: Record) -> None:
        self._held[record.name, record.kind, ""] = record

    _hear_promote = _hear_chosen = _hear_connect

    def _hear_disconnect(self, record: Record) -> None:
        self._held.pop((record.name, "connect", ""), None)
        self._held.pop((record.name, "promote", ""), None)

    def _hear_rest(self, record: Record) -> None:
        """Keep the replies of the last load of a venue's instruments; its first reply replaces the load before."""
        venue, _, rest = record.name.partition("/")
        is_snapshot = record.name == snapshot_name(venue)
        if not is_snapshot and not rest.startswith("metadata/"):
            return
        if is_snapshot or rest.startswith("metadata/0/"):
            self._forget_instruments(venue)
        self._held[record.name, record.kind, ""] = record

    def _hear_known(self, record: Record) -> None:
        """What a feed found out stays so. What a link had learned is out of date with the next frame."""
        if is_of_feed(record.name):
            self._held[record.name, record.kind, ""] = record

    def _hear_state(self, record: Record) -> None:
        for state in read_states(record.payload):
            if isinstance(state, FeedState):
                alone = record._replace(payload=write_states([state]))
                self._held[record.name, record.kind, state.channel] = alone

    def _forget_instruments(self, venue: str) -> None:
        for key in [key for key in self._held if key[1] == "rest" and venue_of(key[0]) == venue]:
            del self._held[key]
