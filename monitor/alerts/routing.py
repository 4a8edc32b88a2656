"""Who is told what, and when. Pure: transitions and the time in, planned notifications out, each with its reason.

The router remembers, for every sink and alert, what it last said. Whatever differs from that is news; so an alert that
was silenced is announced when the silence ends, a restart says nothing twice, and a change that comes and goes between
two looks is not told at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from monitor.alert import AlertState, AlertView, MemoryRow, Transition
from monitor.alerts import message, quiet, storms
from monitor.alerts.ends import AWAITED, end_of
from monitor.alerts.groups import Group, Rest
from monitor.alerts.heartbeat import Heartbeat, heartbeat_alert
from monitor.alerts.inhibition import Inhibition
from monitor.alerts.matchers import matcher_text
from monitor.alerts.memory import Memory, rows
from monitor.alerts.plans import NEVER, GroupId, Planned, RouteStep, SinkPolicy, Told
from monitor.alerts.quiet import Quiet
from monitor.alerts.routes import Route, RoutingConfig, route_tree
from monitor.alerts.setback import come
from monitor.alerts.silences import Acknowledgement, Silence
from monitor.alerts.storms import Storm
from monitor.alerts.verdicts import Case, Judge, Verdict
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.sink import Notification, Status

_TOLD, _GROUP = "told", "group"
MEMORY_KINDS = (_TOLD, _GROUP, *quiet.KINDS, *storms.KINDS)
"""The records of which a router's memory consists."""


class Router:
    """Routes, groups, inhibits, mutes, silences, limits.

    Args:
        config: The validated ``routes:``.
        sinks: What must be known of each sink, in the order of the configuration.
        heartbeat_labels: Labels of the heartbeat's alert besides its name.
    """

    def __init__(
        self, config: RoutingConfig | None = None, sinks: Iterable[SinkPolicy] = (), heartbeat_labels: Labels = ()
    ) -> None:
        self.config = config or RoutingConfig()
        self._sinks = {policy.name: policy for policy in sinks}
        self.tree = route_tree(self.config, tuple(self._sinks))
        self._alerts: dict[str, AlertView] = {}
        self._groups: dict[GroupId, Group] = {}
        self._groups_of: dict[str, set[GroupId]] = {}
        self._told: dict[tuple[str, str], Told] = {}
        self._not_told: dict[tuple[str, str], str] = {}
        self._memory = Memory()
        self._quiet = Quiet(self.config, self._memory)
        self._storms = {p.name: Storm(p, self._memory) for p in self._sinks.values() if p.per_minute is not None}
        self._rests: dict[GroupId, Rest] = {}
        self._inhibition = Inhibition(self.config.inhibit)
        self._judge = Judge(self._quiet, self._inhibition)
        self._probe = heartbeat_alert(heartbeat_labels)
        self._heartbeat = Heartbeat(self.config.heartbeat, self._probe)
        self._next_ns: int | None = None
        """When something is due next; None: not worked out since something changed."""

    # -- the flow ------------------------------------------------------------------------------------------------------

    def route(self, transitions: Iterable[Transition], now_ns: int) -> list[Planned]:
        """Take in what changed, and plan what is due at once."""
        for transition in transitions:
            if transition.state in {AlertState.FIRING, AlertState.HELD, AlertState.RESOLVED}:
                self._take(transition.alert, now_ns)
        return self.due(now_ns)

    def due(self, now_ns: int) -> list[Planned]:
        """Plan everything whose time has come: groups, digests, repeats, heartbeat."""
        self._next_ns = None
        planned: list[Planned] = []
        for group in list(self._groups.values()):
            if group.flush_ns <= now_ns:
                planned += self._flush(group, now_ns)
        for storm in self._storms.values():
            if storm.digest_ns <= now_ns:
                planned += self._digest(storm, now_ns)
        return planned + self._heartbeat.beat(now_ns)

    def next_due_ns(self) -> int:
        """When `due` will have something to do next; far in the future when nothing is planned. Cheap, call it often."""
        if self._next_ns is None:
            self._next_ns = self._soonest_ns()
        return self._next_ns

    def _soonest_ns(self) -> int:
        times = [group.flush_ns for group in self._groups.values()]
        times += [storm.digest_ns for storm in self._storms.values()]
        return min([*times, self._heartbeat.due_ns])

    def _take(self, alert: AlertView, now_ns: int) -> None:
        self._alerts[alert.fingerprint] = alert
        self._inhibition.note(alert)
        labels = dict(alert.labels)
        for route in self.tree.find(labels):
            key = (route.path, route.group_labels(labels, alert.identity))
            group = self._groups.get(key)
            if group is None:
                if alert.state is AlertState.RESOLVED and alert.fingerprint in self._groups_of:
                    continue
                group = self._groups[key] = self._new_group(route, key)
            group.members[alert.fingerprint] = None
            self._groups_of.setdefault(alert.fingerprint, set()).add(key)
        for key in self._groups_of.get(alert.fingerprint, ()):
            self._schedule(self._groups[key], now_ns)

    def _new_group(self, route: Route, key: GroupId) -> Group:
        """A group, which goes on with the wait or the interval in which a former run left it."""
        rest = self._rests.pop(key, None)
        if rest is None:
            return Group(route, key[1])
        return Group(route, key[1], flush_ns=rest.due_ns, flushed_ns=rest.flushed_ns, kept=True)

    def _schedule(self, group: Group, now_ns: int) -> None:
        if group.flushed_ns is not None:
            due_ns = max(now_ns, group.flushed_ns + group.route.group_interval_ns)
        else:
            due_ns = now_ns + group.route.group_wait_ns
        if due_ns >= group.flush_ns:
            return
        group.flush_ns = due_ns
        if group.flushed_ns is None and now_ns < due_ns:
            self._keep_rest(group)

    def _keep_rest(self, group: Group) -> None:
        rest = group.rest
        self._memory.keep(_GROUP, rest.id, rest)
        group.kept = True

    def _drop_group(self, group: Group) -> None:
        self._groups.pop(group.id, None)
        if group.kept:
            self._memory.forget(_GROUP, group.rest.id)

    def _flush(self, group: Group, now_ns: int) -> list[Planned]:
        group.flush_ns = NEVER
        planned: list[Planned] = []
        for sink in group.route.sinks:
            if sink in self._sinks:
                planned += self._flush_to(self._sinks[sink], group, now_ns)
        if any(p.notification is not None for p in planned):
            group.flushed_ns = now_ns
        if group.kept or (group.route.group_interval_ns and group.flushed_ns == now_ns):
            self._keep_rest(group)
        self._forget_resolved(group)
        return planned

    def _flush_to(self, sink: SinkPolicy, group: Group, now_ns: int) -> list[Planned]:
        news: dict[str, Verdict] = {}
        quiet: list[Planned] = []
        for member in group.members:
            verdict = self._verdict(sink, member, group, now_ns)
            group.flush_ns = min(group.flush_ns, max(verdict.again_ns, now_ns + 1))
            if verdict.status is not None:
                news[member] = verdict
            elif verdict.outcome:
                quiet += self._note_quiet(sink.name, member, verdict, now_ns)
        return quiet + (self._announce(sink, group, news, now_ns) if news else [])

    def _verdict(self, sink: SinkPolicy, member: str, group: Group, now_ns: int) -> Verdict:
        storm = self._storms.get(sink.name)
        waits = storm is not None and member in storm.waiting
        case = Case(sink, self._alerts[member], group.route, self._told.get((sink.name, member)), waits)
        return self._judge.verdict(case, now_ns)

    def _note_quiet(self, sink: str, member: str, verdict: Verdict, now_ns: int) -> list[Planned]:
        """Record once why an alert was not announced."""
        if self._not_told.get((sink, member)) == verdict.reason:
            return []
        self._not_told[sink, member] = verdict.reason
        return [Planned(sink, verdict.outcome, verdict.reason, (member,), now_ns)]

    def _forget_resolved(self, group: Group) -> None:
        """Drop resolved alerts that nobody waits to hear of, and the group with its last member."""
        for member in list(group.members):
            if self._alerts[member].state is not AlertState.RESOLVED:
                continue
            if any(member in storm.waiting for storm in self._storms.values()):
                continue
            if any((sink, member) in self._told for sink in self._sinks):
                continue
            self._leave(member)
        if not group.members:
            self._drop_group(group)

    def _leave(self, member: str) -> None:
        for key in self._groups_of.pop(member, set()):
            group = self._groups.get(key)
            if group is not None:
                group.members.pop(member, None)
                if not group.members:
                    self._drop_group(group)
        del self._alerts[member]
        self._inhibition.forget(member)
        for sink in self._sinks:
            self._not_told.pop((sink, member), None)
        self._quiet.withdraw(member)

    # -- saying it -----------------------------------------------------------------------------------------------------

    def _announce(self, sink: SinkPolicy, group: Group, news: Mapping[str, Verdict], now_ns: int) -> list[Planned]:
        storm = self._storms.get(sink.name)
        if storm is not None and not storm.may_send(now_ns):
            storm.collect([self._alerts[member] for member in news], group.id, now_ns)
            return []
        statuses = {member: verdict.status for member, verdict in news.items() if verdict.status is not None}
        reason = next(iter(news.values())).reason if len(news) == 1 else f"{len(news)} alerts changed"
        return [self._send(sink, group, statuses, now_ns, reason)]

    def _send(
        self, sink: SinkPolicy, group: Group, statuses: Mapping[str, Status], now_ns: int, reason: str
    ) -> Planned:
        """A notification of a group: what is new, and beside it what the sink knows to be still firing."""
        known = [m for m in group.members if m not in statuses and (sink.name, m) in self._told]
        alerts = message.worst_first([self._alerts[member] for member in (*statuses, *known)])
        status: Status = next(iter(statuses.values()))
        if len(alerts) > 1:
            status = "resolved" if all(a.state is AlertState.RESOLVED for a in alerts) else "firing"
        title = message.title(alerts, status)
        notification = Notification(
            key=self._key(sink.name, statuses),
            status=status,
            alerts=alerts,
            at_ns=now_ns,
            reason=reason,
            title=title,
            text=message.body(alerts, message.room(title, sink.max_chars)),
            group_key=group.route.group_key(group.labels),
            group_labels=group.labels,
            receiver=sink.name,
            total=len(alerts),
        )
        self._remember(sink.name, statuses, now_ns)
        return Planned(sink.name, "send", reason, tuple(statuses), now_ns, notification)

    def _digest(self, storm: Storm, now_ns: int) -> list[Planned]:
        """One message for everything that waits, the worst first, as much as the channel takes."""
        sink, statuses, groups = storm.policy, self._waiting_news(storm, now_ns), self._waiting_groups(storm)
        storm.release(now_ns)
        if not statuses:
            return []
        alerts = message.worst_first([self._alerts[member] for member in statuses])
        reason = f"more than {sink.per_minute:g} notifications a minute"
        title = f"DIGEST {message.counts(alerts)}"
        notification = Notification(
            key=self._key(sink.name, statuses),
            status="digest",
            alerts=alerts,
            at_ns=now_ns,
            reason=reason,
            title=title,
            text=message.listing(alerts, message.room(title, sink.max_chars)),
            group_key="{}:{digest}",
            receiver=sink.name,
            total=len(alerts),
        )
        self._remember(sink.name, statuses, now_ns)
        for group in groups:
            self._schedule(group, now_ns)
        return [Planned(sink.name, "digest", reason, tuple(statuses), now_ns, notification)]

    def _waiting_news(self, storm: Storm, now_ns: int) -> dict[str, Status]:
        """What the digest of a sink has to say of those that wait for it."""
        found: dict[str, Status] = {}
        for member, waits in storm.waiting.items():
            group = self._groups.get(waits.group)
            if group is not None and member in group.members:
                verdict = self._verdict(storm.policy, member, group, now_ns)
                if verdict.status is not None:
                    found[member] = verdict.status
        return found

    def _waiting_groups(self, storm: Storm) -> list[Group]:
        keys = dict.fromkeys(waits.group for waits in storm.waiting.values())
        return [self._groups[key] for key in keys if key in self._groups]

    def _key(self, sink: str, statuses: Mapping[str, Status]) -> str:
        """Idempotency key: sink, and per alert its life, severity, status and how many times it was told before."""
        digest = hashlib.sha256(sink.encode())
        for member in sorted(statuses):
            alert, told = self._alerts[member], self._told.get((sink, member))
            count = told.count if told and told.view.starts_at_ns == alert.starts_at_ns else 0
            digest.update(f"|{member}|{alert.starts_at_ns}|{alert.severity}|{statuses[member]}|{count}".encode())
        return digest.hexdigest()[:32]

    def _remember(self, sink: str, statuses: Mapping[str, Status], now_ns: int) -> None:
        for member, status in statuses.items():
            before, alert = self._told.get((sink, member)), self._alerts[member]
            if status == "resolved":
                if self._told.pop((sink, member), None) is not None:
                    self._memory.forget(_TOLD, f"{sink}/{member}")
                continue
            same_life = before is not None and before.view.starts_at_ns == alert.starts_at_ns
            count = before.count + 1 if before is not None and same_life else 1
            kind = before.status if before is not None and status == "repeat" else str(alert.state)
            told = Told(sink, kind, now_ns, count, replace(alert, explanation=None))
            self._told[sink, member] = told
            self._memory.keep(_TOLD, told.id, told)
            self._not_told.pop((sink, member), None)
            self._look_again(member, now_ns)

    def _look_again(self, member: str, now_ns: int) -> None:
        """The sink's repeat is due some day: make sure that the alert's groups are looked at by then."""
        for key in self._groups_of.get(member, ()):
            group = self._groups[key]
            group.flush_ns = min(group.flush_ns, now_ns + group.route.repeat_interval_ns)

    # -- silences and acknowledgements ---------------------------------------------------------------------------------

    def silence(self, silence: Silence, now_ns: int) -> None:
        """Add or replace a silence.

        Raises:
            ValueError: When it is empty, ends before it begins, or there are too many.
        """
        self._quiet.silence(silence, now_ns)

    def expire_silence(self, silence_id: str, now_ns: int) -> bool:
        """End a silence now; what it kept quiet is announced by the next `due`. Returns whether it was there."""
        found = self._quiet.expire(silence_id)
        if found:
            self._wake_all(now_ns)
        return found

    def silences(self, now_ns: int) -> list[Silence]:
        """Silences that are active or to come."""
        return self._quiet.silences(now_ns)

    def silenced_by(self, alert: AlertView, now_ns: int) -> list[str]:
        """Ids of the silences that keep an alert quiet now."""
        return [silence.id for silence in self._quiet.silencing(alert, now_ns)]

    def acknowledge(
        self, fingerprint_: str, by: str, now_ns: int, duration_ns: int = 3600 * NS_PER_S, comment: str = ""
    ) -> bool:
        """Someone takes care of an alert for a while; returns whether such an alert is active."""
        alert = self._alerts.get(fingerprint_)
        if alert is None or alert.state is AlertState.RESOLVED:
            return False
        ack = Acknowledgement(fingerprint_, alert.starts_at_ns, by, now_ns, now_ns + duration_ns, comment)
        self._quiet.acknowledge(ack)
        self._wake_all(now_ns)
        return True

    def withdraw(self, fingerprint_: str, now_ns: int) -> bool:
        """Take an acknowledgement back; returns whether there was one."""
        found = self._quiet.withdraw(fingerprint_)
        if found:
            self._wake_all(now_ns)
        return found

    def acknowledgements(self) -> list[Acknowledgement]:
        """All acknowledgements of active alerts, expired ones too."""
        return self._quiet.acknowledgements()

    def _wake_all(self, now_ns: int) -> None:
        """Have every group looked at again as soon as it may tell something."""
        self._next_ns = None
        for group in self._groups.values():
            self._schedule(group, now_ns)

    # -- questions -----------------------------------------------------------------------------------------------------

    def active_for(self, sink: str) -> list[AlertView]:
        """The alerts that a sink was told of and that are not over, as of their latest transition."""
        members = [member for name, member in self._told if name == sink]
        views = [self._alerts[member] for member in members if member in self._alerts]
        return [view for view in views if view.state is not AlertState.RESOLVED]

    def explain_route(self, labels: Mapping[str, str], now_ns: int) -> list[RouteStep]:
        """Where an alert with these labels would go and when, by each route that takes it."""
        identity = tuple(sorted(labels.items()))
        probe = replace(self._probe, labels=identity, identity=identity, severity=labels.get("severity", ""))
        return [self._explain_step(route, labels, probe, now_ns) for route in self.tree.find(labels)]

    def _explain_step(self, route: Route, labels: Mapping[str, str], probe: AlertView, now_ns: int) -> RouteStep:
        notes = [f"matched {matcher_text(matcher)}" for matcher in route.matchers]
        for sink in route.sinks:
            policy = self._sinks.get(sink)
            if policy is None:
                notes.append(f"there is no sink {sink}")
                continue
            hushed = self._judge.hush(Case(policy, probe, route), "firing", now_ns)
            if hushed is not None:
                notes.append(f"{sink}: {hushed.outcome}: {hushed.reason}")
        return RouteStep(
            route.path,
            route.sinks,
            route.group_labels(labels, probe.identity),
            route.group_wait_ns,
            route.group_interval_ns,
            route.repeat_interval_ns,
            tuple(notes),
        )

    # -- persistence ---------------------------------------------------------------------------------------------------

    def changes(self) -> tuple[list[MemoryRow], list[tuple[str, str]]]:
        """Records to write and (kind, id) to delete since the last call; goes into the transaction of the outbox."""
        return self._memory.changes()

    def load(self, records: Sequence[MemoryRow], alerts: Sequence[AlertView], now_ns: int) -> None:
        """Take up the memory of a former run.

        Args:
            records: Those of `MEMORY_KINDS`; others are left alone.
            alerts: What the life cycle knows to be active.
            now_ns: Groups are looked at from now on.
        """
        self._next_ns = None
        self._quiet.restore(records)
        self._recall(records, now_ns)
        levels, waits = storms.read(records)
        for name, storm in self._storms.items():
            if name in levels:
                storm.restore(levels[name], now_ns)
        for alert in alerts:
            if alert.state in {AlertState.FIRING, AlertState.HELD}:
                awaited = alert.reason == AWAITED  # its wait for data begins now, not when it last changed
                self._take(replace(alert, updated_ns=now_ns) if awaited else alert, now_ns)
        for (sink, member), told in list(self._told.items()):
            if sink not in self._sinks:
                self._untell(told)
            elif member not in self._alerts:
                self._take(_ended_unannounced(told.view, now_ns), now_ns)
        self._forget_strays()
        self._quiet.keep_acknowledgements(self._alerts)
        for waiting in waits:
            self._wait_on(waiting, now_ns)
        for rest in self._rests.values():
            self._memory.forget(_GROUP, rest.id)
        self._rests.clear()

    def _recall(self, records: Iterable[MemoryRow], now_ns: int) -> None:
        """What was told, and how far the groups were."""
        for record in records:
            if record.kind == _TOLD:
                told = msgspec.json.decode(record.payload, type=Told)
                self._told[told.sink, told.view.fingerprint] = replace(told, at_ns=come(told.at_ns, now_ns))
            elif record.kind == _GROUP:
                rest = msgspec.json.decode(record.payload, type=Rest)
                self._rests[rest.path, rest.labels] = rest.come(now_ns)

    def _wait_on(self, waits: storms.Waits, now_ns: int) -> None:
        """Have an alert wait for the digest again; one that ended since is told there as ended."""
        storm, member = self._storms.get(waits.sink), waits.view.fingerprint
        if storm is None:
            self._memory.forget(storms.WAITS, waits.id)
            return
        if member not in self._alerts:
            self._take(_ended_unannounced(waits.view, now_ns), now_ns)
        told_by = [key for key in self._groups_of[member] if waits.sink in self._groups[key].route.sinks]
        if told_by:
            group = waits.group if waits.group in told_by else min(told_by)
            storm.collect([waits.view], group, now_ns)

    def _untell(self, told: Told) -> None:
        del self._told[told.sink, told.view.fingerprint]
        self._memory.forget(_TOLD, told.id)

    def _forget_strays(self) -> None:
        """Drop what was told to a sink that no route of the alert leads to any more."""
        for (sink, member), told in list(self._told.items()):
            groups = (self._groups[key] for key in self._groups_of.get(member, ()))
            if not any(sink in group.route.sinks for group in groups):
                self._untell(told)

    def dump(self) -> list[MemoryRow]:
        """The whole memory, for `load` of another router (a reloaded configuration)."""
        told = rows(_TOLD, ((told.id, told) for told in self._told.values()))
        rests = [group.rest for group in self._groups.values() if group.kept]
        brakes = [record for storm in self._storms.values() for record in storm.dump()]
        return told + rows(_GROUP, ((rest.id, rest) for rest in rests)) + self._quiet.dump() + brakes


def _ended_unannounced(view: AlertView, now_ns: int) -> AlertView:
    """An alert that a former run spoke of, and that is no longer active."""
    reason = "it resolved before that could be announced"
    return replace(view, state=AlertState.RESOLVED, ends_at_ns=end_of(view, now_ns), updated_ns=now_ns, reason=reason)
