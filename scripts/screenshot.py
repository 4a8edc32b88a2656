"""Take the pictures of the live page (light, dark, phone) and of the terminal view for the README.

Usage: scripts/screenshot.py [--url http://127.0.0.1:9108] [--out docs/images] [--wait 3]
Without --url it serves a made-up monitor, so that the pictures can be taken anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import Browser, async_playwright

from monitor.terminal.app import TopApp
from monitor.terminal.link import Link
from monitor.testing.fake_view import FakeView
from monitor.web.page import SPARK_POINTS, SPARK_STEP_S, spark_values
from monitor.web.server import BROADCASTER, make_app

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
TERMINAL = (150, 44)
SHOTS = (
    ("live-dark", 1440, 1100, "dark", False),
    ("live-light", 1440, 1100, "light", False),
    ("live-phone", 390, 844, "dark", True),
)


@asynccontextmanager
async def made_up_monitor() -> AsyncIterator[str]:
    """Serve a `FakeView` with an hour behind it."""
    view = FakeView()
    app = make_app(view)
    for _ in range(SPARK_POINTS):
        view.advance(SPARK_STEP_S)
        app[BROADCASTER].keep(spark_values(view))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def shoot(browser: Browser, url: str, out: Path, wait_s: float, *, full: bool) -> None:
    """One picture per entry of `SHOTS`."""
    for name, width, height, scheme, mobile in SHOTS:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=2 if mobile else 1,
        )
        page = await context.new_page()
        await page.goto(url)
        await page.wait_for_selector("#windows article")
        await page.wait_for_timeout(wait_s * 1000)
        await page.screenshot(path=out / f"{name}.png", full_page=full)
        await context.close()


async def shoot_terminal(browser: Browser, url: str, out: Path, wait_s: float) -> None:
    """`monitor top` without a terminal: textual draws into an SVG, Chromium makes a picture of it."""
    app = TopApp(Link(url))
    async with app.run_test(size=TERMINAL) as pilot:
        while not app.picture.sections:
            await pilot.pause(0.1)
        await pilot.pause(max(1.0, wait_s))
        svg = re.sub(r"@font-face\s*{.*?}", "", app.export_screenshot(), flags=re.DOTALL)  # they ask a font server
    width, height = (round(float(size)) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    page = await browser.new_page(viewport={"width": width, "height": height})
    await page.set_content(f'<body style="margin:0">{svg}</body>')
    await page.screenshot(path=out / "terminal.png")
    await page.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--wait", type=float, default=1.0)
    parser.add_argument("--full", action="store_true", help="the whole page, not the first screen")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if options.url:
            await shoot(browser, options.url, options.out, options.wait, full=options.full)
            await shoot_terminal(browser, options.url, options.out, options.wait)
        else:
            async with made_up_monitor() as url:
                await shoot(browser, url, options.out, options.wait, full=options.full)
                await shoot_terminal(browser, url, options.out, options.wait)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
