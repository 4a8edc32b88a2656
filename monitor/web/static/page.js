// The live page: takes the event stream, keeps the newest sections, draws them once per animation frame.

import { alertList, ORDER } from "./alerts.js";
import { bar, chip, h, morph, sparkline } from "./draw.js";
import { ago, clock, duration, labelText, moment, num, pair, price, rate, rateSign, share, skew, utc, whole } from "./format.js";
import { bound, coverageChip, coverageTone, few, severity, severityWord, unsure } from "./parts.js";
import { ask, inspect, installForm, token, withdraw } from "./actions.js";
import { depth, reports, signalCount, signals, tape } from "./tables.js";
import { bySeverity, moved, moveText, pulse } from "./pulse.js";

const $ = (id) => document.getElementById(id);
const state = { now: null, sparks: {}, window: "1h", whole: new Set() };
const RETRY_MS = 2000;
const REPORTS_MS = 60_000;
const SILENT = "no sign of life";
const OLD_MS = 6000; // the monitor says something every two seconds, even when nothing changed
let link = { tone: "idle", text: "connecting" };
let heard = Date.now(); // when the monitor last said something
let offset = 0; // monitor's clock less ours, milliseconds
let dirty = new Set();
let scheduled = false;

const now = () => Date.now() + offset;
const title = (venue) => state.feeds?.find((feed) => feed.venue === venue)?.title ?? venue;
const mayChange = document.querySelector('meta[name="changes"]').content === "allowed"; // a token is configured

// -- stream

function connect() {
  const source = new EventSource("/events");
  const take = (event) => {
    const update = JSON.parse(event.data);
    heard = Date.now();
    offset = update.now - heard;
    announce(update);
    Object.assign(state, update);
    setLink("ok", "live");
    draw(Object.keys(update));
    if (update.rules) openNamed();
  };
  source.addEventListener("snapshot", take);
  source.addEventListener("update", take);
  source.addEventListener("error", () => {
    setLink("bad", "connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS); // refused: the browser gave up
  });
}

/** A connection may stand although nothing comes: the monitor hangs, or a proxy keeps the line. */
function listen() {
  if (link.tone === "ok" && Date.now() - heard > OLD_MS) setLink("bad", SILENT);
}

/** Notifications link to #why=group/name: open that rule once the rules are known, and once only. */
let named = location.hash;
function openNamed() {
  const wanted = named.match(/^#why=(.+)$/)?.[1];
  named = "";
  const rule = wanted && state.rules.find((one) => one.id === decodeURIComponent(wanted));
  if (rule && !$("why").open) inspect(rule);
}

function setLink(tone, text) {
  if (link.text === text) return;
  link = { tone, text };
  document.body.classList.toggle("stale", tone === "bad");
  draw(["link", "process"]);
}

function announce(update) {
  if (!update.alerts || !state.alerts) return;
  const before = new Map(state.alerts.map((alert) => [alert.fingerprint, alert.state]));
  const changed = update.alerts.filter((alert) => before.get(alert.fingerprint) !== alert.state);
  if (changed.length) $("announcer").textContent = changed.slice(0, 3).map((alert) => `${alert.name} ${alert.state}`).join(", ");
}

// -- drawing

function draw(names) {
  names.forEach((name) => dirty.add(name));
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    const changed = dirty;
    dirty = new Set();
    for (const [id, needs, view] of VIEWS) if (needs.some((name) => changed.has(name))) drawPart($(id), view);
  });
}

/** A part that cannot be drawn says so and leaves the others standing. */
function drawPart(element, view) {
  try {
    morph(element, [view()].flat(Infinity).filter(Boolean));
  } catch (problem) {
    console.error(problem);
    morph(element, [h("p", { class: "problem" }, `This part could not be drawn: ${problem.message}`)]);
  }
}

function banners() {
  const process = state.process;
  if (!process) return [];
  return [
    link.tone === "bad" && h("p", { class: "banner", "data-tone": "bad", role: "alert" },
      h("strong", {}, link.text === SILENT ? "The monitor is silent. " : "No connection to the monitor. "), `Every number below is from ${utc(state.now)}.`),
    process.synthetic && h("p", { class: "banner", "data-tone": "synthetic" }, h("strong", {}, "Synthetic data: "), process.synthetic_note.replace(/^synthetic( market)?:? */i, "")),
    process.tape && Object.values(process.tape.dropped).some(Boolean) && h("p", { class: "banner", "data-tone": "warn" },
      h("strong", {}, "The tape is incomplete. "), `${Object.values(process.tape.dropped).reduce((sum, count) => sum + count, 0)} records could not be written to ${process.tape.folder}. `, h("code", {}, process.tape.failing)),
    process.draining && h("p", { class: "banner", "data-tone": "warn" }, "The monitor is shutting down."),
    !process.reload.ok && h("p", { class: "banner", "data-tone": "bad", role: "alert" },
      h("strong", {}, "The last reload failed; the old rules still run. "), h("code", {}, process.reload.error)),
  ];
}

const total = (row) => row.long_usd + row.short_usd;
function windowCards() {
  if (!state.windows?.length) return h("p", { class: "empty" }, "No liquidation has been reported yet.");
  return state.windows.map((row) => {
    const whole = total(row);
    return h("article", { class: "card window", "data-key": row.window, "aria-label": `Liquidations in ${row.window}` },
      h("header", {}, h("h3", {}, row.window), coverageChip(row.coverage)),
      h("p", { class: "figure" }, num(whole), h("small", {}, " USD")),
      sparkline(state.sparks[`${row.window}//`], { width: 240, height: 44, floor: 0, label: `last hour of the ${row.window} total` }),
      bar([{ share: row.long_usd / whole, kind: "long" }, { share: row.short_usd / whole, kind: "short" }]),
      h("p", { class: "sides" },
        h("span", { "data-kind": "long" }, "long ", h("b", {}, num(row.long_usd))),
        h("span", { "data-kind": "short" }, "short ", h("b", {}, num(row.short_usd))),
        h("span", { class: "count" }, num(row.count), " orders")));
  });
}

function alertCount() {
  const count = (name) => state.alert_counts?.states[name] ?? 0;
  const firing = bySeverity(state.alert_counts).map(([name, rows]) => `${whole(rows)} ${name}`).join(", ");
  return [`${whole(count("firing"))} firing${firing && `: ${firing}`}; ${whole(count("held"))} held, ${whole(count("pending"))} pending`];
}

/** How far along the way to its threshold a value is; a share means something only where both have one sign. */
function progress(row) {
  const way = row.value / row.threshold;
  if (!(way > 0) || !Number.isFinite(way)) return null;
  if (row.truth === 1) return bar([{ share: 1, kind: "over" }], "thin");
  return bar([{ share: Math.min(way, 1 / way), kind: "plain" }], "thin"); // a price above its floor is on the way down to it
}

function ruleRow(rule, row) {
  const [value, threshold] = pair(row.value, row.threshold, rule.unit);
  return h("li", { class: "rule-row", "data-key": labelText(row.labels) },
    h("span", { class: "row-label" }, labelText(row.labels) || "whole market"),
    h("span", { class: "row-value n" }, h("b", {}, `${bound(row)}${value}`), h("small", {}, ` / ${threshold}`)),
    progress(row) ?? h("span", { class: "bar empty-bar", "aria-hidden": "true" }),
    h("span", { class: "row-chips" }, chip(row.truth < 0 || unsure(rule, row) ? "unknown" : row.state, unsure(rule, row) ? "held" : row.state, row.reason), h("span", { class: "cover", "data-tone": coverageTone(row.coverage), title: "coverage" }, share(row.coverage))));
}

function rules() {
  if (!state.rules?.length) return h("p", { class: "empty" }, "No rules are loaded.");
  const ranked = state.rules.map((rule, place) => [urgency(rule), severity(rule), place, rule]).sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return few("rules", ranked.map(([, , , rule]) => ruleCard(rule)), state.whole.has("rules"));
}

/** Active rules first, critical ones before others, quiet ones last; else in the order of their files. */
const urgency = (rule) => (rule.error ? 0 : Math.min(4, ...rule.rows.map((row) => ORDER[row.state] ?? (row.truth < 0 ? 3 : 4))));

function ruleCard(rule) {
  return h("article", { class: "rule", "data-key": rule.id },
    h("h3", {}, h("button", { type: "button", class: "plain", "data-action": "why", "data-id": rule.id }, rule.name), severityWord(rule)),
    h("p", {}, h("code", { class: "expr" }, rule.text), rule.for_s > 0 && h("span", { class: "note" }, ` for ${duration(rule.for_s)}`)),
    rule.error && h("p", { class: "problem" }, rule.error),
    h("ul", {}, rule.rows.slice(0, 6).map((row) => ruleRow(rule, row))),
    rule.row_count > 6 && h("p", { class: "note" }, `and ${rule.row_count - 6} more`));
}

function market() {
  const venues = (state.feeds ?? []).filter((feed) => feed.channels.some((one) => one.channel === "funding")).map((feed) => feed.venue);
  if (!state.assets?.length) return h("p", { class: "empty" }, "No price has arrived yet.");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Market table" }, h("table", { class: "market" },
    h("caption", { class: "unseen" }, "Price, funding and open interest by coin"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Coin"), h("th", { scope: "col", class: "n" }, "Price USD"), h("th", { scope: "col", class: "n" }, "Move"), h("th", { scope: "col" }, "Last hour"),
      h("th", { scope: "col", class: "n" }, "Funding 8 h"), venues.map((venue) => h("th", { scope: "col", class: "n venue" }, title(venue))),
      h("th", { scope: "col", class: "n" }, "Open interest"))),
    h("tbody", {}, state.assets.slice(0, 20).map((asset) => h("tr", { "data-key": asset.base },
      h("th", { scope: "row" }, asset.base), h("td", { class: "n" }, price(asset.price_usd)),
      h("td", { class: "n" }, moveText(moved(state.sparks[`price/${asset.base}`], asset.price_usd))),
      h("td", {}, sparkline(state.sparks[`price/${asset.base}`], { width: 70, height: 20, label: `${asset.base}, last hour` })),
      h("td", { class: "n" }, h("span", { class: "rate", "data-sign": rateSign(asset.funding_8h) }, rate(asset.funding_8h))),
      venues.map((venue) => h("td", { class: "n venue" }, h("span", { class: "rate quiet", "data-sign": rateSign(asset.funding_by_venue[venue]) }, rate(asset.funding_by_venue[venue])))),
      h("td", { class: "n" }, num(asset.open_interest_usd)))))));
}

function splitTabs() {
  return (state.windows ?? []).map((row) => h("button", { type: "button", "data-key": row.window, "data-action": "window", "data-id": row.window, "aria-pressed": String(row.window === state.window) }, row.window));
}

function splitTable(caption, rows, largest, sparkName) {
  return h("table", { class: "split" }, h("caption", {}, caption),
    h("thead", { class: "unseen" }, h("tr", {}, ["Name", "Long", "Short", "Last hour", "Share"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-key": row.name },
      h("th", { scope: "row" }, row.title),
      h("td", { class: "n", "data-kind": "long" }, num(row.long_usd)), h("td", { class: "n", "data-kind": "short" }, num(row.short_usd)),
      h("td", { class: "trend" }, sparkName && sparkline(state.sparks[sparkName(row)], { width: 70, height: 20, floor: 0, label: `${row.title} longs, last hour` })),
      h("td", { class: "grow" }, bar([{ share: row.long_usd / largest, kind: "long" }, { share: row.short_usd / largest, kind: "short" }]))))));
}

function split() {
  const found = state.windows?.find((row) => row.window === state.window) ?? state.windows?.[0];
  if (!found) return h("p", { class: "empty" }, "No liquidation has been reported yet.");
  const largest = (rows) => Math.max(1, ...rows.map(total));
  return [
    splitTable("By venue: longs, shorts in USD", found.venues, largest(found.venues), (row) => `${found.window}/${row.name}/long`),
    splitTable("By coin", found.bases.slice(0, 6), largest(found.bases)),
  ];
}

function feedCount() {
  const all = state.feeds ?? [];
  const up = all.filter((feed) => feed.up).length;
  return all.length ? [h("span", { class: "dot", "data-tone": up === all.length ? "ok" : "bad" }), `${up} of ${all.length} feeds up`] : [];
}

const LAWS = { complete: "complete", sampled: "sampled", order_level: "per order", not_covered: "not covered" };

function feedCard(feed) {
  const lost = Object.values(feed.dropped).reduce((sum, count) => sum + count, 0);
  const errors = Object.values(feed.decode_errors).reduce((sum, count) => sum + count, 0);
  const reconnects = Object.values(feed.reconnects).reduce((sum, count) => sum + count, 0);
  return h("article", { class: "card feed", "data-key": feed.venue, "data-tone": feed.up ? "ok" : "bad" },
    h("header", {}, h("h3", {}, h("span", { class: "dot", "data-tone": feed.up ? "ok" : "bad" }), feed.title, h("span", { class: "unseen" }, feed.up ? " up" : " down")),
      chip(share(feed.coverage), coverageTone(feed.coverage), "Share of the last hour in which every channel was live")),
    !feed.up && h("p", { class: "reason" }, feed.error || "down"),
    h("ul", { class: "channels" }, feed.channels.map((channel) => h("li", { "data-key": channel.channel },
      h("span", {}, h("span", { class: "dot small", "data-tone": channel.up ? "ok" : "bad" }), channel.channel.replace("_", " "), h("span", { class: "unseen" }, channel.up ? " live" : " down")),
      h("span", { class: "law", title: channel.law_rule }, channel.law === "complete" ? "" : LAWS[channel.law]),
      h("span", { class: "n" }, ago(channel.last, state.now))))),
    h("p", { class: "feed-facts" }, `${num(feed.frames)} frames, ${reconnects} reconnects, ${errors} unreadable, ${num(lost)} lost, ${num(feed.late)} late`,
      feed.clock_offset_s !== null && `, clock ${skew(feed.clock_offset_s)}`,
      feed.saturation !== null && `, ${share(feed.saturation)} of symbol-seconds at its cap`),
    feed.refused.length > 0 && h("p", { class: "reason" }, `refused: ${feed.refused.slice(0, 3).map((item) => `${item.topic} (${item.words})`).join("; ")}${feed.refused.length > 3 ? ` and ${feed.refused.length - 3} more` : ""}`),
    feed.from_cache && h("p", { class: "reason" }, "instruments come from the cache on disk"));
}

function feeds() {
  return state.feeds?.length ? state.feeds.map(feedCard) : h("p", { class: "empty" }, "No feed is configured.");
}

function history() {
  const rows = state.history ?? [];
  if (!rows.length) return h("p", { class: "empty" }, "Nothing has happened yet.");
  return h("ol", {}, rows.map((row) => h("li", { "data-key": `${row.at} ${row.kind} ${row.fingerprint}`, "data-tone": row.kind },
    h("time", { datetime: new Date(row.at).toISOString(), title: utc(row.at) }, moment(row.at, state.now)),
    chip(row.kind, row.kind),
    h("span", { class: "what" }, row.labels.alertname ?? row.rule, h("span", { class: "labels" }, ` ${labelText(row.labels, ["alertname", "severity"])}`), row.text && h("span", { class: "note" }, ` ${row.text}`)))));
}

function silenceNote() {
  const count = state.silences?.length ?? 0;
  return count ? h("p", { class: "note" }, `${count} silence${count > 1 ? "s" : ""} active`) : null;
}

function footer() {
  const process = state.process;
  if (!process) return null;
  const latency = state.latency?.total;
  return [
    h("p", {}, `version ${process.version}, configuration ${process.config_hash || MISSING_HASH}, up ${ago(process.started, state.now)}`),
    latency?.count > 0 && h("p", {}, `receipt to dispatch p50 ${duration(latency.p50)}, p99 ${duration(latency.p99)}`),
    h("ul", { class: "sinks" }, (state.sinks ?? []).map((sink) => h("li", { "data-key": sink.name },
      h("span", { class: "dot small", "data-tone": sink.up ? "ok" : "bad" }), sink.name, sink.outbox > 0 && ` ${sink.outbox} waiting`, !sink.up && sink.error && `: ${sink.error}`))),
    h("p", {}, h("a", { href: "/metrics" }, "metrics"), " ", h("a", { href: "/api/v1/status" }, "status"), " ", h("a", { href: "/api/v1/rules" }, "rules")),
  ];
}

const MISSING_HASH = "not hashed";

const VIEWS = [
  ["pulse", ["assets", "sparks", "alert_counts", "feeds"], () => pulse(state)],
  ["link", ["link"], () => [h("span", { class: "dot", "data-tone": link.tone }), h("span", {}, link.text)]],
  ["feed-count", ["feeds"], feedCount],
  ["banners", ["process"], banners],
  ["windows", ["windows", "sparks"], windowCards],
  ["alerts", ["alerts", "alert_counts", "rules"], () => alertList(state, mayChange)],
  ["alert-count", ["alert_counts"], alertCount],
  ["rules", ["rules"], rules],
  ["market", ["assets", "sparks", "feeds"], market],
  ["split-tabs", ["windows"], splitTabs],
  ["split", ["windows", "sparks"], split],
  ["feeds", ["feeds"], feeds],
  ["history", ["history"], history],
  ["depth", ["depth"], () => depth(state.depth)],
  ["signals", ["signals"], () => signals(state.signals, state.now)],
  ["signal-count", ["signals"], () => signalCount(state.signals)],
  ["tape", ["process"], () => tape(state.process?.tape)],
  ["reports", ["reports"], () => reports(state.reports)],
  ["silences-note", ["silences"], silenceNote],
  ["footer", ["process", "latency", "sinks"], footer],
];

// -- people

const findAlert = (id) => state.alerts.find((alert) => alert.fingerprint === id);
const ACTIONS = {
  acknowledge: (id) => ask("acknowledge", findAlert(id)),
  silence: (id) => ask("silence", findAlert(id)),
  unack: (id) => withdraw(`/api/v1/acks/${encodeURIComponent(id)}`),
  unsilence: (id) => withdraw(`/api/v1/silences/${encodeURIComponent(id)}`),
  why: (id) => inspect(state.rules.find((rule) => rule.id === id)),
  token: () => ask("token"),
  whole: (id) => open(id, id),
  each: (id) => open(id, "alerts"),
  window: (id) => { state.window = id; draw(["windows"]); },
  close: (_, button) => button.closest("dialog").close(),
  theme: toggleTheme,
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) ACTIONS[button.dataset.action](button.dataset.id, button);
});

/** Show the whole of a list or card, or its short form again. */
function open(id, section) {
  if (!state.whole.delete(id)) state.whole.add(id);
  draw([section]);
}

function toggleTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const shown = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = shown === "dark" ? "light" : "dark";
  localStorage.setItem("monitor-theme", document.documentElement.dataset.theme);
}

/** Reports are files that come by the hour: asked for now and then, and when the page is looked at again. */
async function watchReports() {
  try {
    const reply = await fetch("/api/v1/reports");
    if (reply.ok) state.reports = (await reply.json()).data.reports;
  } catch {
    return; // the banner of the stream says that the monitor is gone
  }
  draw(["reports"]);
}

function showSignedIn() {
  const button = $("token-button");
  button.textContent = !mayChange ? "Read-only" : token() ? "Signed in" : "Sign in";
  button.disabled = !mayChange;
  button.title = mayChange ? "" : "No api.token is configured, so nothing can be changed from here.";
}

const kept = localStorage.getItem("monitor-theme");
if (kept) document.documentElement.dataset.theme = kept;
installForm(showSignedIn);
showSignedIn();
setInterval(() => { $("clock").textContent = state.now ? clock(link.tone === "bad" ? state.now : now()) : "--:--:--"; }, 250);
addEventListener("hashchange", () => { named = location.hash; openNamed(); });
setInterval(listen, 1000);
setInterval(watchReports, REPORTS_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) watchReports(); });
watchReports();
connect();
