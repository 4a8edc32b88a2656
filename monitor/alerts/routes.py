"""The configuration of routing: which alerts go where, grouped how, and when to be quiet. Alertmanager's vocabulary."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor.alert import meant_severity
from monitor.alerts.calendar import TimeInterval
from monitor.alerts.matchers import matcher_text, matches, parse_matcher
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.expression import Matcher
from monitor.literals import parse_duration

_MINUTE_NS = 60 * NS_PER_S

_OWN_LABELS = ("alertname", "severity")
ALL_LABELS = "..."
"""In ``group_by``: every alert is its own group."""


def _duration(value: Any) -> int:
    if isinstance(value, str):
        if value.strip() in {"0", "0s"}:
            return 0
        with suppress(ValueError):
            return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration; write 30s, 5m or 4h")


def _listed(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [Matcher(str(label), "=", str(text)) for label, text in value.items()]
    return [value] if isinstance(value, str) else list(value)


def _matcher(value: Any) -> Matcher:
    return _meant(value if isinstance(value, Matcher) else parse_matcher(str(value)))


def _meant(matcher: Matcher) -> Matcher:
    """Refuse a slip that would keep a route from ever taking an alert, without a word."""
    for label in difflib.get_close_matches(matcher.label, _OWN_LABELS, n=1, cutoff=0.8):
        if label != matcher.label:
            raise ValueError(f"the matcher {matcher_text(matcher)!r} fits no alert; did you mean {label!r}?")
    words = matcher.value.split("|") if matcher.label == "severity" else ()
    slips = [f"unknown severity {word!r}; did you mean {meant!r}?" for word in words if (meant := meant_severity(word))]
    if slips:
        raise ValueError(" ".join(slips))
    return matcher


def _long_enough(ns: int) -> int:
    if ns < NS_PER_S:
        raise ValueError("must be 1s or more; anything shorter would never stop telling")
    return ns


DurationNs = Annotated[int, BeforeValidator(_duration)]
IntervalNs = Annotated[DurationNs, AfterValidator(_long_enough)]
Matchers = Annotated[tuple[Annotated[Matcher, BeforeValidator(_matcher)], ...], BeforeValidator(_listed)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)


class RouteConfig(_Model):
    """One route; what is left out comes from its parent.

    Attributes:
        matchers: All must hold for an alert to enter.
        sinks: Where its alerts go.
        group_by: Labels by which alerts share a notification; ``...``: each alert alone.
        group_wait: How long a new group waits for company.
        group_interval: Shortest time between two notifications of one group.
        repeat_interval: How long until what still fires is told again; 1s or more.
        held_after: How long an alert has been held when that is told.
        continue_: Whether later siblings get the alert too.
        mute_times: Names of intervals in which nothing is sent.
        active_times: Names of intervals outside of which nothing is sent.
        routes: More specific routes, tried first.
    """

    matchers: Matchers = ()
    sinks: tuple[str, ...] | None = None
    group_by: tuple[str, ...] | None = None
    group_wait: DurationNs | None = None
    group_interval: DurationNs | None = None
    repeat_interval: IntervalNs | None = None
    held_after: DurationNs | None = None
    continue_: bool = Field(default=False, alias="continue")
    mute_times: tuple[str, ...] = ()
    active_times: tuple[str, ...] = ()
    routes: tuple[RouteConfig, ...] = ()


class InhibitRule(_Model):
    """While an alert that matches ``source`` fires, those that match ``target`` with the same ``equal`` labels are quiet."""

    source: Matchers
    target: Matchers
    equal: tuple[str, ...] = ()


class HeartbeatConfig(_Model):
    """A message that must keep coming: its absence is the alarm (a dead-man's switch)."""

    sinks: tuple[str, ...]
    interval: IntervalNs = _MINUTE_NS


class RoutingConfig(_Model):
    """The value of ``routes:``; a plain list is the same as ``{routes: [...]}``.

    The root's ``sinks`` are all sinks unless it says otherwise. ``inhibit``, ``mute_times`` and ``heartbeat`` hold for
    all routes.
    """

    root: RouteConfig = RouteConfig()
    routes: tuple[RouteConfig, ...] = ()
    inhibit: tuple[InhibitRule, ...] = ()
    mute_times: Mapping[str, tuple[TimeInterval, ...]] = Field(default_factory=dict)
    heartbeat: HeartbeatConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_the_routes(cls, data: Any) -> Any:
        return {"routes": data} if isinstance(data, (list, tuple)) else data

    @model_validator(mode="after")
    def _interval_names_are_known(self) -> RoutingConfig:
        for route in self._all_routes((self.root, *self.routes)):
            for interval in (*route.mute_times, *route.active_times):
                if interval not in self.mute_times:
                    raise ValueError(
                        f"no mute time named {interval!r}; there are: {', '.join(self.mute_times) or 'none'}"
                    )
        return self

    def sink_names(self) -> set[str]:
        """Every sink that a route or the heartbeat names; the wiring checks that they exist."""
        names = {name for route in self._all_routes((self.root, *self.routes)) for name in route.sinks or ()}
        return names | set(self.heartbeat.sinks if self.heartbeat else ())

    def _all_routes(self, routes: tuple[RouteConfig, ...]) -> Iterator[RouteConfig]:
        for route in routes:
            yield route
            yield from self._all_routes(route.routes)


@dataclass(frozen=True, slots=True)
class Route:
    """A route with everything inherited. ``path`` names it: ``root/1/0``."""

    path: str
    matchers: tuple[Matcher, ...]
    sinks: tuple[str, ...]
    group_by: tuple[str, ...]
    group_wait_ns: int
    group_interval_ns: int
    repeat_interval_ns: int
    held_after_ns: int
    continues: bool
    mute_times: tuple[str, ...]
    active_times: tuple[str, ...]
    children: tuple[Route, ...]

    def find(self, labels: Mapping[str, str]) -> list[Route]:
        """The routes that take an alert: the deepest matching ones, as in Alertmanager."""
        if not matches(self.matchers, labels):
            return []
        found: list[Route] = []
        for child in self.children:
            deeper = child.find(labels)
            found += deeper
            if deeper and not child.continues:
                break
        return found or [self]

    def group_labels(self, labels: Mapping[str, str], identity: Labels) -> Labels:
        """The labels that make the group of an alert; an alert that is its own group stays in it as it escalates."""
        if ALL_LABELS in self.group_by:
            return identity
        return tuple((name, labels[name]) for name in sorted(self.group_by) if name in labels)

    def group_key(self, group: Labels) -> str:
        """``{}/{severity="critical"}:{base="BTC"}``, as Alertmanager writes it."""
        conditions = ",".join(map(matcher_text, self.matchers))
        labels = ", ".join(f'{name}="{value}"' for name, value in group)
        return f"{{}}/{{{conditions}}}:{{{labels}}}" if self.matchers else f"{{}}:{{{labels}}}"


def route_tree(config: RoutingConfig, all_sinks: tuple[str, ...]) -> Route:
    """The routes with defaults and inheritance worked out."""
    base = Route(
        path="",
        matchers=(),
        sinks=all_sinks,
        group_by=(ALL_LABELS,),
        group_wait_ns=0,
        group_interval_ns=0,
        repeat_interval_ns=4 * 60 * _MINUTE_NS,
        held_after_ns=_MINUTE_NS,
        continues=False,
        mute_times=(),
        active_times=(),
        children=(),
    )
    root = config.root.model_copy(update={"routes": (*config.root.routes, *config.routes)})
    return _inherit(root, base, "root")


def _inherit(config: RouteConfig, parent: Route, path: str) -> Route:
    def own(value: Any, inherited: Any) -> Any:
        return inherited if value is None else value

    route = Route(
        path=path,
        matchers=config.matchers,
        sinks=own(config.sinks, parent.sinks),
        group_by=own(config.group_by, parent.group_by),
        group_wait_ns=own(config.group_wait, parent.group_wait_ns),
        group_interval_ns=own(config.group_interval, parent.group_interval_ns),
        repeat_interval_ns=own(config.repeat_interval, parent.repeat_interval_ns),
        held_after_ns=own(config.held_after, parent.held_after_ns),
        continues=config.continue_,
        mute_times=config.mute_times,
        active_times=config.active_times,
        children=(),
    )
    children = tuple(_inherit(child, route, f"{path}/{number}") for number, child in enumerate(config.routes))
    return replace(route, children=children)
