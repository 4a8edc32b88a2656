"""Make the worked example of docs/backtest.md: record the demo, run the rules over it, take the report's pictures.

Usage: scripts/backtest_example.py [--tape DIR] [--out docs/images] [--seconds 270]
With --tape an existing tape of the demo is used; without it the demo is recorded first, at 60 market seconds a second,
which wants a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
RULES = ("LiquidationsOver1BillionPerHour", "CoinLiquidations", "BtcBelow82k", "FundingFlippedNegative")
FROM = "2025-11-21T06:10"


def monitor(*words: str | Path) -> list[str]:
    """The command line of a sub-command."""
    return [sys.executable, "-m", "monitor", *map(str, words)]


def record(folder: Path, seconds: float) -> None:
    """Let the demo run for a while and end it as a user would."""
    command = monitor("demo", "--speed", "60", "--from", FROM, "--listen", "127.0.0.1:0", "--record", folder)
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        demo.wait(seconds)
    except subprocess.TimeoutExpired:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)


async def shoot(address: str, out: Path) -> None:
    """The head of the report in light, one rule in dark."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1120, "height": 1000}, color_scheme="light")
        await page.goto(address)
        await page.screenshot(path=out / "backtest.png")
        await page.emulate_media(color_scheme="dark")
        box = page.locator(f"h2#{RULES[0]} + .box")
        await box.scroll_into_view_if_needed()
        await box.screenshot(path=out / "backtest-rule.png")
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--seconds", type=float, default=270)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tape = options.tape or Path(scratch) / "tape"
        if options.tape is None:
            record(tape, options.seconds)
        common = ["backtest", "--config", tape / "config.yaml", "--tape", tape]
        chosen = [word for rule in RULES for word in ("--rule", rule)]
        report = Path(scratch) / "report.html"
        subprocess.run(monitor(*common, *chosen, "--html", report), check=True)
        sweep = ["--rule", RULES[0], "--sweep", "threshold=200M..2B"]
        subprocess.run(monitor(*common, *sweep), check=True)
        asyncio.run(shoot(report.as_uri(), options.out))


if __name__ == "__main__":
    main()
