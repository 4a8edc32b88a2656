"""What a slow source is: a public HTTPS service as data plus pure parsing. No socket, no clock.

A `Source` says what to ask and how often; the shell (`monitor.runtime.source_runner`) asks, within the quota, and
hands each reply to `parse`. A value carries the time that the service itself gives it, so that yesterday's reply ages
like yesterday's data, and a value that is not from this moment is marked ``backfill``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Labels, MarketEvent, Sample
from monitor.feed import Request
from monitor.series import NEVER_NEGATIVE

T = TypeVar("T")

FRESH_NS = 2 * NS_PER_S
"""A value older than this on receipt is history to the engine: it takes its place in time, whatever the lateness."""

_NAME = re.compile(r"[\w.][\w. -]{0,63}", re.ASCII)

AHEAD_NS = 300 * NS_PER_S
"""A service whose clock is further ahead of ours than this is not believed."""


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``calls`` requests in any ``period_s``."""

    calls: int
    period_s: float


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Constants of a service.

    Attributes:
        name: Its name in configuration, as a sample's source, and in metrics.
        title: Its name for people.
        series: The series that it feeds.
        url: Scheme and host (and base path) of its API; the ``url`` option replaces it.
        key: Whether it wants the user's key.
        quota: The service's limit on requests for one user; None: none published.
        docs: Address of its API pages.
        settings: Names of its own options.
    """

    name: str
    title: str
    series: tuple[str, ...]
    url: str
    key: Literal["none", "optional", "required"]
    quota: Quota | None
    docs: str
    settings: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """One entry of ``sources:`` after validation.

    ``every_s`` replaces the interval of requests by their name; ``extra`` holds the source's own settings.
    """

    url: str | None = None
    key: str = field(default="", repr=False)
    every_s: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourcePoll:
    """A request that is repeated every ``every_s``."""

    request: Request
    every_s: float


class Source(Protocol):
    """A service, built with `SourceOptions`."""

    spec: ClassVar[SourceSpec]
    options: SourceOptions

    def polls(self, now_ns: int) -> list[SourcePoll]:
        """What to ask. Names of requests are unique and stable; only their addresses may depend on `now_ns`."""
        ...

    def parse(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """The values of one reply.

        Raises:
            DecodeError: The reply is not what the service documents. Nothing else escapes, whatever the bytes.
        """
        ...


Parser = Callable[[Request, bytes, int], list[MarketEvent]]


class BaseSource:
    """What the sources share: addresses, intervals, and one parser per kind of request.

    The kind of a request is its name up to the first ``:``; ``parsers`` maps kinds to methods.

    Raises:
        ValueError: An option is not one of this source's, or a required key is missing.
    """

    spec: ClassVar[SourceSpec]

    def __init__(self, options: SourceOptions) -> None:
        unknown = sorted(set(options.extra) - self.spec.settings)
        if unknown:
            known = ", ".join(sorted(self.spec.settings)) or "none"
            raise ValueError(f"{self.spec.name}: unknown setting {', '.join(unknown)} (its settings: {known})")
        if self.spec.key == "required" and not options.key:
            raise ValueError(f"{self.spec.name}: a key is required: key: ${{NAME}} or key_file")
        self.options = options
        for setting in self.spec.settings:
            self._check(setting)

    def _check(self, setting: str) -> None:
        """Find a setting's mistake when the configuration is read, not with the first reply."""
        if not setting.endswith("_url"):
            self.names(setting, ())
        elif not str(self.options.extra.get(setting) or "https://").startswith(("http://", "https://")):
            raise ValueError(f"{self.spec.name}: {setting} must start with http:// or https://")

    def parsers(self) -> Mapping[str, Parser]:
        """Parser by kind of request."""
        raise NotImplementedError

    def parse(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        """See `Source.parse`."""
        return self.parsers()[request.name.partition(":")[0]](request, body, recv_ns)

    def poll(
        self,
        name: str,
        path: str,
        every_s: float,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> SourcePoll:
        """A repeated request to `path` of this service."""
        request = Request(
            name=name,
            url=(self.options.url or self.spec.url).rstrip("/") + path,
            method="GET" if body is None else "POST",
            body=body,
            headers=tuple(sorted((headers or {}).items())),
        )
        return SourcePoll(request, self.options.every_s.get(name.partition(":")[0], every_s))

    def names(self, setting: str, default: Sequence[str]) -> tuple[str, ...]:
        """A setting that is a list of texts.

        Raises:
            ValueError: It is something else.
        """
        value = self.options.extra.get(setting, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{self.spec.name}: {setting} must be a list of texts")
        odd = [item for item in value if not _NAME.fullmatch(item)]
        if odd:
            raise ValueError(
                f"{self.spec.name}: {setting}: {odd[0][:40]!r} is no name: letters, digits, spaces and . _ -"
            )
        return tuple(value)

    def sample(self, series: str, labels: Labels, value: float, ts_ns: int, recv_ns: int) -> Sample:
        """A value of this source at the service's own time, never later than now.

        Raises:
            DecodeError: It is not finite, or negative where nothing of its kind is.
        """
        if not isfinite(value) or (value < 0 and series in NEVER_NEGATIVE):
            raise DecodeError("unexpected", f"{series} of {labels[0][1][:40]} is {value:g}")
        return Sample(
            series, labels, value, min(ts_ns, recv_ns), recv_ns, self.spec.name, backfill=recv_ns - ts_ns > FRESH_NS
        )


def decode_json(body: bytes, kind: type[T]) -> T:
    """A reply as a typed value.

    Raises:
        DecodeError: ``malformed`` where it is no JSON (an HTML error page), ``wrong_type`` where it has another shape.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise DecodeError("wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("malformed", str(error)[:200]) from None


def service_time_ns(unix_s: float, recv_ns: int) -> int:
    """A service's own time in nanoseconds.

    Raises:
        DecodeError: It is no time of this age, or in the future by more than `AHEAD_NS`.
    """
    if not 0 < unix_s < 1e11:
        raise DecodeError("unexpected", f"not a unix time in seconds: {unix_s}")
    ts_ns = int(unix_s * NS_PER_S)
    if ts_ns > recv_ns + AHEAD_NS:
        raise DecodeError("unexpected", f"a time {(ts_ns - recv_ns) / NS_PER_S:.0f} s ahead of ours")
    return ts_ns


def fresh(rows: Iterable[MarketEvent], since_ns: int) -> list[MarketEvent]:
    """Only rows after `since_ns`: a chart that goes back for years is not history that anybody asks for."""
    return [row for row in rows if row.ts_ns > since_ns]


class Novelty:
    """Passes on what was not yet said: charts repeat all their points in every reply.

    A point whose value changed is passed again: the service revised it. Keeps the newest `keep` points per label set.
    """

    def __init__(self, keep: int = 500) -> None:
        self._keep = keep
        self._known: dict[tuple[str, Any], dict[int, float]] = {}
        self.revised = 0

    def new(self, events: Iterable[MarketEvent]) -> list[MarketEvent]:
        """The events whose (series, labels, time, value) is new, oldest first."""
        passed = []
        for event in sorted(events, key=lambda event: event.ts_ns):
            key, value = _identity(event)
            points = self._known.setdefault(key, {})
            if points.get(event.ts_ns) == value:
                continue
            self.revised += event.ts_ns in points
            points[event.ts_ns] = value
            if len(points) > self._keep:
                del points[min(points)]
            passed.append(event)
        return passed


def _identity(event: MarketEvent) -> tuple[tuple[str, Any], float]:
    if isinstance(event, Sample):
        return (event.series, event.labels), event.value
    return (type(event).__name__, event.instrument), getattr(event, "value", 0.0)
