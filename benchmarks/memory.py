"""Memory of the engine minute by minute, in event time as fast as it goes: does it stand still once the windows are full?

    .venv/bin/python benchmarks/memory.py [--rate 5000] [--minutes 12] [--rules benchmarks/rules/soak.yaml] [--quick]

Synthetic prices of the demo's Bybit instruments in flushes of 10 ms. Windows of a minute are full after three minutes:
rows are kept two minutes longer, for what comes late. Exit code 1 when memory grew in the second half.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from monitor.engine import Engine
from monitor.events import Channel, FeedState, Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.testing.scenario.listings import instruments_of

S = 1_000_000_000
T0 = 1_763_000_000 * S
STEP_NS = S // 100
ALLOWED_MIB = 1.0


def resident_mib() -> float:
    """Resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def minute(engine: Engine, instruments: list[Instrument], start_ns: int, rate: int) -> None:
    """One minute of prices."""
    each = rate * STEP_NS // S
    for step in range(60 * S // STEP_NS):
        now_ns = start_ns + (step + 1) * STEP_NS
        batch = []
        for n in range(each):
            number = step * each + n
            ts_ns = now_ns - STEP_NS + (n + 1) * STEP_NS // each
            batch.append(Price(instruments[number % len(instruments)], "mark", 100 + number % 997 / 100, ts_ns, ts_ns))
        engine.ingest(batch)
        engine.evaluate(now_ns, changed_only=True)


def main() -> int:
    """Print a line per minute of event time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5000, help="events per second of event time")
    parser.add_argument("--minutes", type=int, default=12)
    parser.add_argument("--rules", type=Path, default=Path(__file__).parent / "rules" / "soak.yaml")
    parser.add_argument("--quick", action="store_true", help="a fifth of the rate")
    options = parser.parse_args()
    rate = options.rate // 5 if options.quick else options.rate
    rules = load_rules([(str(options.rules), options.rules.read_text(encoding="utf-8"))])
    engine = Engine(rules, expected={Channel.PRICE: ["bybit"]})
    engine.ingest([FeedState("bybit", Channel.PRICE, up=True, ts_ns=T0)])
    instruments = instruments_of("bybit")
    seen = []
    for number in range(options.minutes):
        minute(engine, instruments, T0 + number * 60 * S, rate)
        seen.append(resident_mib())
        state = engine.state_size()["total"] / 2**20
        print(f"minute {number + 1:3}: {seen[-1]:7.1f} MiB resident, {state:6.1f} MiB of it windows", flush=True)
    grown = seen[-1] - seen[len(seen) // 2]
    print(f"second half: {grown:+.1f} MiB")
    return 1 if grown > ALLOWED_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
