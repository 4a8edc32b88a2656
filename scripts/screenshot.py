"""Take the pictures of the live page (light, dark, phone) and of the terminal view for the README.

Usage: scripts/screenshot.py [--out docs/images] [--url http://127.0.0.1:9108]
Without --url it starts the demo and waits, some three minutes, until the last hour is whole and more than a billion dollars
are liquidated in it. Needs Chromium; on a machine that does nothing else the feeds are up and the lines without gaps.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monitor.terminal.app import TopApp  # noqa: E402 - the tests' harness is found from the root
from monitor.terminal.link import Link  # noqa: E402
from tests.integration.program import Program, demo  # noqa: E402

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


PATIENCE_S = 300.0
HOUR, WHOLE = "1h", 0.95
LARGE_USD = 1e9


@asynccontextmanager
async def sell_off() -> AsyncIterator[str]:
    """The address of a demo in the middle of the sell-off."""
    with tempfile.TemporaryDirectory() as scratch:
        signed_in = {"MONITOR_TOKEN": secrets.token_hex()}  # else the page offers nothing to do
        async with demo(Path(scratch), "--speed", "30", "--from", "2025-11-21T06:35", environment=signed_in) as program:
            await program.ready(PATIENCE_S)

            async def large() -> bool:
                return await liquidated_usd(program) > LARGE_USD

            await program.until(large, PATIENCE_S)
            yield program.url


async def liquidated_usd(program: Program) -> float:
    """What the last hour liquidated; 0 while the hour is not whole."""
    windows = (await program.data("/api/v1/market"))["windows"]
    whole = [row for row in windows if row["window"] == HOUR and (row["coverage"] or 0.0) >= WHOLE]
    return sum(float(row["long_usd"] + row["short_usd"]) for row in whole)


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
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
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
            async with sell_off() as url:
                await shoot(browser, url, options.out, options.wait, full=options.full)
                await shoot_terminal(browser, url, options.out, options.wait)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
