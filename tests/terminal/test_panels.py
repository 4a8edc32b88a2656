"""Panels as rows of cells, and how old a picture is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.terminal.panels import (
    PANELS,
    Cell,
    Row,
    alert_rows,
    feed_rows,
    liquidation_rows,
    market_rows,
    moved,
    offset_text,
    pulse,
    rule_rows,
    signal_rows,
    spark,
    tall_spark,
    why_lines,
    window_cards,
)
from monitor.terminal.picture import Picture
from monitor.testing.fake_view import FakeView
from monitor.web.page import encode, sections, slow_sections
from monitor.web.shapes.alerting import history_body


async def picture_of(view: FakeView, at_s: float = 100.0) -> Picture:
    """What a terminal knows after the first update of a monitor."""
    from monitor.telemetry.views.alerting import HistoryQuery

    update: dict[str, Any] = {name: json.loads(encode(body)) for name, body in sections(view)}
    update |= {name: json.loads(encode(body)) for name, body in slow_sections(view)}
    update["history"] = [json.loads(encode(history_body(e))) for e in await view.history(HistoryQuery())]
    picture = Picture()
    picture.take(update | {"now": view.now_ns // 1_000_000}, at_s)
    return picture


def words(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


async def test_the_most_urgent_alert_stands_first_and_says_its_state_in_words() -> None:
    rows = alert_rows(await picture_of(FakeView()))
    assert [words(row)[0] for row in rows] == ["firing", "firing", "held", "pending", "resolved"]
    assert words(rows[0])[1:7] == ["LiquidationsOver500MillionPerHour", "670M", "500M", "96%", "41m", "critical"]


async def test_what_people_did_about_an_alert_is_shown_in_place_of_its_summary() -> None:
    picture = await picture_of(FakeView())
    alert = picture.rows("alerts")[0]
    alert["acked_by"], alert["silenced_by"] = "kim", ["1"]
    row = words(alert_rows(picture)[0])
    assert (row[0], row[-1]) == ("firing ack mute", "acknowledged by kim, silenced")


async def test_missing_is_never_zero() -> None:
    picture = await picture_of(FakeView())
    picture.sections["depth"] = []
    asset = picture.rows("assets")[0]
    asset["price_usd"] = asset["funding_8h"] = asset["open_interest_usd"] = None
    assert words(market_rows(picture)[0])[1:] == ["n/a", "", "", "n/a", "n/a", "n/a", "n/a", "n/a"]
    assert ["unknown", "n/a", "3T", "0%"] in [[words(row)[0], *words(row)[2:5]] for row in rule_rows(picture)]


async def test_a_market_row_carries_price_funding_interest_and_depth() -> None:
    assert words(market_rows(await picture_of(FakeView()))[0])[:2] == ["BTC", "84,134.44"]
    row = words(market_rows(await picture_of(FakeView()))[0])
    assert row[4].startswith("-0.008")
    assert row[6:] == ["23.6M", "32.4M", "0.331bp"]


async def test_critical_alerts_and_rules_stand_before_others_of_their_state() -> None:
    picture = await picture_of(FakeView())
    for section, row in (("alerts", picture.rows("alerts")[0]), ("rules", picture.rows("rules")[0])):
        other = {**row, "severity": "warning", "fingerprint": "newer", "id": "other", "fired": 2**60}
        picture.sections[section] = [other, {**row, "severity": "critical"}, {**other, "severity": ""}]
    assert [words(row)[6] for row in alert_rows(picture)] == ["critical", "warning", ""]
    assert next(row.key for row in rule_rows(picture)) == picture.rows("rules")[1]["id"]


@pytest.mark.parametrize(
    ("points", "last", "text", "tone"),
    [([], 1.0, "", ""), ([100.0], 97.0, "", ""), ([None, 100.0, 98.0], 97.0, "-3.00%", "long"),
     ([100.0, 99.0], 101.5, "+1.50%", "short"), ([100.0, 99.0], None, "", "")],
)  # fmt: skip
def test_a_move_is_from_the_oldest_point_of_the_hour(
    points: list[float | None], last: float | None, text: str, tone: str
) -> None:
    assert moved(points, last) == Cell(text, tone, right=True)


async def test_a_feed_that_is_down_says_so_and_why() -> None:
    view = FakeView()
    view.down.add("okx")
    row = words(feed_rows(await picture_of(view))[2])
    assert row[0] == "DOWN"
    assert row[-1] == "no data for 4m12s; 1 subscription refused"
    assert row[3] == "4m12s"


async def test_liquidations_stand_by_window_venue_and_coin() -> None:
    rows = [words(row) for row in liquidation_rows(await picture_of(FakeView()))]
    assert [row[1] for row in rows[:4]] == ["Binance USD-M", "Bybit", "OKX", "BTC"]
    assert {row[0] for row in rows} == {"5m", "1h", "4h", "24h"}
    assert [card.name for card in window_cards(await picture_of(FakeView()))] == ["5m", "1h", "4h", "24h"]


async def test_an_absent_signal_says_why() -> None:
    rows = [words(row) for row in signal_rows(await picture_of(FakeView()))]
    assert rows[0][:3] == ["S01", "quiet", "2.94T USD"]
    assert rows[2] == ["S22", "absent", "", "", "", "Spot ETF net flow", "nothing has been pushed yet"]


async def test_an_expression_over_several_lines_stands_in_one() -> None:
    picture = await picture_of(FakeView())
    rule = next(rule for rule in picture.sections["rules"] if rule["rows"] and not rule["rows"][0]["labels"])
    rule["text"] = "k_of(2,\n  a > 1,\n  b > 2)"
    assert "k_of(2, a > 1, b > 2)" in {words(row)[-1] for row in rule_rows(picture)}


async def test_a_signal_fires_by_its_own_rule_and_names_the_others_that_do() -> None:
    picture = await picture_of(FakeView())
    picture.sections["signals"][0] |= {"rule": "Below3T", "firing": True, "firing_rules": ["FromPeak"]}
    assert words(signal_rows(picture)[0])[1::5] == ["quiet", "Below3T; firing FromPeak"]
    picture.sections["signals"][0] |= {"firing_rules": ["Below3T"]}
    assert words(signal_rows(picture)[0])[1::5] == ["FIRING", "Below3T"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
async def test_every_row_has_a_cell_per_column_and_keys_are_unique(panel: Any) -> None:
    rows = panel.rows(await picture_of(FakeView()))
    assert rows
    assert {len(row.cells) for row in rows} == {len(panel.columns)}
    assert len({row.key for row in rows}) == len(rows)
    assert panel.rows(Picture()) == []


def test_a_sparkline_leaves_a_gap_where_a_point_is_missing() -> None:
    assert spark([1.0, None, 2.0, 3.0], 10) == "▁ ▅█"
    assert spark([1.0, 2.0, 3.0], 2) == "▁█", "all of them, however narrow"
    assert spark([*range(100), None, None], 4) == "▁▃▆█"
    assert spark([9.0, 10.0], 5, 0.0) == "▇█"
    assert spark([None, 5.0], 5) == ""


def test_a_sparkline_of_two_lines_is_twice_as_fine() -> None:
    assert tall_spark([0.0, 7.0, 8.0, None, 15.0], 9, 0.0) == ("  ▁ █", "▁██ █")


async def test_the_first_line_says_where_the_market_stands() -> None:
    picture = await picture_of(FakeView())
    picture.sections["sparks"] = {f"interest/{asset['base']}": [2 * asset["open_interest_usd"], asset["open_interest_usd"]] for asset in picture.rows("assets")}  # fmt: skip
    found = {name: (figure.text, change.text) for name, figure, change in pulse(picture)}
    assert list(found) == ["BTC", "ETH", "open interest", "funding 8 h"]
    assert found["open interest"][1] == "-50.00%"
    assert pulse(Picture()) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "+12ms"), (-1.27, "-1.27s"), (None, "n/a"), (-400.0, "-6m40s"), (400.0, "+6m40s")],
)
def test_clock_offsets(seconds: float | None, text: str) -> None:
    assert offset_text(seconds) == text


async def test_a_picture_says_when_it_is_old_or_cut_off() -> None:
    assert Picture().condition(0.0) == ("NO CONNECTION: connecting", "bad")
    picture = await picture_of(FakeView(), at_s=100.0)
    assert picture.condition(101.0) == ("live", "ok")
    assert picture.condition(109.0) == ("OLD: no update for 9s", "warn")
    picture.trouble = "refused"
    assert picture.condition(172.0) == ("NO CONNECTION: refused; the numbers are 1m12s old", "bad")
    assert picture.is_old(172.0)


def test_why_says_what_is_missing() -> None:
    row = {
        "labels": {"base": "SOL"}, "state": "held", "truth": -1, "value": 0.5, "threshold": 1.0, "coverage": 0.5,
        "reason": "okx silent", "near_miss": "", "spark": [], "parts": [{"text": "a", "value": None, "unit": "ratio"}],
        "contributors": [{"labels": {"venue": "okx"}, "value": 5e6, "share": 0.25, "unit": "USD"}], "largest": "", "missing": ["okx liquidations"],
        "notes": ["a lower bound"], "signs": ["on      a < 1: 0", "off     b > 2: 1"],
    }  # fmt: skip
    texts = [text for text, _ in why_lines({"rows": [row]}, "ratio")]
    assert texts[0] == "base=SOL: held, the condition is unknown"
    assert "  value 50% against 100%, coverage 50%" in texts
    assert "  a = n/a" in texts
    assert "    25%  venue=okx  5M USD" not in texts  # of a count the signs stand for whoever made it up
    assert "    25%  venue=okx  5M USD" in [text for text, _ in why_lines({"rows": [{**row, "signs": []}]}, "ratio")]
    assert "  a lower bound" in texts
    assert "  missing: okx liquidations" in texts
    assert texts.index("  on      a < 1: 0") < texts.index("  off     b > 2: 1") < texts.index("  a = n/a")
