"""History of others: what each kind of row becomes, and every mistake with its place."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.archive.mapping import load_mapping
from monitor.archive.outside import MAX_PROBLEMS, Importer
from monitor.archive.reader import Archive
from monitor.archive.sheets import read_rows
from monitor.clock import NS_PER_S
from monitor.commands import dispatch, import_
from monitor.errors import ConfigError
from monitor.events import Event, FeedGap, FeedState, Funding, Liquidation, OpenInterest, Price
from monitor.testing.manual_clock import ManualClock
from tests.backtest.scene import loaded

HOUR_NS = 3600 * NS_PER_S
T0_S = 1_763_683_200  # 2025-11-21T00:00:00Z
NOW = ManualClock((T0_S + 86_400) * NS_PER_S)

CANDLES = """
version: 1
kind: candles
venue: binance_usdm
symbol: BTCUSDT
interval: 1h
columns: {time: {name: t, unit: s}, open: o, high: h, low: l, close: c}
"""
FUNDING = """
version: 1
kind: funding
venue: {venue}
interval_h: 8
columns: {time: {name: when, unit: iso}, rate: {name: rate, unit: percent}, symbol: pair}
"""
INTEREST = """
version: 1
kind: open_interest
columns: {time: {name: t, unit: ms}, venue: exchange, symbol: pair, base: coin, quantity: {name: k, scale: 1000}, price: p}
quote: USD
"""
LIQUIDATIONS = """
version: 1
kind: liquidations
venue: bybit
symbol: 1000PEPEUSDT
columns: {time: {name: t, unit: us}, side: s, usd: usd, price: p, key: id}
values: {side: {Buy: short, Sell: long}}
"""


def run(
    folder: Path, mapping: str, table: str, *options: str, suffix: str = ".csv", code: int = 0
) -> list[tuple[int, Event]]:
    """Import a table; the events that stand in the archive afterwards, with their times of arrival."""
    (folder / "m.yaml").write_text(mapping)
    (folder / f"h{suffix}").write_text(table)
    assert again(folder, f"h{suffix}", *options) == code
    return list(Archive(folder / "out").events())


def again(folder: Path, name: str, *options: str) -> int:
    files = ["--mapping", str(folder / "m.yaml"), str(folder / name), "--out", str(folder / "out")]
    return import_.run([*files, *options], NOW)


def of(events: list[tuple[int, Event]], kind: type[Any]) -> list[Any]:
    return [event for _, event in events if type(event) is kind]


def test_a_candle_is_its_close_when_it_closed(tmp_path: Path) -> None:
    events = run(tmp_path, CANDLES, f"t,o,h,l,c\n{T0_S},10,12,9,11\n{T0_S + 3600},11,11,8,8.5\n")
    close = T0_S * NS_PER_S + HOUR_NS
    prices = of(events, Price)
    assert [(price.value, price.ts_ns, price.recv_ns) for price in prices] == [
        (11.0, close, close),
        (8.5, close + HOUR_NS, close + HOUR_NS),
    ]
    item = prices[0].instrument
    assert (item.venue, item.symbol, item.base, item.quote, item.kind) == (
        "binance_usdm",
        "BTCUSDT",
        "BTC",
        "USDT",
        "perp",
    )
    states = of(events, FeedState)
    assert [(state.up, state.ts_ns) for state in states] == [(True, close - HOUR_NS), (False, close + HOUR_NS + 1)]


def test_the_way_through_a_candle_follows_its_direction(tmp_path: Path) -> None:
    table = f"t,o,h,l,c\n{T0_S},10,12,9,11\n{T0_S + 3600},11,11.5,8,8.5\n"
    prices = of(run(tmp_path, CANDLES + "path: ohlc\n", table), Price)
    assert [price.value for price in prices] == [10, 9, 12, 11, 11, 11.5, 8, 8.5]
    times = [price.ts_ns for price in prices]
    assert times == sorted(times)
    assert times[0] > T0_S * NS_PER_S


def test_missing_candles_are_a_gap_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{T0_S + 3600 * hour},1,1,1,1\n" for hour in (0, 1, 4, 5))
    events = run(tmp_path, CANDLES, f"t,o,h,l,c\n{rows}", code=0)
    (gap,) = of(events, FeedGap)
    closes = [T0_S * NS_PER_S + HOUR_NS * (hour + 1) for hour in range(6)]
    assert (gap.start_ns, gap.end_ns) == (closes[1], closes[3])
    assert "MISSING BTCUSDT: 2 rows missing" in capsys.readouterr().out


def test_a_value_that_stands_is_said_again_before_it_goes_stale(tmp_path: Path) -> None:
    rows = f"{T0_S},1,1,1,1\n{T0_S + 3600},2,2,2,2\n"
    prices = of(run(tmp_path, CANDLES + "hold: 10m\n", f"t,o,h,l,c\n{rows}"), Price)
    first = [price.ts_ns for price in prices if price.value == 1]
    assert first[-1] - first[0] == 594 * NS_PER_S
    assert max(b - a for a, b in pairwise(first)) == 27 * NS_PER_S, "a price of Binance is stale after 30 s"


@pytest.mark.parametrize("venue", ["binance_usdm", "okx", "elsewhere"])
def test_a_rule_knows_a_rate_that_stands_whatever_the_venue_calls_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], venue: str
) -> None:
    """Binance tells its rate every second, so that live it is stale after a minute, and not after ten as elsewhere."""
    table = "when,rate,pair\n2025-11-20T16:00,-1,BTCUSDT\n2025-11-21 00:00,-1,BTCUSDT\n2025-11-21 08:00,1,BTCUSDT\n"
    run(tmp_path, FUNDING.replace("{venue}", venue) + "hold: 8h\n", table)
    rules = "groups:\n  - name: g\n    rules:\n      - {alert: Negative, expr: funding < 0, for: 1h}\n"
    feed = "okx" if venue == "elsewhere" else venue
    loaded(tmp_path, rules, f"rules: [rules.yaml]\nfeeds: [{{venue: {feed}, channels: [funding]}}]\n")
    capsys.readouterr()
    words = ["--config", str(tmp_path / "config.yaml"), "--tape", str(tmp_path / "out"), "--grid", "1m", "--json"]
    assert dispatch(["backtest", *words]) == 0
    (rule,) = json.loads(capsys.readouterr().out)["rules"]
    (alert,) = rule["alerts"]
    assert (alert["fired_at"], alert["resolved_at"]) == ("2025-11-20T17:00:00.000Z", "2025-11-21T08:00:00.000Z")
    assert rule["known_ratio"] > 0.95


def test_funding_in_percent_with_iso_times(tmp_path: Path) -> None:
    table = "when,rate,pair\n2025-11-21T08:00:00+08:00,0.01,ETHUSDT\n2025-11-21 08:00,-0.005,ETHUSDT\n"
    found = of(run(tmp_path, FUNDING.replace("{venue}", "okx"), table), Funding)
    assert [(item.rate, item.interval_h, item.ts_ns // NS_PER_S) for item in found] == [
        (0.0001, 8.0, T0_S),
        (-0.00005, 8.0, T0_S + 8 * 3600),
    ]


BERLIN = FUNDING.replace("{venue}", "okx").replace("unit: iso", "unit: iso, zone: Europe/Berlin")


def test_times_that_a_clock_change_makes_unclear_are_mistakes(tmp_path: Path) -> None:
    """Half past two is not there when clocks go forward, and twice when they go back: an hour off is a wrong number."""
    table = "when,rate,pair\n2025-03-30 02:30,1,ETHUSDT\n2025-10-26 02:30,1,ETHUSDT\n2025-11-21 01:00,1,ETHUSDT\n"
    (tmp_path / "m.yaml").write_text(BERLIN)
    (tmp_path / "h.csv").write_text(table)
    with pytest.raises(ConfigError, match="twice or not at all in Europe/Berlin") as caught:
        again(tmp_path, "h.csv")
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(2, 1), (3, 1)]
    said = "when,rate,pair\n2025-10-26T02:30+01:00,1,ETHUSDT\n2025-11-21 01:00,1,ETHUSDT\n"
    found = of(run(tmp_path, BERLIN, said), Funding)
    assert found[-1].ts_ns == T0_S * NS_PER_S
    assert len(found) == 2


def test_bytes_of_another_code_are_the_fault_of_their_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.yaml").write_text(FUNDING.replace("{venue}", "okx"))
    (tmp_path / "h.csv").write_bytes(b"when,rate,pair\n2025-11-21 01:00,1,ETHUSDT\n2025-11-21 02:00,1,\xe9THUSDT\n")
    files = ["--mapping", str(tmp_path / "m.yaml"), str(tmp_path / "h.csv"), "--out", str(tmp_path / "out")]
    assert dispatch(["import", *files]) == 2
    assert "h.csv:3:1: it has bytes that are not UTF-8" in capsys.readouterr().err
    assert dispatch(["import", *files, "--keep-good"]) == 1
    for head in (b"when,rate,p\xe9\n", "when,rate,pair\n".encode("utf-16")):
        (tmp_path / "h.csv").write_bytes(head)
        assert dispatch(["import", *files]) == 2
        assert "h.csv:1: it has bytes that are not UTF-8" in capsys.readouterr().err.replace("1:0:", "1:")


def test_open_interest_from_quantity_and_price(tmp_path: Path) -> None:
    table = f"t,exchange,pair,coin,k,p\n{T0_S}500,deribit,BTC-PERPETUAL,XBT,1.5,80000\n"
    (found,) = of(run(tmp_path, INTEREST, table), OpenInterest)
    assert (found.usd, found.ts_ns) == (120_000_000.0, T0_S * NS_PER_S + 500_000_000)
    assert (found.instrument.venue, found.instrument.base, found.instrument.quote) == ("deribit", "BTC", "USD")


def test_liquidations_to_the_micro_dollar(tmp_path: Path) -> None:
    table = f"t,s,usd,p,id\n{T0_S}000000,Sell,1234567.123456,0.004,a\n{T0_S}000000,Buy,0.0000015,0.004,b\n"
    found = of(run(tmp_path, LIQUIDATIONS, table), Liquidation)
    assert [(item.side, item.usd_micros, item.key) for item in found] == [
        ("long", 1_234_567_123_456, "a"),
        ("short", 2, "b"),
    ]
    assert (found[0].instrument.base, found[0].instrument.base_units) == ("PEPE", 1000)


def test_parquet_with_its_own_types(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(CANDLES)
    frame = pl.DataFrame({"t": [T0_S], "o": [1.0], "h": [2.0], "l": [0.5], "c": [1.5]})
    frame.write_parquet(tmp_path / "h.parquet")
    assert again(tmp_path, "h.parquet") == 0
    assert [price.value for price in of(list(Archive(tmp_path / "out").events()), Price)] == [1.5]


MOMENT_NS = T0_S * NS_PER_S + 123_456_789
TIMES = {
    "ns": pl.Series([MOMENT_NS]).cast(pl.Datetime("ns")),
    "ns in a zone": pl.Series([MOMENT_NS]).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("America/New_York"),
    "us": pl.Series([MOMENT_NS // 1000]).cast(pl.Datetime("us", "UTC")),
    "ms": pl.Series([MOMENT_NS // 1_000_000]).cast(pl.Datetime("ms")),
    "text": pl.Series(["2025-11-21T00:00:00.123456789Z"]),
    "text in a zone": pl.Series(["2025-11-21T01:00:00,1234567+01:00"]),
    "a day": pl.Series([T0_S // 86_400], dtype=pl.Int32).cast(pl.Date),
}
EXACT_NS = {"us": 123_456_000, "ms": 123_000_000, "text in a zone": 123_456_700, "a day": 0}


@pytest.mark.parametrize("kind", TIMES)
def test_times_of_parquet_are_taken_to_the_nanosecond(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.yaml").write_text(LIQUIDATIONS.replace("{name: t, unit: us}", "{name: t, unit: iso}"))
    frame = pl.DataFrame({"t": TIMES[kind], "s": ["Buy"], "usd": [1.0], "p": [0.004], "id": ["a"]})
    frame.write_parquet(tmp_path / "h.parquet")
    assert again(tmp_path, "h.parquet") == 0
    (found,) = of(list(Archive(tmp_path / "out").events()), Liquidation)
    assert found.ts_ns == T0_S * NS_PER_S + EXACT_NS.get(kind, 123_456_789)


def test_a_time_of_parquet_that_is_missing_or_not_a_number_is_a_mistake(tmp_path: Path) -> None:
    frame = pl.DataFrame({"t": [None, MOMENT_NS], "s": "Buy", "usd": 1.0, "p": 0.004, "id": "a"})
    frame.cast({"t": pl.Datetime("ns")}).write_parquet(tmp_path / "h.parquet")
    (tmp_path / "m.yaml").write_text(LIQUIDATIONS.replace("{name: t, unit: us}", "{name: t, unit: iso}"))
    with pytest.raises(ConfigError, match=r"h\.parquet:1:1: time \(column 't'\): no value"):
        again(tmp_path, "h.parquet")
    (tmp_path / "m.yaml").write_text(LIQUIDATIONS)
    with pytest.raises(ConfigError, match=r"'2025-11-21T00:00:00\.123456789' is not a unix time"):
        again(tmp_path, "h.parquet")


BAD = f"""t,o,h,l,c
{T0_S},10,12,9,abc
{T0_S + 1},10,12,9,11
{T0_S + 3600},10,12,9,13
{T0_S + 7200},10,12,9,11
{T0_S + 7200},10,12,9,11
{T0_S + 10800},10,12,9
{T0_S}000,10,12,9,11
"x, y",10,12,9,11
{T0_S + 14400},10,12,9,
{T0_S + 18000},10,12,9,-1
{T0_S + 82800},10,12,9,11
{T0_S + 86400},10,12,9,11
"""
EXPECTED = [
    "2:20: close (column 'c'): 'abc' is not a number",
    "3:1: time (column 't'): 2025-11-21T00:00:01Z is not on the candles' grid",
    "4:20: close (column 'c'): 13 is outside of low 9 to high 12",
    "6:1: time (column 't'): the same BTCUSDT and time as row 5",
    "7:1: 4 fields, but the header has 5",
    "8:1: time (column 't'): '1763683200000' is 1763683200000000000000 ns, in the future",
    "9:1: time (column 't'): 'x, y' is not a unix time",
    "10:20: close (column 'c'): no value",
    "11:20: close (column 'c'): -1 is not above zero",
    "13:1: time (column 't'): this candle closes at 2025-11-22T01:00:00Z",
]


def test_every_mistake_is_shown_with_its_place_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(CANDLES)
    (tmp_path / "h.csv").write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        again(tmp_path, "h.csv")
    shown = [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]
    assert [text[: len(wanted)] for text, wanted in zip(shown, EXPECTED, strict=True)] == EXPECTED
    assert all(problem.hint.startswith("expected ") for problem in caught.value.problems)
    lines = caught.value.problems[0].render().splitlines()
    assert lines[1:] == ["    1763683200,10,12,9,abc", " " * 23 + "^~~", "    expected a price in quote money"]
    assert not (tmp_path / "out").exists()


def test_good_rows_are_kept_only_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = run(tmp_path, CANDLES, BAD, "--keep-good", "--json", code=1)
    assert len(of(events, Price)) == 2
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert (found["rows_read"], found["rows_left_out"], found["skipped"]) == (12, 10, {"bad_row": 10})
    assert "'abc' is not a number" in out.err


def test_more_mistakes_than_fit_are_counted(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(CANDLES)
    (tmp_path / "h.csv").write_text("t,o,h,l,c\n" + "x,1,1,1,1\n" * (MAX_PROBLEMS + 20))
    with pytest.raises(ConfigError) as caught:
        again(tmp_path, "h.csv", "--keep-good")
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert "and 20 more rows" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("h.csv", "t,o,h,l\n1,2,3,4\n", "no column 'c' for close"),
        ("h.csv", "", "expected a header"),
        ("h.csv", "a,a\n", "expected a header with the names of the columns, each once"),
        ("h.csv", "t,o,h,l,c\n", "there is no row"),
        ("h.txt", "", "expected .csv or .parquet"),
        ("h.parquet", "PAR1", "not Parquet"),
    ],
)
def test_a_file_that_is_not_what_the_mapping_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, words: str
) -> None:
    (tmp_path / "m.yaml").write_text(CANDLES)
    (tmp_path / name).write_text(content)
    files = ["--mapping", str(tmp_path / "m.yaml"), str(tmp_path / name), "--out", str(tmp_path / "out")]
    assert dispatch(["import", *files]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (("kind: candles", "kind: candle"), (3, 7), "kind: "),
        (("interval: 1h", "interval: 1x"), (6, 11), "not a duration"),
        (("interval: 1h", "intervall: 1h"), (6, 1), "unknown key 'intervall'"),
        (("interval: 1h\n", ""), (2, 1), "candles need interval:"),
        (("unit: s", "unit: weeks"), (7, 11), "unit 'weeks'; expected s, ms, us, ns, iso"),
        (("close: c", "clos: c"), (7, 63), "candles have no column 'clos'"),
        (("symbol: BTCUSDT\n", ""), (2, 1), "give symbol either as symbol: or as a column"),
        (("venue: binance_usdm", "venue: Binance USDM"), (4, 8), "venue: "),
        (("version: 1", "version: 2"), (2, 10), "version: "),
    ],
)
def test_a_wrong_mapping_is_shown_with_its_place(
    tmp_path: Path, change: tuple[str, str], place: tuple[int, int], words: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(CANDLES.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_mapping(path)
    found = {(problem.line, problem.column): problem.message for problem in caught.value.problems}
    assert words in found[place]


def test_the_same_file_again_replaces_and_another_of_the_same_time_is_refused(tmp_path: Path) -> None:
    table = f"t,o,h,l,c\n{T0_S},10,12,9,11\n"
    assert len(run(tmp_path, CANDLES, table)) == len(run(tmp_path, CANDLES, table))
    (tmp_path / "other.csv").write_text(table)
    with pytest.raises(Exception, match="count twice"):
        again(tmp_path, "other.csv")
    assert again(tmp_path, "other.csv", "--replace") == 0
    assert len(Archive(tmp_path / "out").manifests) == 1


def test_a_rule_over_imported_liquidations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{T0_S + second}000000,Sell,30000,80000,\n" for second in range(0, 100, 10))
    mapping = LIQUIDATIONS.replace("bybit", "okx").replace("1000PEPEUSDT", "BTC-USDT-SWAP")
    run(tmp_path, mapping, f"t,s,usd,p,id\n{rows}", "--note", "made up")
    loaded(tmp_path)
    capsys.readouterr()
    config = ["--config", str(tmp_path / "config.yaml"), "--tape", str(tmp_path / "out")]
    assert dispatch(["backtest", *config, "--json", "--rule", "MinuteOver100k"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["history"], found["note"]) == ("parquet", "made up")
    (alert,) = found["rules"][0]["alerts"]
    assert alert["pending_at"] == "2025-11-21T00:00:30.000Z"
    assert alert["peak"] == 180_000


def test_a_key_is_not_needed(tmp_path: Path) -> None:
    mapping = LIQUIDATIONS.replace(", key: id", "")
    (found,) = of(run(tmp_path, mapping, f"t,s,usd,p\n{T0_S}000000,Sell,1,1\n"), Liquidation)
    assert found.key == ""


FIELDS = st.sampled_from(
    ["", "1", "-1", "x", str(T0_S), "1e400", "nan", "inf", '"', "2025-11-21", "Sell", "long", "é,"]
)


@given(
    st.lists(st.lists(FIELDS | st.text(max_size=5), max_size=6), max_size=6),
    st.sampled_from([CANDLES, FUNDING.replace("{venue}", "okx"), INTEREST, LIQUIDATIONS]),
)
@settings(max_examples=100, deadline=None)
def test_any_file_is_rows_or_located_mistakes(rows: list[list[str]], mapping: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "m.yaml").write_text(mapping)
        plan = load_mapping(folder / "m.yaml")
        header = ",".join(column.name for column in plan.columns.values())
        body = "\n".join(",".join(row) for row in rows)
        (folder / "h.csv").write_text(f"{header}\n{body}\n", encoding="utf-8", errors="replace")
        try:
            found = Importer(plan, "h.csv", NOW.wall_ns()).run(*read_rows(folder / "h.csv"))
        except ConfigError as error:
            assert error.problems  # noqa: PT017  # the file as a whole
        else:
            assert found.bad == len(found.problems)
            assert all(problem.line > 1 and problem.column > 0 for problem in found.problems)
