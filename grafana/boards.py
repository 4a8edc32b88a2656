"""The four dashboards, each a list of panels from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models
from panels import (
    AMBER,
    BYTES,
    COUNT,
    GREEN,
    GREY,
    PER_SECOND,
    RATIO,
    RED,
    SECONDS,
    SOURCE,
    USD,
    VIOLET,
    Query,
    RawPanel,
    bands,
    buckets,
    lines,
    number,
    rows,
    states,
    steps,
)

TAG = "market-risk"
RULES_SOURCE = "market-risk-rules"
LIVE_PAGE = "http://127.0.0.1:9108/"
VENUE = 'venue=~"$venue"'
BOTH = 'venue=~"$venue",base=~"$base"'
RATE = "$__rate_interval"
FUNDING_MEAN = (
    f"sum by (base) (market_funding_rate_8h_ratio{{{BOTH}}} * on (venue, symbol, base) market_open_interest_usd{{{BOTH}}})"
    f" / sum by (base) (market_open_interest_usd{{{BOTH}}} and on (venue, symbol, base) market_funding_rate_8h_ratio{{{BOTH}}})"
)
WHO = (
    "base",
    "venue",
    "symbol",
    "basket",
    "asset",
    "fund",
    "holder",
    "sector",
    "name",
    "side",
    "tenor",
    "source",
    "sink",
)
"""Labels that rules keep: joined, they name a label set in a legend."""
MARK = f'market_price_usd{{{BOTH},kind="mark"}}'
PRICE = f"quantile by (base) (0.5, {MARK})"
INTEREST = f"sum by (base) (market_open_interest_usd{{{BOTH}}})"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Any number of values, all of them at first."""
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query).multi(True).include_all(True)
    variable = variable.all_value(".+").refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(models.VariableSort.ALPHABETICAL_ASC).current(
        models.VariableOption(selected=True, text="All", value="$__all")
    )


def _chosen_rule() -> dashboard.QueryVariable:
    """One rule of many: values of several have no common unit."""
    variable = dashboard.QueryVariable("rule").label("Chosen rule").datasource(SOURCE).query(ALERT_VARIABLE[2])
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.current(models.VariableOption(selected=True, text=FIRST_RULE, value=FIRST_RULE))


VENUE_VARIABLE = ("venue", "Venue", "label_values(monitor_feed_up, venue)")
BASE_VARIABLE = ("base", "Coin", "label_values(market_price_usd, base)")
ALERT_VARIABLE = ("alert", "Rule", "label_values(monitor_rule_state, alert)")
FIRST_RULE = "LiquidationsOver1BillionPerHour"
SIGNAL_VARIABLE = ("signal", "Signal", "label_values(market_signal_value, id)")


def _board(  # noqa: PLR0917 - read as a heading
    uid: str, title: str, description: str, variables: Sequence[tuple[str, str, str] | dashboard.QueryVariable], panels: Sequence[Any], since: str = "now-1h",
) -> dashboard.Dashboard:  # fmt: skip
    board = dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).editable().timezone("utc")
    board = board.time(since, "now").refresh("10s").tooltip(models.DashboardCursorSync.CROSSHAIR)
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    board = board.with_variable(
        source.current(models.VariableOption(selected=True, text="Prometheus", value="market-risk-prometheus"))
    )
    for variable in variables:
        board = board.with_variable(variable if isinstance(variable, dashboard.QueryVariable) else _variable(*variable))
    for link in _links():
        board = board.link(link)
    board = board.annotation(_annotation())
    for panel in panels:
        board = board.with_panel(panel)
    return board


def _named(expr: str) -> str:
    """An expression whose label sets carry in ``who`` what tells them apart."""
    labels = ", ".join(f'"{label}"' for label in WHO)
    return f'label_join({expr}, "who", " ", {labels})'


def _links() -> list[dashboard.DashboardLink]:
    others = dashboard.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    page = dashboard.DashboardLink("Live page").type(models.DashboardLinkType.LINK).url(LIVE_PAGE)
    return [
        others.keep_time(True).include_vars(True).as_dropdown(False),
        page.target_blank(True)
        .tooltip("The monitor's own page; change the address if it runs elsewhere")
        .icon("external link"),
    ]


def _annotation() -> dashboard.AnnotationQuery:
    query = dashboard.AnnotationQuery().name("Alerts").enable(True).icon_color(RED).datasource(SOURCE)
    return query.expr('ALERTS{alertstate="firing",job="market-risk"}').title_format("{{alertname}}").tag_keys("severity,base,venue")  # fmt: skip


def market_risk() -> dashboard.Dashboard:
    """What the market is doing."""
    billion = steps((None, GREY), (5e8, AMBER), (1e9, RED))
    two_billion = steps((None, GREY), (1e9, AMBER), (2e9, RED))
    window = f'sum(market_liquidations_window_usd{{{VENUE},window="%s"}})'
    coverage = f'min(market_liquidations_window_coverage_ratio{{{VENUE},window="1h"}})'
    shares = steps((None, RED), (0.8, AMBER), (0.95, GREEN))
    negative = steps((None, RED), (-0.0001, AMBER), (0, GREEN), (0.0005, VIOLET))
    return _board(
        "market-risk", "Market risk", "Liquidations, funding, open interest and price over all venues.",
        (VENUE_VARIABLE, BASE_VARIABLE),
        (
            number("Liquidated, 1 h", "Reported liquidations in the rolling hour, exact at each scrape. A lower bound where a venue samples.", USD, window % "1h", marks=billion),
            number("Liquidated, 4 h", "Reported liquidations in the rolling four hours.", USD, window % "4h", marks=billion),
            number("Liquidated, 24 h", "Reported liquidations in the rolling day.", USD, window % "24h", marks=two_billion),
            number("Share of longs, 1 h", "Long positions' share of the rolling hour.", RATIO, f'sum(market_liquidations_window_usd{{{VENUE},window="1h",side="long"}}) / {window % "1h"}', marks=steps((None, GREY), (0.9, RED))),
            number("Coverage, 1 h", "Worst venue's share of the hour in which its feed was live. Below 1 the sums are too low.", RATIO, coverage, marks=shares),
            number("Open interest", "One-sided open interest over the chosen venues and coins.", USD, f"sum(market_open_interest_usd{{{BOTH}}})"),
            lines("Liquidations in rolling windows", "Rolling 1 h, 4 h and 24 h sums with the usual thresholds, 1B and 2B.", USD, Query(f"sum by (window) (market_liquidations_window_usd{{{VENUE}}})", "{{window}}"), marks=steps((None, "transparent"), (1e9, AMBER), (2e9, RED)), low=0),
            lines("Liquidation rate by venue", "US dollars per second, by venue.", USD, Query(f"sum by (venue) (rate(market_liquidations_usd_total{{{BOTH}}}[{RATE}]))", "{{venue}}"), stack=True, low=0),
            lines("Liquidation rate by side", "US dollars per second, by side of the position.", USD, Query(f"sum by (side) (rate(market_liquidations_usd_total{{{BOTH}}}[{RATE}]))", "{{side}}"), stack=True, low=0),
            lines("Liquidation rate by coin", "The ten largest coins, US dollars per second.", USD, Query(f"topk(10, sum by (base) (rate(market_liquidations_usd_total{{{BOTH}}}[{RATE}])))", "{{base}}"), stack=True, low=0),
            bands("Funding heat map", "Funding per 8 h by venue and coin: red is clearly negative, violet is very high.", RATIO, Query(f"avg by (venue, base) (market_funding_rate_8h_ratio{{{BOTH}}})", "{{venue}} {{base}}"), negative, size=(12, 10)),
            lines("Funding, weighted by open interest", "Funding per 8 h over the chosen venues; below zero shorts pay.", RATIO, Query(FUNDING_MEAN, "{{base}}"), marks=steps((None, RED), (0, "transparent")), size=(12, 10), decimals=4),
            lines("Open interest by coin", "One side, US dollars, by coin.", USD, Query(INTEREST, "{{base}}"), stack=True, low=0),
            lines("Open interest below its peak", "Drawdown from the highest value of the last day that Prometheus holds.", RATIO, Query(f"clamp_max({INTEREST} / max_over_time({INTEREST}[1d:30s]) - 1, 0) or {INTEREST} * 0", "{{base}}"), marks=steps((None, RED), (-0.35, AMBER), (-0.2, "transparent"))),
            rows("Price", "Median mark price over the chosen venues, US dollars.", USD, Query(PRICE, instant=True), size=(4, 8), order=("base", "Value")),
            lines("Price against its mean of the hour", "Median over the chosen venues of each mark price over its own mean of the last hour, less one.", RATIO, Query(f"quantile by (base) (0.5, {MARK} / avg_over_time({MARK}[1h])) - 1", "{{base}}"), size=(10, 8), decimals=2),
            lines("Price below its peak", "Median over the chosen venues of each mark price over its highest of the last day that Prometheus holds, less one.", RATIO, Query(f"quantile by (base) (0.5, {MARK} / max_over_time({MARK}[1d])) - 1", "{{base}}"), size=(10, 8), marks=steps((None, RED), (-0.3, AMBER), (-0.2, "transparent")), decimals=2),
            lines("Realized volatility, 1 h", "Standard deviation of slopes over one minute, annualised (365 days), as a share. Slopes smooth a little: rules use the engine's exact figure. A demo's clock that runs fast is allowed for.", RATIO, Query(f"avg by (base) (stddev_over_time((deriv({MARK}[1m]) / {MARK})[1h:5s])) * 60 * (525600 ^ 0.5) / scalar(max(deriv(monitor_clock_timestamp_seconds[1m]))) ^ 0.5", "{{base}}"), low=0),
            lines("Breadth", "Share of coins whose price is under its own mean of the last hour.", RATIO, Query(f'avg(market_price_usd{{{BOTH},kind="mark"}} < bool avg_over_time(market_price_usd{{{BOTH},kind="mark"}}[1h]))', "under their mean"), marks=steps((None, "transparent"), (0.8, RED)), low=0),
            lines("Basis", "Mark price against index price: negative means that perpetuals trade under spot.", RATIO, Query(f'avg by (venue, base) (market_price_usd{{{BOTH},kind="mark"}}) / avg by (venue, base) (market_price_usd{{{BOTH},kind="index"}}) - 1', "{{venue}} {{base}}"), decimals=3),
            lines("Depth within 1 %", "Resting orders within 1 % of mid over the chosen venues, US dollars, by side of the book.", USD, Query(f"sum by (base, side) (market_depth_usd{{{BOTH}}})", "{{base}} {{side}}"), low=0),
            lines("Spread", "Best ask less best bid as a share of mid, median over the chosen venues.", RATIO, Query(f"quantile by (base) (0.5, market_spread_ratio{{{BOTH}}})", "{{base}}"), low=0, decimals=4),
            lines("Coverage by window", "Share of each window in which a venue's feed was live.", RATIO, Query(f"min by (window, venue) (market_liquidations_window_coverage_ratio{{{VENUE}}})", "{{window}} {{venue}}"), marks=steps((None, RED), (0.8, AMBER), (0.95, "transparent"))),
        ),
    )  # fmt: skip


def alerts() -> dashboard.Dashboard:
    """What the rules say and what became of it."""
    rule = 'alert=~"$alert"'
    words = ((1, "pending", AMBER), (2, "held", VIOLET), (3, "firing", RED))
    level = " or ".join(
        f'max by (alert) (monitor_rule_state{{{rule},state="{state}"}} > 0) * 0 + {value}'
        for state, value in (("firing", 3), ("held", 2), ("pending", 1))
    )
    active = f'sum by (alert) (monitor_rule_state{{{rule},state=~"firing|held|pending"}}) > 0'
    chosen = _named('monitor_rule_value{alert=~"$rule"}')
    told = _named('ALERTS{job="market-risk"}')
    list_options = {
        "viewMode": "list", "groupMode": "default", "groupBy": [], "maxItems": 30, "sortOrder": 1, "dashboardAlerts": False,
        "alertName": "", "alertInstanceLabelFilter": "", "datasource": RULES_SOURCE,
        "stateFilter": {"firing": True, "pending": True, "noData": False, "normal": False, "error": True},
    }  # fmt: skip
    one_red = steps((None, GREEN), (1, RED))
    return _board(
        "market-risk-alerts", "Alerts", "States, values against thresholds, coverage and delivery of alerts.",
        (ALERT_VARIABLE, _chosen_rule()),
        (
            number("Firing", "Label sets that fire now.", COUNT, f'sum(monitor_rule_state{{{rule},state="firing"}})', marks=one_red),
            number("Held", "Label sets that neither fire nor resolve because data is missing.", COUNT, f'sum(monitor_rule_state{{{rule},state="held"}})', marks=steps((None, GREEN), (1, VIOLET))),
            number("Pending", "Label sets whose condition holds but not yet for long enough.", COUNT, f'sum(monitor_rule_state{{{rule},state="pending"}})', marks=steps((None, GREEN), (1, AMBER))),
            number("Short of data", "Rules whose worst label set has less than 80 % of its data: long windows after a first start, or a venue that is down.", COUNT, f"count(monitor_rule_coverage_ratio{{{rule}}} < 0.8) or vector(0)", marks=steps((None, GREEN), (1, AMBER))),
            number("Waiting to be sent", "Notifications in all outboxes.", COUNT, "sum(monitor_outbox_depth)", marks=steps((None, GREEN), (10, AMBER), (100, RED))),
            number("Dispatch p99", "From receipt of the event to hand-over of the alert, 99 of 100 are faster.", SECONDS, f'histogram_quantile(0.99, sum by (le) (rate(monitor_stage_latency_seconds_bucket{{stage="total"}}[{RATE}])))', marks=steps((None, GREEN), (0.05, AMBER), (0.5, RED))),
            states("Rules that are not quiet", "The worst state over a rule's label sets; where there is no band the rule is quiet.", Query(level, "{{alert}}"), words, size=(24, 14)),
            rows("Active alerts", "Pending and firing, as ALERTS shows them.", COUNT, Query(f"max by (alertname, who, alertstate, severity) ({told})", instant=True), size=(14, 9), hide=("Value",), order=("alertname", "who", "alertstate", "severity")),
            RawPanel("alertlist", "Alert list", "The monitor's own rules through its Prometheus-compatible API.", list_options, (10, 9)),
            lines("Chosen rule: value and threshold", "Left and right side of the deciding comparison of the rule chosen above, in the rule's own unit, by label set.", "short", Query(chosen, "{{who}}"), Query('max(monitor_rule_threshold{alert=~"$rule"})', "threshold, highest"), Query('min(monitor_rule_threshold{alert=~"$rule"})', "threshold, lowest")),
            lines("Active rules: value against threshold", "The highest value of each active rule over its threshold, cut off at 0 and 3; 1 is the threshold. Rules that fire below a positive threshold lie under 1.", RATIO, Query(f"clamp(max by (alert) (monitor_rule_value{{{rule}}} / (monitor_rule_threshold{{{rule}}} != 0)) and on (alert) ({active}), 0, 3)", "{{alert}}"), marks=steps((None, "transparent"), (1, RED)), low=0),
            lines("Least covered rules", "Completeness of the data behind a rule, its worst label set: the fifteen lowest.", RATIO, Query(f"bottomk(15, monitor_rule_coverage_ratio{{{rule}}})", "{{alert}}"), marks=steps((None, RED), (0.8, "transparent")), low=0),
            lines("Notifications", "Attempts per second, by sink and outcome.", PER_SECOND, Query(f"sum by (sink, outcome) (rate(monitor_notifications_total[{RATE}]))", "{{sink}} {{outcome}}"), low=0),
            lines("Outbox", "Notifications that wait to be sent.", COUNT, Query("monitor_outbox_depth", "{{sink}}"), low=0),
            lines("Latency to dispatch", "From receipt to hand-over.", SECONDS, *(Query(f'histogram_quantile({q}, sum by (le) (rate(monitor_stage_latency_seconds_bucket{{stage="total"}}[{RATE}])))', f"p{int(q * 100)}", exemplars=q == 0.99) for q in (0.5, 0.99)), low=0),
        ),
    )  # fmt: skip


def feeds_and_engine() -> dashboard.Dashboard:
    """How the monitor itself is doing."""
    clock = "scalar(max(monitor_clock_timestamp_seconds))"
    up_words = ((0, "down", RED), (1, "up", GREEN))
    shares = steps((None, RED), (0.8, AMBER), (0.95, "transparent"))

    def counter(metric: str, by: str) -> Query:
        legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
        return Query(f"sum by ({by}) (rate({metric}{{{VENUE}}}[{RATE}]))", legend)

    return _board(
        "market-risk-feeds", "Feeds and engine", "Health of feeds, losses, latency and resources of the monitor.",
        (VENUE_VARIABLE,),
        (
            number("Feeds up", "Feeds of which every wanted channel is live.", COUNT, f"sum(monitor_feed_up{{{VENUE}}})"),
            number("Feeds down", "Feeds with a channel that is not live.", COUNT, f"count(monitor_feed_up{{{VENUE}}}) - sum(monitor_feed_up{{{VENUE}}})", marks=steps((None, GREEN), (1, RED))),
            number("Lost events", "Events lost by us since start.", COUNT, f"sum(monitor_events_dropped_total{{{VENUE}}})", marks=steps((None, GREEN), (1, RED))),
            number("Last reload", "Whether the loaded configuration and rules are the ones on disk.", "none", "min(monitor_config_last_reload_successful)", words=((0, "failed", RED), (1, "loaded", GREEN))),
            number("Market data", "Real, or made up by the demo or a test.", "none", "max(monitor_synthetic)", words=((0, "real", GREEN), (1, "synthetic", VIOLET))),
            number("Memory", "Resident memory of the process.", BYTES, 'sum(process_resident_memory_bytes{job="market-risk"})'),
            states("Feeds", "Whether every wanted channel of a feed is live.", Query(f"monitor_feed_up{{{VENUE}}}", "{{venue}}"), up_words),
            lines("Coverage of the last hour", "Share of the hour in which every wanted channel was live.", RATIO, Query(f"monitor_feed_coverage_ratio{{{VENUE}}}", "{{venue}}"), marks=shares, low=0),
            lines("Age of the newest message", "Monitor's clock less the arrival of the newest data, by channel. Liquidations are quiet in calm markets.", SECONDS, Query(f"{clock} - monitor_feed_last_message_timestamp_seconds{{{VENUE}}}", "{{venue}} {{channel}}"), low=0),
            lines("Clock offset", "The venue's clock less ours.", SECONDS, Query(f"monitor_feed_clock_offset_seconds{{{VENUE}}}", "{{venue}}")),
            lines("Frames", "Frames received per second.", PER_SECOND, counter("monitor_feed_frames_total", "venue"), low=0),
            lines("Events", "Events decoded per second, by type.", PER_SECOND, counter("monitor_feed_events_total", "venue, type"), low=0),
            lines("Reconnects in an hour", "Connections lost in the last hour.", COUNT, Query(f"sum by (venue) (increase(monitor_feed_reconnects_total{{{VENUE}}}[1h]))", "{{venue}}"), low=0),
            lines("Unreadable, late and unknown", "Rows per second that could not be read, came too late, or named an unknown instrument.", PER_SECOND, Query(f"sum by (venue) (rate(monitor_feed_decode_errors_total{{{VENUE}}}[{RATE}]))", "{{venue}} unreadable"), Query(f"rate(monitor_events_late_total{{{VENUE}}}[{RATE}])", "{{venue}} late"), Query(f"rate(monitor_feed_unknown_symbols_total{{{VENUE}}}[{RATE}])", "{{venue}} unknown"), low=0),
            lines("Losses", "Events lost per second, by reason.", PER_SECOND, counter("monitor_events_dropped_total", "venue, reason"), low=0),
            lines("At the venue's cap", "Share of symbol-seconds of the last hour at the venue's reporting cap: what it leaves out cannot be seen there.", RATIO, Query(f"monitor_feed_saturation_ratio{{{VENUE}}} or monitor_feed_up{{{VENUE}}} * 0", "{{venue}}"), low=0),
            lines("Latency by stage, p99", "99 of 100 are faster.", SECONDS, Query(f"histogram_quantile(0.99, sum by (le, stage) (rate(monitor_stage_latency_seconds_bucket[{RATE}])))", "{{stage}}", exemplars=True), low=0),
            buckets("Latency from receipt to dispatch", "How many took how long.", SECONDS, f'sum by (le) (rate(monitor_stage_latency_seconds_bucket{{stage="total"}}[{RATE}]))'),
            lines("Evaluation of all rules", "Duration of the last turn, which takes events in and judges all rules at once.", SECONDS, Query("sum(monitor_rule_evaluation_duration_seconds)", "all rules"), low=0),
            lines("Outbox", "Notifications that wait to be sent.", COUNT, Query("monitor_outbox_depth", "{{sink}}"), low=0),
            lines("Processor", "Cores in use, and the share of time that the event loop was busy.", RATIO, Query(f'rate(process_cpu_seconds_total{{job="market-risk"}}[{RATE}])', "cores"), Query("monitor_saturation_ratio", "event loop"), low=0),
            lines("Memory over time", "Resident memory of the process.", BYTES, Query('process_resident_memory_bytes{job="market-risk"}', "resident"), low=0),
            lines("Scrape and event loop", "Time to read and write all series, and how late the event loop wakes us.", SECONDS, Query("monitor_scrape_duration_seconds", "scrape"), Query("monitor_loop_lag_seconds", "loop lag"), low=0),
            lines("Instruments with a value", "How many, those off the watch list included.", COUNT, Query("market_symbols", "{{series}}"), low=0),
        ),
    )  # fmt: skip


HEADLINES = (
    ("Total market value", "S01: all coins, US dollars.", USD, "S01"),
    ("Market value from its peak", "S02: below the highest of 90 days.", RATIO, "S02"),
    ("Spot funds, a day", "S22: net flow of the day, US dollars.", USD, "S22"),
    ("Stablecoins, a month", "S23: change of the supply.", RATIO, "S23"),
    ("Value locked, a week", "S27: change of the value locked in DeFi.", RATIO, "S27"),
    ("Treasuries, worst holder", "S32: unrealised profit, US dollars.", USD, "S32"),
)
"""What the dashboard of the slow signals begins with: title, description, unit, id."""


def slow_signals() -> dashboard.Dashboard:
    """What moves by the hour or day."""
    titled = "* on (id) group_left (title) market_signal_info"
    chosen = f'market_signal_value{{id=~"$signal",unit="%s"}} {titled}'
    return _board(
        "market-risk-signals", "Slow signals", "Signals that move by the hour or day: market value, stablecoins, value locked, fund flows.",
        (SIGNAL_VARIABLE,),
        (
            *(number(title, says, unit, f'max(market_signal_value{{id="{name}"}})') for title, says, unit, name in HEADLINES),
            rows("Signals now", "The newest value of each signal; one that is absent has no row.", "short", Query(f'market_signal_value{{id=~"$signal"}} {titled}', instant=True), size=(24, 9), order=("id", "title", "Value", "unit", "source")),
            lines("In US dollars", "Signals that are amounts under a trillion: the market's value stands above.", USD, Query(f"({chosen % 'USD'}) < 1e12", "{{id}} {{title}}"), size=(24, 10)),
            lines("As shares", "Signals that are ratios.", RATIO, Query(chosen % "ratio", "{{id}} {{title}}"), size=(24, 10)),
            lines("Baskets", "Return of each sector basket over a day, a week and 30 days.", RATIO, Query('monitor_rule_value{alert=~"BasketDay|BasketWeek|BasketMonth"}', "{{alert}} {{basket}}"), size=(12, 10)),
            lines("Treasuries", "Unrealised profit of each configured holder.", USD, Query('monitor_rule_value{alert="TreasuryLoss"}', "{{holder}}"), size=(12, 10)),
            lines("Treasuries: price above cost", "How far the price lies above what each holder paid; negative: below.", RATIO, Query('monitor_rule_value{alert="TreasuryNearCost"}', "{{holder}} {{base}}"), size=(12, 10)),
            lines("ETF flows of the month", "Net flow since the first of the month, by asset.", USD, Query('monitor_rule_value{alert="EtfOutflowMonthToDate"}', "{{asset}}"), size=(12, 10)),
        ),
        since="now-7d",
    )  # fmt: skip


BOARDS = {
    "market-risk": market_risk,
    "alerts": alerts,
    "feeds-and-engine": feeds_and_engine,
    "slow-signals": slow_signals,
}
