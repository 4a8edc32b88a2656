"""The rows of OKX v5, streamed and polled: their shapes, their decoders, and the events of those that come both ways.

Every message is ``{"arg":{"channel":..,"instId":..},"data":[rows]}``; rows are whole, numbers are strings, the empty
string means "none".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.fields import DECODING_ERRORS, Millis, PositiveFloat
from monitor.errors import DecodeError
from monitor.events import Funding, MarketEvent, OpenInterest
from monitor.feed import Frame
from monitor.instruments import Instrument
from monitor.wire import gauge, ms_ns, read

NS_PER_HOUR = 3600 * NS_PER_S
LONGEST_INTERVAL_H = 24.0
_Row = TypeVar("_Row")


class Arg(msgspec.Struct, gc=False):
    """What a subscription, and each of its messages, is about."""

    channel: str
    instId: str = ""
    instType: str = ""


class TickerRow(msgspec.Struct, gc=False):
    """``tickers``."""

    instId: str
    ts: Millis
    last: str = ""
    bidPx: str = ""
    askPx: str = ""


class MarkRow(msgspec.Struct, gc=False):
    """``mark-price``."""

    instId: str
    markPx: PositiveFloat
    ts: Millis


class IndexRow(msgspec.Struct, gc=False):
    """``index-tickers``; its ``instId`` is a pair, such as ``BTC-USDT``."""

    instId: str
    idxPx: PositiveFloat
    ts: Millis


class TradeRow(msgspec.Struct, gc=False):
    """``trades`` and ``trades-all``."""

    instId: str
    px: PositiveFloat
    sz: PositiveFloat
    side: Literal["buy", "sell"]
    ts: Millis


class FundingRow(msgspec.Struct, gc=False):
    """``funding-rate``."""

    instId: str
    fundingRate: str = ""
    fundingTime: str = ""
    nextFundingTime: str = ""
    ts: str = ""


class InterestRow(msgspec.Struct, gc=False):
    """``open-interest``: ``oi`` in contracts."""

    instId: str
    ts: Millis
    oi: str = ""
    oiUsd: str = ""


class LiquidationDetail(msgspec.Struct, gc=False):
    """One liquidation: the taker's ``side``, bankruptcy price, contracts."""

    side: Literal["buy", "sell"]
    bkPx: str
    sz: str
    ts: Millis


class LiquidationRow(msgspec.Struct, gc=False):
    """``liquidation-orders``: what was liquidated of one instrument."""

    instId: str
    details: msgspec.Raw


class _Frame(msgspec.Struct, Generic[_Row], gc=False):
    arg: Arg
    data: list[_Row]


class Message(msgspec.Struct, gc=False):
    """Any message: rows, or the reply to a request."""

    arg: Arg | None = None
    data: list[msgspec.Raw] | None = None
    event: str = ""
    id: str = ""
    code: str = ""
    msg: str = ""


MESSAGE = msgspec.json.Decoder(Message)
ROWS: dict[str, msgspec.json.Decoder[Any]] = {
    "tickers": msgspec.json.Decoder(TickerRow, strict=False),
    "mark-price": msgspec.json.Decoder(MarkRow, strict=False),
    "index-tickers": msgspec.json.Decoder(IndexRow, strict=False),
    "trades": msgspec.json.Decoder(TradeRow, strict=False),
    "trades-all": msgspec.json.Decoder(TradeRow, strict=False),
    "funding-rate": msgspec.json.Decoder(FundingRow, strict=False),
    "open-interest": msgspec.json.Decoder(InterestRow, strict=False),
    "liquidation-orders": msgspec.json.Decoder(LiquidationRow, strict=False),
}
"""Channel -> the decoder of one of its rows."""
_FRAMES: dict[str, msgspec.json.Decoder[Any]] = {
    "tick": msgspec.json.Decoder(_Frame[TickerRow], strict=False),
    "mark": msgspec.json.Decoder(_Frame[MarkRow], strict=False),
    "inde": msgspec.json.Decoder(_Frame[IndexRow], strict=False),
    "trad": msgspec.json.Decoder(_Frame[TradeRow], strict=False),
    "fund": msgspec.json.Decoder(_Frame[FundingRow], strict=False),
    "open": msgspec.json.Decoder(_Frame[InterestRow], strict=False),
    "liqu": msgspec.json.Decoder(_Frame[LiquidationRow], strict=False),
}
BY_CHANNEL: dict[Frame, msgspec.json.Decoder[Any]] = {
    key: decoder for word, decoder in _FRAMES.items() for key in (word, word.encode())
}
"""First letters of the channel, at their usual place in a frame -> the decoder that reads the frame in one pass."""
CHANNEL_AT = slice(19, 23)
RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_DETAIL = msgspec.json.Decoder(LiquidationDetail, strict=False)
_DETAIL_LIST = msgspec.json.Decoder(list[LiquidationDetail], strict=False)


def details_of(row: LiquidationRow, bad: Callable[[DecodeError], object]) -> list[LiquidationDetail]:
    """All details of one row; `bad` is told of each that cannot be read."""
    try:
        return _DETAIL_LIST.decode(row.details)
    except DECODING_ERRORS:
        details = []
        for raw in read(RAW_LIST, row.details):
            try:
                details.append(read(_DETAIL, raw))
            except DecodeError as error:
                bad(error)
        return details


def funding(instrument: Instrument, row: FundingRow, recv_ns: int) -> list[MarketEvent]:
    """The forecast of a perpetual's present period; its length is that of the next one where that is told."""
    rate = gauge(row.fundingRate)
    if rate is None or instrument.kind != "perp":
        return []
    next_ns = ms_ns(row.fundingTime) if row.fundingTime else 0
    after_ns = ms_ns(row.nextFundingTime) if row.nextFundingTime else 0
    step_h = (after_ns - next_ns) / NS_PER_HOUR if next_ns and after_ns else 0.0
    hours = step_h if 0 < step_h <= LONGEST_INTERVAL_H else instrument.funding_interval_h or 8.0
    return [Funding(instrument, rate, hours, ms_ns(row.ts) if row.ts else recv_ns, recv_ns, next_ns)]


def open_interest(instrument: Instrument, row: InterestRow, recv_ns: int) -> list[MarketEvent]:
    """USD as the venue says it; an inverse contract's follows from its contracts where it does not."""
    usd = gauge(row.oiUsd)
    if usd is None and instrument.form == "inverse" and (contracts := gauge(row.oi)) is not None:
        usd = contracts * float(instrument.contract_value)
    if usd is None:
        return []
    if not 0 <= usd < 1e15:
        raise DecodeError("out_of_range", f"open interest {usd!r} USD")
    return [OpenInterest(instrument, usd, row.ts * NS_PER_MS, recv_ns)]
