"""Kill the alert path at random moments, start it again, and compare what a receiver got with an undisturbed run.

    python scripts/alert_path_kill_loop.py --rounds 200 --seed 1

A child process plays a seeded tape of evaluations (synthetic) through life cycle, routing, store and delivery to a local
webhook receiver that fails at times. The parent kills it with SIGKILL after a random time and starts it again, until the
given number of kills has happened and the tape has ended. Then, for the receiver's log without repeats of a key:

- no notification of the undisturbed run is missing, and none is there that it does not have;
- for every alert the order is the same, and so are the times of fire and resolve, which are part of what is compared.

The tape's position is committed in the same transaction as the changes it caused, so a restart goes on where the last
commit was. Exit code 0 when all holds, 1 when not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from aiohttp import web

from monitor.alert import MemoryRow
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.alerts.plans import Planned, SinkPolicy
from monitor.alerts.routing import Router
from monitor.clock import SystemClock
from monitor.expression import Number
from monitor.reading import Evaluation
from monitor.rule import Level, Rule
from monitor.runtime.alerting.change import Change, Outgoing
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.worker import DeliverySettings
from monitor.sinks import build_sink

NS = 1_000_000_000
START_NS = 1_763_683_200 * NS
KEYS = 12
ONE = Number(value=1.0)
RULES = (
    Rule("Plain", "kill", ONE, "synthetic", labels={"severity": "warning"}),
    Rule("Patient", "kill", ONE, "synthetic", for_ns=4 * NS, keep_firing_for_ns=3 * NS),
    Rule("Latched", "kill", ONE, "synthetic", clear=ONE),
    Rule("Ladder", "kill", ONE, "synthetic", levels=(Level("warning", ONE), Level("critical", ONE))),
)
LABELS = [(("base", f"SYN{number}"),) for number in range(KEYS)]
SETTINGS = LifecycleSettings(flap_fires=0)  # the count of firings of an alert that is over is not kept over a restart


def tape(seed: int, steps: int) -> Iterator[tuple[int, list[Evaluation]]]:
    """Readings that wander about their threshold, with gaps in coverage; the same for the same seed."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.0, 1.0, (len(RULES), KEYS))
    for step in range(steps):
        values = 0.8 * values + rng.normal(0.0, 0.8, values.shape)
        coverage = np.where(rng.random(values.shape) < 0.05, 0.3, 1.0)
        at_ns = START_NS + step * NS
        yield step, [_evaluation(rule, at_ns, values[n], coverage[n]) for n, rule in enumerate(RULES)]


def _evaluation(rule: Rule, at_ns: int, values: Any, coverage: Any) -> Evaluation:
    truth = (values > 1.0).astype(np.int8)
    level = np.where(values > 1.6, 1, np.where(values > 1.0, 0, -1)).astype(np.int8)
    return Evaluation(
        rule=rule.id,
        at_ns=at_ns,
        labels=LABELS,
        truth=truth,
        value=values.copy(),
        threshold=np.ones(KEYS),
        coverage=coverage,
        lower_bound=np.zeros(KEYS, np.bool_),
        clear=(values < 0.2).astype(np.int8) if rule.clear else None,
        level=level if rule.levels else None,
    )


def fact(planned: Planned) -> tuple[str, str, tuple[Any, ...]]:
    """What is compared of a notification: key, alert, and status with both times."""
    note = planned.notification
    assert note is not None
    alert = note.alerts[0]
    over = alert.state == "resolved"
    return note.key, alert.fingerprint, ("resolved" if over else "firing", alert.starts_at_ns, alert.ends_at_ns)


def undisturbed(seed: int, steps: int) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """The notifications of a run that nobody kills, by key, in order."""
    lifecycle, router = Lifecycle(RULES, SETTINGS), Router(None, [SinkPolicy("hook")])
    facts = {}
    for step, evaluations in tape(seed, steps):
        now_ns = START_NS + step * NS
        for planned in router.route(lifecycle.step(evaluations, now_ns), now_ns):
            if planned.notification is not None:
                key, fingerprint, what = fact(planned)
                facts[key] = (fingerprint, what)
    return facts


# -- the child ---------------------------------------------------------------------------------------------------------


async def child(url: str, folder: Path, seed: int, steps: int) -> None:
    """Restore, play on, deliver; ends when the tape has been played and everything delivered."""
    store = await Store.open(folder / "kill.db")
    sink = build_sink("webhook", {"url": url, "deadline_s": 1})
    settings = DeliverySettings(retry_first_s=0.002, retry_max_s=0.02)
    delivery = Delivery({"hook": sink}, store, SystemClock(), structlog.get_logger(), settings=settings)
    lifecycle, router = Lifecycle(RULES, SETTINGS), Router(None, [SinkPolicy("hook")])
    rows = await store.memory("tape")
    position = int(rows[0].payload) if rows else -1
    now_ns = START_NS + position * NS
    lifecycle.load(await store.alerts(), seen_ns=now_ns if rows else 0)
    saved = [row.view for row in lifecycle.dump()]
    router.load(await store.memory("told"), saved, now_ns)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(delivery.run())
        for step, evaluations in tape(seed, steps):
            if step > position:
                delivery.submit(_change(lifecycle, router, step, evaluations))
                await asyncio.sleep(0.003)
        while not await delivery.drain(5):
            pass
        running.cancel()
    await delivery.close()
    await store.close()


def _change(lifecycle: Lifecycle, router: Router, step: int, evaluations: list[Evaluation]) -> Change:
    now_ns = START_NS + step * NS
    transitions = lifecycle.step(evaluations, now_ns)
    planned = router.route(transitions, now_ns)
    saved, gone = lifecycle.changes()
    memory, forgotten = router.changes()
    return Change(
        transitions=transitions,
        saved=saved,
        gone=gone,
        outgoing=[Outgoing(p.sink, p.notification) for p in planned if p.notification is not None],
        memory=[*memory, MemoryRow("tape", "position", str(step).encode())],
        forgotten=forgotten,
    )


# -- the parent --------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Takes webhooks, remembers them in order of arrival, and fails at times."""

    rng: random.Random
    seen: list[tuple[str, str, tuple[Any, ...]]] = field(default_factory=list)
    failed: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Accept nine of ten; of the others, half have been taken in although the answer says no."""
        body = msgspec.json.decode(await request.read())
        lot = self.rng.random()
        if lot < 0.95:
            alert = body["alerts"][0]
            what = (alert["status"], alert["startsAt"], alert["endsAt"])
            self.seen.append((request.headers["Idempotency-Key"], alert["fingerprint"], what))
        if lot > 0.9:
            self.failed += 1
            return web.Response(status=503)
        return web.Response()


def problems(expected: dict[str, tuple[str, tuple[Any, ...]]], receiver: Receiver) -> list[str]:
    """Every difference between the undisturbed run and the receiver's log."""
    from monitor.sinks.payload import ZERO_TIME, rfc3339

    wanted = {
        key: (fingerprint, (status, rfc3339(starts), rfc3339(ends) if status == "resolved" else ZERO_TIME))
        for key, (fingerprint, (status, starts, ends)) in expected.items()
    }
    got: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for key, fingerprint, what in receiver.seen:
        got.setdefault(key, (fingerprint, what))
    found = [f"missing: {wanted[key]}" for key in wanted.keys() - got.keys()]
    found += [f"not in the undisturbed run: {got[key]}" for key in got.keys() - wanted.keys()]
    found += [f"differs: {got[key]} for {wanted[key]}" for key in wanted.keys() & got.keys() if wanted[key] != got[key]]
    order = {key: number for number, key in enumerate(wanted)}
    last: dict[str, int] = {}
    for key, (fingerprint, _) in got.items():
        if order.get(key, 0) < last.get(fingerprint, -1):
            found.append(f"out of order: {got[key]}")
        last[fingerprint] = order.get(key, 0)
    return found


async def parent(rounds: int, seed: int, steps: int) -> int:
    """Run the loop and report."""
    rng = random.Random(seed)
    receiver = Receiver(random.Random(seed + 1))
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    expected, begin, kills = undisturbed(seed, steps), time.monotonic(), 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--child",
                url,
                "--dir",
                folder,
                "--seed",
                str(seed),
                "--steps",
                str(steps),
            ]
            while True:
                process = await asyncio.create_subprocess_exec(*command)
                limit_s = rng.uniform(0.4, 1.2) if kills < rounds else 300
                code = await _wait_or_kill(process, limit_s)
                kills += code == -signal.SIGKILL
                if code == 0:
                    break
                if code != -signal.SIGKILL:
                    print(f"the child ended by itself with code {code}")
                    return 1
    finally:
        await runner.cleanup()
    return _report(expected, receiver, kills, rounds, time.monotonic() - begin)


async def _wait_or_kill(process: asyncio.subprocess.Process, limit_s: float) -> int:
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    except TimeoutError:
        os.kill(process.pid, signal.SIGKILL)
        return await process.wait()


def _report(
    expected: dict[str, tuple[str, tuple[Any, ...]]], receiver: Receiver, kills: int, rounds: int, seconds: float
) -> int:
    found = problems(expected, receiver)
    repeats = sum(count - 1 for count in Counter(key for key, _, _ in receiver.seen).values())
    print(
        f"kills {kills}, notifications {len(expected)}, received {len(receiver.seen)}, repeats by key {repeats}, "
        f"answers refused {receiver.failed}, differences {len(found)}, {seconds:.0f} s"
    )
    for line in found[:20]:
        print(" ", line)
    if kills < rounds:
        print(f"the tape ended after {kills} of {rounds} kills: give it more --steps")
    return 1 if found or kills < rounds else 0


def main() -> int:
    """Read the arguments; run parent or child."""
    parser = argparse.ArgumentParser(description="Kill the alert path at random and compare with an undisturbed run.")
    parser.add_argument("--rounds", type=int, default=200, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="length of the tape; by default enough for the rounds")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--dir", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    steps = arguments.steps or 150 * arguments.rounds
    if arguments.child:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        asyncio.run(child(arguments.child, arguments.dir, arguments.seed, steps))
        return 0
    return asyncio.run(parent(arguments.rounds, arguments.seed, steps))


if __name__ == "__main__":
    sys.exit(main())
