"""Panels as rows of cells: pure functions of a `Picture`. A state is always a word; colour only repeats it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from monitor import format as fmt
from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.terminal.fit import Column
from monitor.terminal.picture import Picture

Json = Mapping[str, Any]
BLOCKS = "▁▂▃▄▅▆▇█"
SEVERITIES = ("critical", "warning", "info")
URGENCY = {"firing": 0, "held": 1, "pending": 2, "resolved": 3}
TONES = {"firing": "bad", "held": "held", "pending": "warn", "resolved": "ok", "unknown": "held"}
HIDDEN_LABELS = ("alertname", "severity")


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and what its colour says: ok, warn, bad, held, long, short, quiet, or nothing."""

    text: str
    tone: str = ""
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a panel; `key` stays the same while the line means the same thing."""

    key: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A table that can be shown.

    Attributes:
        name: Its identity, and the word on its tab.
        title: What it shows, in a line.
        columns: Their heads, and which of them go first where there is no room.
        needs: Sections it is drawn from.
        rows: Draws it.
        empty: What to say when there is nothing.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    needs: frozenset[str]
    rows: Callable[[Picture], list[Row]]
    empty: str


def number(text: str, tone: str = "") -> Cell:
    """A cell that is aligned at its end."""
    return Cell(text, tone, right=True)


def spark(points: Sequence[float | None], width: int, floor: float | None = None) -> str:
    """All points as at most `width` blocks, a gap where none is known; `floor` 0 draws from zero."""
    return "".join(" " if level is None else BLOCKS[level] for level in _levels(points, width, floor, len(BLOCKS)))


def tall_spark(points: Sequence[float | None], width: int, floor: float | None = None) -> tuple[str, str]:
    """The same in two lines, the upper one first: twice as fine."""
    levels = list(_levels(points, width, floor, 2 * len(BLOCKS)))
    upper = (" " if level is None or level < len(BLOCKS) else BLOCKS[level - len(BLOCKS)] for level in levels)
    lower = (" " if level is None else BLOCKS[min(level, len(BLOCKS) - 1)] for level in levels)
    return "".join(upper), "".join(lower)


def _levels(points: Sequence[float | None], width: int, floor: float | None, steps: int) -> Iterator[int | None]:
    shown = _thinned(points, width)
    known = [point for point in shown if point is not None]
    if len(known) < 2:
        return
    low = min(known) if floor is None else min(floor, *known)
    span = (max(known) - low) or 1.0
    yield from (None if point is None else round((point - low) / span * (steps - 1)) for point in shown)


def _thinned(points: Sequence[float | None], width: int) -> list[float | None]:
    """`width` points for all of them: the mean of those that fall together."""
    if len(points) <= width:
        return list(points)
    edges = [len(points) * place // width for place in range(width + 1)]
    parts = [[point for point in points[start:end] if point is not None] for start, end in pairwise(edges)]
    return [sum(part) / len(part) if part else None for part in parts]


def label_text(labels: Json, hidden: Sequence[str] = ()) -> str:
    """``base=BTC side=long``."""
    return " ".join(f"{name}={value}" for name, value in labels.items() if name not in hidden)


def full_name(name: str, labels: Mapping[str, str]) -> str:
    """An alert with what tells it from its siblings, ``CoinLiquidations BTC``: the values alone, the labels' names are in the inspector."""
    return " ".join([name, *(value for label, value in labels.items() if label not in HIDDEN_LABELS)])


def cover(value: float | None) -> Cell:
    """Coverage; less than 95 % is a warning, less than 80 % bad."""
    known = value is not None
    tone = ("ok" if value >= 0.95 else "warn" if value >= 0.8 else "bad") if known and value is not None else "quiet"
    return number(fmt.share(value), tone)


def signed(text: str, value: float | None) -> Cell:
    """A rate, toned by its sign."""
    return number(text, "" if not value else "short" if value > 0 else "long")


def moved(points: Sequence[float | None], last: float | None) -> Cell:
    """The move to `last` from the oldest point of an hour; nothing while there is none."""
    first = next((point for point in points[:-1] if point), None)
    if first is None or last is None:
        return number("")
    ratio = last / first - 1
    return signed(fmt.move(ratio), round(ratio, 4))


# -- alerts and rules


def rank(row: Json) -> int:
    """Place of a severity: the word of the rule's label, or none of the usual ones."""
    return SEVERITIES.index(row["severity"]) if row["severity"] in SEVERITIES else len(SEVERITIES)


def severity(row: Json) -> Cell:
    """The word; critical stands out."""
    return Cell(row["severity"], "bad" if row["severity"] == "critical" else "quiet")


def alert_rows(picture: Picture) -> list[Row]:
    """The most urgent first, critical ones before others, the newest first among equals."""
    alerts = sorted(
        picture.rows("alerts"),
        key=lambda alert: (URGENCY.get(alert["state"], 9), rank(alert), -(alert["fired"] or alert["active"] or 0)),
    )
    return [_alert_row(alert, picture) for alert in alerts]


def _alert_row(alert: Json, picture: Picture) -> Row:
    unit = picture.unit(alert["rule"])
    since = alert["resolved"] if alert["state"] == "resolved" else alert["fired"] or alert["active"]
    value, threshold = reading(alert, unit)
    return Row(
        alert_key(alert),
        (
            Cell(alert["state"] + _marks(alert), TONES.get(alert["state"], "")),
            Cell(full_name(alert["name"], alert["labels"])),
            value,
            threshold,
            cover(alert["coverage"]),
            number(picture.ago(since)),
            severity(alert),
            Cell(_handled(alert) or alert["annotations"].get("summary", "") or alert["reason"], "quiet"),
        ),
    )


def reading(row: Json, unit: str) -> tuple[Cell, Cell]:
    """Value and threshold, with enough digits to tell them apart; ``≥`` where what is missing could only add to it."""
    value, threshold = fmt.pair(row["value"], row["threshold"], unit)
    bound = "≥ " if row["lower_bound"] and (row["coverage"] or 0) < 1 else ""
    return number(bound + value), number(threshold, "quiet")


def alert_key(alert: Json) -> str:
    """What tells an episode of an alert from its former ones, which may still be listed as resolved."""
    return f"{alert['fingerprint']} {alert['active']}"


def _marks(alert: Json) -> str:
    """Beside the state, where it is seen in narrow panels too."""
    return (" ack" if alert["acked_by"] else "") + (" mute" if alert["silenced_by"] else "")


def _handled(alert: Json) -> str:
    words = [f"acknowledged by {alert['acked_by']}"] if alert["acked_by"] else []
    words += ["silenced"] if alert["silenced_by"] else []
    return ", ".join(words)


def rule_rows(picture: Picture) -> list[Row]:
    """One line per rule, its most urgent label set: active rules first, critical ones before others, then as in the files."""
    return [_rule_row(rule) for rule in sorted(picture.rows("rules"), key=lambda rule: (_urgency(rule), rank(rule)))]


def _urgency(rule: Json) -> int:
    if rule["error"]:
        return 0
    rows = (URGENCY.get(row["state"], 3 if row["truth"] < 0 else 4) for row in rule["rows"])
    return min(4, *rows, 4)


def _in_a_line(text: str) -> str:
    """An expression over several lines as one; a cell shows no more than its first."""
    return " ".join(text.split())


def _rule_row(rule: Json) -> Row:
    first = rule["rows"][0] if rule["rows"] else None
    if first is None:
        nothing = Cell("error", "bad") if rule["error"] else Cell("no data", "quiet")
        empty = (number(fmt.MISSING), number(""), number(""))
        return Row(
            rule["id"], (nothing, Cell(rule["name"]), *empty, Cell(rule["error"] or _in_a_line(rule["text"]), "quiet"))
        )
    state = "unknown" if first["truth"] < 0 and first["state"] == "inactive" else first["state"]
    more = f" ({rule['row_count']} rows)" if rule["row_count"] > 1 else ""
    return Row(
        rule["id"],
        (
            Cell(state, TONES.get(state, "quiet")),
            Cell(rule["name"] + more),
            *reading(first, rule["unit"]),
            cover(first["coverage"]),
            Cell(
                rule["error"] or label_text(first["labels"]) or _in_a_line(rule["text"]),
                "bad" if rule["error"] else "quiet",
            ),
        ),
    )


# -- the market


def market_rows(picture: Picture) -> list[Row]:
    """By coin, the largest open interest first."""
    books = {row["base"]: row for row in picture.rows("depth")}
    return [_market_row(asset, books.get(asset["base"]), picture) for asset in picture.rows("assets")]


def _market_row(asset: Json, book: Json | None, picture: Picture) -> Row:
    funding = asset["funding_8h"]
    return Row(
        asset["base"],
        (
            Cell(asset["base"]),
            number(fmt.price(asset["price_usd"])),
            moved(picture.spark(f"price/{asset['base']}"), asset["price_usd"]),
            Cell(spark(picture.spark(f"price/{asset['base']}"), 10), "quiet"),
            signed(fmt.rate(funding), funding),
            number(fmt.usd(asset["open_interest_usd"])),
            number(fmt.usd(book["bid_usd"]) if book else fmt.MISSING),
            number(fmt.usd(book["ask_usd"]) if book else fmt.MISSING),
            number(fmt.bp(book["spread"]) if book else fmt.MISSING),
        ),
    )


def liquidation_rows(picture: Picture) -> list[Row]:
    """Every window by venue and by coin."""
    return [
        _liquidation_row(window["window"], kind, row, picture)
        for window in picture.rows("windows")
        for kind in ("venues", "bases")
        for row in window[kind]
    ]


def _liquidation_row(window: str, kind: str, row: Json, picture: Picture) -> Row:
    course = spark(picture.spark(f"{window}/{row['name']}/long"), 16, 0.0) if kind == "venues" else ""
    return Row(
        f"{window} {kind} {row['name']}",
        (
            Cell(window),
            Cell(row["title"]),
            number(fmt.usd(row["long_usd"]), "long"),
            number(fmt.usd(row["short_usd"]), "short"),
            number(fmt.num(row["count"])),
            Cell(course, "quiet"),
            cover(row["coverage"]),
        ),
    )


def pulse(picture: Picture) -> list[tuple[str, Cell, Cell]]:
    """Where the market stands, in a line: name, figure, and its move in the last hour."""
    assets = picture.rows("assets")
    found = [
        (asset["base"], number(fmt.price(asset["price_usd"])), moved(picture.spark(f"price/{asset['base']}"), asset["price_usd"]))
        for asset in assets[:2]
        if asset["price_usd"] is not None
    ]  # fmt: skip
    held = [asset for asset in assets if asset["open_interest_usd"]]
    if not held:
        return found
    interest = sum(asset["open_interest_usd"] for asset in held)
    found.append(("open interest", number(fmt.usd(interest)), _moved_together(picture, held)))
    paid = [asset for asset in held if asset["funding_8h"] is not None]
    if paid:
        weight = sum(asset["open_interest_usd"] for asset in paid)
        mean = sum(asset["open_interest_usd"] * asset["funding_8h"] for asset in paid) / weight
        found.append(("funding 8 h", signed(fmt.rate(mean), mean), Cell("")))
    return found


def _moved_together(picture: Picture, held: Sequence[Json]) -> Cell:
    """The move of a sum since the largest coin's line began; a coin that is missing at one end counts at neither."""
    lines = [picture.spark(f"interest/{asset['base']}") for asset in held]
    start = next((place for place, point in enumerate(lines[0]) if point is not None), None)
    if start is None:
        return Cell("")
    ends = [(line[start], line[-1]) for line in lines if len(line) == len(lines[0])]
    whole = [(first, last) for first, last in ends if first is not None and last is not None]
    return moved([sum(first for first, _ in whole), None], sum(last for _, last in whole)) if start + 1 < len(lines[0]) else Cell("")  # fmt: skip


@dataclass(frozen=True, slots=True)
class WindowCard:
    """One rolling window in large: heading, total, its course, both sides."""

    name: str
    coverage: Cell
    total: str
    points: Sequence[float | None]
    long: str
    short: str


def window_cards(picture: Picture) -> list[WindowCard]:
    """One per window."""
    return [
        WindowCard(
            window["window"],
            cover(window["coverage"]),
            fmt.usd(window["long_usd"] + window["short_usd"]),
            picture.spark(f"{window['window']}//"),
            fmt.usd(window["long_usd"]),
            fmt.usd(window["short_usd"]),
        )
        for window in picture.rows("windows")
    ]


# -- feeds, signals, history


def feed_rows(picture: Picture) -> list[Row]:
    """One line per venue, what is wrong with it last."""
    return [_feed_row(feed, picture) for feed in picture.rows("feeds")]


def _feed_row(feed: Json, picture: Picture) -> Row:
    newest = max((channel["last"] or 0 for channel in feed["channels"]), default=0)
    lost = sum(feed["dropped"].values())
    refused = len(feed["refused"])
    trouble = [feed["error"]] if feed["error"] else []
    trouble += [f"{refused} subscription{'s' if refused > 1 else ''} refused"] if refused else []
    return Row(
        feed["venue"],
        (
            Cell("up", "ok") if feed["up"] else Cell("DOWN", "bad"),
            Cell(feed["title"]),
            cover(feed["coverage"]),
            number(picture.ago(newest)),
            number(fmt.num(feed["frames"])),
            number(str(sum(feed["reconnects"].values()))),
            number(fmt.num(lost), "bad" if lost else ""),
            number(offset_text(feed["clock_offset_s"])),
            Cell("; ".join(trouble), "warn"),
        ),
    )


def offset_text(seconds: float | None) -> str:
    """A difference of clocks: ``+12ms``, ``-1.27s``."""
    if seconds is None:
        return fmt.MISSING
    if abs(seconds) < 1:
        return f"{seconds * 1000:+.0f}ms"
    return f"{seconds:+.2f}s" if abs(seconds) < 60 else ("+" if seconds > 0 else "") + fmt.duration(seconds * NS_PER_S)


def signal_rows(picture: Picture) -> list[Row]:
    """The catalogue; an absent signal says why."""
    return [_signal_row(row, picture) for row in picture.rows("signals")]


def _signal_row(row: Json, picture: Picture) -> Row:
    if row["absent"]:
        cells = (
            Cell("absent", "quiet"),
            number(""),
            number(""),
            number(""),
            Cell(row["title"]),
            Cell(row["absent"], "quiet"),
        )
        return Row(row["id"], (Cell(row["id"]), *cells))
    state = Cell("FIRING", "bad") if row["rule"] in row["firing_rules"] else Cell("quiet")
    others = [rule for rule in row["firing_rules"] if rule != row["rule"]]
    return Row(
        row["id"],
        (
            Cell(row["id"]),
            state,
            number(fmt.amount(row["value"], row["unit"])),
            number(picture.ago(row["as_of"]) if row["as_of"] else fmt.MISSING),
            cover(row["coverage"]),
            Cell(row["title"]),
            Cell(f"{row['rule']}; firing {', '.join(others)}" if others else row["rule"], "quiet"),
        ),
    )


def history_rows(picture: Picture) -> list[Row]:
    """What happened, newest first."""
    return [
        Row(
            f"{row['at']} {row['kind']} {row['fingerprint']}",
            (
                Cell(fmt.utc_time(row["at"] * NS_PER_MS)),
                Cell(row["kind"], TONES.get(row["kind"], "")),
                Cell(full_name(row["labels"].get("alertname", row["rule"]), row["labels"])),
                Cell(row["text"], "quiet"),
            ),
        )
        for row in picture.rows("history")
    ]


def _columns(*known: str | tuple[str, int] | tuple[str, int, int]) -> tuple[Column, ...]:
    return tuple(Column(one) if isinstance(one, str) else Column(*one) for one in known)


PANELS: tuple[Panel, ...] = (
    Panel("alerts", "Alerts: a acknowledge, s silence, Enter why", _columns("State", ("Alert", 0, 22), "Value", ("Against", 2), ("Cover", 3), ("Since", 1), ("Severity", 4), ("Note", 5, 24)), frozenset({"alerts", "rules"}), alert_rows, "Nothing is firing."),
    Panel("market", "Market: funding per 8 h by open interest, depth within 1%", _columns("Coin", "Price USD", "Move", ("Last hour", 2), "Funding 8 h", ("Open int.", 1), ("Bids", 4), ("Asks", 4), ("Spread", 3)), frozenset({"assets", "depth", "sparks"}), market_rows, "No price has arrived yet."),
    Panel("rules", "Rules: Enter shows what stands behind a number", _columns("State", ("Rule", 0, 18), "Value", ("Against", 1), ("Cover", 2), ("Of", 3, 16)), frozenset({"rules"}), rule_rows, "No rules are loaded."),
    Panel("feeds", "Feeds: coverage of the last hour", _columns("State", "Venue", "Cover", ("Newest", 1), ("Frames", 5), ("Reconn.", 4), ("Lost", 2), ("Clock", 3), ("Trouble", 0, 12)), frozenset({"feeds"}), feed_rows, "No feed is configured."),
    Panel("liquidated", "Who was liquidated: reported US dollars, a lower bound where a venue samples", _columns("Window", "Who", "Long", "Short", ("Orders", 2), ("Last hour", 1), "Coverage"), frozenset({"windows", "sparks", "feeds"}), liquidation_rows, "No liquidation has been reported yet."),
    Panel("signals", "Signals of the catalogue", _columns("Id", "State", "Value", ("Age", 2), ("Coverage", 3), ("Signal", 0, 20), ("Rule, or why it is absent", 1, 18)), frozenset({"signals"}), signal_rows, "This monitor has no signal catalogue."),
    Panel("history", "History: newest first", _columns("Time", "What", ("Alert", 0, 20), ("Why", 0, 12)), frozenset({"history"}), history_rows, "Nothing has happened yet."),
)  # fmt: skip
"""In the order of their keys, 1 and on."""
OVERVIEW = ("alerts", "market", "rules", "feeds")


def why_lines(data: Json, unit: str) -> list[tuple[str, str]]:
    """An explanation as lines with their tones."""
    lines: list[tuple[str, str]] = []
    for row in data["rows"]:
        lines += [*_why_block(row, unit), ("", "")]
    return lines or [("The rule has no label set yet: nothing that it reads has arrived.", "quiet")]


def _why_block(row: Json, unit: str) -> list[tuple[str, str]]:
    truth = {1: "true", 0: "false", -1: "unknown"}[row["truth"]]
    lines = [
        (
            f"{label_text(row['labels']) or 'whole market'}: {row['state']}, the condition is {truth}",
            TONES.get(row["state"], "head"),
        )
    ]
    reading_ = fmt.against(row["value"], row["threshold"], unit)
    lines.append((f"  value {reading_}, coverage {fmt.share(row['coverage'])}", ""))
    lines += [(f"  {row[name]}", "") for name in ("near_miss", "reason") if row[name]]
    if row["spark"]:
        lines.append((f"  {spark(row['spark'], 60)}", "quiet"))
    lines += [(f"  {sign}", "bad" if sign.startswith("on ") else "quiet") for sign in row["signs"]]
    lines += [(f"  {part['text']} = {fmt.amount(part['value'], part['unit'])}", "") for part in row["parts"]]
    shown = [] if row["signs"] else row["contributors"][:8]
    lines += [(_contributor(part, row["labels"]), "quiet") for part in shown]
    lines += [(f"  largest: {row['largest']}", "quiet")] if row["largest"] else []
    lines += [(f"  {note}", "quiet") for note in row["notes"]]
    return lines + [(f"  missing: {name}", "held") for name in row["missing"]]


def _contributor(part: Json, labels: Json) -> str:
    """One who made up a reading, without the labels that the row has; a symbol says its coins."""
    known = [*labels, *(("base", "quote") if part["labels"].get("symbol") else ())]
    who = label_text(part["labels"], known) or label_text(part["labels"])
    share = fmt.share(part["share"]) if part["share"] else ""
    return f"  {share:>5}  {who}  {fmt.amount(part['value'], part['unit'])}"
