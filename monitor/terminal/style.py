"""How tones look. Every tone also has its word in the text, so that nothing is lost without colour."""

from __future__ import annotations

from rich.terminal_theme import TerminalTheme
from rich.text import Text

from monitor.terminal.panels import Cell

STYLES = {
    "ok": "green",
    "warn": "yellow",
    "bad": "bold red",
    "held": "magenta",
    "long": "red",
    "short": "cyan",
    "quiet": "dim",
    "head": "bold",
}

_DARK = [(18, 24, 33), (255, 110, 98), (95, 211, 138), (245, 192, 79), (125, 180, 255), (194, 164, 255), (63, 203, 190), (233, 238, 245)]  # fmt: skip
_LIGHT = [(20, 26, 34), (179, 38, 30), (27, 122, 61), (138, 90, 0), (31, 95, 191), (106, 63, 181), (11, 112, 122), (74, 85, 99)]  # fmt: skip
PALETTE_DARK = TerminalTheme((18, 24, 33), (233, 238, 245), _DARK)
PALETTE_LIGHT = TerminalTheme((255, 255, 255), (20, 26, 34), _LIGHT)
"""What red, green and the others are: the colours of the live page, so that held is not taken for firing."""

CSS = """
Screen { layout: vertical; }
#top { height: 1; padding: 0 1; background: $panel; }
#pulse { height: 1; padding: 0 1; }
#notices { height: auto; max-height: 4; padding: 0 1; background: $warning-muted; display: none; }
#notices.shown { display: block; }
#windows { height: 6; margin: 0; }
.card { width: 1fr; height: 6; border: round $panel-lighten-2; padding: 0 1; }
#tabs { height: 2; }
#tabs Tab { padding: 0 1 0 0; }
#panels { height: 1fr; layout: grid; grid-size: 2 2; }
.panel { border: round $panel-lighten-2; height: 1fr; }
.panel:focus-within { border: heavy $accent; }
.panel DataTable { height: 1fr; background: $surface; scrollbar-size: 1 1; }
.panel DataTable { overflow-x: hidden; }
.panel DataTable > .datatable--cursor { background: $surface; text-style: none; }
.panel DataTable:focus > .datatable--cursor { background: $primary-muted; text-style: bold; }
.panel .empty { padding: 1 2; color: $text-muted; display: none; }
.panel.-empty .empty { display: block; }
.panel.-empty DataTable { display: none; }
.panel.-away { display: none; }
Screen.-one #panels { grid-size: 1 1; }
Screen.-narrow #windows { height: auto; layout: vertical; }
Screen.-narrow .card { height: 1; border: none; }
Screen.-flat #windows { display: none; }
.old DataTable, .old .card { opacity: 55%; }
ModalScreen { align: center middle; }
.dialog { width: 64; max-width: 95%; height: auto; max-height: 90%; border: heavy $accent; padding: 1 2; background: $surface; }
.dialog.wide { width: 110; height: 80%; }
.dialog-title { text-style: bold; padding-bottom: 1; }
.dialog #problem { color: $error; height: auto; }
.buttons { height: 3; }
"""


def styled(text: str, tone: str = "") -> Text:
    """A text in its tone; markup in it stays text."""
    return Text(text, style=STYLES.get(tone, ""))


def shown(cell: Cell, width: int | None = None) -> Text:
    """A cell of a table; what is wider than `width` ends in an ellipsis."""
    text = styled(cell.text, cell.tone)
    if width is not None:
        text.truncate(width, overflow="ellipsis")
    if cell.right:
        text.justify = "right"
    return text
