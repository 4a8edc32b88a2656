"""While one alert fires, others need not be told: which alert keeps which quiet. Pure.

The alerts that may keep others quiet are kept by the labels that both must share, so that a storm of thousands costs each
of them one look, not one at every other. Rules that make a ring (A keeps B quiet, and B keeps A) would keep all of it quiet:
there the oldest alert is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.alert import AlertState, AlertView
from monitor.alerts.matchers import matches
from monitor.alerts.routes import InhibitRule

Shared = tuple[str, ...]
"""Values of the labels that a rule wants to be equal."""
RING_MOST = 64
"""A ring of more alerts than this is not looked for."""


class Inhibition:
    """The alerts that fire and are the source of a rule."""

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = rules
        self._sources: list[dict[Shared, dict[str, AlertView]]] = [{} for _ in rules]
        self._places: dict[str, list[tuple[int, Shared]]] = {}

    def note(self, alert: AlertView) -> None:
        """An alert is now as it is here."""
        self.forget(alert.fingerprint)
        if alert.state is not AlertState.FIRING:
            return
        labels = dict(alert.labels)
        for number, rule in enumerate(self._rules):
            if matches(rule.source, labels):
                shared = _shared(rule, labels)
                self._sources[number].setdefault(shared, {})[alert.fingerprint] = alert
                self._places.setdefault(alert.fingerprint, []).append((number, shared))

    def forget(self, fingerprint: str) -> None:
        """An alert is over."""
        for number, shared in self._places.pop(fingerprint, ()):
            fellows = self._sources[number][shared]
            del fellows[fingerprint]
            if not fellows:
                del self._sources[number][shared]

    def source(self, alert: AlertView) -> AlertView | None:
        """An alert that keeps this one quiet; one that is a source itself is not kept quiet by that rule."""
        return next((found for found in self._sources_of(alert) if not self._leads_ring(alert, found)), None)

    def _sources_of(self, alert: AlertView) -> Iterator[AlertView]:
        labels = dict(alert.labels)
        for number, rule in enumerate(self._rules):
            if matches(rule.target, labels) and not matches(rule.source, labels):
                yield from self._sources[number].get(_shared(rule, labels), {}).values()

    def _leads_ring(self, alert: AlertView, source: AlertView) -> bool:
        """Whether the source is, over others perhaps, kept quiet by this very alert, and is the younger of the two."""
        if _age(alert) > _age(source):
            return False
        seen, following = {source.fingerprint}, [source]
        while following and len(seen) < RING_MOST:
            for each in self._sources_of(following.pop()):
                if each.fingerprint == alert.fingerprint:
                    return True
                if len(seen) < RING_MOST and each.fingerprint not in seen:
                    seen.add(each.fingerprint)
                    following.append(each)
        return False


def _age(alert: AlertView) -> tuple[int, str]:
    return alert.starts_at_ns, alert.fingerprint


def _shared(rule: InhibitRule, labels: Mapping[str, str]) -> Shared:
    return tuple(labels.get(name, "") for name in rule.equal)
