"""``Retry-After``: for how long a server asks to be left alone (RFC 9110, section 10.2.3). Pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from monitor.clock import NS_PER_S

LONGEST_S = 3600.0
"""Whatever is asked, after so long we try again: a slip of the other side must not silence a feed or a sink for good."""
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def retry_after_s(text: str | None, now_ns: int) -> float | None:
    """Seconds to wait; a date is counted from `now_ns` (unix time). None where nothing readable is said.

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 0), retry_after_s("999999", 0)
    (120.0, 60.0, 3600.0)
    >>> retry_after_s("soon", 0), retry_after_s(None, 0)
    (None, None)
    """
    wait_s = _wait_s((text or "").strip(), now_ns)
    return None if wait_s is None else min(max(0.0, wait_s), LONGEST_S)


def _wait_s(text: str, now_ns: int) -> float | None:
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return until.timestamp() - now_ns / NS_PER_S
