from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.alert import AlertState
from monitor.alerts import message
from tests.sinks.build import alert


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
    assert message.line(alert()) == "[critical] High: >= 1.04B against 1B; High is up"


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
