"""A monitor run again from its tape, under the tape's clock: the same engine, life cycle and routing, and nothing is sent.

The live program writes down every step of its engine (`monitor.runtime.steps.journal`); here the steps are taken again at the
same instants with the same events, so that the same tape and configuration give the same alerts, byte for byte, as
often as it is run, and the same as the program gave when it recorded::

    log = AlertLog()
    report = rerun(load(path, os.environ), read_blocks(some_files(folder)), log)
    log.write(Path("alerts.jsonl"), sink="file")

What is on the tape is not configuration, and is taken from it: the feeds' options, and with ``Rules.RECORDED`` rules
and routes too, with every reload at its place, and derived series as they were derived. The rest (the engine's limits, sinks and
their policies) is taken from the configuration given, and cannot change while a monitor runs.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from monitor.alert import MemoryRow, SavedAlert, Transition
from monitor.alerts.routes import RoutingConfig
from monitor.clock import StillClock
from monitor.engine import Engine, IngestReport
from monitor.errors import ConfigError, StateError, TapeError
from monitor.events import Event, Sample
from monitor.feed import Feed, Frame
from monitor.feeds import make_feed
from monitor.language import load_rules
from monitor.rule import RuleSet
from monitor.runtime.alerting.alert_desk import AlertDesk, Outbox
from monitor.runtime.alerting.change import Change, Outgoing
from monitor.runtime.app import engine_settings, pace_of
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.load import Loaded
from monitor.runtime.market import MarketBoard
from monitor.runtime.panels import panel_recordings
from monitor.runtime.steps.backlog import merged
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.journal import Journal
from monitor.runtime.steps.pump import newest_gauges
from monitor.runtime.steps.turns import Turns
from monitor.sinks import sink_options
from monitor.sinks.payload import notification_json
from monitor.tape import course
from monitor.tape.format import Row
from monitor.tape.reader import Loss
from monitor.tape.replay import Replay, ReplayReport
from monitor.telemetry.latency import LatencyHistogram


class Rules(enum.Enum):
    """Which rules and routes run: those of the recording, reloads included, or those given, all the way."""

    RECORDED = "recorded"
    GIVEN = "given"


class AlertLog:
    """An outbox that sends nothing: what changed, and what would have been sent where, in order."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.outgoing: list[Outgoing] = []

    def submit(self, change: Change) -> None:
        """Keep it."""
        self.transitions += change.transitions
        self.outgoing += change.outgoing

    def lines(self, sink: str) -> Iterator[bytes]:
        """The notifications of one sink, each as the line that the file sink writes."""
        for item in self.outgoing:
            if item.sink == sink:
                yield msgspec.json.encode(notification_json(item.notification)) + b"\n"

    def write(self, path: Path, sink: str) -> None:
        """Write `lines` to a file.

        Raises:
            OSError: It cannot be written.
        """
        with path.open("wb") as file:
            file.writelines(self.lines(sink))


@dataclass(slots=True)
class RerunReport:
    """What a rerun did, and what stands between it and the live run.

    Attributes:
        tape: What the tape did not give.
        starts: Times that the program was started on this tape; a piece cut out begins without one.
        steps: Evaluations.
        reloads: Reloads taken over; ``ignored`` with rules of one's own.
        short: Events that the live engine took and the tape does not give.
        events: Market events that the engine took in, derived series included; the same from a tape and from its archive.
        history: Of these, fetched from before: no step was made for them.
        too_late: Events that were too late for the engine; ``late``: that corrected its windows; ``invalid``: that were no
            finite numbers; ``clock_rejected``: taken in at the time of receipt, because the venue's was too far from it.
        engine_errors: Events of batches at which the engine failed, as it does live.
        odd: Records of the program's course that cannot be used, by kind.
        cold: Whether it began in the middle: windows were empty, although the live ones were not.
    """

    tape: ReplayReport
    starts: int = 0
    steps: int = 0
    reloads: Counter[str] = field(default_factory=Counter)
    short: int = 0
    events: int = 0
    history: int = 0
    late: int = 0
    too_late: int = 0
    invalid: int = 0
    clock_rejected: int = 0
    engine_errors: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    cold: bool = False

    @property
    def exact(self) -> bool:
        """Whether nothing is known that could make an alert differ from the live one."""
        missing = self.tape.lost_frames.total() + self.tape.skipped.total() + len(self.tape.losses)
        return not (missing or self.short or self.odd or self.cold or self.reloads["ignored"])


class Watcher(Protocol):
    """Looks on after every step."""

    def __call__(self, monitor: Rerunner, now_ns: int, /) -> None:
        """A step at `now_ns` is over."""
        ...


def rerun(
    loaded: Loaded,
    blocks: Iterable[list[Row] | Loss],
    outbox: Outbox,
    *,
    rules: Rules = Rules.RECORDED,
    watcher: Watcher | None = None,
) -> RerunReport:
    """Run a monitor again from a tape.

    Args:
        loaded: The configuration; see the module for what is taken from it.
        blocks: Of `monitor.tape.folder.read_blocks` or `monitor.tape.cut.window_blocks`.
        outbox: Gets what each step decided.
        rules: Whose rules run.
        watcher: Looks on.

    Raises:
        TapeError: The tape does not say when rules were evaluated (version 1, or nothing was running), or its rules do
            not load here.
    """
    monitor = Rerunner(loaded, outbox, rules=rules, watcher=watcher)
    for block in blocks:
        monitor.take(block)
    return monitor.finish()


class Rerunner:
    """The monitor that runs again; `rerun` drives it."""

    def __init__(
        self, loaded: Loaded, outbox: Outbox, *, rules: Rules = Rules.RECORDED, watcher: Watcher | None = None
    ) -> None:
        self.clock = StillClock()
        self._given = loaded
        self._rules = rules
        self._outbox = outbox
        self._watcher = watcher
        self._replay = Replay(_fresh(loaded.feeds), lambda: Repeats().is_new)
        self.report = RerunReport(self._replay.report)
        self._line: list[Event] = []
        self._notes: course.Notes = {}
        self._windows: list[bytes] = []
        self._begun = False
        self._hear: dict[str, tuple[Callable[[Frame], Any], Callable[[Any, Row], None]]] = {
            course.START: (course.read_setting, self._started),
            course.RELOAD: (course.read_setting, self._reloaded),
            course.WINDOWS: (_bytes, self._found_windows),
            course.ALERTS: (course.read_alerts, self._found_alerts),
            course.TOLD: (course.read_told, self._found_told),
            course.REMEMBERED: (course.read_events, self._remembered),
            course.DERIVED: (course.read_events, self._derived),
            course.TURN: (course.read_turn, self._turn),
            course.TICK: (course.read_turn, self._tick),
            course.RELIEVED: (course.read_turn, self._relieved),
            course.MERGED: (course.read_turn, self._merged),
            course.ACT: (course.read_act, self._acted),
        }
        self._begin(loaded)

    def take(self, block: list[Row] | Loss) -> None:
        """Take a block of records."""
        if isinstance(block, Loss):
            self._replay.lose(block)
            return
        place = 0
        while (place := self._replay.read(block, place, self._line)) < len(block):
            self.follow(block[place])
            place += 1

    def finish(self) -> RerunReport:
        """How it went.

        Raises:
            TapeError: No step was among what it took.
        """
        if not self.report.steps:
            raise TapeError("it does not say when rules were evaluated; only evaluations on a grid can be had from it")
        return self.report

    def hear(self, event: Event) -> None:
        """Put an event in line, where a source gives events and not frames."""
        self._line.append(event)

    def take_back(self, count: int) -> list[Event]:
        """The last events of the line, which leave it."""
        start = max(0, len(self._line) - count)
        found = self._line[start:]
        del self._line[start:]
        return found

    def remember(self, events: Sequence[Event], now_ns: int) -> None:
        """Take the past in, without an evaluation."""
        self._turns.remember(events, now_ns)

    def follow(self, row: Row) -> None:
        """Take one record of the program's own course: do what it did."""
        self._replay.report.records += 1
        recv_ns, name, kind, payload, _ = row
        self.clock.now_ns = recv_ns
        read, act = self._hear.get(name, (_nothing, self._unknown))
        try:
            what = read(payload)
        except ValueError:
            self.report.odd[kind] += 1
        else:
            act(what, row)

    def _unknown(self, _what: None, row: Row) -> None:
        self.report.odd[row[2]] += 1

    # -- the program ---------------------------------------------------------------------------------------------------

    def _begin(self, loaded: Loaded, page: str | None = None) -> None:
        """A program that has just started: nothing is in line, no window holds anything."""
        config = loaded.source.config
        self.loaded = loaded
        self._line.clear()
        self._windows.clear()
        self._alerts: list[SavedAlert] = []
        self.engine = Engine(loaded.rules, expected=loaded.expected(), settings=engine_settings(loaded))
        self.desk = AlertDesk(
            loaded,
            routing=loaded.routing,
            sinks=[sink_options(entry) for entry in config.sinks],
            engine=self.engine,
            store=None,
            delivery=self._outbox,
            clock=self.clock,
            notes=lambda rule: self._notes.get(rule, ()),
            page=page,
        )
        room = EngineRoom(
            self.engine,
            _NoBoard(),
            on_evaluated=self.desk.step,
            on_report=self._count,
            latencies={"engine": LatencyHistogram(), "receive": LatencyHistogram()},
            pace=pace_of(config),
        )
        self._turns = Turns(room, self.desk, _nothing_derived, self._put, Journal())

    def _put(self, events: Sequence[Event]) -> None:
        self._line += events

    def _count(self, report: IngestReport) -> None:
        told = self.report
        told.events += report.taken.total()
        told.history += len(report.history)
        told.late += report.late.total()
        told.too_late += report.too_late.total()
        told.invalid += report.invalid.total()
        told.clock_rejected += report.clock_rejected.total()

    def _started(self, setting: course.Setting, row: Row) -> None:
        carried = row[4]
        if carried and self._begun:
            return  # a file behind a damaged one repeats what is known
        self._begun = True
        self.report.cold |= carried
        self.report.starts += not carried
        feeds = _feeds(setting)
        self._replay.restart(feeds)
        self._begin(self._loaded_by(setting, feeds), setting.page)

    def _reloaded(self, setting: course.Setting, row: Row) -> None:
        if row[4]:
            self._started(setting, row)
            return
        feeds = _feeds(setting)
        self._replay.change(feeds)
        if self._rules is Rules.GIVEN:
            self.report.reloads["ignored"] += 1
            return
        self.report.reloads["taken"] += 1
        self.loaded = self._loaded_by(setting, feeds)
        self.engine.replace_rules(self.loaded.rules, self.loaded.expected())
        self.desk.replace(self.loaded, self.loaded.routing, row[0])

    def _loaded_by(self, setting: course.Setting, feeds: Sequence[Feed]) -> Loaded:
        """The configuration given, with what is on the tape instead where that is wanted."""
        given = self._given
        if self._rules is Rules.GIVEN:
            return given
        same = [text for _, text in setting.rules] == [text for _, text in given.rule_texts]
        return replace(
            given,
            rules=given.rules if same else _rules(setting),
            routing=_routing(setting),
            feeds=tuple(feeds),
            digest=setting.digest,
            rule_texts=setting.rules,
        )

    # -- what was found at the start -----------------------------------------------------------------------------------

    def _found_windows(self, part: bytes, _row: Row) -> None:
        self._windows.append(part)

    def _found_alerts(self, saved: list[SavedAlert], _row: Row) -> None:
        self._alerts = saved

    def _found_told(self, rows: list[MemoryRow], row: Row) -> None:
        """All is there: take it up. Alerts of other rules than those that run mean nothing here."""
        if self._windows:
            try:
                self.engine.load(b"".join(self._windows))
            except StateError:
                self.report.odd["memory"] += 1
            self._windows.clear()
        if self._rules is Rules.RECORDED:
            self.desk.remember(self._alerts, rows, row[0])

    # -- its steps -----------------------------------------------------------------------------------------------------

    def _remembered(self, events: list[Event], row: Row) -> None:
        self.remember(events, row[0])

    def _derived(self, events: list[Event], _row: Row) -> None:
        self._line += events

    def _turn(self, turn: course.Turn, row: Row) -> None:
        batch = self._line[: turn.events]
        del self._line[: turn.events]
        self.report.short += turn.events - len(batch)
        self._notes = turn.notes
        try:
            self._turns.step(batch, row[0], turn.own_ns)
        except Exception:  # noqa: BLE001  # the engine's bug costs its batch and is counted, as it is live
            self.report.engine_errors += len(batch)
        self._stepped(row[0])

    def _tick(self, turn: course.Turn, row: Row) -> None:
        self._notes = turn.notes
        self._turns.pass_time(row[0])
        self._stepped(row[0])

    def _stepped(self, now_ns: int) -> None:
        self.report.steps += 1
        if self._watcher is not None:
            self._watcher(self, now_ns)

    def _relieved(self, _turn: course.Turn, _row: Row) -> None:
        self._line[:] = newest_gauges(self._line)

    def _merged(self, turn: course.Turn, _row: Row) -> None:
        self._line[: turn.events] = merged(self._line[: turn.events])

    def _acted(self, act: course.Act, row: Row) -> None:
        try:
            self.desk.perform(act)
        except (ValueError, TypeError, AttributeError):
            self.report.odd[row[2]] += 1


def _nothing_derived(_events: Sequence[Event], _now_ns: int) -> list[Sample]:
    """What was derived is on the tape: it hangs on what the program had seen before the tape began."""
    return []


class _NoBoard(MarketBoard):
    """Nobody looks at last values in a rerun."""

    def update(self, events: Iterable[Event]) -> None:
        """Leave it."""


def _fresh(feeds: Iterable[Feed]) -> list[Feed]:
    """Feeds of our own: some note what they follow."""
    return [make_feed(feed.spec.venue, feed.options) for feed in feeds]


def _feeds(setting: course.Setting) -> list[Feed]:
    """The recorded feeds; one that this program does not know is left out, and its records are counted."""
    made = []
    for venue, options in setting.feeds:
        try:
            made.append(make_feed(venue, options))
        except (KeyError, ValueError):
            continue
    return made


def _rules(setting: course.Setting) -> RuleSet:
    try:
        rules = load_rules(setting.rules)
    except ConfigError as error:
        raise TapeError(f"the recorded rules do not load: {error}") from None
    return RuleSet(rules.alerts, (*rules.recordings, *panel_recordings()))


def _routing(setting: course.Setting) -> RoutingConfig:
    try:
        return RoutingConfig.model_validate(setting.routes)
    except ValueError as error:
        raise TapeError(f"the recorded routes do not load: {error}") from None


def _bytes(payload: Frame) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


def _nothing(_payload: Frame) -> None:
    return None
