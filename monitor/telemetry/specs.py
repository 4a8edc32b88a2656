"""Every Prometheus series of the program, in one table (`METRICS`).

A new series is one `MetricSpec` here and one line in the reader that knows its value; ``docs/metrics.md`` is generated from
the table. Symbols and bases are label values only on the watch list; the rest is folded into ``other`` where adding up
means something, and left out where it does not (a price of ``other`` is not a thing).
"""

from __future__ import annotations

from monitor.telemetry.exposition import Kind, MetricSpec

METRICS: dict[str, MetricSpec] = {}


def _metric(name: str, kind: Kind, help_text: str, *labels: str) -> MetricSpec:
    spec = METRICS[name] = MetricSpec(name, kind, help_text, labels)
    return spec


# fmt: off
LIQUIDATIONS_USD = _metric("market_liquidations_usd_total", "counter", "Reported liquidations in US dollars since start, by side of the position; a lower bound where the venue samples.", "venue", "base", "side")
LIQUIDATIONS = _metric("market_liquidations_total", "counter", "Reported liquidations since start, by side of the position.", "venue", "base", "side")
WINDOW_USD = _metric("market_liquidations_window_usd", "gauge", "Reported liquidations in US dollars inside the rolling window, exact at this instant.", "window", "venue", "side")
WINDOW_COVERAGE = _metric("market_liquidations_window_coverage_ratio", "gauge", "Share of the rolling window in which the feeds behind it were live.", "window", "venue")
PRICE = _metric("market_price_usd", "gauge", "Price of one coin in US dollars (USD-like quotes).", "venue", "symbol", "base", "kind")
FUNDING = _metric("market_funding_rate_ratio", "gauge", "Funding rate per the contract's own interval; positive means that longs pay.", "venue", "symbol", "base")
FUNDING_8H = _metric("market_funding_rate_8h_ratio", "gauge", "Funding rate scaled to eight hours.", "venue", "symbol", "base")
OPEN_INTEREST = _metric("market_open_interest_usd", "gauge", "Open interest in US dollars, one side.", "venue", "symbol", "base")
DEPTH = _metric("market_depth_usd", "gauge", "Resting orders within 1 % of mid in US dollars, by side of the book.", "venue", "symbol", "base", "side")
SPREAD = _metric("market_spread_ratio", "gauge", "Best ask less best bid, as a share of mid.", "venue", "symbol", "base")
MARKET_ROWS = _metric("market_symbols", "gauge", "Instruments with a value, those off the watch list included.", "series")
SIGNAL = _metric("market_signal_value", "gauge", "Signals of the catalogue, in their own unit.", "id", "unit", "source")
SIGNAL_INFO = _metric("market_signal_info", "gauge", "1 for each signal of the catalogue, with what it is called.", "id", "title")
SIGNAL_AGE = _metric("market_signal_age_seconds", "gauge", "Age of the signal's newest input, of its oldest input where it has several, in the market's time.", "id")
SIGNAL_COVERAGE = _metric("market_signal_coverage_ratio", "gauge", "How complete the data behind the signal's value is.", "id")

FEED_UP = _metric("monitor_feed_up", "gauge", "Whether every wanted channel of the feed is live.", "venue")
CHANNEL_UP = _metric("monitor_feed_channel_up", "gauge", "Whether the channel is live.", "venue", "channel")
FEED_CONNECTIONS = _metric("monitor_feed_connections", "gauge", "Open connections.", "venue")
LAST_MESSAGE = _metric("monitor_feed_last_message_timestamp_seconds", "gauge", "When data of the channel last arrived, unix time.", "venue", "channel")
FRAMES = _metric("monitor_feed_frames_total", "counter", "Frames received.", "venue")
BYTES = _metric("monitor_feed_received_bytes_total", "counter", "Payload bytes received.", "venue")
EVENTS = _metric("monitor_feed_events_total", "counter", "Events decoded.", "venue", "type")
DECODE_ERRORS = _metric("monitor_feed_decode_errors_total", "counter", "Frames or rows that could not be read.", "venue", "reason")
RECONNECTS = _metric("monitor_feed_reconnects_total", "counter", "Connections lost and replaced.", "venue", "reason")
SKIPPED = _metric("monitor_feed_skipped_total", "counter", "Rows left out on purpose.", "venue", "reason")
REFUSED = _metric("monitor_feed_refused_topics", "gauge", "Subscriptions that the venue refuses.", "venue")
UNKNOWN = _metric("monitor_feed_unknown_symbols_total", "counter", "Events that named an instrument which is not in the registry.", "venue")
FEED_COVERAGE = _metric("monitor_feed_coverage_ratio", "gauge", "Share of the last hour in which every wanted channel was live.", "venue")
CLOCK_OFFSET = _metric("monitor_feed_clock_offset_seconds", "gauge", "The venue's clock less ours.", "venue")
FEED_SATURATION = _metric("monitor_feed_saturation_ratio", "gauge", "Share of symbol-seconds of the last hour at the venue's reporting cap.", "venue")
PAST_WANTED = _metric("monitor_backfill_requests_wanted", "gauge", "Requests that the last pass over the past takes or took.", "venue")
PAST_MADE = _metric("monitor_backfill_requests_made", "gauge", "How many of them have been answered or given up.", "venue")
PAST_FAILURES = _metric("monitor_backfill_failures_total", "counter", "Requests for the past that failed, each attempt counted.", "venue", "reason")
PAST_POINTS = _metric("monitor_backfill_points_total", "counter", "Values of the past handed to the windows.", "venue", "channel")
PAST_SINCE = _metric("monitor_backfill_since_timestamp_seconds", "gauge", "How far back the history that was had reaches, unix time.", "venue", "channel")
GAPS = _metric("monitor_feed_gaps_total", "counter", "Gaps of liquidations and trades that ended, by what became of them: filled, failed, or lost where the venue keeps nothing.", "venue", "outcome")
GAP_EVENTS = _metric("monitor_feed_gap_events_total", "counter", "Events of filled gaps.", "venue", "channel")
SOURCE_UP = _metric("monitor_source_up", "gauge", "Whether at least half of the source's requests are answered.", "source")
SOURCE_REPLIES = _metric("monitor_source_replies_total", "counter", "Good replies of a slow source.", "source", "request")
SOURCE_FAILURES = _metric("monitor_source_failures_total", "counter", "Requests to a slow source that brought nothing usable.", "source", "request", "reason")
SOURCE_LAST = _metric("monitor_source_last_reply_timestamp_seconds", "gauge", "When the last good reply came, unix time.", "source", "request")
SOURCE_NEWEST = _metric("monitor_source_newest_value_timestamp_seconds", "gauge", "The service's own time of the newest value in that reply, unix time.", "source", "request")
SOURCE_CALLS = _metric("monitor_source_calls_left", "gauge", "What is left of the service's quota in its present period.", "source")
INLET_ROWS = _metric("monitor_inlet_rows_total", "counter", "Values that were pushed in and taken.", "way")
INLET_REFUSED = _metric("monitor_inlet_refused_rows_total", "counter", "Rows that were pushed in and refused.", "way", "reason")
INLET_UNKEPT = _metric("monitor_inlet_unkept_rows_total", "counter", "Values that were pushed in and that the disk did not take: a restart forgets them.")
DROPPED = _metric("monitor_events_dropped_total", "counter", "Events lost by us.", "venue", "reason")
LATE = _metric("monitor_events_late_total", "counter", "Events that came later than the watermark allows.", "venue")
STAGE_LATENCY = _metric("monitor_stage_latency_seconds", "histogram", "Time spent in a stage; total runs from receipt to dispatch.", "stage")

RULE_VALUE = _metric("monitor_rule_value", "gauge", "Left side of the deciding comparison, one series per label set of the rule.", "alert")
RULE_THRESHOLD = _metric("monitor_rule_threshold", "gauge", "Right side of the deciding comparison.", "alert")
RULE_COVERAGE = _metric("monitor_rule_coverage_ratio", "gauge", "Completeness of the data behind the rule, its worst label set.", "alert")
RULE_STATE = _metric("monitor_rule_state", "gauge", "Label sets of the rule in this state.", "alert", "state")
RULE_DURATION = _metric("monitor_rule_evaluation_duration_seconds", "gauge", "The rule's equal share of the last evaluation, which judges all rules at once.", "alert")
RULE_TIMESTAMP = _metric("monitor_rule_last_evaluation_timestamp_seconds", "gauge", "When the rule was last evaluated, unix time.", "alert")
RULE_EVALUATIONS = _metric("monitor_rule_evaluations_total", "counter", "Evaluations.", "alert")
RULE_FAILURES = _metric("monitor_rule_evaluation_failures_total", "counter", "Evaluations that failed.", "alert")
RULE_WITHHELD = _metric("monitor_rule_withheld_alerts", "gauge", "Label sets that are true and have no alert, because the rule has as many as its limit allows.", "alert")
RULE_STATE_BYTES = _metric("monitor_rule_state_bytes", "gauge", "Memory for what the rule reads; what rules share is counted for each of them.", "alert")
RULE_ROWS_DROPPED = _metric("monitor_rule_rows_dropped_total", "counter", "Rows that the rule's windows reach and that were dropped, because a series had as many as may be kept.", "alert")
RULE_HIDDEN = _metric("monitor_rule_hidden_series", "gauge", "Label sets of the rule that are not exposed, to keep the number of series bounded.", "alert")
COLLIDED = _metric("monitor_alerts_collided_total", "counter", "Alerts that were not opened because another active alert has the same labels.")
LABEL_SETS = _metric("monitor_engine_label_sets", "gauge", "Label sets of all series that rules read.")
LABEL_SETS_LEFT = _metric("monitor_engine_label_sets_left_total", "counter", "Label sets that left, because no window, value, sample or alert held them any more.")
ALERTS = _metric("ALERTS", "gauge", "Active alerts, as Prometheus shows its own.", "alertname", "alertstate")

NOTIFICATIONS = _metric("monitor_notifications_total", "counter", "Notification attempts.", "sink", "outcome")
OUTBOX = _metric("monitor_outbox_depth", "gauge", "Notifications that wait to be sent.", "sink")
OUTBOX_OLDEST = _metric("monitor_outbox_oldest_timestamp_seconds", "gauge", "When the oldest waiting notification was made, unix time.", "sink")
SINK_UP = _metric("monitor_sink_up", "gauge", "Whether the last attempt on the sink succeeded.", "sink")
SILENCES = _metric("monitor_silences", "gauge", "Silences that are active or to come.")

BUILD_INFO = _metric("monitor_build_info", "info", "Version of the program and of the Python that runs it.", "version", "python")
CONFIG_INFO = _metric("monitor_config_info", "info", "Short hash of the loaded configuration and rules.", "hash")
SYNTHETIC = _metric("monitor_synthetic", "gauge", "1 when market data is made up (demo or replay), else 0.")
RELOAD_OK = _metric("monitor_config_last_reload_successful", "gauge", "Whether the last reload of configuration and rules succeeded.")
RELOAD_AT = _metric("monitor_config_last_reload_success_timestamp_seconds", "gauge", "When the last good reload was, unix time.")
RELOADS = _metric("monitor_config_reloads_total", "counter", "Reloads of configuration and rules.", "outcome")
STARTED = _metric("monitor_start_timestamp_seconds", "gauge", "When the monitor started, unix time of its own clock.")
NOW = _metric("monitor_clock_timestamp_seconds", "gauge", "The monitor's clock, unix time; runs fast in a demo.")
TAPE_RECORDS = _metric("monitor_tape_records_total", "counter", "Records written to the tape: frames and what a replay needs besides.")
TAPE_FRAMES = _metric("monitor_tape_frames_total", "counter", "Received frames written to the tape.")
TAPE_BYTES = _metric("monitor_tape_written_bytes_total", "counter", "Bytes written to the tape, compressed.")
TAPE_DROPPED = _metric("monitor_tape_dropped_total", "counter", "Records that are not on the tape: the queue was full (slow), or the disk refused (disk).", "reason")
TAPE_QUEUE = _metric("monitor_tape_queue_bytes", "gauge", "What waits to be written to the tape.")
TAPE_FOLDER = _metric("monitor_tape_folder_bytes", "gauge", "Size of all files of the tape.")
TAPE_BUDGET = _metric("monitor_tape_budget_ratio", "gauge", "Share of the tape's disk budget that is used; the oldest files go when it is full.")
TAPE_REMOVED = _metric("monitor_tape_removed_files_total", "counter", "Old files of the tape that were removed for budget or age.")
SNAPSHOT_COPY = _metric("monitor_snapshot_copy_seconds", "gauge", "How long the last copy of the windows held the event loop; writing happens beside it.")
SNAPSHOT_BYTES = _metric("monitor_snapshot_size_bytes", "gauge", "Size of the last copy of the windows on disk.")
LOSSES = ("superseded", "engine_error")
"""Reasons for which the buffer before the engine loses events."""
BUFFER_DROPPED = _metric("monitor_buffer_dropped_total", "counter", "Events that never became readings: a newer value of the same gauge waited behind (superseded), or the engine failed on their batch (engine_error).", "reason")
LOOP_LAG = _metric("monitor_loop_lag_seconds", "gauge", "How late timers of the event loop are.")
SATURATION = _metric("monitor_saturation_ratio", "gauge", "Share of time that the event loop was busy lately.")
CPU = _metric("process_cpu_seconds_total", "counter", "User and system CPU time of the process.")
MEMORY = _metric("process_resident_memory_bytes", "gauge", "Resident memory of the process.")
OPEN_FDS = _metric("process_open_fds", "gauge", "Open file descriptors of the process.")
SCRAPE_DURATION = _metric("monitor_scrape_duration_seconds", "gauge", "How long the previous scrape took to read and write.")
# fmt: on
EVENT_TYPES = ("liquidation", "trade", "price", "funding", "open_interest")
