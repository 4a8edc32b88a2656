"""The identity of an alert: the hash that Alertmanager and Prometheus give to a label set."""

from __future__ import annotations

from monitor.events import Labels

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_SEPARATOR = b"\xff"


def fnv1a_64(data: bytes) -> int:
    """FNV-1a, 64 bits.

    >>> hex(fnv1a_64(b"foobar"))
    '0x85944171f73967e8'
    """
    digest = _OFFSET
    for byte in data:
        digest = ((digest ^ byte) * _PRIME) & _MASK
    return digest


def fingerprint(labels: Labels) -> str:
    """Sixteen hex digits over name, 0xff, value, 0xff of every label, in order of the names.

    The same as ``LabelSet.Fingerprint`` of prometheus/common, so that an alert has one name here and in Alertmanager.
    """
    data = bytearray()
    for name, value in sorted(labels):
        data += name.encode() + _SEPARATOR + value.encode() + _SEPARATOR
    return f"{fnv1a_64(bytes(data)):016x}"
