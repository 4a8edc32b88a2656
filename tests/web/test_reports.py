"""Backtest reports are listed and served, and nothing in them reaches the monitor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import async_playwright, expect
from yarl import URL

from monitor.testing.fake_view import FakeView
from monitor.web.reports import MAX_BYTES
from monitor.web.server import WebSettings, make_app
from tests.web.test_page import FLAGS

NOSY = """<!doctype html><title>r</title><p id=drawn></p><script>
document.querySelector("#drawn").textContent = "drawn";
fetch("/api/v1/status").then((reply) => reply.text()).then((text) => { document.title = "read " + text.length; }, () => { document.title = "refused"; });
</script>"""


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    app = make_app(FakeView(), WebSettings(reports=tmp_path / "reports"))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
    await runner.cleanup()


async def listed(session: aiohttp.ClientSession, url: str) -> list[str]:
    async with session.get(f"{url}/api/v1/reports") as reply:
        return [report["name"] for report in (await reply.json())["data"]["reports"]]


async def test_only_reports_are_listed_the_newest_first(url: str, tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        assert await listed(session, url) == []
        folder = tmp_path / "reports"
        folder.mkdir()
        for age, name in enumerate(("new.html", "old sweep 2.html")):
            (folder / name).write_text(name)
            os.utime(folder / name, (1_763_700_000 - age, 1_763_700_000 - age))
        (tmp_path / "secret.html").write_text("secret")
        (folder / "link.html").symlink_to(tmp_path / "secret.html")
        (folder / ".hidden.html").write_text("hidden")
        (folder / "notes.txt").write_text("no report")
        (folder / "folder.html").mkdir()
        with (folder / "huge.html").open("wb") as huge:
            huge.truncate(MAX_BYTES + 1)
        assert await listed(session, url) == ["new.html", "old sweep 2.html"]
        async with session.get(f"{url}/reports/old%20sweep%202.html") as reply:
            assert (reply.status, await reply.text()) == (200, "old sweep 2.html")
            assert reply.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        for name in ("link.html", ".hidden.html", "notes.txt", "folder.html", "huge.html", "none.html", "..%2Fsecret.html", "%2e%2e%2fsecret.html", "a%00.html"):  # fmt: skip
            async with session.get(URL(f"{url}/reports/{name}", encoded=True)) as reply:
                assert reply.status == 404, name


@pytest.mark.needs("chromium")
async def test_a_report_may_draw_and_cannot_ask_the_monitor(
    url: str, tmp_path: Path, binary: Callable[[str], Path]
) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "nosy.html").write_text(NOSY)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        page = await browser.new_page()
        await page.goto(url)
        await expect(page.locator("#reports a")).to_have_text("nosy.html")
        async with page.expect_popup() as opening:
            await page.locator("#reports a").click()
        report = await opening.value
        await expect(report.locator("#drawn")).to_have_text("drawn")
        await expect(report).to_have_title("refused")
        await browser.close()
