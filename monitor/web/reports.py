"""Backtest reports: the HTML files of one folder, listed and served so that nothing in them can reach the monitor.

A report is a file that somebody put there. It is served into a sandbox of its own origin, without network: its scripts
draw, and can neither call the API nor read what the browser keeps for this page.
"""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path
from typing import Any

from aiohttp import web

MOST = 200
"""Reports listed, the newest first."""
MAX_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,120}\.html")
HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


class Reports:
    """The reports in `folder`; a folder that does not exist holds none, None means that there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def listing(self) -> list[dict[str, Any]]:
        """Name, size and time of each report, the newest first."""
        return await asyncio.to_thread(self._list)

    def _list(self) -> list[dict[str, Any]]:
        if self._folder is None or not self._folder.is_dir():
            return []
        found = [(path.name, status) for path in self._folder.iterdir() if (status := _regular(path)) is not None]
        found.sort(key=lambda item: (-item[1].st_mtime_ns, item[0]))
        return [
            {"name": name, "bytes": status.st_size, "at": status.st_mtime_ns // 1_000_000}
            for name, status in found[:MOST]
        ]

    async def serve(self, request: web.Request) -> web.Response:
        """One report, by a name that the listing could hold: no path, no link, no other kind of file."""
        body = await asyncio.to_thread(self._read, request.match_info["name"])
        if body is None:
            raise web.HTTPNotFound(text="no report of this name")
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=HEADERS)

    def _read(self, name: str) -> bytes | None:
        if self._folder is None or not _NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path.read_bytes() if _regular(path) is not None else None


def _regular(path: Path) -> Any:
    """Its status, where it is a file of fitting name and size and no link."""
    if not _NAME.fullmatch(path.name):
        return None
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES else None
