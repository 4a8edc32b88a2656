"""The live page in a real headless Chromium: it shows, it moves, it acts, it asks nobody else."""

import json
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from monitor import format as text
from monitor.alert import AlertView
from monitor.commands.status import bytes_text
from monitor.telemetry.views.alerting import Acknowledgement
from monitor.testing.fake_view import SOL_LONGS, TOTAL
from monitor.web.page import ALERTS, SPARK_STEP_S, spark_values
from monitor.web.server import BROADCASTER, STATIC, make_app
from monitor.web.shapes.feeds import feed_body
from monitor.web.shapes.market import asset_bodies
from tests.web.conftest import SETTINGS, TOKEN, Served

pytestmark = pytest.mark.needs("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
AXE = os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")


@pytest.fixture
async def browser(binary: Callable[[str], Path]) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=binary("chromium"), args=FLAGS)
        yield launched
        await launched.close()


class Watched:
    """A page together with what went wrong on it and whom it asked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.asked: set[str] = set()
        page.on(
            "console",
            lambda message: self.problems.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))


async def open_page(browser: Browser, served: Served, **options: Any) -> Watched:
    context = await browser.new_context(**options)
    watched = Watched(await context.new_page())
    await watched.page.goto(served.url)
    await watched.page.wait_for_selector("#windows article")
    return watched


async def test_a_signal_fires_by_its_own_rule_and_names_the_others_that_do(browser: Browser, served: Served) -> None:
    first, *rest = served.view.signals() or ()
    told = replace(first, rule="Below3T", firing=True, firing_rules=("FromPeak",))
    served.view.signals = lambda: [told, *rest]  # type: ignore[method-assign]
    page = (await open_page(browser, served)).page
    row = page.locator("#signals tbody tr").first
    await expect(row).to_contain_text("quiet")
    await expect(row).to_contain_text("Total market capitalisation: firing FromPeak")


async def test_it_shows_everything_without_a_fault_or_an_outside_request(browser: Browser, served: Served) -> None:
    watched = await open_page(browser, served)
    page = watched.page
    await expect(page.locator("#banners")).to_contain_text("Synthetic data")
    await expect(page.locator("#windows article")).to_have_count(4)
    await expect(page.locator("#alerts article")).to_have_count(5)
    await expect(page.locator("#rules article")).to_have_count(8)  # the first of nine; the rest on request
    await expect(page.locator("#feeds article")).to_have_count(3)
    await expect(page.locator("#market tbody tr")).to_have_count(6)
    await expect(page.locator("#history li")).to_have_count(3)
    await expect(page.locator("#depth tbody tr")).to_have_count(6)
    await expect(page.locator("#depth tbody tr").first).to_contain_text("bp")
    await expect(page.locator("#signals tbody tr")).to_have_count(3)
    await expect(page.locator("#signals")).to_contain_text("nothing has been pushed yet")
    await expect(page.locator("#signal-count")).to_have_text("2 of 3 have a value, 0 firing")
    await expect(page.locator("#reports")).to_contain_text("No backtest report")
    await expect(page.locator("#tape")).to_contain_text("recording data/tape")
    await expect(page.locator("#tape")).to_contain_text("0 lost")
    await expect(page.locator("#feed-count")).to_have_text("3 of 3 feeds up")
    await expect(page.locator("#alerts article").first).to_contain_text("firing")
    await expect(page.locator("#alerts")).to_contain_text("held: okx silent 4m12s")
    await expect(page.locator("#rules")).to_contain_text("n/a")
    assert watched.problems == []
    assert all(url.startswith(served.url) for url in watched.asked), watched.asked


async def test_it_moves_and_keeps_the_focus(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    figure = page.locator("#windows article").nth(1).locator(".figure")
    before = await figure.inner_text()
    button = page.locator('#alerts [data-action="silence"]').first
    await button.focus()
    served.view.advance(200)
    await expect(figure).not_to_have_text(before)
    await expect(button).to_be_focused()


async def test_a_feed_that_goes_down_and_a_failed_reload_are_seen(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    served.view.down.add("okx")
    served.view.reload_error = "rules/a.yaml:3:9: unknown series"
    await expect(page.locator("#feed-count")).to_have_text("2 of 3 feeds up")
    await expect(page.locator("#feeds article").nth(2)).to_contain_text("no data for 4m12s")
    await expect(page.locator("#banners")).to_contain_text("rules/a.yaml:3:9")


async def test_words_from_outside_are_text_and_never_markup(browser: Browser, served: Served) -> None:
    watched = await open_page(browser, served)
    served.view.reload_error = '<img src="x" onerror="document.title=1"><script>document.title=2</script>'
    await expect(watched.page.locator("#banners code")).to_have_text(served.view.reload_error)
    assert await watched.page.locator("#banners img, #banners script").count() == 0
    assert await watched.page.title() == "Market risk monitor"


async def test_an_alert_is_acknowledged_and_silenced_with_the_token(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    await page.locator(f'[data-action="acknowledge"][data-id="{TOTAL}"]').click()
    await page.get_by_label("Your name").fill("kim")
    await page.get_by_label("Token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("#act-problem")).to_contain_text("bearer token")
    await page.get_by_label("Token").fill(TOKEN)
    await page.locator("#act-submit").click()
    await expect(page.locator("#act")).to_be_hidden()
    await expect(page.locator(f'[data-key="{TOTAL}"]')).to_contain_text("acknowledged by kim")
    assert [ack.by for ack in served.view.acknowledgements()] == ["kim"]
    await page.locator(f'[data-action="silence"][data-id="{SOL_LONGS}"]').click()
    await page.locator("#act-submit").click()
    await expect(page.locator(f'[data-key="{SOL_LONGS}"]')).to_contain_text("silenced")
    [silence] = served.view.silences()
    assert {(matcher.name, matcher.value) for matcher in silence.matchers} == {
        ("alertname", "LongsWipedOut"),
        ("base", "SOL"),
    }
    await page.locator('[data-action="unsilence"]').click()
    await expect(page.locator('[data-action="unsilence"]')).to_have_count(0)


async def sign_in(page: Page, token: str) -> None:
    if not await page.locator("#act").is_visible():
        await page.locator("#token-button").click()
    await page.get_by_label("Your name").fill("kim")
    await page.get_by_label("Token").fill(token)
    await page.locator("#act-submit").click()


async def test_signing_in_takes_only_a_token_that_is_right(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    await sign_in(page, "wrong")
    await expect(page.locator("#act-problem")).to_contain_text("bearer token")
    await expect(page.locator("#token-button")).to_have_text("Sign in")
    await sign_in(page, TOKEN)
    await expect(page.locator("#act")).to_be_hidden()
    await expect(page.locator("#token-button")).to_have_text("Signed in")


async def test_a_token_that_was_changed_meanwhile_is_asked_for_again(browser: Browser, served: Served) -> None:
    watched = await open_page(browser, served)
    page = watched.page
    await page.evaluate("sessionStorage.setItem('monitor-token', 'the-one-of-last-week')")
    await page.reload()
    await expect(page.locator("#token-button")).to_have_text("Signed in")
    await page.locator(f'[data-action="acknowledge"][data-id="{TOTAL}"]').click()
    await page.get_by_label("Your name").fill("kim")
    await page.locator("#act-submit").click()
    await expect(page.locator("#act-problem")).to_contain_text("bearer token")
    await expect(page.locator("#token-button")).to_have_text("Sign in")
    assert served.view.acknowledgements() == []


async def test_without_a_configured_token_the_page_offers_no_change(browser: Browser, served: Served) -> None:
    runner = web.AppRunner(make_app(served.view), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page = await browser.new_page()
    await page.goto("http://127.0.0.1:{1}".format(*runner.addresses[0]))
    await expect(page.locator("#alerts article")).to_have_count(5)
    await expect(page.locator("#token-button")).to_have_text("Read-only")
    await expect(page.locator('#alerts [data-action="why"]').first).to_be_visible()
    assert await page.locator('[data-action="acknowledge"], [data-action="silence"]').count() == 0
    await runner.cleanup()


async def test_the_first_line_says_where_the_market_stands(browser: Browser, served: Served) -> None:
    keep = served.app[BROADCASTER].keep
    for _ in range(3):
        keep(spark_values(served.view))
        served.view.advance(SPARK_STEP_S)
    page = (await open_page(browser, served)).page
    [first] = asset_bodies(served.view.market(), 1)
    tiles = page.locator("#pulse .tile")
    await expect(tiles).to_have_count(6)
    await expect(tiles.nth(0)).to_contain_text("Alerts firing2")
    await expect(tiles.nth(1)).to_contain_text(f"{first['base']}{text.price(first['price_usd'])} USD")
    await expect(tiles.nth(1)).to_contain_text(re.compile(r"[+-]\d\.\d\d% in [12]m"))
    await expect(tiles.nth(3)).to_contain_text("B USD")
    await expect(tiles.nth(4)).to_contain_text("6 coins")
    least = min(feed_body(feed)["coverage"] for feed in served.view.feeds())
    await expect(tiles.nth(5)).to_contain_text(f"Data, last hour{text.share(least)}worst feed; 3 of 3 feeds up")
    served.view.down.add("okx")
    await expect(tiles.nth(5)).to_contain_text("2 of 3 feeds up")
    await expect(tiles.nth(5)).to_have_attribute("data-tone", "bad")
    assert await page.evaluate("async () => (await import('/static/pulse.js')).SPARK_STEP_S") == SPARK_STEP_S


async def test_a_rule_that_lacks_its_data_is_not_called_inactive(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    rows = [
        {"state": state, "truth": truth, "coverage": coverage}
        for state, truth, coverage in (
            ("inactive", 0, 0.0),
            ("inactive", -1, 1.0),
            ("inactive", 0, 0.8),
            ("firing", 0, 0.1),
            ("inactive", 1, 0.1),
        )
    ]
    script = "async (rows) => { const f = (await import('/static/parts.js')).unsure; return rows.map((row) => f({min_coverage: 0.8}, row)) }"
    assert await page.evaluate(script, rows) == [True, True, False, False, False]


MOVES = [([], 1.0), ([None, None], 1.0), ([100.0], 97.0), ([None, 100.0, None, 98.0], 97.0), ([100.0, 98.0], None)]


async def test_a_move_needs_two_points(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    script = (
        "async (rows) => { const f = (await import('/static/pulse.js')).moved; return rows.map(([a, b]) => f(a, b)) }"
    )
    nothing, unknown, one, move, gone = await page.evaluate(script, MOVES)
    assert [nothing, unknown, one, gone] == [None] * 4
    assert move == {"ratio": pytest.approx(-0.03), "seconds": 2 * SPARK_STEP_S}


async def test_critical_alerts_come_before_newer_ones_that_are_not(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    shown = await page.locator('#alerts article[data-tone="firing"] .severity').all_inner_texts()
    assert shown == sorted(shown, key=["critical", "warning", "info"].index)
    assert len(set(shown)) > 1


def storm(served: Served, count: int) -> list[AlertView]:
    """Funding below zero on `count` coins, the newest first, beside the critical total."""
    total, mild, *_ = served.view.alerts()
    coins = [f"X{number:04d}" for number in range(count)]
    return [
        total,
        *(
            replace(
                mild,
                fingerprint=f"{number:016x}",
                series=(("base", coin),),
                labels=(("alertname", "FundingNegativeFor8h"), ("base", coin), ("severity", "warning")),
                starts_at_ns=mild.starts_at_ns - number,
            )
            for number, coin in enumerate(coins)
        ),
    ]


async def test_label_sets_of_one_rule_are_one_card_until_each_is_asked_for(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = storm(served, 20)
    monkeypatch.setattr(served.view, "alerts", lambda: alerts)
    watched = await open_page(browser, served)
    cards = watched.page.locator("#alerts article")
    await expect(cards).to_have_count(2)
    await expect(cards.nth(0)).to_contain_text("LiquidationsOver500MillionPerHour")
    await expect(cards.nth(1)).to_contain_text("20 firing")
    await expect(cards.nth(1)).to_contain_text("base=X0000 -0.0081%")
    await expect(cards.nth(1)).to_contain_text("and 12 more")
    await cards.nth(1).locator('[data-action="each"]').press("Enter")
    await expect(cards).to_have_count(21)
    assert await watched.page.locator('#alerts [data-action="acknowledge"]').count() == 21
    await watched.page.get_by_role("button", name="Show FundingNegativeFor8h as one").click()
    await expect(cards).to_have_count(2)
    assert watched.problems == []


async def test_what_somebody_has_looked_at_comes_after_what_nobody_has(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = storm(served, 3)
    monkeypatch.setattr(served.view, "alerts", lambda: alerts)
    page = (await open_page(browser, served)).page
    await expect(page.locator("#alerts article").nth(1)).to_contain_text("base=X0000")
    await served.view.acknowledge(Acknowledgement(alerts[1].fingerprint, "kim", served.view.now_ns))
    await expect(page.locator("#alerts article").nth(1)).to_contain_text("base=X0001")
    await expect(page.locator("#alerts article").nth(3)).to_contain_text("acknowledged by kim")


async def test_of_a_storm_the_most_urgent_are_shown_and_all_are_counted(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = storm(served, 2000)
    monkeypatch.setattr(served.view, "alerts", lambda: alerts)
    watched = await open_page(browser, served)
    page = watched.page
    await expect(page.locator("#alert-count")).to_contain_text("2,001 firing: 1 critical, 2,000 warning")
    await expect(page.locator("#pulse .tile").first).to_contain_text("Alerts firing2,001")
    await expect(page.locator("#alerts")).to_contain_text(f"and {2001 - ALERTS:,} less urgent ones")
    assert watched.problems == []


async def test_a_part_that_cannot_be_drawn_leaves_the_others_standing(browser: Browser, served: Served) -> None:
    page = await browser.new_page()
    broken = (STATIC / "tables.js").read_text().replace("depth(books) {", "depth(books) { throw new Error('boom');")
    await page.route("**/tables.js", lambda route: route.fulfill(body=broken, content_type="text/javascript"))
    await page.goto(served.url)
    await expect(page.locator("#depth")).to_have_text("This part could not be drawn: boom")
    await expect(page.locator("#signals tbody tr")).to_have_count(3)


async def test_the_token_is_not_kept_beyond_the_tab(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    await sign_in(page, TOKEN)
    await expect(page.locator("#token-button")).to_have_text("Signed in")
    assert TOKEN not in await page.evaluate("JSON.stringify(localStorage) + document.cookie")


async def test_a_rule_explains_itself_by_keyboard_alone(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    await page.locator('#rules [data-action="why"]', has_text="LongsWipedOut").focus()
    await page.keyboard.press("Enter")
    dialog = page.locator("#why")
    await expect(dialog).to_be_visible()
    await expect(dialog).to_contain_text("okx liquidations")
    await expect(dialog).to_contain_text("46% of the threshold")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()


async def test_the_link_of_a_notification_opens_its_rule(browser: Browser, served: Served) -> None:
    page = await browser.new_page()
    await page.goto(served.url + "/#why=liquidations/LongsWipedOut")
    await expect(page.locator("#why-title")).to_have_text("LongsWipedOut")
    await expect(page.locator("#why .why-row").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#why")).to_be_hidden()
    served.view.advance(30)
    await page.evaluate("location.hash = '#why=' + encodeURIComponent('funding/FundingNegativeFor8h')")
    await expect(page.locator("#why-title")).to_have_text("FundingNegativeFor8h")


async def test_a_lost_connection_is_said_and_mended(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    port = int(served.url.rsplit(":", 1)[1])
    await served.runner.cleanup()
    await expect(page.locator("#link")).to_contain_text("connection lost")
    await expect(page.locator("#banners")).to_contain_text(
        f"Every number below is from {text.utc_time(served.view.now_ns)[:16]}"
    )
    await page.locator('[data-action="acknowledge"]').first.click()
    await sign_in(page, TOKEN)
    await expect(page.locator("#act-problem")).to_contain_text("nothing was changed")
    await page.keyboard.press("Escape")
    again = web.AppRunner(make_app(served.view, SETTINGS), shutdown_timeout=1)
    await again.setup()
    await web.TCPSite(again, "127.0.0.1", port).start()
    await expect(page.locator("#link")).to_contain_text("live", timeout=15_000)
    await expect(page.locator("#banners")).not_to_contain_text("No connection")
    await again.cleanup()


async def test_a_monitor_that_hangs_is_not_called_live(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> None:
        """Neither news nor a sign of life."""

    context = await browser.new_context()
    page = await context.new_page()
    await page.clock.install()
    await page.goto(served.url)
    await expect(page.locator("#link")).to_contain_text("live")
    monkeypatch.setattr(served.app[BROADCASTER], "refresh", nothing)
    monkeypatch.setattr(served.app[BROADCASTER], "_beat", lambda: b": nothing\n\n")
    await page.clock.fast_forward(10_000)
    await expect(page.locator("#link")).to_contain_text("no sign of life")
    await expect(page.locator("#banners")).to_contain_text("The monitor is silent. Every number below is from")


async def test_the_inspector_cuts_nothing_off(browser: Browser, served: Served) -> None:
    for width in (360, 1440):
        page = (await open_page(browser, served, viewport={"width": width, "height": 844})).page
        for name in await page.locator("#rules .plain").all():
            await name.click()
            await expect(page.locator("#why .why-row").first).to_be_visible()
            wider = await page.evaluate(
                "document.getElementById('why').scrollWidth - document.getElementById('why').clientWidth"
            )
            assert wider <= 0, (width, await name.text_content())
            await page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1440, 2560])
async def test_nothing_is_wider_than_the_screen(browser: Browser, served: Served, scheme: str, width: int) -> None:
    page = (await open_page(browser, served, viewport={"width": width, "height": 844}, color_scheme=scheme)).page
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault(browser: Browser, served: Served, scheme: str) -> None:
    if not Path(AXE).exists():
        if os.environ.get("CI"):
            pytest.fail("axe-core is not installed, and CI must run this test: npm install --no-save axe-core")
        pytest.skip("axe-core is not installed: npm install --no-save axe-core, or set AXE_CORE to axe.min.js")
    page = (await open_page(browser, served, color_scheme=scheme)).page
    source = Path(AXE).read_text(encoding="utf-8")
    for opened in ("page", "why", "act"):
        if opened == "why":
            await page.locator('#rules [data-action="why"]').first.click()
            await expect(page.locator("#why .why-row").first).to_be_visible()
        if opened == "act":
            await page.keyboard.press("Escape")
            await page.locator('[data-action="silence"]').first.click()
        await page.evaluate(source)
        result = await page.evaluate("axe.run()")
        assert [
            (fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in result["violations"]
        ] == [], opened


NUMBERS = [
    0,
    1,
    -3.2,
    999.4,
    999.6,
    1_040_000_000,
    2.0e9,
    412_345,
    0.0343,
    1e-7,
    1e15,
    -35e6,
    84_210.5,
    0.14312,
    999_600,
]


async def test_numbers_read_as_in_the_rest_of_the_program(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    script = """async (numbers) => { const f = await import("/static/format.js");
        return numbers.map((n) => [f.num(n), f.pct(n / 1e6), f.price(n), f.bp(n / 1e6), f.share(n), f.rate(n / 1e6), f.move(n / 1e4)])
            .concat([[f.num(null), f.pct(NaN), f.price(undefined), f.bp(null), f.share(null), f.rate(null), f.move(null)]]); }"""
    shown = await page.evaluate(script, NUMBERS)
    ours = [
        [
            text.num(n),
            text.pct(n / 1e6),
            text.price(n),
            text.bp(n / 1e6),
            text.share(n),
            text.rate(n / 1e6),
            text.move(n / 1e4),
        ]
        for n in NUMBERS
    ]
    sizes = [0, 900, 1024, 1_536_000, 20 << 30, 5 << 40, 5000 << 40]
    drawn = await page.evaluate("async (sizes) => sizes.map((await import('/static/format.js')).bytes)", sizes)
    assert drawn == [bytes_text(size) for size in sizes]
    assert shown == [*ours, [text.MISSING] * 7], json.dumps(shown)


PAIRS = [
    (1.04e9, 1e9),
    (-0.3004, -0.3),
    (-0.3, -0.3),
    (81_999.996, 82_000.0),
    (82_000.000_000_1, 82_000.0),
    (999_960_000.0, 1e9),
    (None, 1e9),
    (2.0, None),
]
UNITS = ("USD", "price", "ratio", "count", "vol points", "number")


async def test_readings_read_as_in_the_rest_of_the_program(browser: Browser, served: Served) -> None:
    page = (await open_page(browser, served)).page
    script = """async ([pairs, units]) => { const f = await import("/static/format.js");
        return pairs.flatMap(([a, b]) => units.flatMap((unit) => [f.against(a, b, unit), f.amount(a, unit)])); }"""
    shown = await page.evaluate(script, [PAIRS, UNITS])
    assert shown == [
        words for a, b in PAIRS for unit in UNITS for words in (text.against(a, b, unit), text.amount(a, unit))
    ]
