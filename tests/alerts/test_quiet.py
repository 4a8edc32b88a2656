"""Silences that make sense, from whichever side they come."""

from __future__ import annotations

import pytest

from monitor.alerts.matchers import parse_matcher
from monitor.alerts.memory import Memory
from monitor.alerts.quiet import Quiet
from monitor.alerts.routes import RoutingConfig
from monitor.alerts.silences import Silence
from tests.alerts.build import T0, S, alert


def silenced(*matchers: str, ends_s: int = 60) -> Quiet:
    quiet = Quiet(RoutingConfig.model_validate([]), Memory())
    quiet.silence(Silence("s1", tuple(map(parse_matcher, matchers)), T0, T0 + ends_s * S, "ann"), T0)
    return quiet


@pytest.mark.parametrize("matchers", [(), ('base=~".*"',), ('base=""', 'venue=~"okx|"')])
def test_what_would_mute_everything_is_refused(matchers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs a matcher|everything would be muted"):
        silenced(*matchers)


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        silenced("base=BTC", ends_s=0)


@pytest.mark.parametrize(
    ("matchers", "covered"), [(("base=BTC",), ["s1"]), (('base=~".*"', "venue!=okx", "severity=info"), []), (("venue!=okx",), ["s1"])]
)  # fmt: skip
def test_others_cover_what_they_match(matchers: tuple[str, ...], covered: list[str]) -> None:
    quiet = silenced(*matchers)
    assert [silence.id for silence in quiet.silencing(alert(base="BTC"), T0)] == covered
    assert quiet.silencing(alert(base="BTC"), T0 + 60 * S) == [], "it has ended"
