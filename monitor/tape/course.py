"""What a tape says of the program's own course: in which steps it took what it heard, and what else went into its verdicts.

Frames alone give the same events again. The same *alerts* need more: the instants at which rules were evaluated and how
much had been taken in by then, what came by other ways than a feed, the state found at the start, the rules in force,
and what people did. Each is a record; `monitor.runtime.steps.journal` writes them, `monitor.runtime.steps.rerun` reads them.

========  =====================  ======================================================================================
kind      name                   payload
========  =====================  ======================================================================================
config    monitor/start          the program started with these rules, routes and feeds; state and windows are empty
config    monitor/reload         these are in force from here on
memory    monitor/windows        the engine's windows as found at the start, in parts that follow each other
memory    monitor/alerts         alerts as found at the start
memory    monitor/told           what routing remembered
events    monitor/remembered     taken in without an evaluation (history, backfill)
events    monitor/heard          put in line behind the events of the frames before (sources, inlets)
events    monitor/derived        put in line likewise: what the step before made of what it took (baskets, streaks)
turn      monitor/turn           so many events from the head of the line were taken in and evaluated, at the record's time
turn      monitor/tick           nothing was taken in; rules and routes were evaluated, at the record's time
turn      monitor/relieved       of the waiting gauges only the newest were kept
turn      monitor/merged         so many events at the head of the line were put in order of time: they came late
act       monitor/act            a silence, an acknowledgement, or the end of one
========  =====================  ======================================================================================

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from monitor.alert import MemoryRow, SavedAlert
from monitor.events import (
    Depth,
    Event,
    FeedGap,
    FeedState,
    Funding,
    Liquidation,
    OpenInterest,
    Price,
    Sample,
    Trade,
)
from monitor.feed import FeedOptions
from monitor.instruments import Instrument

OWNER = "monitor"
"""Stands where the venue stands in the names of frames."""
START = f"{OWNER}/start"
RELOAD = f"{OWNER}/reload"
WINDOWS = f"{OWNER}/windows"
ALERTS = f"{OWNER}/alerts"
TOLD = f"{OWNER}/told"
REMEMBERED = f"{OWNER}/remembered"
HEARD = f"{OWNER}/heard"
DERIVED = f"{OWNER}/derived"
TURN = f"{OWNER}/turn"
TICK = f"{OWNER}/tick"
RELIEVED = f"{OWNER}/relieved"
MERGED = f"{OWNER}/merged"
ACT = f"{OWNER}/act"

Notes = dict[str, tuple[str, ...]]
"""What an explanation bore in mind, by rule: words that hang on the feeds' counters, which a replay does not have."""

_KINDS: tuple[type[Any], ...] = (Liquidation, Trade, Price, Funding, OpenInterest, Depth, Sample, FeedState, FeedGap)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_FIRST_WITHOUT_INSTRUMENT = _CODES[Sample]


class Turn(msgspec.Struct, array_like=True, omit_defaults=True):
    """One step of the engine.

    Attributes:
        events: How many it took.
        notes: Of what it explained meanwhile.
        own_ns: Our own time at that step, where it was not that of the record: what came late was made up for.
    """

    events: int = 0
    notes: Notes = {}
    own_ns: int | None = None


class Setting(msgspec.Struct, frozen=True):
    """What was in force.

    Attributes:
        digest: Identifies configuration and rules.
        rules: Name and text of every rule file.
        routes: As configured; holds no secret.
        feeds: The options of each venue's feed, in order.
        page: Where people find the live page: alerts link to it. None on older tapes.
    """

    digest: str
    rules: tuple[tuple[str, str], ...]
    routes: Any
    feeds: tuple[tuple[str, FeedOptions], ...]
    page: str | None = None


class Act(msgspec.Struct, frozen=True):
    """What somebody did: the method of the alert desk, and its arguments."""

    what: Literal["silence", "expire_silence", "acknowledge", "withdraw", "follow"]
    given: Mapping[str, Any]


def write_turn(events: int, notes: Notes | None = None, own_ns: int | None = None) -> str:
    """A step that took so many events."""
    if not notes and own_ns is None:
        return f"[{events}]"
    return msgspec.json.encode(Turn(events, notes or {}, own_ns)).decode()


def read_turn(text: str | bytes) -> Turn:
    """A step.

    Raises:
        ValueError: The text is something else.
    """
    return msgspec.json.decode(text, type=Turn)


def write_events(events: Sequence[Event]) -> bytes:
    """Events by value; each instrument is written once."""
    numbers: dict[Instrument, int] = {}
    rows = []
    for event in events:
        code, fields = _CODES[type(event)], msgspec.structs.astuple(event)
        if code < _FIRST_WITHOUT_INSTRUMENT:
            fields = (numbers.setdefault(fields[0], len(numbers)), *fields[1:])
        rows.append((code, fields))
    return msgspec.msgpack.encode((list(numbers), rows))


def read_events(data: str | bytes) -> list[Event]:
    """Events, with instruments of their own.

    Raises:
        ValueError: The bytes are something else.
    """
    listed, rows = msgspec.msgpack.decode(_bytes(data), type=tuple[list[Instrument], list[tuple[int, list[Any]]]])
    return [_event(listed, code, fields) for code, fields in rows]


def write_seen(seen: Iterable[tuple[int, Liquidation]]) -> bytes:
    """Liquidations with the number of the link that brought each."""
    links, events = [], []
    for link, event in seen:
        links.append(link)
        events.append(event)
    return msgspec.msgpack.encode((links, write_events(events)))


def read_seen(data: str | bytes) -> list[tuple[int, Liquidation]]:
    """Liquidations with the number of the link that brought each.

    Raises:
        ValueError: The bytes are something else.
    """
    links, events = msgspec.msgpack.decode(_bytes(data), type=tuple[list[int], bytes])
    liquidations = [event for event in read_events(events) if isinstance(event, Liquidation)]
    return list(zip(links, liquidations, strict=True))


def _event(listed: Sequence[Instrument], code: int, fields: Sequence[Any]) -> Event:
    kind = _KINDS[code] if 0 <= code < len(_KINDS) else None
    if kind is None or len(fields) != len(kind.__struct_fields__):
        raise ValueError(f"no event has code {code} and {len(fields)} fields")
    named = dict(zip(kind.__struct_fields__, fields, strict=True))
    if code < _FIRST_WITHOUT_INSTRUMENT:
        number = fields[0]
        if not isinstance(number, int) or not 0 <= number < len(listed):
            raise ValueError(f"no instrument has the number {number}")
        named["instrument"] = listed[number]
    event: Event = msgspec.convert(named, type=kind)
    return event


def write_setting(setting: Setting) -> str:
    """Rules, routes and feeds in force."""
    return msgspec.json.encode(setting).decode()


def read_setting(text: str | bytes) -> Setting:
    """Rules, routes and feeds in force.

    Raises:
        ValueError: The text is something else.
    """
    return msgspec.json.decode(text, type=Setting)


def write_alerts(saved: Iterable[SavedAlert]) -> bytes:
    """Alerts as kept over a restart."""
    return msgspec.json.encode(list(saved))


def read_alerts(data: str | bytes) -> list[SavedAlert]:
    """Alerts as kept over a restart.

    Raises:
        ValueError: The bytes are something else.
    """
    return msgspec.json.decode(data, type=list[SavedAlert])


def write_told(rows: Iterable[MemoryRow]) -> bytes:
    """What routing kept over a restart."""
    return msgspec.msgpack.encode([(row.kind, row.id, row.payload) for row in rows])


def read_told(data: str | bytes) -> list[MemoryRow]:
    """What routing kept over a restart.

    Raises:
        ValueError: The bytes are something else.
    """
    return [MemoryRow(*row) for row in msgspec.msgpack.decode(_bytes(data), type=list[tuple[str, str, bytes]])]


def write_act(act: Act) -> str:
    """What somebody did."""
    return msgspec.json.encode(act).decode()


def read_act(text: str | bytes) -> Act:
    """What somebody did.

    Raises:
        ValueError: The text is something else.
    """
    return msgspec.json.decode(text, type=Act)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
