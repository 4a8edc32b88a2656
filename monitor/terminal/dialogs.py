"""What opens over the panels: the form for a change, and what stands behind a rule."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from monitor.errors import MonitorError
from monitor.terminal.panels import HIDDEN_LABELS, label_text, why_lines
from monitor.terminal.style import styled

Json = Mapping[str, Any]
Perform = Callable[["Change"], Awaitable[None]]
CLOSE: list[BindingType] = [("escape", "dismiss", "Close")]


class Change:
    """What a person asks for: ``kind`` is acknowledge or silence."""

    def __init__(self, kind: str, alert: Json) -> None:
        self.kind, self.alert = kind, alert
        self.by, self.comment, self.duration, self.token = "", "", "", ""

    @property
    def request(self) -> tuple[str, dict[str, Any]]:
        """Path and body."""
        if self.kind == "acknowledge":
            body = {"fingerprint": self.alert["fingerprint"], "by": self.by, "comment": self.comment}
            return "/api/v1/acks", body
        matchers = [
            {"name": name, "value": value} for name, value in self.alert["labels"].items() if name != "severity"
        ]
        common = {"createdBy": self.by, "comment": self.comment, "duration": self.duration}
        return "/api/v1/silences", {"matchers": matchers, **common}


class ChangeForm(ModalScreen[bool]):
    """Asks who, for how long and with which token, and stays open until the monitor agrees or the person gives up."""

    BINDINGS: ClassVar[list[BindingType]] = CLOSE

    def __init__(self, change: Change, token: str, perform: Perform) -> None:
        super().__init__()
        self._change, self._token, self._perform = change, token, perform

    def compose(self) -> ComposeResult:
        """The form; a token that is known is not asked for."""
        alert = self._change.alert
        with Vertical(classes="dialog"):
            yield Label(f"{self._change.kind.capitalize()} {alert['name']}", classes="dialog-title")
            yield Label(label_text(alert["labels"], HIDDEN_LABELS), markup=False)
            yield Label("Your name")
            yield Input(getpass.getuser(), id="by", max_length=100)
            if self._change.kind == "silence":
                yield Label("For, such as 30m, 2h or 1d")
                yield Input("2h", id="duration")
            yield Label("Comment")
            yield Input(id="comment", max_length=500)
            if not self._token:
                yield Label("Token (kept until top ends; or set MONITOR_TOKEN)")
                yield Input(id="token", password=True)
            yield Static(id="problem", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._change.kind.capitalize(), variant="primary", id="go")
                yield Button("Close", id="close")

    def _value(self, name: str, default: str = "") -> str:
        found = self.query(f"#{name}").results(Input)
        return next((field.value.strip() for field in found), default)

    async def on_input_submitted(self) -> None:
        """Enter in any field sends the form."""
        await self._send()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """One sends, the other closes."""
        if event.button.id == "go":
            await self._send()
        else:
            self._close(agreed=False)

    async def _send(self) -> None:
        change = self._change
        change.by, change.comment = self._value("by"), self._value("comment")
        change.duration, change.token = self._value("duration"), self._value("token", self._token)
        if not change.token:
            self.query_one("#problem", Static).update("the token is missing: without it nothing can be changed")
            return
        try:
            await self._perform(change)
        except MonitorError as error:
            self.query_one("#problem", Static).update(str(error))
        else:
            self._close(agreed=True)

    def _close(self, *, agreed: bool) -> None:
        _ = self.dismiss(agreed)  # a screen cannot wait for its own end


class WhyScreen(ModalScreen[None]):
    """What stands behind a rule's numbers."""

    BINDINGS: ClassVar[list[BindingType]] = [*CLOSE, ("q", "dismiss", "Close")]

    def __init__(self, rule: Json, ask: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self._rule, self._ask = rule, ask

    def compose(self) -> ComposeResult:
        """The rule at once, the reasons when they come."""
        with VerticalScroll(classes="dialog wide", can_focus=True) as dialog:
            dialog.border_subtitle = "Esc closes"
            yield Label(self._rule["name"], classes="dialog-title", markup=False)
            yield Label(self._rule["text"], markup=False)
            if self._rule["clear"]:
                yield Label(f"clears when {self._rule['clear']}", markup=False)
            yield Static("reading", id="why")

    async def on_mount(self) -> None:
        """Ask for the reasons."""
        self.run_worker(self._fill())

    async def _fill(self) -> None:
        try:
            data = await self._ask()
        except MonitorError as error:
            lines = [(str(error), "bad")]
        else:
            lines = why_lines(data, self._rule["unit"])
        self.query_one("#why", Static).update(Text("\n").join(styled(text, tone) for text, tone in lines))


class KeysScreen(ModalScreen[None]):
    """What each key does."""

    BINDINGS: ClassVar[list[BindingType]] = [*CLOSE, ("q,question_mark", "dismiss", "Close")]

    def __init__(self, panels: Sequence[str]) -> None:
        super().__init__()
        self._panels = panels

    def compose(self) -> ComposeResult:
        """A line per key."""
        lines = [
            ("0", "overview (one panel in a small terminal)"),
            *((str(number), name) for number, name in enumerate(self._panels, start=1)),
            ("arrows", "choose a row"),
            ("Enter", "why the rule or alert is in its state"),
            ("a, s, w", "acknowledge, silence, withdraw both"),
            ("d, q", "light or dark, quit"),
        ]
        with VerticalScroll(classes="dialog", can_focus=True) as dialog:
            dialog.border_subtitle = "Esc closes"
            yield Label("Keys", classes="dialog-title")
            yield Static(Text("\n").join(Text.assemble((f"{key:>8}  ", "bold"), words) for key, words in lines))
