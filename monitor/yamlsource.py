"""YAML 1.2 with positions: plain Python data, and for every key, value and character of it the place in the file.

Configuration, rules and rule tests are read through `load_yaml`. It refuses what other readers let pass (a duplicate
key, a second document, a tag) and bounds size, depth and aliases, so that no text can exhaust the process.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from monitor.errors import ConfigError, Problem
from monitor.veil import veiled

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 100_000
"""Nodes after aliases are expanded."""

Path = tuple[str | int, ...]

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_NULL = re.compile(r"(?:~|null|Null|NULL|)")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_BASED_INT = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}


@dataclass(slots=True)
class _Node:
    """One value of the file: where it stands, how it was written, and its children."""

    start: int
    end: int
    data: Any = None
    text: str | None = None
    style: str = ""
    children: dict[str | int, _Node] = field(default_factory=dict)
    keys: dict[str | int, tuple[int, int]] = field(default_factory=dict)
    size: int = 1


class _Source:
    """The text of a file and its lines, counted as YAML counts them."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text
        self.starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a text offset, both from 1."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def offset(self, mark: StringMark) -> int:
        """Text offset of a mark of the scanner."""
        return self.starts[min(mark.line, len(self.starts) - 1)] + mark.column

    def line(self, number: int) -> str:
        """A line of the text without its break."""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n\x85\u2028\u2029")

    def problem(self, offset: int, message: str, hint: str = "", width: int = 1) -> Problem:
        """A located problem whose caret never runs past its line."""
        line, column = self.place(offset)
        source = self.line(line)
        room = max(len(source) - column + 1, 1)
        return Problem(self.file, line, column, message, hint, veiled(source), max(min(width, room), 1))


class Document:
    """The data of one file and the places of its parts.

    A *path* names a part: ``("groups", 0, "rules", 2, "expr")``. A path that leads further than the file does means
    its nearest existing parent, so that a missing key is reported at the mapping that lacks it.
    """

    def __init__(self, source: _Source, root: _Node) -> None:
        self._source = source
        self._root = root
        self.file = source.file
        self.data: Any = root.data

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at ``path``, or of its key."""
        return self._source.place(self._extent(path, key=key)[0])

    def problem(
        self,
        path: Path,
        message: str,
        *,
        hint: str = "",
        key: bool = False,
        offset: int | None = None,
        width: int | None = None,
    ) -> Problem:
        """Build a located problem.

        Args:
            path: The part that is wrong.
            message: What is wrong.
            hint: What would have been right.
            key: Point at the key instead of the value.
            offset: Offset inside the decoded text of a scalar; the caret then stands under that very character,
                whether the scalar is plain, quoted or a block.
            width: Columns to underline; by default the whole key or value, as far as its first line goes.
        """
        start, end = self._extent(path, key=key)
        if offset is not None:
            node = self._find(path)
            start, end = self._locate(node, offset), self._locate(node, offset + (width or 1) - 1) + 1
        return self._source.problem(start, message, hint, end - start)

    def _find(self, path: Path) -> _Node:
        node = self._root
        for step in path:
            if step not in node.children:
                break
            node = node.children[step]
        return node

    def _extent(self, path: Path, *, key: bool) -> tuple[int, int]:
        if key and path:
            parent = self._find(path[:-1])
            if path[-1] in parent.keys:
                return parent.keys[path[-1]]
        node = self._find(path)
        return node.start, node.end

    def _locate(self, node: _Node, offset: int) -> int:
        if node.text is None:
            return node.start
        places = _scalar_offsets(self._source.text[node.start : node.end], node.text, node.style)
        if offset < len(places):
            return node.start + places[max(offset, 0)]
        return node.start + (places[-1] + 1 if places else 0)


def load_yaml(text: str, file: str) -> Document:
    """Read one YAML 1.2 document.

    Mapping keys are text as written. Scalars follow YAML 1.2's core schema: ``1e9`` is a number, ``no`` is text and
    so is a date. Anchors, aliases and the merge key ``<<`` work; tags do not.

    Args:
        text: The file's content.
        file: Its name, for error messages.

    Raises:
        ConfigError: With every duplicate key found, or with the first syntax error.
    """
    source = _Source(text.removeprefix("\ufeff"), file)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError([source.problem(0, f"the file is larger than {MAX_BYTES >> 10} KiB")])
    builder = _Builder(source)
    try:
        root = builder.build()
    except MarkedYAMLError as error:
        raise ConfigError([*builder.problems, _syntax_problem(source, error)]) from None
    except ReaderError as error:
        offset = min(int(error.position), len(source.text))
        raise ConfigError([source.problem(offset, f"character {error.character!r} is not allowed in YAML")]) from None
    except (YAMLError, ValueError) as error:
        raise ConfigError([source.problem(0, f"not YAML: {error}")]) from None
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(source, root)


def _syntax_problem(source: _Source, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = " ".join(part for part in (error.problem, error.context) if part)
    return source.problem(source.offset(mark) if mark else 0, f"not YAML: {message}")


class _Builder:
    """Turns the scanner's events into nodes, in one pass with bounded recursion."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0
        self._events: Iterator[Event] = iter(())

    def build(self) -> _Node:
        self._events = iter(YAML(typ="safe", pure=True).parse(self.source.text))
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self._refuse(event, "a second document in one file")
                root = self._node(next(self._events), 0)
        return root or _Node(0, 0, None, "")

    def _refuse(self, event: Event, message: str) -> None:
        raise ConfigError([*self.problems, self.source.problem(self.source.offset(event.start_mark), message)])

    def _node(self, event: Event, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, AliasEvent):
            node = self._anchors.get(event.anchor)
            if node is None:
                self._refuse(event, f"no anchor &{event.anchor} before this alias")
        else:
            if getattr(event, "ctag", None) is not None:
                self._refuse(event, "tags are not supported")
            node = self._new_node(event, depth)
            anchor = getattr(event, "anchor", None)
            if anchor:
                self._anchors[anchor] = node
        assert node is not None
        self._count(event, node)
        return node

    def _count(self, event: Event, node: _Node) -> None:
        self._nodes += node.size if isinstance(event, AliasEvent) else 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} values after aliases")

    def _new_node(self, event: Event, depth: int) -> _Node:
        start, end = self.source.offset(event.start_mark), self.source.offset(event.end_mark)
        if isinstance(event, MappingStartEvent):
            return self._mapping(_Node(start, end, {}), depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(_Node(start, end, []), depth)
        assert isinstance(event, ScalarEvent)
        data = event.value if event.style else _plain(event.value)
        return _Node(start, end, data, event.value, event.style or "")

    def _sequence(self, node: _Node, depth: int) -> _Node:
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            child = self._node(event, depth + 1)
            node.children[len(node.data)] = child
            node.data.append(child.data)
            node.size += child.size
        return node

    def _mapping(self, node: _Node, depth: int) -> _Node:
        merges: list[_Node] = []
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event)
            child = self._node(next(self._events), depth + 1)
            node.size += 1 + child.size
            if key == "<<":
                merges += self._merged(child)
            elif key in node.children:
                line = self.source.place(node.keys[key][0])[0]
                place = self.source.offset(event.start_mark)
                problem = self.source.problem(place, f"duplicate key {key!r}", f"first given on line {line}", len(key))
                self.problems.append(problem)
            else:
                node.keys[key] = self.source.offset(event.start_mark), self.source.offset(event.end_mark)
                node.children[key], node.data[key] = child, child.data
        for merge in merges:
            for name, child in merge.children.items():
                if name not in node.children:
                    node.keys[name] = merge.keys[name]
                    node.children[name], node.data[name] = child, child.data
        return node

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "a key must be plain text")
        assert isinstance(event, ScalarEvent)
        if event.anchor:
            self._refuse(event, "a key cannot carry an anchor")
        return str(event.value)

    def _merged(self, node: _Node) -> list[_Node]:
        parts = list(node.children.values()) if isinstance(node.data, list) else [node]
        for part in parts:
            if not isinstance(part.data, dict):
                raise ConfigError([self.source.problem(part.start, "<< takes a mapping or a list of mappings")])
        return parts


def _plain(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar by YAML 1.2's core schema."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _BASED_INT.fullmatch(text):
        return int(text, 0)
    if len(text) < 400 and (_FLOAT.fullmatch(text) or _SPECIAL_FLOAT.fullmatch(text)):
        return float(text if text[-1] not in "fFnN" else text.replace(".", ""))
    return text


def _scalar_offsets(raw: str, text: str, style: str) -> list[int]:
    """For each character of a scalar's decoded text, its offset in the raw text.

    Exact for every visible character; white space that was folded maps to the fold.
    """
    at = _PROPERTIES.match(raw).end()  # type: ignore[union-attr]  # it matches nothing, too
    if style in ("|", ">"):
        first_break = _BREAK.search(raw, at)
        at = first_break.end() if first_break else len(raw)
    elif style:
        at += 1
    places: list[int] = []
    for char in text:
        if not char.isspace():
            at = _skip_fold(raw, at, style)
        places.append(min(at, max(len(raw) - 1, 0)))
        at += _raw_width(raw, at, style) if _stands(raw, at, char, style) else 0
    return places


def _stands(raw: str, at: int, char: str, style: str) -> bool:
    """Whether the raw text at ``at`` spells ``char`` (folded white space is spelled later or not at all)."""
    if at >= len(raw):
        return False
    return not char.isspace() or raw[at].isspace() or (style == '"' and raw[at] == "\\")


def _skip_fold(raw: str, at: int, style: str) -> int:
    """Step over line breaks, indentation and, in double quotes, escaped line breaks."""
    while at < len(raw):
        escaped_break = style == '"' and raw[at] == "\\" and _BREAK.match(raw, at + 1)
        if not raw[at].isspace() and not escaped_break:
            break
        at += 1
    return at


def _raw_width(raw: str, at: int, style: str) -> int:
    """How many raw characters spell the decoded character at ``at``."""
    if style == "'" and raw.startswith("''", at):
        return 2
    if style == '"' and raw[at] == "\\" and at + 1 < len(raw):
        return 2 + _ESCAPE_DIGITS.get(raw[at + 1], 0)
    return 1
