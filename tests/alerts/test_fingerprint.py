from __future__ import annotations

import pytest

from monitor.alerts.fingerprint import fingerprint, fnv1a_64


@pytest.mark.parametrize(
    ("data", "digest"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_published_fnv_vectors(data: bytes, digest: int) -> None:
    assert fnv1a_64(data) == digest


def test_order_of_labels_does_not_matter_and_their_borders_do() -> None:
    assert fingerprint((("a", "1"), ("b", "2"))) == fingerprint((("b", "2"), ("a", "1")))
    assert fingerprint((("ab", "c"),)) != fingerprint((("a", "bc"),))
    assert len(fingerprint(())) == 16
