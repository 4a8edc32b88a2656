"""Run the rule pack over the whole synthetic autumn of 2025 and write docs/november.md: ``python scripts/november.py``.

``--check`` only compares, and ``--keep DIR`` leaves the history and its configuration there. Takes about two minutes. Ends
with 1 where a rule does not fire when the timeline says, or where the page is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.archive.writer import ArchiveWriter
from monitor.clock import NS_PER_S
from monitor.events import Channel, OpenInterest
from monitor.language.rules import load_rules
from monitor.signals import SIGNALS
from monitor.testing.demo import NOTE
from monitor.testing.demo_slow import DERIVED
from monitor.testing.november import FROM_NS, TO_NS, November
from monitor.testing.november_figures import Autumn
from monitor.testing.november_figures import table as figures_table
from monitor.testing.scenario import Scenario
from monitor.testing.scenario.curves import HOUR_NS, at
from monitor.testing.scenario.slow import MARKET_CAP, STABLECOIN_SUPPLY, TVL
from monitor.testing.storm import Played, play
from monitor.testing.storm_hours import HOURS, SILENT

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "november.md"
DERIVATIVES = "price, liquidations, funding, open_interest, trades, depth"
FEEDS = {"binance_usdm": DERIVATIVES, "bybit": DERIVATIVES, "okx": DERIVATIVES, "binance_spot": "price, trades", "coinbase": "price, trades", "deribit": "volatility"}  # fmt: skip

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """One line of the timeline: what was said, and which alert it must have raised.

    ``from_day`` and ``to_day`` enclose its first firing; with `stands` it must fire at the end of ``to_day``, whenever it
    began. Labels choose among the rule's alerts.
    """

    when: str
    said: str
    rule: str
    from_day: str
    to_day: str
    labels: Mapping[str, str] = field(default_factory=dict)
    stands: bool = False


BTC = {"base": "BTC"}
TIMELINE = (
    Fact("26 Oct", "funding had been negative for days until then", "FundingNegativeForDays", "2025-10-22", "2025-10-26", BTC),
    Fact("3 Nov", "one protocol loses over 120M", "ProtocolDrained", "2025-11-03", "2025-11-04", {"name": "balancer"}),
    Fact("week to 9 Nov", "DeFi TVL -12.45 %", "TvlWeek", "2025-11-08", "2025-11-10"),
    Fact("19 Nov", "one ETF loses 523M in a day", "EtfOutflowOfOneFund", "2025-11-19", "2025-11-20", {"fund": "IBIT"}),
    Fact("20-21 Nov", "BTC ETFs lose about 900M in a session", "EtfOutflowDay", "2025-11-20T21:00", "2025-11-21T03:00", {"asset": "BTC"}),
    Fact("20-21 Nov", "BTC to 82,000", "BtcBelow82k", "2025-11-20", "2025-11-22", BTC),
    Fact("20-21 Nov", "about 2.0B liquidated in 24 h", "LiquidationsDay", "2025-11-20", "2025-11-22"),
    Fact("20-21 Nov", "1.9B of it longs within hours", "LongLiquidations", "2025-11-20", "2025-11-22"),
    Fact("20-21 Nov", "over 400,000 accounts", "LiquidationCount", "2025-11-20", "2025-11-22"),
    Fact("20-21 Nov", "memecoins 44.0B to 39.4B in a day", "SectorLosesBillions", "2025-11-20", "2025-11-22", {"sector": "meme-token"}),
    Fact("20-21 Nov", "memecoins -66 % from their peak", "SectorFromPeak", "2025-11-20", "2025-11-22", {"sector": "meme-token"}),
    Fact("20-21 Nov", "total cap under 3T, the first time since April", "MarketCapCrosses3T", "2025-11-20", "2025-11-22"),
    Fact("24 Nov", "total cap lost over 1T from the October peak", "MarketCapTrillionFromPeak", "2025-11-01", "2025-11-24", stands=True),
    Fact("24 Nov", "perpetual open interest about 135B", "MarketOpenInterestFromPeak", "2025-11-20", "2025-11-25", stands=True),
    Fact("24 Nov", "BTC open interest -35 %", "OpenInterestFromPeak", "2025-11-20", "2025-11-25", BTC, stands=True),
    Fact("24 Nov", "funding negative, longest run since 26 Oct", "FundingNegativeForDays", "2025-11-24", "2025-11-25", BTC, stands=True),
    Fact("24 Nov", "7-day realized volatility near 50", "RealizedVolatility", "2025-11-20", "2025-11-25", BTC, stands=True),
    Fact("24 Nov", "stablecoins 303B, -1.48 % on the month", "StablecoinSupplyContracts", "2025-11-15", "2025-11-25", stands=True),
    Fact("24 Nov", "TVL about 115B", "TvlFromPeak", "2025-11-15", "2025-11-25", stands=True),
    Fact("November", "BTC ETFs lose 3.48B in the month", "EtfOutflowMonthToDate", "2025-11-19", "2025-11-25", {"asset": "BTC"}),
)  # fmt: skip

HEAD = """# The pack over November 2025

What every shipped rule would have done from 1 October to 24 November 2025, over a **synthetic** market: a seeded path
through the figures that commentaries on that month name (`monitor/testing/scenario`). Between those figures everything is
invented; it shows that rules fire when they should, not what would have been earned or saved.

Made by `python scripts/november.py`, which writes the market as an [archive](archive.md) and runs

```text
python -m monitor backtest --config november/config.yaml --tape november/history --grid 1h --json
```

over it; `--keep november` leaves both there, and `--check` fails when a rule does not fire in the days that the timeline says, or
when this page is out of date. A test does the same. That run is evaluated every hour, so a moment is the end of its hour, and
what holds for minutes is not seen. The first 24 hours of the sell-off are therefore played once more, every five minutes, with
all that the demo has but the sockets.

## The timeline

"""
FIGURES_HEAD = """## The figures

Every figure that the [signal catalogue](signals.md) takes from the commentaries, and what the autumn gives. What it does not reach is said.

"""
STORM_HEAD = """## The sell-off, every five minutes

From 20 November, 12:00 to 21 November, 12:00 UTC (every quarter of an hour before midnight). Under each hour what happens in it,
and the first alert of each rule that begins to fire there, in the words in which it is told. What holds when the monitor starts
fires in the first hour.

"""
WEEKS_HEAD = """## What a week costs in attention

Alerts that began in each week, by the severity that they reached. Critical is what the shipped routes would wake somebody for.

"""
NOT_BY_THE_HOUR = (
    "the pegs held, no large venue failed, nobody paid to be long, it takes less than an hour, or its input is worth nothing after "
    "an hour (`Treasury...`, whose profits follow prices of five minutes at most). Most of them fire in the sell-off above."
)


def write_history(folder: Path) -> None:
    """The archive of the autumn, and a configuration for it."""
    with ArchiveWriter(folder / "history", "november", "monitor.testing.november", note=NOTE) as writer:
        for at_ns, events in November().received():
            writer.add(at_ns, events)
        writer.commit(FROM_NS, TO_NS + 1)
    feeds = [f'  - {{venue: {venue}, channels: [{channels}], symbols: "*"}}' for venue, channels in FEEDS.items()]
    lines = [f"rules: ['{ROOT}/rules/*.yaml']", "feeds:", *feeds, f"derived: {json.dumps(DERIVED)}", "sinks: [{type: console}]"]  # fmt: skip
    (folder / "config.yaml").write_text("\n".join([*lines, ""]), encoding="utf-8")


def backtest(folder: Path) -> Report:
    """The report of the real command."""
    command: list[str | Path] = [sys.executable, "-m", "monitor", "backtest", "--config", folder / "config.yaml", "--tape", folder / "history", "--grid", "1h", "--json"]  # fmt: skip
    found: Report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def alerts_of(report: Report, rule: str, labels: Mapping[str, str]) -> list[Report]:
    """A rule's alerts with these labels that fired, in order."""
    found = next(entry for entry in report["rules"] if entry["name"] == rule)["alerts"]
    fired = [alert for alert in found if alert["fired_at"] and labels.items() <= alert["labels"].items()]
    return sorted(fired, key=lambda alert: str(alert["fired_at"]))


def matching(report: Report, fact: Fact) -> Report | None:
    """The alert that a line of the timeline asks for."""
    from_ns, to_ns = at(fact.from_day), at(fact.to_day)
    for alert in alerts_of(report, fact.rule, fact.labels):
        began = from_ns <= _ns(alert["fired_at"]) < to_ns
        stands = alert["resolved_at"] is None or not fact.stands
        if began and stands:
            return alert
    return None


def timeline(report: Report) -> Iterator[str]:
    """The first table: the timeline against what fired."""
    yield "| when | what was said | rule | fired (UTC) | over | value |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for fact in TIMELINE:
        alert = matching(report, fact)
        name = f"`{fact.rule}`" + "".join(f" {value}" for value in fact.labels.values())
        row = "**did not fire** | |" if alert is None else _moments(alert)
        yield f"| {fact.when} | {fact.said} | {name} | {row} |"


def levels() -> Iterator[str]:
    """What the synthetic market holds where the timeline names a level."""
    scenario = November().scenario
    days: Sequence[tuple[str, str]] = (("6 Oct", "2025-10-06T12:00"), ("31 Oct", "2025-10-31T00:00"), ("21 Nov", "2025-11-21T07:35"), ("24 Nov", "2025-11-24T12:00"))  # fmt: skip
    yield "| | BTC | perpetual open interest | of it BTC | funding, 8 h | total cap | stablecoins | DeFi TVL |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, text in days:
        ts_ns = at(text)
        interest = _interest(scenario, ts_ns)
        rate = scenario.value(next(i for i in scenario.instruments if i.symbol == "BTCUSDT"), Channel.FUNDING, ts_ns)
        yield (
            f"| {name} | {scenario.price('BTC', ts_ns):,.0f} | {sum(interest.values()) / 1e9:.0f}B | {interest['BTC'] / 1e9:.0f}B "
            f"| {(rate or 0) * 1e4:+.2f} bp | {MARKET_CAP(ts_ns) / 1e12:.2f}T | {STABLECOIN_SUPPLY(ts_ns) / 1e9:.1f}B "
            f"| {TVL(ts_ns) / 1e9:.0f}B |"
        )


def rules_table(report: Report, rows: Mapping[str, str]) -> Iterator[str]:
    """Every rule over the whole autumn."""
    yield "| rule | signal | fired | first (UTC) | on | last over (UTC) |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for rule in sorted(report["rules"], key=lambda rule: str(rule["name"])):
        name, fired = f"| `{rule['name']}` | {rows[rule['name']]}", alerts_of(report, rule["name"], {})
        if not fired:
            yield f"{name} | 0 | | | |"
            continue
        on = " ".join(value for key, value in sorted(fired[0]["labels"].items()) if key != "severity")
        open_now = any(alert["resolved_at"] is None for alert in fired)
        last = "still firing" if open_now else _minute(max(alert["resolved_at"] for alert in fired))
        yield f"{name} | {len(fired)} | {_minute(fired[0]['fired_at'])} | {on} | {last} |"


def storm(played: Played) -> Iterator[str]:
    """Hour by hour of the sell-off: what the timeline has there, and the first alert of each rule that fires then."""
    for hour, words, rules in HOURS:
        yield f"**{_clock(at(f'2025-11-{hour}:00'))}**: {words}.\n"
        yield "| fires | severity | rule | first alert |"
        yield "| --- | --- | --- | --- |"
        for rule in sorted(rules, key=lambda rule: (played.fired.get(rule, 0), rule)):
            alert, fired_ns = played.alerts.get(rule), played.fired.get(rule)
            if alert is None or fired_ns is None:
                yield f"| **does not fire** | | `{rule}` | |"
                continue
            pending_ns = played.pending.get(rule, fired_ns)
            waited = f", pending from {_clock(pending_ns)[-5:]}" if pending_ns < fired_ns else ""
            yield f"| {_clock(fired_ns)[-5:]}{waited} | {alert.severity} | `{rule}` | {dict(alert.annotations)['summary']} |"
        yield ""


def silent_table(played: Played) -> Iterator[str]:
    """The rules that do not fire in the sell-off, and why."""
    yield "| rule | why |"
    yield "| --- | --- |"
    yield from (f"| `{rule}` | {words} |" for rule, words in SILENT.items())
    yield from (f"| `{rule}` | **the timeline does not say** |" for rule in played.fired if rule not in _in_hours())


def _in_hours() -> set[str]:
    return {rule for _, _, rules in HOURS for rule in rules}


def weeks(report: Report) -> dict[str, Counter[str]]:
    """How many alerts fired in each week, by the severity that they reached."""
    found: dict[str, Counter[str]] = {entry["week"]: Counter() for entry in report["weeks"]}
    for rule in report["rules"]:
        for alert in alerts_of(report, rule["name"], {}):
            year, week, _ = datetime.fromisoformat(alert["fired_at"]).isocalendar()
            found[f"{year}-W{week:02d}"][alert["severity"]] += 1
    return found


def weeks_table(report: Report) -> Iterator[str]:
    """The load of each week: what would have been a page at night, and what somebody reads in the morning."""
    yield "| week from | critical | warning | info | critical ones |"
    yield "| --- | --- | --- | --- | --- |"
    for week, counts in weeks(report).items():
        monday = datetime.strptime(f"{week}-1", "%G-W%V-%u").strftime("%-d %b")  # noqa: DTZ007  # a date
        names = {
            rule["name"]
            for rule in report["rules"]
            for alert in alerts_of(report, rule["name"], {})
            if alert["severity"] == "critical" and datetime.fromisoformat(alert["fired_at"]).strftime("%G-W%V") == week
        }
        yield f"| {monday} | {counts['critical']} | {counts['warning']} | {counts['info']} | {' '.join(f'`{name}`' for name in sorted(names))} |"


def page(report: Report, played: Played) -> str:
    """All of docs/november.md."""
    rows = {rule["name"]: " ".join(row.id for row in SIGNALS if rule["name"] in row.rules) for rule in report["rules"]}
    silent = sum(not alerts_of(report, rule["name"], {}) for rule in report["rules"])
    parts = [
        HEAD + "\n".join(timeline(report)),
        "What the synthetic market holds on the days for which the timeline names levels:\n\n" + "\n".join(levels()),
        FIGURES_HEAD + "\n".join(figures_table(Autumn(November().scenario, report))),
        STORM_HEAD + "\n".join(storm(played)).rstrip(),
        "These rules do not fire in the 24 hours:\n\n" + "\n".join(silent_table(played)),
        WEEKS_HEAD + "\n".join(weeks_table(report)),
        f"## Every rule, every hour\n\n{len(report['rules'])} rules; {silent} never fired at a full hour of the autumn: {NOT_BY_THE_HOUR}\n\n"
        + "\n".join(rules_table(report, rows)),
    ]
    return "\n\n".join(parts) + "\n"


def missed(report: Report, played: Played) -> list[str]:
    """What did not fire when the timeline says, or fired when it does not, a sentence each."""
    found = [
        f"{fact.rule} {dict(fact.labels)}: not fired from {fact.from_day} to {fact.to_day}: {fact.said}"
        for fact in TIMELINE
        if matching(report, fact) is None
    ]
    wanted = {rule: at(f"2025-11-{hour}:00") for hour, _, rules in HOURS for rule in rules}
    for rule in sorted(wanted.keys() | played.fired.keys()):
        fired_ns, from_ns = played.fired.get(rule), wanted.get(rule)
        if fired_ns is None or from_ns is None or not from_ns <= fired_ns < from_ns + HOUR_NS:
            found.append(
                f"{rule}: fires {_clock(fired_ns) or 'never'}, the timeline says from {_clock(from_ns) or 'never'}"
            )
    return found


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave history and configuration there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        write_history(folder)
        report = backtest(folder)
    rules = load_rules([(path.name, path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))])
    played = play(rules)
    wrong = missed(report, played)
    sys.stderr.write("".join(f"{words}\n" for words in wrong))
    text = page(report, played)
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
        return int(bool(wrong))
    stale = PAGE.read_text(encoding="utf-8") != text
    if stale:
        sys.stderr.write("docs/november.md is out of date: python scripts/november.py\n")
    return int(stale or bool(wrong))


def _interest(scenario: Scenario, ts_ns: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for event in scenario.past(ts_ns // HOUR_NS * HOUR_NS, ts_ns // HOUR_NS * HOUR_NS + 1, HOUR_NS):
        if isinstance(event, OpenInterest):
            found[event.instrument.base] = found.get(event.instrument.base, 0.0) + event.usd
    return found


def _moments(alert: Report) -> str:
    over = "still firing" if alert["resolved_at"] is None else _minute(alert["resolved_at"])
    return f"{_minute(alert['fired_at'])} | {over} | {alert['summary']}"


def _clock(ts_ns: int | None) -> str:
    """``21 Nov 07:35``; empty for None."""
    return "" if ts_ns is None else datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%-d %b %H:%M")


def _minute(text: str) -> str:
    """``2025-11-21T08:00:00.000Z`` as ``21 Nov 08:00``."""
    months: Callable[[str], str] = {"10": "Oct", "11": "Nov"}.__getitem__
    return f"{int(text[8:10])} {months(text[5:7])} {text[11:16]}"


def _ns(text: str) -> int:
    return at(text[:16])


if __name__ == "__main__":
    sys.exit(main())
