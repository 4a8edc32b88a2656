"""The HTML report: complete, closed to the outside, and quiet in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from monitor.backtest.ask import Answer, Ask, answer
from monitor.backtest.history import Missing, Stretch
from monitor.backtest.page import as_html
from monitor.backtest.page.chart import Axes, Panel, draw, path, round_ticks, time_ticks
from monitor.backtest.sweep import parse_sweep
from monitor.backtest.watch import Line
from monitor.clock import NS_PER_S
from tests.backtest.scene import RULES, START_NS, TinyHistory, at, cascade, feeds, loaded

AXE = os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
NAN = float("nan")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    folder = tmp_path_factory.mktemp("page")
    (folder / "other.yaml").write_text(RULES.replace("limit: 50k", "limit: 100k"))
    script = [*cascade(), (100, feeds(100, up=False)), (150, feeds(150, up=True))]
    history = TinyHistory(
        script, end_s=300, note="SYNTHETIC <b>made</b> up", lost=Missing(["a.tape:7: 9 bytes <gone>"])
    )
    others = (str(folder / "other.yaml"),)
    ask = Ask(rules=("Coin <x>",), sweep=parse_sweep("limit=10k..1M:4"), others=others, charts=True)
    return answer(loaded(folder, RULES.replace("alert: Coin\n", 'alert: "Coin <x>"\n')), history, ask)


class Reader(HTMLParser):
    """Notes elements that are never closed, and every address."""

    VOID = frozenset({"meta", "path", "rect", "br", "input"})
    LOOSE = frozenset({"th", "td", "tr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag
        else:
            assert tag in self.VOID | self.LOOSE

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_nothing_leads_outside_and_every_element_is_closed(found: Answer) -> None:
    page = as_html(found)
    reader = read(page)
    assert reader.open == []
    assert reader.addresses
    assert all(address.startswith("#") for address in reader.addresses)
    assert not re.search(r"https?://|url\(|@import", page)
    assert re.search(r'Content-Security-Policy" content="default-src \'none\'; style-src \'sha256-', page)
    assert " style=" not in page  # the policy would refuse it


def test_what_comes_from_outside_is_escaped(found: Answer) -> None:
    page, reader = as_html(found), read(as_html(found))
    assert "<b>made</b>" not in page
    assert "<gone>" not in page
    assert "SYNTHETIC <b>made</b> up" in reader.text
    assert "missing: a.tape:7: 9 bytes <gone>" in reader.text
    assert "Coin <x> (base=BTC)" in reader.text


def test_all_parts_are_there(found: Answer) -> None:
    page, text = as_html(found), read(as_html(found)).text
    for words in (
        "How complete the data is",
        "Sweep of limit",
        "With the other rules",
        "Alerts",
        "Notifications after",
    ):
        assert words in text
    assert "okx live 83% of the time" in page
    assert page.count('<svg class="chart"') == 1
    assert 'class="firing"' in page
    assert "BTC price (USD)" in page


def test_a_rule_that_never_fired_and_one_that_never_decided(tmp_path: Path) -> None:
    page = as_html(answer(loaded(tmp_path), TinyHistory([(0, [])], end_s=60), Ask(charts=True)))
    assert read(page).open == []
    assert "No alert fired." in page
    assert page.count("<td class=t>never") == 3


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_loads_in_a_browser_without_a_word_on_the_console(
    found: Answer, tmp_path: Path, binary: Callable[[str], Path], scheme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(found))
    said: list[str] = []
    asked: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(file.as_uri())
        chart = page.locator("svg.chart").first
        await chart.scroll_into_view_if_needed()
        await chart.hover()
        reading = await chart.locator(".reading").text_content()
        wide = await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        await browser.close()
    assert said == []
    assert asked == [file.as_uri()]
    assert reading is not None
    assert re.match(r"11-21 05:0\d:\d\d UTC · ", reading)
    assert not wide


@pytest.mark.needs("chromium")
async def test_on_a_phone_charts_keep_their_size_and_move_sideways(
    found: Answer, tmp_path: Path, binary: Callable[[str], Path]
) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(found))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        await page.goto(file.as_uri())
        wide = await page.evaluate("document.documentElement.scrollWidth")
        chart = await page.locator("svg.chart").first.bounding_box()
        await browser.close()
    assert wide == 390
    assert chart is not None
    assert chart["width"] > 700, "text of 10 px stays readable"


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault(found: Answer, tmp_path: Path, binary: Callable[[str], Path], scheme: str) -> None:
    if not Path(AXE).exists():
        if os.environ.get("CI"):
            pytest.fail("axe-core is not installed, and CI must run this test: npm install --no-save axe-core")
        pytest.skip("axe-core is not installed: npm install --no-save axe-core, or set AXE_CORE to axe.min.js")
    file = tmp_path / "report.html"
    file.write_text(as_html(found))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        await page.goto(file.as_uri())
        await page.evaluate(Path(AXE).read_text(encoding="utf-8"))
        result = await page.evaluate("axe.run()")
        await browser.close()
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in result["violations"]] == []


# Charts


def test_a_line_breaks_where_a_value_is_missing_and_leaves_out_what_says_nothing() -> None:
    where = Axes(Stretch(0, 100), 0, 10, 0, 100)
    times = [0, 10, 20, 30, 40, 50, 60]
    assert path(times, [0, 10, NAN, 5, 5, 5, 5], where) == "M64.0 100.0L152.0 0.0M328.0 50.0L592.0 50.0"
    assert path([0, 50], [0, 10], where, steps=True) == "M64.0 100.0H504.0V0.0"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (1e9, 2.3e9), (0.001, 0.0017), (81_000, 85_000)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    ticks = list(round_ticks(low, high, 4))
    assert 2 <= len(ticks) <= 9
    assert low <= ticks[0] + 1e-12
    assert ticks[-1] <= high * (1 + 1e-9)


@pytest.mark.parametrize("length_s", [60, 600, 86_400, 30 * 86_400, 400 * 86_400])
def test_times_on_the_axis_are_few(length_s: int) -> None:
    assert len(time_ticks(Stretch(START_NS, START_NS + length_s * NS_PER_S))) <= 11


def test_a_flat_and_an_empty_line_can_be_drawn() -> None:
    for line in (Line(), Line([at(1), at(2)], [5.0, 5.0], [NAN, NAN])):
        text = draw([Panel("x", line, str, 100, show_threshold=True)], [], Stretch(at(0), at(10)), "x")
        assert "NaN" not in text
        assert "nan" not in text
