from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from monitor.alert import AlertState
from monitor.alerts import message
from monitor.reading import Contributor, Explanation
from tests.sinks.build import S, alert


def test_worst_first() -> None:
    alerts = [
        alert("Over", AlertState.RESOLVED),
        alert("Mild", severity="warning"),
        alert("Held", AlertState.HELD),
        alert("Bad"),
    ]
    assert [a.name for a in message.worst_first(alerts)] == ["Bad", "Mild", "Held", "Over"]


def test_title_of_one_and_of_many() -> None:
    assert message.title([alert(base="BTC")], "firing") == "FIRING High (base=BTC)"
    many = [alert("A"), alert("B", severity="warning"), alert("C", AlertState.RESOLVED)]
    assert message.title(many, "firing") == "FIRING 2 firing (1 critical, 1 warning), 1 resolved (1 critical)"


def test_a_line_says_that_a_value_is_a_lower_bound() -> None:
    assert message.line(alert()) == "[critical] High: ≥ 1.04B against 1B; High is up"


def test_a_paragraph_names_coverage_peak_and_contributors() -> None:
    text = message.paragraph(alert())
    assert "coverage 93%, peak 1.2B" in text
    assert "58% bybit long 600M" in text
    assert "largest: $12M BTCUSDT long on bybit" in text


@given(count=st.integers(1, 60), limit=st.integers(200, 4096), width=st.integers(0, 400))
def test_a_text_never_exceeds_its_channel_and_accounts_for_every_alert(count: int, limit: int, width: int) -> None:
    alerts = [alert(f"A{n}", note="x" * width) for n in range(count)]
    text = message.listing(alerts, limit)
    assert len(text) <= limit
    assert len(message.body(alerts, limit)) <= limit
    lines = text.splitlines()[1:]
    named = sum(line.startswith("FIRING") for line in lines)
    left_out = int(lines[-1].split()[2]) if lines[-1].startswith("... and") else 0
    assert named + left_out == count


def test_an_alert_tells_everything_that_is_known_of_it() -> None:
    told = replace(
        alert(),
        annotations=(("runbook_url", "docs/runbooks/X.md"), ("summary", "1.04B liquidated")),
        value=1.04e9,
        threshold=1e9,
        coverage=0.93,
        peak=1.2e9,
        explanation=Explanation(
            contributors=(Contributor((("venue", "bybit"), ("symbol", "BTCUSDT"), ("side", "long")), 6e8, 0.58),),
            largest="12,000,000 USD bybit BTCUSDT long",
            spark=(1.0, 2.0, 8.0),
            missing=("okx liquidations silent 4m12s",),
            notes=("higher than 99.2% of 10,080 readings since 2026-11-14 00:00:00Z",),
            links=(("page", "http://127.0.0.1:9108/#why=g/High"),),
        ),
    )
    text = message.paragraph(told)
    for part in (
        "1.04B against 1B; 1.04B liquidated",
        "runbook_url: docs/runbooks/X.md",
        "coverage 93%, peak 1.2B",
        "58% bybit BTCUSDT long 600M",
        "largest: 12,000,000 USD bybit BTCUSDT long",
        "window: ▁▂█",
        "missing: okx liquidations silent 4m12s",
        "higher than 99.2% of 10,080 readings",
        "page: http://127.0.0.1:9108/#why=g/High",
    ):
        assert part in text, part
    over = replace(told, state=AlertState.RESOLVED, value=4e8, starts_at_ns=S, ends_at_ns=61 * S)
    assert "at recovery 400M, coverage 93%, peak 1.2B, lasted 1m" in message.paragraph(over)


def test_a_count_of_signs_tells_the_signs_instead_of_the_members_of_the_first() -> None:
    told = replace(alert(), explanation=Explanation(contributors=(Contributor((("base", "BTC"),), 85e3, 0),), signs=("on      a < 1: 0", "off     b > 2: 1")))  # fmt: skip
    text = message.paragraph(told)
    assert "  on      a < 1: 0\n  off     b > 2: 1" in text
    assert "BTC 85k" not in text
