"""The slow sources: one file and one line of this table each; nothing here imports a source until it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

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
