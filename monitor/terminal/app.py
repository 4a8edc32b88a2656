"""The program behind `monitor top`: panels over the event stream of one monitor."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any, ClassVar
from urllib.parse import quote

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.coordinate import Coordinate
from textual.geometry import Size
from textual.widgets import DataTable, Footer, Static, Tab, Tabs
from textual.worker import WorkerError

from monitor.clock import NS_PER_S, Clock, SystemClock
from monitor.errors import MonitorError
from monitor.terminal.dialogs import Change, ChangeForm, KeysScreen, WhyScreen
from monitor.terminal.fit import PADDING, Layout, fit
from monitor.terminal.link import Link, Lost
from monitor.terminal.panels import (
    OVERVIEW,
    PANELS,
    Panel,
    Row,
    WindowCard,
    alert_key,
    pulse,
    spark,
    tall_spark,
    window_cards,
)
from monitor.terminal.picture import Picture
from monitor.terminal.style import CSS, PALETTE_DARK, PALETTE_LIGHT, shown, styled

WIDE, TALL = 118, 32
"""With fewer columns or lines the overview does not fit, and one panel is shown at a time."""
FLAT = 18
"""With fewer lines the windows give their place to the panel."""
SHORT = {"open interest": "OI", "funding 8 h": "funding"}
FRAME = 3
"""Border and scroll bar of a panel."""
OVERVIEW_TAB = "overview"
BLINK_S = 1.0


class Table(Vertical):
    """One panel: a table that changes in place, so that cursor and scroll position stay."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(id=f"panel-{panel.name}", classes="panel")
        self.panel = panel
        self.border_title = panel.title
        self.table: DataTable[Text] = DataTable(
            cursor_type="row", cursor_foreground_priority="renderable", id=f"table-{panel.name}"
        )
        self._rows: list[Row] = []
        self._layout: Layout = ()

    def compose(self) -> ComposeResult:
        """The table, and what stands there when it is empty."""
        yield self.table
        yield Static(self.panel.empty, classes="empty")

    def on_resize(self) -> None:
        """Other columns fit."""
        self.draw(self._rows)

    @property
    def chosen(self) -> str:
        """The key of the row under the cursor; empty when there is none."""
        row = self.table.cursor_row
        return self._rows[row].key if 0 <= row < len(self._rows) else ""

    def draw(self, rows: list[Row]) -> None:
        """Show `rows`: cells that changed when the lines are the same ones, else everything."""
        self.set_class(not rows, "-empty")
        layout = self._fitted(rows)
        if layout == self._layout and [row.key for row in rows] == [row.key for row in self._rows]:
            self._change_cells(rows)
        else:
            self._replace(rows, layout)
        self._rows, self._layout = rows, layout

    def _fitted(self, rows: list[Row]) -> Layout:
        """The columns that fit now; those of before where these still do, so that nothing trembles."""
        room = self.size.width - FRAME
        if room <= 0:
            return self._layout
        wanted = fit(self.panel.columns, [[cell.text for cell in row.cells] for row in rows], room)
        same = [place for place, _ in wanted] == [place for place, _ in self._layout]
        wide = [max(old, new) for (_, old), (_, new) in zip(self._layout, wanted, strict=False)]
        if same and sum(wide) + PADDING * len(wide) <= room:
            return tuple((place, width) for (place, _), width in zip(wanted, wide, strict=True))
        return wanted

    def _change_cells(self, rows: list[Row]) -> None:
        for index, (row, before) in enumerate(zip(rows, self._rows, strict=True)):
            for column, (place, width) in enumerate(self._layout):
                if row.cells[place] != before.cells[place]:
                    self.table.update_cell_at(Coordinate(index, column), shown(row.cells[place], width))

    def _replace(self, rows: list[Row], layout: Layout) -> None:
        was_moved = self.table.cursor_row > 0  # a cursor at the top stays there, where the most urgent is
        chosen, offset = self.chosen, self.table.scroll_offset
        self.table.clear(columns=layout != self._layout)
        if layout != self._layout:
            for place, width in layout:
                self.table.add_column(self.panel.columns[place].head, width=width)
        for row in rows:
            self.table.add_row(*(shown(row.cells[place], width) for place, width in layout))
        keys = [row.key for row in rows]
        if was_moved and chosen in keys:
            self.table.move_cursor(row=keys.index(chosen), scroll=False)
        self.table.scroll_to(offset.x, offset.y, animate=False)


class TopApp(App[None]):
    """The live page in a terminal.

    Args:
        link: The monitor.
        token: Allows changes; asked for when empty.
        clock: Ours, for the age of what is shown.
    """

    CSS = CSS
    TITLE = "Market risk monitor"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("a", "change('acknowledge')", "Acknowledge"),
        Binding("s", "change('silence')", "Silence"),
        Binding("w", "withdraw", "Withdraw"),
        Binding("d", "shade", "Light/dark"),
        Binding("0", "show('overview')", "Overview"),
        Binding("question_mark,f1", "keys", "Keys", key_display="?"),
        *(
            Binding(str(number), f"show('{panel.name}')", panel.name.capitalize(), show=False)
            for number, panel in enumerate(PANELS, start=1)
        ),
    ]

    def __init__(self, link: Link, token: str = "", clock: Clock | None = None) -> None:
        super().__init__()
        self._link, self._token, self._clock = link, token, clock or SystemClock()
        self.picture = Picture()
        self._one = ""
        self._space = Size(0, 0)
        self.ansi_theme_dark, self.ansi_theme_light = PALETTE_DARK, PALETTE_LIGHT

    def _now_s(self) -> float:
        return self._clock.mono_ns() / NS_PER_S

    # -- building

    def compose(self) -> ComposeResult:
        """Everything; what is shown depends on the size and on the chosen tab."""
        yield Static(id="top")
        yield Static(id="pulse")
        yield Static(id="notices", markup=False)
        yield Horizontal(id="windows")
        names = [OVERVIEW_TAB, *(panel.name for panel in PANELS)]
        yield Tabs(*(Tab(f"{number} {name}", id=f"tab-{name}") for number, name in enumerate(names)), id="tabs")
        with Vertical(id="panels"):
            for panel in PANELS:
                yield Table(panel)
        yield Footer()

    async def on_mount(self) -> None:
        """Follow the monitor."""
        self._space = self.size
        await self._arrange()
        self.set_interval(BLINK_S, self._draw_top)
        self.run_worker(self._follow(), name="follow")
        self._table("alerts").table.focus()

    async def on_unmount(self) -> None:
        """Workers are cancelled by now; wait until they have ended, so that no connection outlives the program."""
        for worker in list(self.workers):
            with suppress(WorkerError):  # cancelled, as it should be; a failure was shown when it happened
                await worker.wait()

    def _table(self, name: str) -> Table:
        return self.screen_stack[0].query_one(f"#panel-{name}", Table)

    # -- what is shown

    def _shown(self) -> tuple[str, ...]:
        if self._one:
            return (self._one,)
        return OVERVIEW if self._space.width >= WIDE and self._space.height >= TALL else OVERVIEW[:1]

    async def _arrange(self) -> None:
        if not self._built():
            return
        screen, names = self.screen_stack[0], self._shown()
        screen.set_class(len(names) == 1, "-one")
        screen.set_class(self._space.width < WIDE, "-narrow")
        screen.set_class(self._space.height < FLAT, "-flat")
        for panel in PANELS:
            self._table(panel.name).set_class(panel.name not in names, "-away")
        await self._draw({need for panel in PANELS for need in panel.needs})

    async def on_resize(self, event: events.Resize) -> None:
        """Another size, another arrangement; the app's own `size` is still the old one here."""
        self._space = event.size
        await self._arrange()

    async def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """A tab was chosen."""
        name = str(event.tab.id).removeprefix("tab-")
        self._one = "" if name == OVERVIEW_TAB else name
        await self._arrange()

    async def action_show(self, name: str) -> None:
        """Choose a panel by its key, and put the cursor into it."""
        self.query_one(Tabs).active = f"tab-{name}"
        self._one = "" if name == OVERVIEW_TAB else name
        await self._arrange()
        self._table(self._shown()[0]).table.focus()

    async def action_keys(self) -> None:
        """What each key does."""
        await self.push_screen(KeysScreen([panel.name for panel in PANELS]))

    def action_shade(self) -> None:
        """Between dark and light."""
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    # -- the stream

    async def _follow(self) -> None:
        async with self._link, aclosing(self._link.updates()) as updates:
            async for news in updates:
                if isinstance(news, Lost):
                    self.picture.trouble = f"{news.words}; next attempt in {news.wait_s:.0f} s"
                    self._draw_top()
                else:
                    await self._draw(self.picture.take(news, self._now_s()))

    def _built(self) -> bool:
        """False before the first layout, and again while the program ends and its widgets go one by one."""
        screen = self.screen_stack[0] if self.screen_stack else None
        return screen is not None and len(screen.query("#top, #pulse, #notices, #windows, .panel")) == 4 + len(PANELS)

    async def _draw(self, changed: set[str]) -> None:
        if not self._built():
            return
        for name in self._shown():
            table = self._table(name)
            if table.panel.needs & changed:
                table.draw(table.panel.rows(self.picture))
        if changed & {"windows", "sparks"}:
            await self._draw_windows()
        if changed & {"assets", "sparks"}:
            self.screen_stack[0].query_one("#pulse", Static).update(
                pulse_line(self.picture, short=self._space.width < WIDE)
            )
        self._draw_top()

    def _draw_top(self) -> None:
        if not self._built():
            return
        screen = self.screen_stack[0]
        screen.query_one("#top", Static).update(top_line(self.picture, self._now_s()))
        screen.set_class(self.picture.is_old(self._now_s()), "old")
        words = notices(self.picture)
        band = screen.query_one("#notices", Static)
        band.update("\n".join(words))
        band.set_class(bool(words), "shown")

    async def _draw_windows(self) -> None:
        strip = self.screen_stack[0].query_one("#windows", Horizontal)
        cards = window_cards(self.picture)
        if len(strip.children) != len(cards):
            await strip.remove_children()
            await strip.mount(*(Static(classes="card") for _ in cards))
        narrow = self._space.width < WIDE
        width = max(8, self.size.width // max(1, len(cards)) - 6)
        for place, card in zip(strip.query(Static), cards, strict=False):
            place.border_title = f"Liquidated {card.name}"
            place.update(card_line(card) if narrow else card_text(card, width))

    # -- people

    async def on_data_table_row_selected(self, _event: DataTable.RowSelected) -> None:
        """Enter on an alert or a rule shows what stands behind it."""
        rule = self._chosen_rule()
        known = next((item for item in self.picture.rows("rules") if item["id"] == rule), None)
        if known is not None:
            await self.push_screen(WhyScreen(known, lambda: self._link.call("GET", why_path(rule))))

    def _focused(self) -> Table | None:
        found = self.focused.parent if self.focused is not None else None
        return found if isinstance(found, Table) else None

    def _chosen_rule(self) -> str:
        table = self._focused()
        if table is None or table.panel.name not in ("alerts", "rules"):
            return ""
        alert = self._alert()
        return alert["rule"] if alert else table.chosen

    def _alert(self) -> dict[str, Any] | None:
        table = self._focused()
        if table is None or table.panel.name != "alerts":
            return None
        return next((item for item in self.picture.rows("alerts") if alert_key(item) == table.chosen), None)

    async def action_change(self, kind: str) -> None:
        """Acknowledge or silence the chosen alert."""
        alert = self._alert()
        if alert is None or alert["state"] == "resolved":
            self.notify("choose an active alert first: key 1, then the arrows", severity="warning")
            return
        await self.push_screen(ChangeForm(Change(kind, alert), self._token, self._perform))

    async def _perform(self, change: Change) -> None:
        path, body = change.request
        await self._link.call("POST", path, body=body, token=change.token)
        self._token = change.token
        self.notify(f"{change.kind}: done")

    async def action_withdraw(self) -> None:
        """Take back the acknowledgement of the chosen alert, and end the silences that mute it."""
        alert = self._alert()
        paths = withdrawals(alert) if alert else []
        if not paths:
            self.notify("the chosen alert is neither acknowledged nor silenced", severity="warning")
            return
        if not self._token:
            self.notify("no token yet: set MONITOR_TOKEN, or acknowledge something first", severity="warning")
            return
        try:
            for path in paths:
                await self._link.call("DELETE", path, token=self._token)
        except MonitorError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify("withdrawn")


def withdrawals(alert: Mapping[str, Any]) -> list[str]:
    """What to delete so that an alert is as nobody touched it."""
    acknowledged = [f"/api/v1/acks/{alert['fingerprint']}"] if alert["acked_by"] else []
    return acknowledged + [f"/api/v1/silences/{silence}" for silence in alert["silenced_by"]]


def why_path(rule: str) -> str:
    """Where a rule explains itself."""
    return f"/api/v1/why?rule={quote(rule, safe='')}"


def top_line(picture: Picture, at_s: float) -> Text:
    """One line: connection, the monitor's clock, feeds, alerts, what waits."""
    words, tone = picture.condition(at_s)
    parts = [styled(f"● {words}", tone), styled(f"{picture.clock()} UTC", "head")]
    feeds = picture.rows("feeds")
    if feeds:
        up = sum(bool(feed["up"]) for feed in feeds)
        parts.append(styled(f"{up} of {len(feeds)} feeds up", "" if up == len(feeds) else "bad"))
        parts.append(_firing_part(picture.sections.get("alert_counts") or {"firing": {}}))
    waiting = sum(sink["outbox"] for sink in picture.rows("sinks"))
    parts += [styled(f"{waiting} to be sent", "warn")] if waiting else []
    parts += _tape_part(picture.sections.get("process") or {})
    return Text("  ").join(parts)


def _firing_part(counts: Mapping[str, Any]) -> Text:
    firing, critical = sum(counts["firing"].values()), counts["firing"].get("critical", 0)
    return styled(f"{firing} firing" + (f", {critical} critical" if critical else ""), "bad" if firing else "")


def pulse_line(picture: Picture, *, short: bool = False) -> Text:
    """Where the market stands, in a line; `short` where a terminal is narrow."""
    parts = []
    for name, figure, change in pulse(picture):
        said = shown(figure)
        said.stylize("bold")
        parts.append(Text.assemble((f"{SHORT.get(name, name) if short else name} ", "dim"), said, " ", shown(change)))
    return Text("  ").join(parts)


def _tape_part(process: Mapping[str, Any]) -> list[Text]:
    tape = process.get("tape")
    if not tape:
        return []
    lost = sum(tape["dropped"].values())
    words = f"tape incomplete: {lost} records lost" if lost else "recording"
    return [styled("tape failing" if tape["failing"] else words, "bad" if lost or tape["failing"] else "")]


def notices(picture: Picture) -> list[str]:
    """What everyone must see: made-up data, a failed reload, the end."""
    process = picture.sections.get("process") or {}
    reload = process.get("reload") or {"ok": True}
    found = [synthetic_text(process["synthetic_note"])] if process.get("synthetic") else []
    found += ["The monitor is shutting down."] if process.get("draining") else []
    return found + ([] if reload["ok"] else [f"LAST RELOAD FAILED, the old rules run on: {reload['error']}"])


def synthetic_text(note: str) -> str:
    """The label of made-up data, said once."""
    return note if note.upper().startswith("SYNTHETIC") else f"SYNTHETIC DATA: {note}"


def card_text(card: WindowCard, width: int) -> Text:
    """A window in four lines."""
    head = Text.assemble((f"{card.total} USD", "bold"), "  ", shown(card.coverage), " covered")
    course = [styled(line, "quiet") for line in tall_spark(card.points, width, 0.0)]
    sides = Text.assemble("long ", (card.long, "red"), "  short ", (card.short, "cyan"))
    return Text("\n").join([head, *course, sides])


def card_line(card: WindowCard) -> Text:
    """A window in one line."""
    return Text.assemble(
        (f"{card.name:>4} ", "bold"), f"{card.total:>6} USD  ", styled(f"{card.coverage.text:>5}", card.coverage.tone), " covered  ",
        f"long {card.long:>5} short {card.short:>5}  ", styled(spark(card.points, 16, 0.0), "quiet"),
    )  # fmt: skip


def run(link: Link, token: str) -> None:
    """Show it until the person leaves."""
    TopApp(link, token).run()
