"""Decode recorded websocket sessions and print what came out: ``python scripts/decode_capture.py FILE.jsonl.gz ...``.

A file holds one JSON record a line: ``header`` (with the exchange), ``http`` (a REST reply: url, data), ``recv`` (a frame:
text in ``data`` or binary as base64 in ``b64``, with the receive time ``ts`` in seconds). This is the format of the sample
sessions of the cryptofeed project. The exit code is 1 when a frame of a protocol that this program speaks did not decode.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import BadRow, FeedOptions, Request, Session, Skipped
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Registry

VENUES: dict[str, tuple[str, dict[str, Any]]] = {
    "BINANCE_FUTURES": ("binance_usdm", {}),
    "BINANCE_DELIVERY": ("binance_coinm", {}),
    "BINANCE": ("binance_spot", {}),
    "OKX": ("okx", {}),
    "DERIBIT": ("deribit", {"options": True}),
    "KRAKEN_FUTURES": ("kraken_futures", {}),
    "KRAKEN": ("kraken", {}),
    "COINBASE": ("coinbase", {"api": "advanced"}),
}
SHOWN = 3
OLD_PROTOCOLS = {"KRAKEN": "version 1 of the socket, which frames data as arrays; this program speaks version 2"}


def records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class Replay:
    """One recorded session against one feed."""

    def __init__(self, exchange: str) -> None:
        venue, extra = VENUES[exchange]
        self.feed = make_feed(venue, FeedOptions(channels=frozenset(feed_class(venue).spec.laws), extra=extra))
        self.registry = Registry()
        self.session: Session | None = None
        self.counts: Counter[str] = Counter()
        self.usd_micros: Counter[tuple[str, str]] = Counter()
        self.interest: dict[str, float] = {}
        self.ranges: dict[str, tuple[float, float]] = {}

    def metadata(self, url: str, body: bytes) -> None:
        """Give the reply to the metadata request of the same path."""
        path = urlsplit(url).path
        for request in self._requests():
            if urlsplit(request.url).path == path:
                found, _ = self.feed.parse_metadata(request, body)
                self.registry.update(found)
                self.counts["instruments"] += len(found)
                return
        self.counts[f"reply not needed: {path}"] += 1

    def _requests(self) -> list[Request]:
        """All metadata requests; those that follow a reply are learnt from an empty one."""
        requests = self.feed.metadata()
        for request in list(requests):
            with contextlib.suppress(DecodeError):
                requests += self.feed.parse_metadata(request, b"[]")[1]
        return requests

    def frame(self, frame: str | bytes, recv_ns: int) -> None:
        """Decode one frame on the first connection that the feed would open."""
        if self.session is None:
            first = self.feed.connections(self.feed.wanted(self.registry))[0]
            self.session = self.feed.session(first, self.registry)
            self.session.on_open(recv_ns)
        self.counts["frames"] += 1
        try:
            events = self.session.on_frame(frame, recv_ns)
        except DecodeError as error:
            self.counts[f"error: {error.reason}"] += 1
            return
        self.counts.update(type(event).__name__ for event in events)
        self._add_up(events)
        for notice in self.session.notices:
            if isinstance(notice, Skipped):
                self.counts[f"skipped: {notice.reason}"] += notice.count
            else:
                reason = f": {notice.reason}" if isinstance(notice, BadRow) else ""
                self.counts[f"notice: {type(notice).__name__}{reason}"] += 1
        self.session.notices.clear()

    def _add_up(self, events: list[MarketEvent]) -> None:
        """What can be judged by eye: dollars of trades and liquidations, the last open interest, the range of each price."""
        for event in events:
            match event:
                case Trade() | Liquidation():
                    self.usd_micros[type(event).__name__, event.side] += event.usd_micros
                case OpenInterest():
                    self.interest[event.instrument.symbol] = event.usd
                case Price():
                    low, high = self.ranges.get(event.instrument.symbol, (event.value, event.value))
                    self.ranges[event.instrument.symbol] = min(low, event.value), max(high, event.value)
                case _:
                    pass

    def judged(self) -> Iterator[str]:
        """Lines of `_add_up`, the dearest instruments first."""
        for (kind, side), usd_micros in sorted(self.usd_micros.items()):
            yield f"  {f'{kind} {side}, USD':<40} {usd_micros / 1e6:>9,.2f}"
        if self.interest:
            yield f"  open interest of {len(self.interest)} instruments, USD  {sum(self.interest.values()):,.0f}"
        for symbol, (low, high) in sorted(self.ranges.items(), key=lambda item: -item[1][1])[:SHOWN]:
            yield f"  {symbol} between {low:,.6g} and {high:,.6g}"


def decode(path: Path) -> bool:
    """Print the totals of one file; whether they hold no unexplained error."""
    replay: Replay | None = None
    exchange = ""
    for record in records(path):
        if record["t"] == "header":
            exchange = record["exchange"]
            replay = Replay(exchange)
        elif replay is None:
            raise SystemExit(f"{path}: no header")
        elif record["t"] == "http":
            replay.metadata(record["url"], record["data"].encode())
        elif record["t"] == "recv":
            frame = record["data"] if "data" in record else base64.b64decode(record["b64"])
            replay.frame(frame, int(record["ts"] * NS_PER_S))
    if replay is None:
        raise SystemExit(f"{path}: empty")
    print(f"{path.name} as {replay.feed.spec.venue}")
    for name, count in sorted(replay.counts.items()):
        print(f"  {name:<40} {count:>9,}")
    print(*replay.judged(), sep="\n")
    bad = [name for name in replay.counts if name.startswith(("error", "notice: BadRow"))]
    if bad and exchange in OLD_PROTOCOLS:
        print(f"  explained: {OLD_PROTOCOLS[exchange]}")
    return not bad or exchange in OLD_PROTOCOLS


def main() -> None:
    """Decode the named files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl.gz")
    results = [decode(path) for path in parser.parse_args().files]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
