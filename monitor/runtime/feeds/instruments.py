"""Which instruments a feed follows: metadata from the venue or from the cache, and the configured selection."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import dataclass
from typing import Literal

import structlog
from msgspec import structs

from monitor.clock import Clock
from monitor.errors import DecodeError, FetchError, StateError
from monitor.feed import Feed, Request
from monitor.instruments import Instrument, Registry
from monitor.runtime.feeds.desk import Tap
from monitor.runtime.feeds.instruments_cache import InstrumentsCache
from monitor.runtime.settings import FeedSettings
from monitor.tape.facts import metadata_name, snapshot_name, write_instruments
from monitor.transports.http import HttpClient, Reply

MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where a feed's instruments came from.

    ``source`` is ``none`` when neither the venue nor the cache had any; ``error`` says why it is not ``venue``;
    ``changed`` are those that are new or differ from what the registry held.
    """

    venue: str
    source: Literal["venue", "cache", "none"]
    changed: tuple[Instrument, ...] = ()
    error: str = ""
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Page:
    """One metadata reply and what it describes."""

    request: Request
    reply: Reply
    instruments: list[Instrument]


class InstrumentLoader:
    """Fills a registry from the venues, and from the disk where a venue does not answer.

    Args:
        registry: To fill.
        http: Makes the requests.
        clock: Dates the cache.
        cache: None keeps nothing on disk.
        settings: Patience.
        tap: Hears the replies that a registry was filled from, at the moment that it is, or the cached instruments.
    """

    def __init__(
        self,
        registry: Registry,
        http: HttpClient,
        clock: Clock,
        cache: InstrumentsCache | None = None,
        settings: FeedSettings | None = None,
        *,
        tap: Tap | None = None,
    ) -> None:
        self._tap = tap
        self._registry = registry
        self._http = http
        self._clock = clock
        self._cache = cache
        self._settings = settings or FeedSettings()
        self._missing: dict[str, set[str]] = {}
        self._log = structlog.get_logger("monitor.instruments")

    async def load(self, feed: Feed) -> Loaded:
        """Load one feed's instruments: from the venue, or from the cache when it fails or is slow. Never raises for either."""
        venue = feed.spec.venue
        cached = self._read_cache(venue)
        patience_s = self._settings.metadata_patience_s if cached else None
        try:
            async with asyncio.timeout(patience_s):
                return await self.refresh(feed)
        except (FetchError, DecodeError) as error:
            words = str(error)
        except TimeoutError:
            words = f"no metadata within {patience_s:g} s"
        if cached is None:
            self._log.error("instruments.none", venue=venue, error=words)
            return Loaded(venue, "none", error=words)
        age_s = (self._clock.wall_ns() - cached[1]) / 1e9
        if self._tap is not None:
            self._tap(snapshot_name(venue), "rest", write_instruments(cached[0]), self._clock.wall_ns())
        changed = tuple(self._registry.update(cached[0]))
        self._log.warning("instruments.from_cache", venue=venue, error=words, age_s=round(age_s), count=len(cached[0]))
        return Loaded(venue, "cache", changed, words, age_s)

    async def refresh(self, feed: Feed) -> Loaded:
        """Load one feed's instruments from the venue and keep them on disk.

        Raises:
            FetchError: The venue did not answer.
            DecodeError: It answered something else than documented, or nothing at all.
        """
        venue = feed.spec.venue
        pages = await self._fetch_all(feed)
        instruments = [instrument for page in pages for instrument in page.instruments]
        if not instruments:
            raise DecodeError("unexpected", f"{venue}: metadata without a single instrument")
        self._record(venue, pages)
        changed = tuple(self._registry.update([*instruments, *self._ended(venue, instruments)]))
        self._write_cache(venue, instruments)
        self._log.info("instruments.loaded", venue=venue, count=len(instruments), changed=len(changed))
        return Loaded(venue, "venue", changed)

    def _ended(self, venue: str, listed: list[Instrument]) -> list[Instrument]:
        """What the venue lists no longer, closed: a symbol that is missing twice, for one list may be cut short."""
        keys = {instrument.key for instrument in listed}
        missing = {
            key for key, known in self._registry.venue(venue).items() if key not in keys and known.status != "closed"
        }
        ended = missing & self._missing.get(venue, set())
        self._missing[venue] = missing - ended
        if ended:
            self._log.warning("instruments.delisted", venue=venue, symbols=sorted(ended)[:20], count=len(ended))
        return [structs.replace(self._registry.venue(venue)[key], status="closed") for key in sorted(ended)]

    async def ranking(self, feed: Feed) -> dict[str, float]:
        """Open interest in US dollars by symbol, for ``top: N``; empty when the venue has no ranking.

        Raises:
            FetchError: The venue did not answer.
            DecodeError: The reply is not what it documents.
        """
        sizes: dict[str, float] = {}
        for request in feed.ranking():
            reply = await self._http.fetch(request, timeout_s=self._settings.metadata_timeout_s)
            sizes |= feed.parse_ranking(request, reply.body, self._registry)
        return sizes

    def _record(self, venue: str, pages: list[_Page]) -> None:
        if self._tap is not None:
            for number, page in enumerate(pages):
                name = metadata_name(venue, number, page.request.name)
                self._tap(name, "rest", page.reply.body, page.reply.recv_ns)

    async def _fetch_all(self, feed: Feed) -> list[_Page]:
        async with asyncio.TaskGroup() as tasks:
            chains = [tasks.create_task(self._guarded(feed, request)) for request in feed.metadata()]
        pages: list[_Page] = []
        for chain in chains:
            found = chain.result()
            if isinstance(found, Exception):
                raise found
            pages += found
        return pages

    async def _guarded(self, feed: Feed, first: Request) -> list[_Page] | FetchError | DecodeError:
        """One request with its following pages; an error is a result, so that it leaves the task group by itself."""
        try:
            return await self._fetch_pages(feed, first)
        except (FetchError, DecodeError) as error:
            return error

    async def _fetch_pages(self, feed: Feed, first: Request) -> list[_Page]:
        pages: list[_Page] = []
        requests = [first]
        for number, request in enumerate(requests):
            if number >= MOST_PAGES:
                raise DecodeError("unexpected", f"{request.name}: more than {MOST_PAGES} pages")
            reply = await self._http.fetch(request, timeout_s=self._settings.metadata_timeout_s)
            found, following = feed.parse_metadata(request, reply.body)
            pages.append(_Page(request, reply, found))
            requests += following
        return pages

    def _read_cache(self, venue: str) -> tuple[list[Instrument], int] | None:
        if self._cache is None:
            return None
        try:
            cached = self._cache.load(venue)
        except (StateError, OSError) as error:
            self._log.warning("instruments.cache_unreadable", venue=venue, error=str(error))
            return None
        return None if cached is None else (cached.instruments, cached.written_ns)

    def _write_cache(self, venue: str, instruments: list[Instrument]) -> None:
        if self._cache is None:
            return
        try:
            self._cache.store(venue, instruments, self._clock.wall_ns())
        except OSError as error:
            self._log.warning("instruments.cache_unwritable", venue=venue, error=str(error))


def choose(feed: Feed, registry: Registry, sizes: dict[str, float]) -> list[Instrument]:
    """The instruments that a feed follows: its wanted ones, cut to the largest ``top`` when that is configured."""
    wanted = feed.wanted(registry)
    if feed.options.symbols != "*":
        named = frozenset(feed.options.symbols)
        wanted = [instrument for instrument in wanted if instrument.symbol in named]
    if feed.options.top is None:
        return wanted
    ranked = sorted(wanted, key=lambda instrument: (-sizes.get(instrument.symbol, 0.0), instrument.symbol))
    return ranked[: feed.options.top]


def symbol_problems(feed: Feed, registry: Registry) -> list[str]:
    """Configured symbols that the venue does not trade, each with the nearest that it does."""
    if feed.options.symbols == "*":
        return []
    table = registry.venue(feed.spec.venue)
    trading = {instrument.symbol for instrument in feed.wanted(registry)}
    return [
        _problem(symbol, table.get(symbol), list(table)) for symbol in feed.options.symbols if symbol not in trading
    ]


def _problem(symbol: str, instrument: Instrument | None, known: list[str]) -> str:
    if instrument is not None:
        return f"{symbol}: not followed ({instrument.status}, {instrument.asset_class})"
    near = difflib.get_close_matches(symbol, known, n=1)
    return f"{symbol}: unknown" + (f" (did you mean {near[0]}?)" if near else "")
