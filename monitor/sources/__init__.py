"""The slow sources: one file and one line of this table each; nothing here imports a source until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from monitor.source import Source, SourceOptions

SOURCES: dict[str, str] = {
    "coingecko": "monitor.sources.coingecko:CoinGeckoSource",
    "defillama": "monitor.sources.defillama:DefiLlamaSource",
    "sosovalue": "monitor.sources.sosovalue:SoSoValueSource",
    "ratios": "monitor.sources.ratios:RatiosSource",
    "candles": "monitor.sources.candles:CandlesSource",
    "deribit_options": "monitor.sources.deribit_options:DeribitOptionsSource",
}
"""Name in the configuration -> ``module:class``."""


def source_class(name: str) -> type[Source]:
    """The class of a source.

    Raises:
        KeyError: No such source.
    """
    module, _, attribute = SOURCES[name].partition(":")
    return cast("type[Source]", getattr(import_module(module), attribute))


def make_source(name: str, options: SourceOptions) -> Source:
    """Build a source.

    Raises:
        KeyError: No such source.
        ValueError: A setting is not one of this source's, or its key is missing.
    """
    return source_class(name)(options)  # type: ignore[call-arg]  # a Protocol cannot say how it is constructed


def read_source(entry: Mapping[str, Any]) -> Source:
    """One entry of ``sources:``: ``type``, ``url``, ``key``, ``every_s`` and the source's own settings.

    Raises:
        ValueError: With what is wrong, in a sentence; never with the key.
    """
    rest = dict(entry)
    name = rest.pop("type", None)
    if name not in SOURCES:
        raise ValueError(f"sources: unknown type {name!r} (known: {', '.join(SOURCES)})")
    url, key, every_s = rest.pop("url", None), rest.pop("key", None) or "", rest.pop("every_s", {})
    if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise ValueError(f"{name}: url must start with http:// or https://")
    if not isinstance(key, str):
        raise ValueError(f"{name}: key must be a text")  # noqa: TRY004  # one kind of error for the file
    if not isinstance(every_s, Mapping) or not all(_is_interval(value) for value in every_s.values()):
        raise ValueError(f"{name}: every_s must map requests to seconds of at least 1")
    options = SourceOptions(url, key, {str(k): float(v) for k, v in every_s.items()}, rest)
    source = make_source(name, options)
    kinds = dict.fromkeys(poll.request.name.partition(":")[0] for poll in source.polls(0))
    unknown = sorted(set(options.every_s) - set(kinds))
    if unknown:
        raise ValueError(f"{name}: every_s: no request is called {', '.join(unknown)} (known: {', '.join(kinds)})")
    return source


def _is_interval(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
