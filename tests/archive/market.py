"""Random events of every type, as they could arrive, for tests of the archive."""

from __future__ import annotations

import random
from decimal import Decimal

from monitor.clock import NS_PER_S
from monitor.events import (
    Channel,
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
from monitor.instruments import Instrument
from tests.engine.market import at, perp

Arrivals = list[tuple[int, list[Event]]]

INSTRUMENTS = [
    *(perp(venue, base) for venue in ("bybit", "okx", "gate") for base in ("BTC", "ETH")),
    Instrument(
        venue="deribit",
        symbol="BTC-28NOV25-100000-P",
        base="BTC",
        quote="USD",
        settle="BTC",
        kind="option",
        form="inverse",
        contract_value=Decimal("0.1"),
        expiry_ns=1_764_316_800 * NS_PER_S,
        strike=100_000.0,
        option_type="put",
    ),
    Instrument(
        venue="gate", symbol="1000PEPE_USDT", base="PEPE", quote="USDT", settle="USDT", kind="perp", base_units=1000
    ),
]


def amount(rng: random.Random) -> float:
    return rng.choice([100.0, rng.uniform(50, 200), rng.uniform(50, 200), float("inf")])


def event(rng: random.Random, recv_ns: int, *, backfill: float = 0.05) -> Event:  # noqa: PLR0911  # one per type
    item, old = rng.choice(INSTRUMENTS), rng.random() < backfill
    ts_ns = recv_ns - rng.choice([0, 10, 300, 2000, 100_000]) * 1_000_000
    channel = rng.choice(list(Channel))
    match rng.randrange(11):
        case 0 | 1:
            usd = rng.choice([0, 1, rng.randrange(1, 10**15)])
            return Liquidation(
                item, rng.choice(["long", "short"]), usd, 1.5, ts_ns, recv_ns, rng.choice(["", "k1"]), old
            )
        case 2 | 3:
            return Trade(item, rng.choice(["buy", "sell"]), rng.randrange(10**12), amount(rng), ts_ns, recv_ns, old)
        case 4:
            return Price(item, rng.choice(["mark", "last"]), amount(rng), ts_ns, recv_ns, old)
        case 5:
            return Funding(item, rng.uniform(-1e-3, 1e-3), 8.0, ts_ns, recv_ns, rng.choice([0, 5]), old)
        case 6:
            return OpenInterest(item, amount(rng), ts_ns, recv_ns, old)
        case 7:
            return Depth(item, amount(rng), amount(rng), 0.1, ts_ns, recv_ns)
        case 8:
            labels = rng.choice([(("name", 'é"x'), ("source", "desk")), (("base", "BTC"), ("venue", "okx"))])
            return Sample("external", labels, amount(rng), ts_ns, recv_ns, "desk", old)
        case 9:
            return FeedState(item.venue, channel, rng.random() < 0.5, ts_ns, rng.choice(["", "stalled"]))
        case _:
            return FeedGap(item.venue, channel, ts_ns, recv_ns, "lost", rng.choice([0, 7]), rng.random() < 0.3)


def arrivals(seed: int, size: int, *, days: float = 0.0, backfill: float = 0.05) -> Arrivals:
    """Records with their events; the clock is set back now and then."""
    rng = random.Random(seed)
    out: Arrivals = []
    now_ns = at(0)
    for _ in range(size):
        now_ns += rng.choice([0, 1, 100_000, 90_000_000, 700_000_000]) + int(rng.random() * days * 2e13)
        recv_ns = now_ns - rng.choice([0, 0, 0, 0, 0, 0, 0, 2_000_000_000])
        out.append((recv_ns, [event(rng, recv_ns, backfill=backfill) for _ in range(rng.choice([1, 1, 1, 3]))]))
    return out
