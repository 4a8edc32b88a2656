"""From files to checked parts: what start, reload and ``check`` share. Every mistake comes out as one `ConfigError`."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.alerts.routes import RoutingConfig
from monitor.config import (
    DEFAULT_RULES,
    Check,
    FeedEntry,
    LoadedConfig,
    entries,
    load_config,
    parse_config,
    read_rule_files,
)
from monitor.errors import ConfigError, Problem
from monitor.events import Channel
from monitor.feed import Feed
from monitor.feeds import FEEDS, feed_class, make_feed, make_feeds
from monitor.language import load_rules
from monitor.rule import RuleSet
from monitor.runtime.panels import panel_recordings
from monitor.runtime.route_check import route_problems
from monitor.runtime.slow_side import check_slow_side
from monitor.sinks import KINDS, sink_options
from monitor.yamlsource import Document, load_yaml


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration whose every part has been checked; ``rule_texts`` are name and text of the rule files."""

    source: LoadedConfig
    rules: RuleSet
    feeds: tuple[Feed, ...]
    routing: RoutingConfig
    digest: str
    rule_texts: tuple[tuple[str, str], ...] = ()

    def expected(self) -> dict[Channel, list[str]]:
        """Venues that should be live on each channel; what a venue does not publish is not expected of it."""
        found: dict[Channel, list[str]] = {}
        for feed in self.feeds:
            for venue, channel in sorted(feed.sources()):
                found.setdefault(channel, []).append(venue)
        return found

    def stale_s(self) -> dict[tuple[str, Channel], float]:
        """Staleness limits by venue and channel."""
        return {
            (feed.spec.venue, channel): limit for feed in self.feeds for channel, limit in feed.spec.stale_s.items()
        }


def load(path: Path, environment: Mapping[str, str]) -> Loaded:
    """Read configuration and rules.

    Raises:
        ConfigError: With every mistake of the configuration and of all rule files.
    """
    try:
        source = load_config(path, environment, CHECKS)
    except ConfigError as error:
        raise ConfigError([*error.problems, *_rule_mistakes(path)]) from None
    return finish(source)


def rule_patterns(path: Path) -> tuple[str, ...]:
    """Where a configuration's rules are, as far as that can be said of one that may be wrong elsewhere."""
    try:
        data = load_yaml(path.read_text(encoding="utf-8"), str(path)).data
    except (ConfigError, OSError, UnicodeDecodeError):
        return ()  # reported by who reads the configuration
    named = data.get("rules", DEFAULT_RULES) if isinstance(data, dict) else ()
    return (
        tuple(one for one in named if isinstance(one, str) and "${" not in one)
        if isinstance(named, list | tuple)
        else ()
    )


def _rule_mistakes(path: Path) -> Sequence[Problem]:
    """What is wrong in the rules of a configuration that is itself wrong: both are told at once."""
    try:
        load_rules(
            read_rule_files(path.resolve().parent, rule_patterns(path), lambda _, text: Problem(str(path), 0, 0, text))
        )
    except ConfigError as error:
        return error.problems
    return ()


def load_text(text: str, name: str, base: Path, environment: Mapping[str, str]) -> Loaded:
    """As `load`, from text."""
    return finish(parse_config(text, name, base, environment, CHECKS))


def finish(source: LoadedConfig) -> Loaded:
    """Load what a valid configuration names."""
    files = source.rule_files()
    rules = load_rules(files)
    rules = RuleSet(rules.alerts, (*rules.recordings, *panel_recordings()))
    feeds = tuple(make_feeds([(entry.venue, entry.options(source.config.pegs)) for entry in source.config.feeds]))
    text = repr(source.document.data) + repr(files)
    routing = RoutingConfig.model_validate(source.config.routes)
    return Loaded(source, rules, feeds, routing, hashlib.sha256(text.encode()).hexdigest()[:12], tuple(files))


def check_venues(data: Any, document: Document) -> list[Problem]:
    """Unknown venues, channels that a venue does not carry, and settings that are not its own."""
    problems = []
    for index, entry in entries(data, "feeds"):
        venue = entry.get("venue")
        if not isinstance(venue, str):
            continue
        if venue not in FEEDS:
            problems.append(
                document.problem(("feeds", index, "venue"), f"unknown venue {venue!r}", hint=_suggest(venue, FEEDS))
            )
            continue
        problems += _feed_problems(entry, index, document)
    return problems


def _feed_problems(entry: Mapping[str, Any], index: int, document: Document) -> list[Problem]:
    try:
        model = FeedEntry.model_validate(entry)
    except ValidationError:
        return []  # the model reports it with its place
    laws = feed_class(model.venue).spec.laws
    problems = [
        document.problem(
            ("feeds", index, "channels", place),
            f"{model.venue} has no channel {channel.value!r}",
            hint=f"it has: {', '.join(law.value for law in laws)}",
        )
        for place, channel in enumerate(model.channels)
        if channel not in laws and "channels" in entry
    ]
    if not problems:
        try:
            make_feed(model.venue, model.options())
        except ValueError as error:
            problems.append(document.problem(("feeds", index), f"{model.venue}: {error}"))
    return problems


def check_sinks(data: Any, document: Document) -> list[Problem]:
    """Unknown kinds of sinks and wrong options."""
    problems = []
    for index, entry in entries(data, "sinks"):
        kind = entry.get("type")
        if not isinstance(kind, str):
            problems.append(
                document.problem(("sinks", index), "a sink needs a type", hint=f"one of: {', '.join(KINDS)}")
            )
        elif kind not in KINDS:
            problems.append(
                document.problem(("sinks", index, "type"), f"unknown sink {kind!r}", hint=_suggest(kind, KINDS))
            )
        else:
            problems += _option_problems(entry, index, document)
    return problems + _name_problems(data, document)


def _sink_names(data: Any) -> list[tuple[int, str]]:
    return [(index, str(entry.get("name") or entry.get("type"))) for index, entry in entries(data, "sinks")]


def _name_problems(data: Any, document: Document) -> list[Problem]:
    """Two sinks of one name, and a fallback to a sink that does not exist or to itself."""
    names = _sink_names(data)
    first = {name: index for index, name in reversed(names)}
    problems = [
        document.problem(("sinks", index), f"two sinks are named {name!r}", hint="give one of them a name")
        for index, name in names
        if first[name] != index
    ]
    for (index, entry), (_, own) in zip(entries(data, "sinks"), names, strict=True):
        fallback = entry.get("fallback")
        if fallback and (fallback == own or fallback not in first):
            hint = f"other sinks: {', '.join(sorted(first.keys() - {own})) or 'none'}"
            problems.append(document.problem(("sinks", index, "fallback"), f"no other sink {fallback!r}", hint=hint))
    return problems


def _option_problems(entry: dict[str, Any], index: int, document: Document) -> list[Problem]:
    try:
        sink_options(entry)
    except ValidationError as error:
        prefix = f"{entry['type']}: "
        found = error.errors(include_input=False)
        return [_option_problem(("sinks", index, *details["loc"]), details, document, prefix) for details in found]
    return []


def check_routes(data: Any, document: Document) -> list[Problem]:
    """Wrong routes, and routes to sinks or by times that do not exist."""
    raw = data.get("routes") if isinstance(data, dict) else None
    if not raw:
        return []
    return route_problems(raw, {name for _, name in _sink_names(data)} or {"console"}, document)


def _option_problem(path: tuple[int | str, ...], details: Any, document: Document, prefix: str = "") -> Problem:
    unknown = details["type"] == "extra_forbidden"
    words = str(details["msg"]).removeprefix("Value error, ")
    message = f"unknown key {str(path[-1])!r}" if unknown else f"{path[-1]}: {words}"
    return document.problem(path, prefix + message, key=unknown)


def _suggest(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


CHECKS: Sequence[Check] = (check_venues, check_sinks, check_routes, check_slow_side)

__all__ = ["CHECKS", "ConfigError", "Loaded", "load", "load_text"]
