"""Kill the running program at random moments, start it again, and compare what it told with an undisturbed monitor.

    python scripts/kill_loop.py --rounds 200 --seed 1
    python scripts/kill_loop.py --rounds 60 --stalls       # besides, neither process gets to run for up to 0.7 s, now and then

Two processes ``python -m monitor`` watch the same synthetic market over real sockets: two local Bybit servers that send the
same frames. One is left alone. The other is killed with SIGKILL again and again: at any moment of its start, at a random
moment of its work, or while a webhook waits for its answer. Both tell a webhook receiver that refuses one request in ten,
half of those after taking it in. Then, for the receiver's logs without repeats of a key:

- every alert of the undisturbed monitor that began, or ended, while the other one saw the market (and had seen it for as
  long as the rule looks back) was told by the other one too, with the same start and the same end;
- what began or ended in a gap is told with a time inside of the gap, or of the rule's memory after it;
- nothing is told twice under two keys, nothing ends that did not begin, and when the market is calm nothing still fires;
- both state files are sound, and no notification waits or was given up.

A gap reaches from half a second before a kill to half a second after the first whole beat of the market that the new
process was sent. Times are equal to the nanosecond when both processes read the same beat alone, which is counted. Where
one of them was late and read two beats at once, or where a timer and not an event ends an alert, they may differ by one
step of the evaluation grid; so may an alert shorter than that be seen by one of them only. That is counted too. Exit code
0 when all holds, 1 when not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from monitor.clock import SystemClock
from monitor.events import Liquidation, MarketEvent, Price
from monitor.testing.ports import free_port
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

S = 1_000_000_000
STEP_NS = S // 4
UNSURE_NS = S // 2
"""Before a kill: what was read in this time may not have been committed. After a restart: what was sent may not be read."""
INSTRUMENTS = [item for item in instruments_of("bybit") if item.category == "linear"][:12]
RULES = """
groups:
  - name: kill
    rules:
      - {alert: Plain, expr: price by (base) > 101, labels: {severity: warning}}
      - {alert: Latched, expr: price by (base) > 101.5, clear: price by (base) < 99.5}
      - {alert: Patient, expr: price by (base) > 100.5, for: 400ms, keep_firing_for: 300ms, min_coverage: 50%}
      - alert: Ladder
        ladder:
          - {severity: warning, expr: price by (base) > 101}
          - {severity: critical, expr: price by (base) > 102}
      - {alert: Window, expr: 'sum(liquidations[2s]) by (base) > 1M'}
"""
MEMORY_NS = {"Plain": 0, "Latched": 0, "Patient": 2 * S, "Ladder": 0, "Window": 3 * S}
"""How long after a gap a rule may still differ: its window or timers, and the share of them that must have been seen."""
LATCHED = "Latched"
"""Who did not see this rule fire cannot know that it does: between its thresholds the market does not say."""
BRIDGED = "Patient"
"""Who did not see this rule fire may see nothing but spells shorter than its ``for``, which ``keep_firing_for`` bridges."""
CONFIG = """
listen: 127.0.0.1:{port}
data_dir: state
rules: [rules.yaml]
feeds:
  - {{venue: bybit, channels: [price, liquidations], symbols: {symbols}, ws_url: '{ws}', rest_url: '{rest}'}}
sinks: [{{type: webhook, url: '{hook}', deadline_s: 1}}]
alerts: {{flap_fires: 0}}
engine: {{snapshot_interval: 500ms}}
log: {{format: json, level: warning}}
"""


# -- what was told -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One alert of one webhook."""

    key: str
    fingerprint: str
    name: str
    over: bool
    severity: str
    start_ns: int
    end_ns: int


@dataclass
class Receiver:
    """Takes the webhooks of one monitor, remembers them in order of arrival, and fails at times."""

    rng: random.Random
    log: list[Told] = field(default_factory=list)
    requests: int = 0
    refused: int = 0
    on_request: asyncio.Event = field(default_factory=asyncio.Event)
    stuck: bool = False

    async def handle(self, request: web.Request) -> web.Response:
        """Accept nine of ten; of the others, half have been taken in although the answer says no."""
        body = msgspec.json.decode(await request.read())
        self.requests += 1
        lot = self.rng.random()
        if lot < 0.95:
            self.log += [_told(request.headers["Idempotency-Key"], alert) for alert in body["alerts"]]
        self.on_request.set()
        if self.stuck:
            await asyncio.sleep(5)
        if lot > 0.9:
            self.refused += 1
            return web.Response(status=503)
        return web.Response()

    def once(self) -> list[Told]:
        """The log without repeats of a key."""
        return list({(told.key, told.fingerprint): told for told in reversed(self.log)}.values())[::-1]


def _told(key: str, alert: dict[str, Any]) -> Told:
    labels, over = alert["labels"], alert["status"] == "resolved"
    end_ns = _ns(alert["endsAt"]) if over else 0
    return Told(
        key,
        alert["fingerprint"],
        labels["alertname"],
        over,
        labels.get("severity", ""),
        _ns(alert["startsAt"]),
        end_ns,
    )


def _ns(text: str) -> int:
    """RFC 3339 with microseconds as unix nanoseconds, without a detour over floats."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * S + moment.microsecond * 1000


@dataclass
class Life:
    """One life of one alert: when it fired and when it was over."""

    name: str
    fingerprint: str
    start_ns: int
    end_ns: int = 0
    severity: str = ""


def lives(log: Sequence[Told]) -> tuple[list[Life], list[str]]:
    """The lives that a log tells of, and what is wrong with its order."""
    done: list[Life] = []
    open_: dict[str, Life] = {}
    wrong = []
    for told in log:
        life = open_.get(told.fingerprint)
        if told.over:
            if life is None or life.start_ns != told.start_ns:
                wrong.append(f"an end without its beginning: {told}")
                continue
            life.end_ns = told.end_ns
            del open_[told.fingerprint]
        elif life is None:
            open_[told.fingerprint] = life = Life(told.name, told.fingerprint, told.start_ns, severity=told.severity)
            done.append(life)
        elif life.start_ns != told.start_ns or life.severity == told.severity:
            wrong.append(f"told twice: {told} after {life}")
        else:
            life.severity = told.severity
    return done, wrong + [f"still fires at the end: {life}" for life in open_.values()]


# -- comparing ---------------------------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """Two lists of lives, and the gaps of the second."""

    wanted: list[Life]
    got: list[Life]
    gaps: list[tuple[int, int]]
    found: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Fill ``found`` with every difference that no gap excuses."""
        for fingerprint in sorted({life.fingerprint for life in (*self.wanted, *self.got)}):
            wanted = [life for life in self.wanted if life.fingerprint == fingerprint]
            got = [life for life in self.got if life.fingerprint == fingerprint]
            for which in ("start", "end"):
                self._times(wanted, got, which)
            self._overlaps(wanted, got)

    def in_gap(self, name: str, at_ns: int) -> bool:
        """Whether a gap, or the rule's memory after it, holds this instant."""
        return any(begin <= at_ns <= end + MEMORY_NS[name] for begin, end in self.gaps)

    def _unknowable(self, life: Life) -> bool:
        if life.name == BRIDGED:
            return self.in_gap(life.name, life.start_ns)
        return life.name == LATCHED and any(begin <= life.end_ns and life.start_ns <= end for begin, end in self.gaps)

    def _times(self, wanted: list[Life], got: list[Life], which: str) -> None:
        """Whatever one side says of an instant at which both could see, the other must say too."""
        for mine, theirs, side in ((wanted, got, "missing"), (got, wanted, "not in the undisturbed run")):
            times = [_time(life, which) for life in theirs]
            for life in mine:
                verdict = self._verdict(life, _time(life, which), times, theirs)
                self.counts[verdict] += mine is wanted
                if verdict == "difference":
                    self.found.append(f"{which} {side}: {life}")

    def _verdict(self, life: Life, at_ns: int, times: list[int], theirs: list[Life]) -> str:
        """How well the other side agrees with one instant of a life."""
        if self.in_gap(life.name, at_ns) or self._unknowable(life):
            return "in a gap"
        off_ns = min((abs(at_ns - other) for other in times), default=1 << 62)
        if off_ns == 0:
            return "equal"
        if off_ns <= STEP_NS or life.end_ns - life.start_ns <= STEP_NS:
            return "within a step"
        return "in a gap" if self._spanned(life, theirs, at_ns) else "difference"

    def _spanned(self, life: Life, theirs: list[Life], at_ns: int) -> bool:
        """A life that goes on over a gap in which the other side saw an end and a new beginning, or the reverse."""
        over = [other for other in theirs if other.start_ns < at_ns < other.end_ns]
        return any(self._differs_by_gap(life, other) for other in over)

    def _differs_by_gap(self, one: Life, other: Life) -> bool:
        low, high = min(one.start_ns, other.start_ns), max(one.end_ns, other.end_ns)
        return any(low <= end and begin <= high for begin, end in self.gaps)

    def _overlaps(self, wanted: list[Life], got: list[Life]) -> None:
        """No alert is missing as a whole that the killed monitor could see for long enough."""
        for life in wanted:
            seen = any(other.start_ns <= life.end_ns and life.start_ns <= other.end_ns for other in got)
            if not seen and not self._unknowable(life) and self._visible_ns(life) > MEMORY_NS[life.name] + STEP_NS:
                self.found.append(f"missing as a whole: {life}")

    def _visible_ns(self, life: Life) -> int:
        """The longest stretch of a life outside of every gap."""
        best, at_ns = 0, life.start_ns
        for begin, end in sorted(self.gaps):
            if end < life.start_ns or begin > life.end_ns:
                continue
            best, at_ns = max(best, begin - at_ns), max(at_ns, end)
        return max(best, life.end_ns - at_ns)


def _time(life: Life, which: str) -> int:
    return life.start_ns if which == "start" else life.end_ns


# -- the market --------------------------------------------------------------------------------------------------------


class Market:
    """Prices that wander about the thresholds, and liquidations; the same frames for both servers."""

    def __init__(self, rng: random.Random, servers: Sequence[VenueServer]) -> None:
        self.servers = servers
        self.calm = False
        self.beats: list[tuple[int, bool]] = []
        self._rng = rng
        self._prices = [100.0] * len(INSTRUMENTS)
        self._clock = SystemClock()

    async def run(self) -> None:
        """Beat for ever, now slowly, now in a burst."""
        while True:
            await self.beat()
            await asyncio.sleep(self._rng.choice((0.02, 0.05, 0.1, 0.2)))

    async def beat(self) -> None:
        """One change of every price, at one instant of market time."""
        now_ns = self._clock.wall_ns() // 1_000_000 * 1_000_000
        events = list(self._events(now_ns))
        sent = [await server.publish(*events) for server in self.servers]
        self.beats.append((now_ns, sent[1] >= len(INSTRUMENTS)))

    def _events(self, now_ns: int) -> Iterator[MarketEvent]:
        for number, instrument in enumerate(INSTRUMENTS):
            noise = self._rng.gauss(0.0, 0.3)
            calm = 98.0 + noise / 100
            self._prices[number] = calm if self.calm else 100 + 0.96 * (self._prices[number] - 100) + noise
            yield Price(instrument, "mark", round(self._prices[number], 5), now_ns, now_ns)
            if not self.calm and self._rng.random() < 0.02:
                usd_micros = self._rng.randrange(300_000, 900_000) * 1_000_000
                yield Liquidation(instrument, "long", usd_micros, 1.0, now_ns, now_ns)

    async def seen_since(self, beat: int, within_s: float) -> bool:
        """Wait until the second server has handed over a whole beat."""
        deadline_s = time.monotonic() + within_s
        while not any(whole for _, whole in self.beats[beat:]) and time.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return time.monotonic() < deadline_s

    def seen_until(self, stopped_ns: int) -> int:
        """How many beats there were when a process was last let run."""
        return sum(not stopped_ns or at_ns < stopped_ns for at_ns, _ in self.beats)

    def gap(self, killed_at: int, restarted_at: int) -> tuple[int, int]:
        """From before the last beats that the dead process may have read to the first whole one of the new process."""
        begin = self.beats[max(0, killed_at - 1)][0] - UNSURE_NS
        end = next((at + UNSURE_NS for at, whole in self.beats[restarted_at:] if whole), 1 << 62)
        return begin, end


# -- the processes -----------------------------------------------------------------------------------------------------


class Monitor:
    """A folder with a configuration, and the process that runs in it."""

    def __init__(self, folder: Path, server: VenueServer, hook: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.process: asyncio.subprocess.Process | None = None
        self.stopped_ns = 0
        """Since when it is not let run; 0: it runs."""
        symbols = f"[{', '.join(item.symbol for item in INSTRUMENTS)}]"
        text = CONFIG.format(port=free_port(), symbols=symbols, ws=server.ws_url, rest=server.rest_url, hook=hook)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        (folder / "rules.yaml").write_text(RULES, encoding="utf-8")

    async def start(self) -> None:
        """Start ``python -m monitor``; its output is appended to a file."""
        with (self.folder / "output").open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "monitor", "--config", "config.yaml", cwd=self.folder, stdout=out, stderr=out
            )

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            os.kill(self.process.pid, number)
        return await self.process.wait()

    @property
    def output(self) -> str:
        """The end of what it printed."""
        return (self.folder / "output").read_text(encoding="utf-8")[-3000:]

    def trouble(self) -> list[str]:
        """What is wrong with the state that it left."""
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "monitor.db")) as db:
            (sound,) = db.execute("PRAGMA integrity_check").fetchone()
            rows = db.execute("SELECT state, count(*) FROM outbox WHERE state != 'done' GROUP BY state").fetchall()
        found = [] if sound == "ok" else [f"the state file is damaged: {sound}"]
        found += [f"{count} notifications are {state}" for state, count in rows]
        aside = [path.name for path in (self.folder / "state").iterdir() if "corrupt" in path.name]
        return found + [f"{self.folder.name}: a file was set aside: {name}" for name in aside]


@dataclass
class Loop:
    """The killing."""

    rng: random.Random
    market: Market
    victim: Monitor
    receiver: Receiver
    gaps: list[tuple[int, int]] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    _pending: tuple[int, int] | None = None

    async def round(self) -> None:
        """Let it work for a moment, kill it, start it again."""
        moment = self.rng.choices(("starting", "working", "telling"), (2, 5, 3))[0]
        await {"starting": self._starting, "working": self._working, "telling": self._telling}[moment]()
        killed_at = self.market.seen_until(self.victim.stopped_ns)
        code = await self.victim.end(signal.SIGKILL)
        if code != -signal.SIGKILL:
            raise SystemExit(f"the monitor ended by itself with code {code}: {self.victim.output}")
        self.moments[moment] += 1
        self.receiver.stuck = False
        self._close_gap()
        if self._pending is None:
            self._pending = killed_at, len(self.market.beats)
        await self.victim.start()

    async def _starting(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.05, 1.5))

    async def _working(self) -> None:
        await self.until_seen()
        await asyncio.sleep(self.rng.uniform(0.0, 4.0))

    async def _telling(self) -> None:
        await self.until_seen()
        await asyncio.sleep(self.rng.uniform(0.0, 3.0))
        self.receiver.on_request.clear()
        self.receiver.stuck = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self.receiver.on_request.wait()

    async def until_seen(self) -> None:
        """Wait until the victim gets whole beats again."""
        beat = self._pending[1] if self._pending is not None else 0
        if not await self.market.seen_since(beat, 30):
            raise SystemExit(f"it did not come back within 30 s: {self.victim.output}")
        self._close_gap()

    def _close_gap(self) -> None:
        """A gap over several kills stays one gap until a whole beat was seen."""
        if self._pending is not None:
            gap = self.market.gap(*self._pending)
            if gap[1] < 1 << 62:
                self.gaps.append(gap)
                self._pending = None


async def stalling(monitors: Sequence[Monitor], rng: random.Random, counts: Counter[str]) -> None:
    """Stop one of the processes for a moment, as a loaded machine does, for ever."""
    while True:
        await asyncio.sleep(rng.uniform(0.1, 0.8))
        monitor = rng.choice(monitors)
        process = monitor.process
        if process is None or process.returncode is not None:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
            monitor.stopped_ns = SystemClock().wall_ns()
            counts["stalls"] += 1
            try:
                await asyncio.sleep(rng.uniform(0.05, 0.7))
            finally:
                monitor.stopped_ns = 0
                os.kill(process.pid, signal.SIGCONT)


# -- all together ------------------------------------------------------------------------------------------------------


async def run(rounds: int, seed: int, folder: Path, *, stalls: bool = False) -> int:
    """Run the loop and report."""
    began_s = time.monotonic()
    clock, rng = SystemClock(), random.Random(seed)
    receivers = [Receiver(random.Random(seed + 1)), Receiver(random.Random(seed + 2))]
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(VenueServer(make_protocol("bybit", INSTRUMENTS), clock)) for _ in range(2)
        ]
        url = await _serve(receivers, stack)
        steady, victim = (
            Monitor(folder / name, server, f"{url}/{number}")
            for number, (name, server) in enumerate(zip(("steady", "victim"), servers, strict=True))
        )
        market = Market(rng, servers)
        beating = asyncio.create_task(market.run())
        stack.push_async_callback(_cancelled, beating)
        for monitor in (steady, victim):
            await monitor.start()
            stack.push_async_callback(monitor.end, signal.SIGKILL)
        loop = Loop(rng, market, victim, receivers[1])
        await _both_see(market, servers, (steady, victim))
        first_ns = market.beats[-1][0] + S
        await asyncio.sleep(2)
        stops: Counter[str] = Counter()
        stopping = asyncio.create_task(
            stalling((steady, victim), random.Random(seed + 3), stops) if stalls else _nobody()
        )
        for _ in range(rounds):
            await loop.round()
        await loop.until_seen()
        await _cancelled(stopping)
        await asyncio.sleep(1)
        market.calm = True
        await _settled(receivers)
        codes = [await monitor.end(signal.SIGTERM) for monitor in (steady, victim)]
    comparison, found = _compare(receivers, loop.gaps, first_ns)
    found += [f"exit code {code} after SIGTERM" for code in codes if code]
    found += steady.trouble() + victim.trouble()
    _report(loop, receivers, comparison, time.monotonic() - began_s)
    if stalls:
        print(f"stalls {stops['stalls']}")
    print(f"differences {len(found)}", *found[:20], sep="\n  ")
    kills = sum(loop.moments.values())
    return 1 if found or kills < rounds or not comparison.counts["equal"] else 0


async def _serve(receivers: Sequence[Receiver], stack: contextlib.AsyncExitStack) -> str:
    app = web.Application()
    for number, receiver in enumerate(receivers):
        app.router.add_post(f"/{number}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _nobody() -> None:
    """Nobody is stopped."""


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _both_see(market: Market, servers: Sequence[VenueServer], monitors: Sequence[Monitor]) -> None:
    try:
        async with asyncio.timeout(60):
            for server in servers:
                await server.wait_for("subscribes", 2 * len(INSTRUMENTS), 60)
            await market.seen_since(len(market.beats), 30)
    except TimeoutError:
        raise SystemExit("\n".join(monitor.output for monitor in monitors)) from None


async def _settled(receivers: Sequence[Receiver]) -> None:
    """Wait until both logs say that everything is over, and nothing more comes; the comparison tells if it is not so."""
    quiet_since_s, seen = time.monotonic(), -1
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while time.monotonic() - quiet_since_s < 3:
                requests = sum(receiver.requests for receiver in receivers)
                open_ = [line for receiver in receivers for line in lives(receiver.once())[1] if "still" in line]
                if requests != seen or open_:
                    quiet_since_s, seen = time.monotonic(), requests
                await asyncio.sleep(0.1)


def _compare(receivers: Sequence[Receiver], gaps: list[tuple[int, int]], first_ns: int) -> tuple[Comparison, list[str]]:
    """Compare the lives that began after both monitors had seen the market for a while."""
    (wanted, wrong), (got, wrong_too) = (lives(receiver.once()) for receiver in receivers)
    before = (first_ns - 60 * S, first_ns)
    comparison = Comparison(wanted, got, [before, *gaps])
    comparison.run()
    found = [f"undisturbed: {line}" for line in wrong] + [f"killed: {line}" for line in wrong_too]
    return comparison, found + comparison.found


def _report(loop: Loop, receivers: Sequence[Receiver], comparison: Comparison, seconds: float) -> None:
    steady, victim = receivers
    repeats = len(victim.log) - len(victim.once())
    gap_s = [(end - begin - 2 * UNSURE_NS) / S for begin, end in loop.gaps]
    print(
        f"kills {sum(loop.moments.values())} "
        f"({', '.join(f'{count} {moment}' for moment, count in sorted(loop.moments.items()))}), "
        f"gaps {len(gap_s)} of {sum(gap_s) / max(1, len(gap_s)):.2f} s on average, {seconds:.0f} s\n"
        f"alerts told by the undisturbed monitor {len(comparison.wanted)}, by the killed one {len(comparison.got)}; "
        f"webhooks {steady.requests} and {victim.requests}, refused {steady.refused} and {victim.refused}, "
        f"repeats by key {repeats}\n"
        f"starts and ends equal {comparison.counts['equal']}, within a step {comparison.counts['within a step']}, "
        f"in a gap {comparison.counts['in a gap']}"
    )


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Kill the program at random and compare with an undisturbed one.")
    parser.add_argument("--rounds", type=int, default=200, help="how many kills; about 4 s each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--stalls", action="store_true", help="stop both processes for moments, as a loaded machine does"
    )
    parser.add_argument("--keep", type=Path, help="an empty folder for the state of both monitors, kept afterwards")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        return asyncio.run(run(arguments.rounds, arguments.seed, arguments.keep, stalls=arguments.stalls))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(arguments.rounds, arguments.seed, Path(folder), stalls=arguments.stalls))


if __name__ == "__main__":
    sys.exit(main())
