"""Every source reads what its service documents, at the service's own time, and refuses anything else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import DecodeError
from monitor.events import MarketEvent, Price, Sample
from monitor.feed import Request
from monitor.series import SERIES
from monitor.source import Novelty, Source, SourceOptions
from monitor.sources import SOURCES, make_source, read_source

S = 10**9
NOW = 1_763_700_600 * S


def source(name: str, **extra: Any) -> Source:
    return make_source(name, SourceOptions(key="secret-key", extra=extra))


def request(of: Source, name: str) -> Request:
    return next(poll.request for poll in of.polls(NOW) if poll.request.name == name)


def parse(of: Source, name: str, body: Any) -> list[MarketEvent]:
    return of.parse(request(of, name), json.dumps(body).encode(), NOW)


def values(events: list[MarketEvent]) -> dict[tuple[tuple[str, str], ...], float]:
    return {event.labels: event.value for event in events if isinstance(event, Sample)}


def test_coingecko_total_has_the_services_own_time() -> None:
    (event,) = parse(
        source("coingecko"), "global",
        {"data": {"total_market_cap": {"btc": 3.4e7, "usd": 2.985e12}, "market_cap_percentage": {"btc": 57.1},
                  "updated_at": 1_763_700_000}},
    )  # fmt: skip
    assert event == Sample(
        "market_cap", (("asset", "total"),), 2.985e12, 1_763_700_000 * S, NOW, "coingecko", backfill=True
    )


def test_coingecko_keeps_wanted_sectors_with_a_number() -> None:
    rows = [
        {"id": "meme-token", "market_cap": 39.4e9, "updated_at": "2025-11-21T04:48:00.000Z"},
        {"id": "layer-2", "market_cap": None, "updated_at": None},
        {"id": "something-else", "market_cap": 1e9},
    ]
    events = parse(source("coingecko", sectors=["meme-token", "layer-2"]), "categories", rows)
    assert values(events) == {(("sector", "meme-token"),): 39.4e9}
    assert events[0].ts_ns == 1_763_700_480 * S


def test_coingecko_takes_the_larger_of_two_coins_with_one_ticker() -> None:
    rows = [
        {"symbol": "btc", "market_cap": 1.7e12},
        {"symbol": "BTC", "market_cap": 1e6},
        {"symbol": "x", "market_cap": None},
    ]
    assert values(parse(source("coingecko"), "markets", rows)) == {(("asset", "BTC"),): 1.7e12}


def test_coingecko_sends_its_key_in_the_header_only() -> None:
    for poll in source("coingecko").polls(NOW):
        assert ("x-cg-demo-api-key", "secret-key") in poll.request.headers
        assert "secret-key" not in poll.request.url
    assert "secret-key" not in repr(SourceOptions(key="secret-key"))


def test_a_paid_key_of_coingecko_has_a_header_of_its_own() -> None:
    source = make_source("coingecko", SourceOptions(url="https://pro-api.coingecko.com/api/v3", key="paid"))
    assert {poll.request.headers for poll in source.polls(0)} == {(("x-cg-pro-api-key", "paid"),)}


def test_a_chain_may_have_a_space_in_its_name() -> None:
    source = make_source("defillama", SourceOptions(extra={"chains": ["OP Mainnet"]}))
    (poll,) = [poll for poll in source.polls(0) if poll.request.name.startswith("chain:")]
    assert poll.request.url.endswith("/v2/historicalChainTvl/OP%20Mainnet")


def test_defillama_supply_is_the_sum_of_pegs_and_the_running_day_is_of_now() -> None:
    midnight = NOW // (86_400 * S) * 86_400
    rows = [
        {"date": str(midnight - 86_400), "totalCirculatingUSD": {"peggedUSD": 306.0e9, "peggedEUR": 0.5e9}},
        {"date": str(midnight), "totalCirculatingUSD": {"peggedUSD": 302.5e9, "peggedEUR": 0.5e9}},
    ]
    closed, running = parse(source("defillama"), "supply", rows)
    assert isinstance(closed, Sample)
    assert isinstance(running, Sample)
    assert (closed.value, closed.ts_ns, closed.backfill) == (306.5e9, (midnight - 86_400) * S, True)
    assert (running.value, running.ts_ns, running.backfill) == (303e9, NOW, False)


def test_yesterdays_reply_ages_like_yesterdays_data() -> None:
    old_s = NOW // S - 3 * 86_400
    (event,) = parse(source("defillama"), "tvl", [{"date": old_s, "tvl": 1.15e11}])
    assert event.ts_ns == old_s * S


def test_defillama_pegs_protocols_and_chains() -> None:
    llama = source("defillama", protocols=["small-one"])
    pegged = {"peggedAssets": [
        {"symbol": "USDT", "pegType": "peggedUSD", "circulating": {"peggedUSD": 184e9}, "price": 0.9991},
        {"symbol": "EURT", "pegType": "peggedEUR", "circulating": {"peggedEUR": 1e8}, "price": 1.15},
    ]}  # fmt: skip
    assert [(e.series, e.value) for e in parse(llama, "pegs", pegged) if isinstance(e, Sample)] == [
        ("stablecoin_supply", 184e9),
        ("stablecoin_price", 0.9991),
    ]
    rows = [{"slug": f"p{n}", "tvl": 1e9 - n, "category": "Dexes"} for n in range(70)]
    rows += [{"slug": "exchange", "tvl": 1e12, "category": "CEX"}, {"slug": "small-one", "tvl": 5.0}]
    names = {dict(labels)["name"] for labels in values(parse(llama, "protocols", rows))}
    assert len(names) == 61
    assert "small-one" in names
    assert "exchange" not in names
    (chain,) = parse(llama, "chain:Solana", [{"date": NOW // S - 60, "tvl": 9e9}])
    assert isinstance(chain, Sample)
    assert chain.labels == (("name", "Solana"), ("scope", "chain"))


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"list": rows}])
def test_sosovalue_takes_both_documented_shapes_in_date_order(wrap: Any) -> None:
    rows = [{"date": "2025-11-20", "totalNetInflow": -903e6}, {"date": "2025-11-19", "totalNetInflow": 75e6},
            {"date": "2025-11-18", "totalNetInflow": None}]  # fmt: skip
    events = parse(source("sosovalue"), "flows:BTC", {"code": 0, "data": wrap(rows)})
    assert [e.value for e in events if isinstance(e, Sample)] == [75e6, -903e6]
    assert events[1].ts_ns == 1_763_672_400 * S  # 20 Nov, 21:00 UTC


def test_sosovalue_needs_a_key_and_passes_on_a_refusal() -> None:
    with pytest.raises(ValueError, match="a key is required"):
        make_source("sosovalue", SourceOptions())
    with pytest.raises(DecodeError, match="invalid api key"):
        parse(source("sosovalue"), "flows:BTC", {"code": 40101, "data": None, "msg": "invalid api key"})


def test_ratios_of_three_venues() -> None:
    ratios = source("ratios", bases=["BTC"])
    ms = 1_763_700_300_000
    (binance,) = parse(ratios, "binance_usdm:BTC", [{"symbol": "BTCUSDT", "longShortRatio": "0.9512", "timestamp": ms}])
    row = {"buyRatio": "0.48", "sellRatio": "0.52", "timestamp": str(ms)}
    (bybit,) = parse(ratios, "bybit:BTC", {"retCode": 0, "result": {"list": [row]}})
    (okx,) = parse(ratios, "okx:BTC", {"code": "0", "data": [[str(ms - 300_000), "1.2"], [str(ms), "0.97"]]})
    for event, ratio in ((binance, 0.9512), (bybit, 0.48 / 0.52), (okx, 0.97)):
        assert isinstance(event, Sample)
        assert event.value == pytest.approx(ratio)
        assert event.ts_ns == ms * 1_000_000
    assert isinstance(okx, Sample)
    assert dict(okx.labels) == {"venue": "okx", "symbol": "BTC-USDT-SWAP", "base": "BTC", "quote": "USDT"}


def test_candles_leave_the_running_day_out_and_count_at_the_end_of_their_period() -> None:
    day_ms = 86_400_000
    start_ms = NOW // 1_000_000 // day_ms * day_ms - day_ms
    rows = [
        [start_ms, "90000", "92000", "88000", "91000.5", "1", start_ms + day_ms - 1, "1", 1, "1", "1", "0"],
        [start_ms + day_ms, "91000", "91000", "82000", "84000", "1", start_ms + 2 * day_ms - 1, "1", 1, "1", "1", "0"],
    ]
    (event,) = parse(source("candles"), "1d:BTC", rows)
    assert isinstance(event, Price)
    assert (event.value, event.ts_ns, event.backfill) == (91000.5, (start_ms + day_ms) * 1_000_000, True)


def test_a_time_far_ahead_is_not_believed() -> None:
    body = {"data": {"total_market_cap": {"usd": 1.0}, "market_cap_percentage": {}, "updated_at": NOW // S + 3600}}
    with pytest.raises(DecodeError, match="ahead of ours"):
        parse(source("coingecko"), "global", body)


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_has_unique_requests_known_series_and_replaceable_addresses(name: str) -> None:
    made = make_source(name, SourceOptions(url="http://127.0.0.1:1", key="k"))
    polls = made.polls(NOW)
    assert len({poll.request.name for poll in polls}) == len(polls)
    assert all(poll.request.url.startswith("http://127.0.0.1:1/") for poll in polls)
    assert set(made.spec.series) <= set(SERIES)
    with pytest.raises(ValueError, match="unknown setting nonsense"):
        make_source(name, SourceOptions(key="k", extra={"nonsense": 1}))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "body", [b"<html>Just a moment...</html>", b"", b"[" * 100_000, b"\xff\xfe", b"null", b'{"data":1}']
)
def test_anything_else_is_a_decode_error(name: str, body: bytes) -> None:
    made = source(name)
    for poll in made.polls(NOW):
        with pytest.raises(DecodeError):
            made.parse(poll.request, body, NOW)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
KEYS = st.sampled_from(["data", "result", "list", "date", "code", "tvl", "id", "market_cap", "timestamp", "updated_at"])
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


@pytest.mark.parametrize("name", SOURCES)
@given(document=DOCUMENTS)
def test_no_document_raises_anything_but_a_decode_error(name: str, document: Any) -> None:
    made = source(name)
    body = msgspec.json.encode(document)
    for poll in made.polls(NOW)[:4]:
        try:
            made.parse(poll.request, body, NOW)
        except DecodeError:
            continue


def test_novelty_passes_each_point_once_and_a_revision_again() -> None:
    novelty = Novelty(keep=2)
    points = [Sample("tvl", (), float(n), n, 9) for n in range(3)]
    assert novelty.new(reversed(points)) == points
    assert novelty.new(points[1:]) == []
    revised = Sample("tvl", (), 7.0, 2, 9)
    assert novelty.new([revised]) == [revised]
    assert novelty.revised == 1


def test_an_entry_of_the_configuration() -> None:
    made = read_source({"type": "coingecko", "key": "k", "every_s": {"global": 120}, "sectors": ["meme-token"]})
    assert {poll.request.name: poll.every_s for poll in made.polls(NOW)}["global"] == 120.0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "coingeko"}, "unknown type 'coingeko'"),
        ({"type": "defillama", "url": "ftp://x"}, "url must start"),
        ({"type": "defillama", "every_s": {"tvl": 0}}, "at least 1"),
        ({"type": "defillama", "chians": []}, "unknown setting chians"),
        ({"type": "sosovalue"}, "a key is required"),
        ({"type": "coingecko", "sectors": "meme"}, "list of texts"),
        (
            {"type": "coingecko", "every_s": {"glbal": 60}},
            "no request is called glbal .known: global, categories, markets",
        ),
        ({"type": "defillama", "coins": "USDT"}, "list of texts"),
        ({"type": "defillama", "stablecoins_url": "ftp://x"}, "stablecoins_url must start with http"),
        ({"type": "ratios", "bybit_url": 5}, "bybit_url must start with http"),
        ({"type": "candles", "bases": ["BTC/../x"]}, "is no name"),
    ],
)
def test_a_bad_entry_is_refused_in_words(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_source(entry)


AGO = 1_763_700_000
IMPOSSIBLE: dict[str, tuple[str, str, Any]] = {
    "a negative market": ("coingecko", "global", {"data": {"total_market_cap": {"usd": -3e12}, "market_cap_percentage": {}, "updated_at": AGO}}),
    "a negative sector": ("coingecko", "categories", [{"id": "meme-token", "market_cap": -1.0}]),
    "a negative coin": ("coingecko", "markets", [{"symbol": "btc", "market_cap": -1.0}]),
    "a negative supply": ("defillama", "supply", [{"date": str(AGO), "totalCirculatingUSD": {"peggedUSD": -1.0}}]),
    "a supply beyond all": ("defillama", "supply", [{"date": str(AGO), "totalCirculatingUSD": {"peggedUSD": 1.7e308, "peggedEUR": 1.7e308}}]),
    "a negative price of a stablecoin": ("defillama", "pegs", {"peggedAssets": [{"symbol": "USDT", "pegType": "peggedUSD", "price": -1.0}]}),
    "a negative chain": ("defillama", "chain:Solana", [{"date": AGO, "tvl": -5.0}]),
    "a negative ratio": ("ratios", "binance_usdm:BTC", [{"longShortRatio": "-0.9", "timestamp": AGO * 1000}]),
    "a ratio of a negative share": ("ratios", "bybit:BTC", {"retCode": 0, "result": {"list": [{"buyRatio": "-0.4", "sellRatio": "0.6", "timestamp": str(AGO * 1000)}]}}),
    "a ratio that is none": ("ratios", "okx:BTC", {"code": "0", "data": [[str(AGO * 1000), "NaN"]]}),
    "a close that is none": ("candles", "1d:BTC", [[0, "1", "1", "1", "NaN", "1", AGO * 1000 - 1]]),
    "a close without end": ("candles", "1d:BTC", [[0, "1", "1", "1", "Infinity", "1", AGO * 1000 - 1]]),
    "a negative close": ("candles", "1d:BTC", [[0, "1", "1", "1", "-1", "1", AGO * 1000 - 1]]),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_a_number_that_cannot_be_is_refused_in_words(what: str) -> None:
    name, poll, body = IMPOSSIBLE[what]
    with pytest.raises(DecodeError) as refused:
        parse(source(name), poll, body)
    assert refused.value.reason == "unexpected"
    assert refused.value.detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"3e12"', "true", "null", "[1]"])
def test_what_is_no_number_in_json_is_refused(number: str) -> None:
    cap = f'{{"data": {{"total_market_cap": {{"usd": {number}}}, "market_cap_percentage": {{}}, "updated_at": {AGO}}}}}'
    of = source("coingecko")
    with pytest.raises(DecodeError):
        of.parse(request(of, "global"), cap.encode(), NOW)
