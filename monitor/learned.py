"""What a decoder has learned from the frames before, as bytes and back: so that a tape can begin in the middle. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec


class Learned:
    """Base of what decodes a frame by those before it: tickers told as changes, numbers that follow each other.

    A class names in `learns` the attributes that it adds to those of its bases, each with its type. What only saves time
    (a cache) or follows from the options is left out.

    >>> class Counter(Learned):
    ...     learns = {"seen": dict[str, int]}
    ...     def __init__(self) -> None:
    ...         self.seen = {}
    >>> one, other = Counter(), Counter()
    >>> one.seen["a"] = 2
    >>> other.recall(one.memory())
    >>> other.seen
    {'a': 2}
    """

    learns: ClassVar[Mapping[str, Any]] = {}

    def memory(self) -> bytes:
        """Everything learned, as MessagePack; empty where this is nothing that a new object does not know."""
        known = {name: getattr(self, name) for name in _all_of(type(self))}
        return msgspec.msgpack.encode(known) if any(known.values()) else b""

    def recall(self, memory: bytes) -> None:
        """Know what the object knew that wrote this.

        Raises:
            ValueError: It is not the memory of such an object; nothing was taken over.
        """
        types = _all_of(type(self))
        written = msgspec.msgpack.decode(memory, type=dict[str, msgspec.Raw])
        known = {
            name: msgspec.msgpack.decode(written[name], type=types[name]) for name in types.keys() & written.keys()
        }
        if len(known) != len(types):
            raise ValueError(
                f"a memory of {', '.join(sorted(written)) or 'nothing'}, not of {', '.join(sorted(types))}"
            )
        for name, value in known.items():
            held = getattr(self, name)
            if isinstance(held, dict):  # others may hold the same one
                held.clear()
                held.update(value)
            else:
                setattr(self, name, value)


def _all_of(kind: type) -> dict[str, Any]:
    return {name: what for base in reversed(kind.__mro__) for name, what in vars(base).get("learns", {}).items()}
