"""The whole configuration file as one frozen model.

Feeds and sinks keep their own options as a raw mapping: the plugin that owns them validates them, so that a new plugin
adds no line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor.config.kinds import Seconds, Share, Size, address, host_and_port, some
from monitor.events import Channel
from monitor.feed import FeedOptions
from monitor.instruments import USD_LIKE

DEFAULT_CHANNELS = (Channel.PRICE, Channel.LIQUIDATIONS, Channel.FUNDING, Channel.OPEN_INTEREST)


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
    ws_url: Annotated[str, address("ws", "wss")] | None = None
    rest_url: Annotated[str, address("http", "https")] | None = None
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
    external_url: Annotated[str, address("http", "https")] | None = None
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
    budget: Annotated[Size, Field(ge=1 << 20)] = 20 << 30
    keep: Seconds | None = None


DEFAULT_RULES = ("rules/*.yaml",)


class Config(_Model):
    """The whole file.

    ``backfill`` fetches the past that the rules' long windows need from the venues, and the events of gaps.
    ``watch`` lists base coins whose symbols become metric labels; all others fold into ``other``.
    ``routes``, ``sinks``, ``sources``, ``inlets`` and ``derived`` are validated by the parts that own them.
    """

    listen: Annotated[str, AfterValidator(host_and_port)] = "127.0.0.1:9108"
    data_dir: Path = Path("data")
    rules: tuple[str, ...] = DEFAULT_RULES
    feeds: Annotated[tuple[FeedEntry, ...], AfterValidator(some)]
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
