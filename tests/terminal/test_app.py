"""`monitor top` without a terminal: textual's pilot presses the keys, the served monitor is the real web application."""

from __future__ import annotations

import asyncio
import functools
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from monitor.commands import dispatch
from monitor.terminal.app import Table, TopApp
from monitor.terminal.dialogs import KeysScreen
from monitor.terminal.link import Link
from monitor.terminal.panels import PANELS, alert_rows, rule_rows
from monitor.testing.fake_view import SOL_LONGS
from monitor.testing.manual_clock import ManualClock
from tests.web.conftest import TOKEN, Served


@asynccontextmanager
async def top(
    served: Served, size: tuple[int, int] = (150, 44), token: str = "", clock: Any = None
) -> AsyncIterator[tuple[TopApp, Pilot[None]]]:
    """The running program with its first picture."""
    app = TopApp(Link(served.url, first_wait_s=0.05), token, clock)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: bool(app.picture.sections))
        yield app, pilot


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the program work until something holds."""
    async with asyncio.timeout(40):
        while not condition():
            await pilot.pause(0.02)


def text_of(app: TopApp) -> str:
    """What is on the screen."""
    svg = app.export_screenshot()
    return re.sub(r"<[^>]+>", "", re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)).replace("&#160;", " ")


def table(app: TopApp, name: str) -> DataTable[Any]:
    return app.screen_stack[0].query_one(f"#table-{name}", DataTable)


def has_rows(app: TopApp, name: str) -> bool:
    return table(app, name).row_count > 0


def shown(app: TopApp) -> list[str]:
    return [panel.name for panel in PANELS if app.screen_stack[0].query_one(f"#panel-{panel.name}").display]


async def test_the_overview_shows_the_market_and_the_monitor(served: Served) -> None:
    async with top(served) as (app, pilot):
        for words in ("live", "3 of 3 feeds up", "SYNTHETIC DATA", "recording", "Liquidated 1h", "LongsWipedOut SOL", "held", "Binance USD-M", "84,", "OpenInterestFell", "UTC"):  # fmt: skip
            await until(pilot, lambda: words in text_of(app))  # noqa: B023  # asked at once
        assert shown(app) == ["alerts", "market", "rules", "feeds"]


async def test_every_panel_has_a_key_and_rows(served: Served) -> None:
    async with top(served) as (app, pilot):
        for number, panel in enumerate(PANELS, start=1):
            await pilot.press(str(number))
            await until(pilot, functools.partial(has_rows, app, panel.name))
            assert shown(app) == [panel.name]
            assert panel.columns[0].head in text_of(app)
        await pilot.press("0")
        assert len(shown(app)) == 4


async def test_a_small_terminal_shows_one_panel(served: Served) -> None:
    async with top(served, (80, 24)) as (app, pilot):
        for size in ((80, 24), (40, 12), (20, 6), (200, 20)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: shown(app) == ["alerts"])
        await pilot.press("2")
        await until(pilot, lambda: table(app, "market").row_count == 6)
        assert shown(app) == ["market"]
        await pilot.resize_terminal(160, 50)
        await pilot.press("0")
        await until(pilot, lambda: len(shown(app)) == 4)


async def test_no_connection_outlives_the_program(served: Served) -> None:
    async with top(served) as (app, pilot):
        await pilot.press("3", "enter")
    assert app._link._http.closed
    assert not list(app.workers)


async def test_another_size_is_another_arrangement_at_once(served: Served) -> None:
    async with top(served, (80, 24)) as (app, pilot):
        await until(pilot, lambda: shown(app) == ["alerts"])
        assert app.screen.has_class("-narrow")
        await pilot.resize_terminal(160, 50)
        assert len(shown(app)) == 4
        assert not app.screen.has_class("-narrow")
        await pilot.resize_terminal(80, 24)
        assert shown(app) == ["alerts"]
        assert app.screen.has_class("-narrow")


async def test_the_keys_are_explained(served: Served) -> None:
    async with top(served, (80, 24)) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, KeysScreen))
        words = "\n".join(str(line.render()) for line in app.screen.query(Static))
        assert all(name in words for name in ("acknowledge", "overview", *(panel.name for panel in PANELS)))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, KeysScreen))


async def test_it_moves_and_the_cursor_stays_on_its_row(served: Served) -> None:
    async with top(served) as (app, pilot):
        await pilot.press("2", "down", "down")
        price = table(app, "market").get_cell_at
        before = str(price((0, 1)))  # type: ignore[arg-type]
        served.view.advance(300)
        await until(pilot, lambda: str(price((0, 1))) != before)  # type: ignore[arg-type]
        assert table(app, "market").cursor_row == 2


async def test_an_alert_is_acknowledged_silenced_and_given_back(served: Served) -> None:
    async with top(served) as (app, pilot):
        await until(pilot, lambda: has_rows(app, "alerts"))
        await pilot.press("down", "down", "a")
        app.screen.query_one("#token", Input).value = "wrong"
        app.screen.query_one("#by", Input).value = "kim"
        await pilot.press("enter")
        problem = app.screen.query_one("#problem", Static)
        await until(pilot, lambda: "bearer token" in str(problem.render()))
        app.screen.query_one("#token", Input).value = TOKEN
        await pilot.press("enter")
        await until(pilot, lambda: "held ack" in text_of(app))
        assert [(ack.fingerprint, ack.by) for ack in served.view.acknowledgements()] == [(SOL_LONGS, "kim")]
        await pilot.press("s")
        assert not app.screen.query("#token"), "the token is known by now"
        await pilot.press("enter")
        await until(pilot, lambda: "held ack mute" in text_of(app))
        [silence] = served.view.silences()
        assert silence.ends_ns - silence.starts_ns == 2 * 3600 * 10**9
        await pilot.press("w")
        await until(pilot, lambda: not served.view.silences() and not served.view.acknowledgements())


async def test_a_change_without_a_token_is_not_sent(served: Served) -> None:
    async with top(served) as (app, pilot):
        await pilot.press("s", "enter")
        await until(pilot, lambda: "the token is missing" in str(app.screen.query_one("#problem", Static).render()))
        await pilot.press("escape")
        assert not served.view.silences()
        assert len(app.screen_stack) == 1


async def test_the_cursor_stays_at_the_top_until_somebody_moves_it(served: Served) -> None:
    async with top(served) as (app, pilot):
        await pilot.press("1")
        await until(pilot, functools.partial(has_rows, app, "alerts"))
        panel = app.screen_stack[0].query_one("#panel-alerts", Table)
        rows = alert_rows(app.picture)
        panel.draw([rows[1], rows[0], *rows[2:]])
        assert panel.chosen == rows[1].key
        panel.table.move_cursor(row=1)  # without a pause, in which the stream would draw its own
        assert panel.chosen == rows[0].key
        panel.draw([rows[2], rows[1], rows[0], *rows[3:]])
        assert panel.chosen == rows[0].key


async def test_enter_shows_what_stands_behind_a_rule(served: Served) -> None:
    async with top(served) as (app, pilot):
        await pilot.press("3")
        rules = [row.key for row in rule_rows(app.picture)]
        await pilot.press(*["down"] * rules.index("liquidations/LongsWipedOut"))
        await pilot.press("enter")
        await until(pilot, lambda: "okx liquidations" in text_of(app))
        assert "46% of the threshold" in text_of(app)
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_a_lost_connection_is_said_and_mended(served: Served) -> None:
    async with top(served) as (app, pilot):
        await until(pilot, lambda: "84," in text_of(app))
        await served.runner.cleanup()
        await until(pilot, lambda: "NO CONNECTION" in text_of(app))
        assert app.screen.has_class("old")
        assert "84," in text_of(app), "the last numbers stay, marked"


async def test_numbers_that_no_longer_move_are_called_old(served: Served) -> None:
    clock = ManualClock(0)
    async with top(served, clock=clock) as (app, pilot):
        await until(pilot, lambda: "live" in text_of(app))
        await clock.advance(9)
        app._draw_top()
        await pilot.pause()
        assert "OLD: no update for 9s" in text_of(app)
        served.view.advance(5)
        await until(pilot, lambda: "live" in text_of(app))


async def test_without_colour_every_state_is_still_a_word(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    served.view.down.add("okx")
    async with top(served) as (app, pilot):
        assert app.no_color
        words = ("firing", "held", "pending", "DOWN", "2 of 3 feeds up")
        await until(pilot, lambda: all(map(text_of(app).__contains__, words)))


async def test_words_from_outside_are_not_markup(served: Served) -> None:
    served.view.reload_error = "rules/a.yaml:3:9: [red]unknown[/red] [@click=app.quit]series[/]"
    async with top(served) as (app, pilot):
        await until(pilot, lambda: "[@click=app.quit]series[/]" in text_of(app))


def test_without_a_terminal_it_says_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["top"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_without_textual_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for name in [name for name in sys.modules if name.startswith("monitor.terminal")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    assert dispatch(["top"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'textual" in said
    assert "market-risk-monitor[tui]" in said
