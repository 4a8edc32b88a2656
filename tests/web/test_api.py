"""The API as a client sees it, over a real socket."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.clock import NS_PER_S
from monitor.testing.fake_view import SOL_LONGS, TOTAL
from tests.web.conftest import Served

SILENCE = {"matchers": [{"name": "base", "value": "SOL"}], "createdBy": "kim", "comment": "known", "duration": "2h"}


async def test_rules_have_prometheus_shape(served: Served) -> None:
    groups = (await served.data("/api/v1/rules"))["groups"]
    assert [group["name"] for group in groups] == list(dict.fromkeys(rule.group for rule in served.view.rules()))
    first = groups[0]["rules"][0]
    needed = {
        "type",
        "name",
        "query",
        "duration",
        "keepFiringFor",
        "labels",
        "annotations",
        "alerts",
        "state",
        "health",
        "lastError",
        "evaluationTime",
        "lastEvaluation",
    }
    assert needed <= set(first)
    assert (first["type"], first["state"], first["health"]) == ("alerting", "firing", "ok")
    [alert] = first["alerts"]
    assert {"labels", "annotations", "state", "activeAt", "value"} <= set(alert)
    datetime.fromisoformat(alert["activeAt"])
    assert float(alert["value"]) > 5e8, "Prometheus gives values as text"


async def test_rules_give_each_row_with_its_coverage_and_reason(served: Served) -> None:
    groups = (await served.data("/api/v1/rules"))["groups"]
    rows = {row["labels"]["base"]: row for row in groups[0]["rules"][1]["rows"]}
    assert (rows["SOL"]["state"], rows["SOL"]["reason"]) == ("held", "held: okx silent 4m12s")
    assert rows["SOL"]["coverage"] == pytest.approx(0.842)


async def test_a_missing_value_is_null_and_not_zero(served: Served) -> None:
    groups = (await served.data("/api/v1/rules"))["groups"]
    [row] = groups[-1]["rules"][0]["rows"]
    assert (row["value"], row["truth"], row["reason"]) == (None, -1, "market_cap has not arrived yet")


async def test_recording_rules_are_none(served: Served) -> None:
    assert await served.data("/api/v1/rules?type=record") == {"groups": []}


async def test_alerts_are_the_active_ones_and_a_held_one_says_so(served: Served) -> None:
    alerts = {alert["fingerprint"]: alert for alert in (await served.data("/api/v1/alerts"))["alerts"]}
    assert len(alerts) == 4
    assert (alerts[SOL_LONGS]["state"], alerts[SOL_LONGS]["detailedState"]) == ("firing", "held")


async def test_status_tells_of_feeds_sinks_latency_and_reload(served: Served) -> None:
    served.view.reload_error = "rules/a.yaml:3:9: unknown series liquidation"
    status = await served.data("/api/v1/status")
    assert [feed["venue"] for feed in status["feeds"]] == ["binance_usdm", "bybit", "okx"]
    assert status["feeds"][1]["saturation"] is None
    assert status["process"]["synthetic"] is True
    assert status["process"]["reload"]["error"].startswith("rules/a.yaml:3:9")
    assert status["alerts"] == {"firing": 2, "held": 1, "pending": 1, "resolved": 1}
    assert 0 < status["latency"]["total"]["p50"] < status["latency"]["total"]["p99"]


async def test_market_weighs_funding_by_open_interest(served: Served) -> None:
    market = await served.data("/api/v1/market?limit=2")
    assert [asset["base"] for asset in market["assets"]] == ["BTC", "ETH"]
    bitcoin = market["assets"][0]
    table = served.view.market()
    rows = [row for row, key in enumerate(table.funding_8h_ratio.keys) if key[2] == "BTC"]
    rates, weights = table.funding_8h_ratio.values[rows], table.open_interest_usd.values[rows]
    assert bitcoin["funding_8h"] == pytest.approx(float((rates * weights).sum() / weights.sum()))
    assert bitcoin["open_interest_usd"] == pytest.approx(float(weights.sum()))
    hour = market["windows"][1]
    assert hour["window"] == "1h"
    assert hour["long_usd"] == pytest.approx(sum(venue["long_usd"] for venue in hour["venues"]))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("?limit=1", 1),
        ("?rule=liquidations/LongsWipedOut", 1),
        ("?since=2025-11-21T07:30:00Z", 2),
        ("?until=1763710000", 1),
        ("?fingerprint=nobody", 0),
    ],
)
async def test_history_can_be_narrowed(served: Served, query: str, count: int) -> None:
    entries = (await served.data(f"/api/v1/history{query}"))["entries"]
    assert len(entries) == count
    assert entries == sorted(entries, key=lambda entry: -entry["at"])


async def test_why_explains_every_row(served: Served) -> None:
    rows = (await served.data("/api/v1/why?rule=liquidations/LongsWipedOut"))["rows"]
    by_base = {row["labels"]["base"]: row for row in rows}
    assert by_base["ETH"]["near_miss"] == "46% of the threshold"
    assert sum(part["share"] for part in by_base["ETH"]["contributors"]) == pytest.approx(1)
    assert by_base["SOL"]["missing"] == ["okx liquidations"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/v1/why", 400, "rule: which one?"),
        ("/api/v1/why?rule=nothing", 404, "no rule is named 'nothing'"),
        ("/api/v1/why?rule=longsWipedOt", 404, "did you mean 'LongsWipedOut'?"),
        ("/api/v1/why?rule=liquidation/LongsWipedOut", 404, "did you mean 'liquidations/LongsWipedOut'?"),
        ("/api/v1/history?limit=x", 400, "limit: expected a whole number"),
        ("/api/v1/history?limit=99999999", 400, "limit: expected a whole number"),
        ("/api/v1/history?since=yesterday", 400, "since: 'yesterday' is not a time; write unix seconds or ISO 8601"),
        ("/api/v1/history?since=inf", 400, "since: 'inf' is not a time"),
        ("/api/v1/history?since=0082-12-12T03:49:33Z", 400, "since: the year 82 is not between 1970 and 2199"),
        ("/api/v1/history?until=9999-12-31T23:59:59Z", 400, "until: the year 9999"),
        ("/api/v1/history?until=9999999999", 400, "until: '9999999999' is not a time"),
        ("/api/v1/nothing", 404, "nothing has this address"),
        ("/static/../server.py", 404, "nothing has this address"),
    ],
)
async def test_bad_questions_are_answered_in_prometheus_error_shape(
    served: Served, path: str, status: int, words: str
) -> None:
    async with served.session.get(served.url + path) as reply:
        body = await reply.json()
    assert (reply.status, body["status"]) == (status, "error")
    assert words in body["error"]


async def test_signals_say_what_is_absent(served: Served) -> None:
    rows = {row["id"]: row for row in (await served.data("/api/v1/signals"))["signals"]}
    assert (rows["S22"]["value"], rows["S22"]["absent"]) == (None, "nothing has been pushed yet")


async def test_a_silence_is_stored_shown_and_ended(served: Served) -> None:
    status, body = await served.send("POST", "/api/v1/silences", SILENCE)
    assert status == 201
    identity = body["data"]["silenceID"]
    [shown] = await served.data("/api/v1/silences")
    assert (shown["id"], shown["status"], shown["createdBy"]) == (identity, {"state": "active"}, "kim")
    length = datetime.fromisoformat(shown["endsAt"]) - datetime.fromisoformat(shown["startsAt"])
    assert length == timedelta(hours=2)
    alerts = {alert["fingerprint"]: alert for alert in (await served.data("/api/v1/alerts"))["alerts"]}
    assert alerts[SOL_LONGS]["silencedBy"] == [identity]
    assert (await served.send("DELETE", f"/api/v1/silences/{identity}"))[0] == 200
    assert await served.data("/api/v1/silences") == []
    assert (await served.send("DELETE", f"/api/v1/silences/{identity}"))[0] == 404


async def test_alertmanagers_own_body_makes_a_silence_too(served: Served) -> None:
    now = datetime.fromtimestamp(served.view.now_ns / NS_PER_S, UTC)
    body = {
        "matchers": [{"name": "alertname", "value": "Longs.*", "isRegex": True, "isEqual": True}],
        "startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=5)).isoformat(), "createdBy": "kim", "comment": "",
    }  # fmt: skip
    assert (await served.send("POST", "/api/v1/silences", body))[0] == 201


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration": "soon"}, "duration"),
        ({"duration": "2y"}, "duration"),
        ({"duration": "999w"}, "at most a year"),
        ({"duration": ""}, "endsAt or duration"),
        ({"matchers": []}, "everything would be muted"),
        ({"matchers": [{"name": "a", "value": ".*", "isRegex": True}]}, "everything would be muted"),
        ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, "not a regular expression"),
        ({"matchers": [{"name": "a", "value": "(.+)+x", "isRegex": True}]}, "may take too long"),
        ({"matchers": [{"name": "a", "value": "x" * 501, "isRegex": True}]}, "more than 500 characters"),
        ({"matchers": [{"name": "a"}]}, "each needs a name and a value"),
        ({"matchers": [{"name": "a", "value": "b", "isRegexp": True}]}, "each needs a name and a value"),
        ({"createdBy": "  "}, "who you are"),
        ({"surprise": 1}, "unknown field"),
        ({"duration": "", "endsAt": "2020-01-01T00:00:00Z"}, "must come after"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(served: Served, change: dict[str, Any], words: str) -> None:
    status, body = await served.send("POST", "/api/v1/silences", SILENCE | change)
    assert status == 400
    assert words in body["error"]
    assert served.view.silences() == []


async def test_an_acknowledgement_is_stored_shown_and_withdrawn(served: Served) -> None:
    body = {"fingerprint": TOTAL, "by": "kim", "comment": "on it"}
    assert (await served.send("POST", "/api/v1/acks", body))[0] == 201
    [shown] = await served.data("/api/v1/acks")
    assert (shown["fingerprint"], shown["by"]) == (TOTAL, "kim")
    assert (await served.send("DELETE", f"/api/v1/acks/{TOTAL}"))[0] == 200
    assert (await served.send("DELETE", f"/api/v1/acks/{TOTAL}"))[0] == 404


async def test_an_unknown_alert_cannot_be_acknowledged(served: Served) -> None:
    assert (await served.send("POST", "/api/v1/acks", {"fingerprint": "0", "by": "kim"}))[0] == 404
    assert (await served.send("POST", "/api/v1/acks", {"fingerprint": TOTAL, "by": " "}))[0] == 400
    assert (await served.send("POST", "/api/v1/acks", {"fingerprint": 7, "by": "kim"}))[0] == 400


async def test_probes(served: Served) -> None:
    async with served.session.get(f"{served.url}/healthz") as reply:
        assert (reply.status, await reply.text()) == (200, "ok\n")
    served.view.down = {"okx", "bybit", "binance_usdm"}
    async with served.session.get(f"{served.url}/readyz") as reply:
        assert reply.status == 503
        assert "no feed is live yet" in await reply.text()


async def test_metrics_negotiate_their_format(served: Served) -> None:
    async with served.session.get(f"{served.url}/metrics") as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    async with served.session.get(f"{served.url}/metrics", headers={"Accept": "application/openmetrics-text"}) as reply:
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
        assert "monitor_scrape_duration_seconds " in await reply.text(), (
            "the second scrape tells how long the first took"
        )
