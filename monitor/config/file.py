"""Reading the configuration file: every mistake in it at once, with line and column.

``${NAME}`` in any text is replaced from the environment; what it was replaced with counts as secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.config.model import Config
from monitor.config.problems import model_problem, one_per_place
from monitor.errors import ConfigError, Problem
from monitor.yamlsource import Document, load_yaml

NO_CONFIG = "`python -m monitor init` writes one, `--config FILE` names another, `python -m monitor demo` needs none"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration with what is needed to explain and reload it.

    ``secrets`` are the texts that came from the environment; logs redact them. ``base`` is the folder that relative
    paths in the file start from.
    """

    config: Config
    document: Document
    base: Path
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def problem(self, path: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        """A problem at a place of the file, for plugins that validate their own part."""
        return self.document.problem(path, message, hint=hint)

    def rule_files(self) -> list[tuple[str, str]]:
        """Name and text of every rule file, in name order per pattern, each once.

        Raises:
            ConfigError: A pattern matches nothing or a file cannot be read.
        """
        return read_rule_files(
            self.base, self.config.rules, lambda index, message: self.problem(("rules", index), message)
        )

    @property
    def data_dir(self) -> Path:
        """Where state is kept."""
        return self.base / self.config.data_dir


Check = Callable[[Any, Document], list[Problem]]
"""Looks at the raw data of a file (variables replaced) for what a plugin owns; must cope with any data."""


def load_config(path: Path, environment: Mapping[str, str], checks: Sequence[Check] = ()) -> LoadedConfig:
    """Read and validate one configuration file.

    Args:
        path: The file; relative paths inside it start at its folder.
        environment: Values for ``${NAME}``.
        checks: Further checks, by the owners of feeds, sinks and routes.

    Raises:
        ConfigError: With every problem of the file.
    """
    text = read_text(path, "cannot read the configuration", NO_CONFIG)
    return parse_config(text, str(path), path.resolve().parent, environment, checks)


def read_text(path: Path, failure: str, instead: str = "") -> str:
    """The text of a file that the user named.

    Args:
        path: The file.
        failure: What to say where it cannot be read; the reason follows.
        instead: What to do where there is no such file.

    Raises:
        ConfigError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        hint = instead if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([Problem(str(path), 0, 0, f"{failure}: {error.strerror or error}", hint)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"not UTF-8 text: {error.reason}")]) from None


def parse_config(
    text: str, name: str, base: Path, environment: Mapping[str, str], checks: Sequence[Check] = ()
) -> LoadedConfig:
    """Validate the text of a configuration; see `load_config`."""
    document = load_yaml(text, name)
    substitution = _Substitution(document, environment)
    data = substitution.apply(document.data, ())
    problems = substitution.problems
    if not isinstance(data, dict):
        raise ConfigError([*problems, document.problem((), "expected a mapping of settings")])
    _anchor(data, base)
    problems += [problem for check in (_check_feeds, *checks) for problem in check(data, document)]
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [model_problem(document, dict(details)) for details in error.errors()]
        raise ConfigError(one_per_place(problems)) from None
    if problems:
        raise ConfigError(one_per_place(problems))
    return LoadedConfig(config, document, base, frozenset(substitution.secrets))


PATHS_IN = ("sinks", "inlets", "sources")
"""Sections whose entries name files: under ``path`` and under keys that end in ``_file``."""


def _anchor(data: dict[str, Any], base: Path) -> None:
    """Let every relative path of a plugin's entry start where those of the rest of the file do: at its folder."""
    for section in PATHS_IN:
        entries = data.get(section)
        for entry in entries if isinstance(entries, list) else ():
            for key, value in entry.items() if isinstance(entry, dict) else ():
                if (key == "path" or str(key).endswith("_file")) and isinstance(value, str) and value:
                    entry[key] = str(base / value)


class _Substitution:
    """Replaces ``${NAME}`` in every text of the data."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document = document
        self.environment = environment
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()

    def apply(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """The value with all references replaced."""
        if isinstance(value, dict):
            return {key: self.apply(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _VARIABLE.sub(lambda match: self._lookup(match[1], path), value)
        return value

    def _lookup(self, name: str, path: tuple[str | int, ...]) -> str:
        value = self.environment.get(name)
        if value is None:
            self.problems.append(self.document.problem(path, f"environment variable {name} is not set"))
            return ""
        if value:
            self.secrets.add(value)
        return value


def entries(data: Any, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in the list under ``key``, with their index; whatever is not of that shape is left out."""
    listed = data.get(key) if isinstance(data, dict) else None
    for index, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def _check_feeds(data: Any, document: Document) -> list[Problem]:
    problems = []
    seen: set[str] = set()
    for index, entry in entries(data, "feeds"):
        venue = str(entry.get("venue"))
        if venue in seen:
            problems.append(document.problem(("feeds", index, "venue"), f"venue {venue!r} is configured twice"))
        seen.add(venue)
        if entry.get("top") is not None and entry.get("symbols") is not None:
            problems.append(document.problem(("feeds", index, "top"), "give symbols or top, not both", key=True))
        if entry.get("channels") == []:
            problems.append(document.problem(("feeds", index, "channels"), "at least one channel is needed"))
    return problems


def read_rule_files(
    base: Path, patterns: Sequence[str], problem: Callable[[int, str], Problem]
) -> list[tuple[str, str]]:
    """Name and text of every file that patterns match, in name order per pattern, each once.

    Args:
        base: Where relative patterns start.
        patterns: Paths, with ``*`` and the like.
        problem: Makes a located problem of the number of a pattern and a message.

    Raises:
        ConfigError: A pattern matches nothing or a file cannot be read.
    """
    found: dict[Path, str] = {}
    problems: list[Problem] = []
    for index, pattern in enumerate(patterns):
        paths = sorted(base.glob(pattern)) if not Path(pattern).is_absolute() else _absolute_glob(pattern)
        if not paths:
            problems.append(problem(index, f"no rule file matches {pattern!r}"))
        for path in paths:
            try:
                found[path] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(problem(index, f"cannot read {path.name}: {error}"))
    if problems:
        raise ConfigError(problems)
    return [(_shown(path), text) for path, text in found.items()]


def _absolute_glob(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
