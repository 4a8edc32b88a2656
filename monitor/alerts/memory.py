"""What routing must not forget over a restart: records that change one by one, and are handed out once changed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitor.alert import MemoryRow


class Memory:
    """Records by kind and key.

    What is kept or forgotten is collected until `changes` hands it out for the transaction of the outbox.
    """

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], MemoryRow] = {}
        self._forgotten: dict[tuple[str, str], None] = {}

    def keep(self, kind: str, key: str, record: object) -> None:
        """Write a record, in place of what it was."""
        self._forgotten.pop((kind, key), None)
        self._changed[kind, key] = row(kind, key, record)

    def forget(self, kind: str, key: str) -> None:
        """Delete a record."""
        self._changed.pop((kind, key), None)
        self._forgotten[kind, key] = None

    def changes(self) -> tuple[list[MemoryRow], list[tuple[str, str]]]:
        """Records to write and (kind, id) to delete since the last call."""
        changed, self._changed = list(self._changed.values()), {}
        forgotten, self._forgotten = list(self._forgotten), {}
        return changed, forgotten


def row(kind: str, key: str, record: object) -> MemoryRow:
    """A record as the store keeps it."""
    return MemoryRow(kind, key, msgspec.json.encode(record))


def rows(kind: str, records: Iterable[tuple[str, object]]) -> list[MemoryRow]:
    """Records by key, as the store keeps them."""
    return [row(kind, key, record) for key, record in records]
