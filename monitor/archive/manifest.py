"""What an archive says of itself: one small JSON file for each export or import that was put into it.

A data file counts only when a manifest names it, and a manifest is written last: what a crash left behind is not read.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from monitor.archive.schema import VERSION
from monitor.errors import TapeError

_READ_BYTES = 1024 * 1024

FOLDER = "_exports"
INSTRUMENTS = "instruments"
_ORIGIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class Part(msgspec.Struct, frozen=True):
    """One data file: its path within the archive, its table and partition, rows, and its least and greatest ``at_ns``."""

    path: str
    table: str
    venue: str
    rows: int
    first_ns: int
    last_ns: int


class Lost(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the source did not have: losses in words, and counts by reason.

    ``between`` has for each loss the times between which it lies, unix ns; empty in an archive of an earlier program.
    """

    losses: tuple[str, ...] = ()
    dropped: dict[str, int] = {}
    skipped: dict[str, int] = {}
    undecoded: dict[str, int] = {}
    steps_back: int = 0
    between: tuple[tuple[int | None, int | None], ...] = ()

    @property
    def total(self) -> int:
        """How many things are missing."""
        return len(self.losses) + sum(sum(part.values()) for part in (self.dropped, self.skipped, self.undecoded))

    def losses_of(self, start_ns: int, end_ns: int) -> list[str]:
        """Losses that may lie in [start, end)."""
        known = len(self.between) == len(self.losses)
        between = self.between if known else ((None, None),) * len(self.losses)
        return [
            words
            for words, (since_ns, until_ns) in zip(self.losses, between, strict=True)
            if (since_ns is None or since_ns < end_ns) and (until_ns is None or until_ns >= start_ns)
        ]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One export or import.

    Attributes:
        version: Of the schema.
        origin: Its name; rows and files carry it.
        source: Where the data came from, in words.
        note: Not empty when the market was made up.
        program: What wrote it.
        start_ns: The data covers [start_ns, end_ns).
        end_ns: See `start_ns`.
        parts: Its files.
        instruments: The file of its instruments; empty in an archive of an earlier program, see `Manifest.items`.
        replaces: Digests of the manifests that it takes the place of: they count no more, though a crash left them there.
        lost: What the source did not have.
    """

    version: int = VERSION
    origin: str
    source: str
    note: str = ""
    program: str = ""
    start_ns: int
    end_ns: int
    parts: tuple[Part, ...] = ()
    instruments: str = ""
    replaces: tuple[str, ...] = ()
    lost: Lost = Lost()

    @property
    def items(self) -> str:
        """The file of its instruments, within the archive."""
        return self.instruments or f"{INSTRUMENTS}/{self.origin}.parquet"

    @property
    def paths(self) -> set[str]:
        """Every file of its, within the archive."""
        return {self.items, *(part.path for part in self.parts)}

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table."""
        found: dict[str, int] = {}
        for part in self.parts:
            found[part.table] = found.get(part.table, 0) + part.rows
        return dict(sorted(found.items()))

    def covers(self) -> set[tuple[str, str]]:
        """The (table, venue) that it has rows of."""
        return {(part.table, part.venue) for part in self.parts}


class _Version(msgspec.Struct):
    version: int


def checksum(path: Path) -> int:
    """CRC-32 of a file, which its name bears.

    Raises:
        OSError: It cannot be read.
    """
    found = 0
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            found = zlib.crc32(part, found)
    return found


def is_itself(path: Path) -> bool:
    """Whether a file is what was written under its name.

    Raises:
        OSError: It cannot be read.
    """
    return path.name.endswith(f"-{checksum(path):08x}.parquet")


def origin_name(words: str, digest: str) -> str:
    """A name for an origin that is fit for a file name: the words as far as they go, and some of a digest.

    >>> origin_name("My Tape (1)", "0123456789abcdef")
    'my-tape-1-01234567'
    """
    return f"{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')[:40] or 'tape'}-{digest[:8]}"


def manifest_path(folder: Path, origin: str) -> Path:
    """Where the manifest of an origin is."""
    return folder / FOLDER / f"{origin}.json"


def is_archive(folder: Path) -> bool:
    """Whether something was put into an archive here."""
    return any((folder / FOLDER).glob("*.json"))


def read_manifests(folder: Path) -> list[Manifest]:
    """Everything that was put into an archive and still counts, in the order of time.

    Raises:
        TapeError: A manifest is damaged or of another version.
    """
    found = read_all(folder)
    replaced = {digest for manifest in found.values() for digest in manifest.replaces}
    counting = (manifest for digest, manifest in found.items() if digest not in replaced)
    return sorted(counting, key=lambda manifest: (manifest.start_ns, manifest.origin))


def read_all(folder: Path) -> dict[str, Manifest]:
    """Every manifest by its digest, also one that another replaces and that was not removed yet; raises as `read_manifests`."""
    return dict(_read(path) for path in sorted((folder / FOLDER).glob("*.json")))


def _read(path: Path) -> tuple[str, Manifest]:
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).version
        if version != VERSION:
            raise TapeError(f"version {version}, but this program reads version {VERSION}", str(path))
        found = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TapeError(f"not the manifest of an archive: {error}", str(path)) from None
    if not _ORIGIN.fullmatch(found.origin) or found.origin != path.stem:
        raise TapeError(f"names another origin: {found.origin[:100]!r}", str(path))
    for name in found.paths:
        if name.startswith("/") or ".." in Path(name).parts:
            raise TapeError(f"names a file outside of the archive: {name[:100]!r}", str(path))
    return hashlib.sha256(data).hexdigest(), found


def overlaps(manifest: Manifest, others: Iterable[Manifest]) -> list[Manifest]:
    """Other origins that hold the same table of the same venue for part of the same time: rows would count twice."""
    mine = manifest.covers() - {(table, venue) for table, venue in manifest.covers() if table in _HARMLESS}
    return [
        other
        for other in others
        if other.origin != manifest.origin
        and other.start_ns < manifest.end_ns
        and manifest.start_ns < other.end_ns
        and mine & other.covers()
    ]


_HARMLESS = frozenset({"states", "gaps"})
"""Said twice, they say the same."""
