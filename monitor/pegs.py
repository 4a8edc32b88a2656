"""Stablecoins at their configured price instead of one dollar: a feed whose every dollar is worth what it is worth. Pure.

``pegs: {USDT: 0.97}`` makes each amount and price that is quoted in USDT count 0.97 US dollars. The conversion stands
behind decoding, so that no venue needs to know of it, and replay, backfill and live feeds cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import structs

from monitor.events import Depth, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import Connection, Feed, Frame, Notice, Send, Session
from monitor.instruments import MICROS, Registry, to_micros

E = TypeVar("E", Liquidation, Trade)
Pegs = Mapping[str, Decimal]


def _amount(event: E, peg: Decimal) -> E:
    return structs.replace(event, usd_micros=to_micros(Decimal(event.usd_micros) / MICROS * peg))


def _price(event: Price, peg: Decimal) -> Price:
    return structs.replace(event, value=event.value * float(peg))


def _interest(event: OpenInterest, peg: Decimal) -> OpenInterest:
    return structs.replace(event, usd=event.usd * float(peg))


def _depth(event: Depth, peg: Decimal) -> Depth:
    return structs.replace(event, bid_usd=event.bid_usd * float(peg), ask_usd=event.ask_usd * float(peg))


_CONVERT: Mapping[type, Callable[[Any, Decimal], MarketEvent]] = {
    Liquidation: _amount,
    Trade: _amount,
    Price: _price,
    OpenInterest: _interest,
    Depth: _depth,
}


def convert(events: Sequence[MarketEvent], pegs: Pegs) -> list[MarketEvent]:
    """The events with every amount and price in US dollars; a ratio such as a funding rate stays what it is."""
    return [_converted(event, pegs) for event in events]


def _converted(event: MarketEvent, pegs: Pegs) -> MarketEvent:
    change = _CONVERT.get(type(event))
    peg = pegs.get(event.instrument.quote) if change is not None else None  # type: ignore[union-attr]
    return event if change is None or peg is None else change(event, peg)


class _PeggedSession:
    """A session whose events are converted; all else is the session's own."""

    def __init__(self, session: Session, pegs: Pegs) -> None:
        self._session = session
        self._pegs = pegs

    @property
    def notices(self) -> list[Notice]:
        return self._session.notices

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        return self._session.unconfirmed

    def on_open(self, now_ns: int) -> list[Send]:
        return self._session.on_open(now_ns)

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        return convert(self._session.on_frame(frame, recv_ns), self._pegs)

    def on_tick(self, now_ns: int) -> list[Send]:
        return self._session.on_tick(now_ns)


def pegged(feed: type[Feed], pegs: Pegs) -> type[Feed]:
    """The class of a feed that converts whatever it decodes, from its connections, polls and history alike."""

    def session(self: Any, connection: Connection, registry: Registry) -> Any:
        return _PeggedSession(feed.session(self, connection, registry), pegs)

    def parse_poll(self: Any, *arguments: Any) -> list[MarketEvent]:
        return convert(feed.parse_poll(self, *arguments), pegs)

    def parse_history(self: Any, *arguments: Any) -> Any:
        events, following = feed.parse_history(self, *arguments)
        return convert(events, pegs), following

    own = {"session": session, "parse_poll": parse_poll, "parse_history": parse_history}
    return type(feed.__name__, (feed,), own)
