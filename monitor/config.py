"""The configuration file as one frozen model; every mistake in it is reported at once, with line and column.

Feeds and sinks keep their own options as a raw mapping: the plugin that owns them validates them, so that a new plugin
adds no line here. ``${NAME}`` in any text is replaced from the environment; what it was replaced with counts as secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from monitor.errors import ConfigError, Problem
from monitor.events import Channel
from monitor.feed import FeedOptions
from monitor.instruments import USD_LIKE
from monitor.yamlsource import Document, load_yaml

DEFAULT_CHANNELS = (Channel.PRICE, Channel.LIQUIDATIONS, Channel.FUNDING, Channel.OPEN_INTEREST)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d|w))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})")


def _seconds(value: object) -> object:
    """``30s``, ``1h30m`` or a plain number of seconds."""
    if isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise ValueError("expected a duration such as 30s, 5m or 1h30m")
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    return value


def size_bytes(value: object) -> object:
    """``50G`` as bytes; the units are powers of 1024. What is no text is left as it is.

    Raises:
        ValueError: It is no size.
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if not match:
            raise ValueError("expected a size such as 500M or 50G")
        return int(match[1]) * _UNITS[match[2]]
    return value


def _share(value: object) -> object:
    """``80%`` or 0.8."""
    if isinstance(value, str) and value.endswith("%"):
        return float(value[:-1]) / 100  # a text that is no number raises ValueError, which is reported
    return value


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"expected an address that starts with {' or '.join(f'{s}://' for s in schemes)}")
        _ = parts.port  # raises ValueError on a bad port
        return value

    return AfterValidator(check)


def _listen(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:9108")
    return value


Seconds = Annotated[
    float,
    BeforeValidator(
        _seconds, json_schema_input_type=float | Annotated[str, Field(pattern=f"^(?:{_DURATION.pattern})$")]
    ),
    Field(gt=0),
]
Share = Annotated[
    float,
    BeforeValidator(_share, json_schema_input_type=float | Annotated[str, Field(pattern="^[0-9.]+%$")]),
    Field(ge=0, le=1),
]


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("at least one entry is needed")
    return value


def _stablecoin(value: str) -> str:
    known = sorted(USD_LIKE - {"USD"})
    if value not in known:
        raise ValueError(f"expected a stablecoin that counts as a dollar: {', '.join(known)}")
    return value


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeedEntry(_Model):
    """One entry of ``feeds:``."""

    venue: str
    channels: tuple[Channel, ...] = DEFAULT_CHANNELS
    symbols: Literal["*"] | tuple[str, ...] | None = None
    top: Annotated[int, Field(gt=0, le=5000)] | None = None
    ws_url: Annotated[str, _url("ws", "wss")] | None = None
    rest_url: Annotated[str, _url("http", "https")] | None = None
    include_tradfi: bool = False
    hot_standby: bool = Field(default=False, description="A second connection beside each takes over without a gap.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of this venue only.")

    def options(self, pegs: Mapping[str, Decimal] | None = None) -> FeedOptions:
        """The options as the feed takes them, with the configured prices of stablecoins."""
        return FeedOptions(
            channels=frozenset(self.channels),
            symbols=self.symbols or "*",
            top=self.top,
            ws_url=self.ws_url,
            rest_url=self.rest_url,
            include_tradfi=self.include_tradfi,
            hot_standby=self.hot_standby,
            extra=self.settings,
            pegs=pegs or {},
        )


class LogSettings(_Model):
    """How the program logs."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ApiSettings(_Model):
    """Who may change state over HTTP. Without a token nothing can be changed.

    ``tls_cert`` and ``tls_key``, given together, make the page, the API and the metrics HTTPS.
    """

    token: str | None = Field(default=None, repr=False)
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    external_url: Annotated[str, _url("http", "https")] | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> ApiSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are given together")
        return self


def _kernels(choice: str) -> str:
    if choice == "numba" and find_spec("numba") is None:
        raise ValueError("numba is not installed: pip install 'market-risk-monitor[fast]', or say auto or numpy")
    return choice


class EngineOptions(_Model):
    """How the engine evaluates.

    ``kernels``: which inner loops run, numpy's or compiled ones; ``auto`` takes the compiled where numba is installed.
    """

    interval: Seconds = 0.25
    min_coverage: Share = 0.8
    allowed_lateness: Seconds = 120.0
    max_keys_per_rule: Annotated[int, Field(gt=0, le=1_000_000)] = 20_000
    max_rows_per_series: Annotated[int, Field(ge=10_000, le=1_000_000_000)] = 5_000_000
    snapshot_interval: Seconds = 10.0
    kernels: Annotated[Literal["auto", "numpy", "numba"], AfterValidator(_kernels)] = "numpy"


class AlertOptions(_Model):
    """What all alerts share besides their rules.

    ``abandon_after``: an alert whose data stays away for so long is given up, unless its rule holds on to it.
    ``self_rules``: whether the monitor watches itself with built-in rules.
    """

    flap_fires: Annotated[int, Field(ge=0, le=1000)] = 5
    flap_window: Seconds = 3600.0
    flap_calm: Seconds = 600.0
    abandon_after: Seconds = 86_400.0
    self_rules: bool = True


def _given(value: object) -> object:
    """A key without a value means: as it comes."""
    return {} if value is None else value


class RecordOptions(_Model):
    """What the running monitor writes down of all that crosses the wire.

    ``dir`` is in ``data_dir`` unless it is absolute. The oldest files are removed when all together exceed ``budget``,
    and those that ended longer ago than ``keep``.
    """

    dir: Path = Path("tape")
    budget: Annotated[
        int,
        BeforeValidator(size_bytes, json_schema_input_type=int | Annotated[str, Field(pattern=f"^{_SIZE.pattern}$")]),
        Field(ge=1 << 20),
    ] = 20 << 30
    keep: Seconds | None = None


DEFAULT_RULES = ("rules/*.yaml",)


class Config(_Model):
    """The whole file.

    ``backfill`` fetches the past that the rules' long windows need from the venues, and the events of gaps.
    ``watch`` lists base coins whose symbols become metric labels; all others fold into ``other``.
    ``routes``, ``sinks``, ``sources``, ``inlets`` and ``derived`` are validated by the parts that own them.
    """

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9108"
    data_dir: Path = Path("data")
    rules: tuple[str, ...] = DEFAULT_RULES
    feeds: Annotated[tuple[FeedEntry, ...], AfterValidator(_some)]
    sinks: tuple[dict[str, Any], ...] = ({"type": "console"},)
    routes: list[Any] | dict[str, Any] = Field(default_factory=list)
    sources: tuple[dict[str, Any], ...] = ()
    inlets: tuple[dict[str, Any], ...] = ()
    derived: dict[str, Any] = Field(default_factory=dict)
    backfill: bool = True
    pegs: dict[Annotated[str, AfterValidator(_stablecoin)], Annotated[Decimal, Field(gt=0, le=10)]] = Field(
        default_factory=dict, description="Stablecoins that do not count as one US dollar."
    )
    watch: tuple[str, ...] = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE")
    log: LogSettings = LogSettings()
    api: ApiSettings = ApiSettings()
    engine: EngineOptions = EngineOptions()
    alerts: AlertOptions = AlertOptions()
    record: Annotated[RecordOptions | None, BeforeValidator(_given)] = Field(
        default=None, description="Write a tape while running; without this key none is written."
    )

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def page_address(self) -> str:
        """Where people find the live page; empty where the configuration does not tell."""
        if self.api.external_url is not None:
            return self.api.external_url.rstrip("/")
        host, port = self.listen_address
        scheme = "http" if self.api.tls_cert is None else "https"
        return f"{scheme}://{self.listen}" if port and host not in ("0.0.0.0", "::") else ""  # noqa: S104 - a comparison


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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"cannot read the configuration: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"not UTF-8 text: {error.reason}")]) from None
    return parse_config(text, str(path), path.resolve().parent, environment, checks)


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
        problems += [_problem(document, dict(details)) for details in error.errors()]
        raise ConfigError(_one_per_place(problems)) from None
    if problems:
        raise ConfigError(_one_per_place(problems))
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


def _problem(document: Document, details: dict[str, Any]) -> Problem:
    path = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return document.problem(path, f"unknown key {str(path[-1])!r}", hint=hint, key=True)
    if kind == "missing":
        return document.problem(path[:-1], f"missing key {str(path[-1])!r}")
    message = str(details["msg"]).removeprefix("Value error, ")
    return document.problem(path, f"{_dotted(path)}: {_shown_value(details.get('input'))}{message}")


def _shown_value(value: object) -> str:
    return f"{value!r}: " if isinstance(value, str | int | float | bool) and len(str(value)) <= 60 else ""


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in path if not (isinstance(step, str) and not step.isidentifier()))


def _known_keys(path: tuple[str | int, ...]) -> list[str]:
    model: Any = Config
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        model = next(_models(annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def _one_per_place(problems: list[Problem]) -> list[Problem]:
    """A union reports once per member; keep one problem per place, the members' messages joined."""
    merged: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        place = problem.line, problem.column
        merged.setdefault(place, problem)
    return list(merged.values())


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
