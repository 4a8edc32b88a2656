"""Decode speed beside cryptofeed's parser on the same trades, in one run and one process.

    pip install cryptofeed && python benchmarks/decode_peer.py [--seconds 0.5]

Each line is one trade frame of a venue's golden session. Ours gives an event with instrument, taker's side and exact US
dollars; cryptofeed's handler gives its own trade with a callback that does nothing. Its handler is a coroutine that never
waits here, so it is driven by hand: no event loop is in its time. Binance's frame is wrapped as its combined streams are,
which is the only form that cryptofeed reads. Medians over 21 turns in which the two alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.decode import side_by_side, typical
from monitor.errors import DecodeError
from tests.feeds.support import NOW_NS
from tests.feeds.test_golden_frames import CASES, session

PEERS = {
    "binance_usdm": ("binance_futures", "BinanceFutures", "BTC-USDT-PERP", "BTCUSDT"),
    "bybit": ("bybit", "Bybit", "BTC-USDT-PERP", "BTCUSDT"),
    "okx": ("okx", "OKX", "BTC-USD-PERP", "BTC-USD-SWAP"),
}
SOCKETS = SimpleNamespace(address="wss://local/v5/public/linear", uuid="local")


def peer_handler(venue: str) -> Callable[[str], Any]:
    """A handler of the peer with one symbol and a callback that does nothing; no request is sent."""
    module, name, standard, symbol = PEERS[venue]
    exchange = getattr(importlib.import_module(f"cryptofeed.exchanges.{module}"), name)
    symbols = importlib.import_module("cryptofeed.symbols").Symbols
    trades = importlib.import_module("cryptofeed.defines").TRADES
    symbols.set(exchange.id, {standard: symbol}, {"instrument_type": {standard: "perpetual"}, "is_quanto": {}})
    seen: list[object] = []

    async def note(trade: object, receipt: float) -> None:  # noqa: ARG001  # the peer's signature
        seen[:] = [trade]

    feed = exchange(symbols=[standard], channels=[trades], callbacks={trades: note})

    def handle(frame: str) -> None:
        with contextlib.suppress(StopIteration):
            feed.message_handler(frame, SOCKETS, 0.0).send(None)

    handle.seen = seen  # type: ignore[attr-defined]
    return handle


def measure(path: Path, frame: bytes, seconds: float) -> str:
    """One line of the table."""
    venue = path.parent.name
    opened = session(path)
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(DecodeError):
            opened.session.on_frame(line, NOW_NS)
    decode = opened.session.on_frame
    text = frame.decode()
    theirs = '{"stream":"btcusdt@aggTrade","data":' + text + "}" if venue == "binance_usdm" else text
    handle = peer_handler(venue)
    handle(theirs)
    if not handle.seen or not decode(frame, NOW_NS):  # type: ignore[attr-defined]
        raise SystemExit(f"{venue}: the two do not both read this frame: {text[:200]}")
    ours, peer, ratio = side_by_side(lambda: decode(frame, NOW_NS), lambda: handle(theirs), seconds)
    return f"{venue:14} {len(frame):5}  {ours / 1e6:12.2f}  {peer / 1e6:11.2f}  {ratio:5.1f}"


def main() -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="per line (default: %(default)s)")
    options = parser.parse_args()
    try:
        version = importlib.import_module("importlib.metadata").version("cryptofeed")
    except ImportError:
        raise SystemExit("cryptofeed is not installed: pip install cryptofeed") from None
    print(f"Python {platform.python_version()}, cryptofeed {version}, one core; million frames/s")
    print("venue          bytes  this program   cryptofeed  ratio")
    for path in CASES:
        if (
            path.parent.name in PEERS
            and "Trade" in (frames := typical(path))
            and path.stem in ("live", "on-linear", "on-market")
        ):
            print(measure(path, frames["Trade"], options.seconds), flush=True)


if __name__ == "__main__":
    main()
