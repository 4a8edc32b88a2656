// The list of alerts. Pure: sections in, described elements out.

import { chip, h } from "./draw.js";
import { ago, inUnit, labelText, pair, whole } from "./format.js";
import { bound, coverageChip, few, severity, severityWord } from "./parts.js";

export const ORDER = { firing: 0, held: 1, pending: 2, resolved: 3 };
const TOGETHER = 4; // so many label sets of a rule in one state are one card, until somebody asks for each
const NAMED = 8; // label sets that such a card names
const OBVIOUS = "the condition holds"; // on how much of the data: then, at the card's head it stands as of now
const COMMON = ["alertname", "severity"]; // labels that the card says elsewhere

const handled = (alert) => Boolean(alert.acked_by || alert.silenced_by.length);
const since = (alert) => (alert.state === "resolved" ? alert.resolved : alert.fired || alert.active);
const cardOf = (alert) => `${alert.state} ${alert.severity} ${alert.rule}`;

/** The most urgent first, critical ones before others, what nobody has looked at before what somebody has, the newest among equals. */
function ranked(alerts) {
  return [...alerts].sort((a, b) => ORDER[a.state] - ORDER[b.state] || severity(a) - severity(b) || handled(a) - handled(b) || since(b) - since(a));
}

/** The alerts of a card together, at the place of the most urgent one. */
function together(alerts) {
  const cards = new Map();
  for (const alert of ranked(alerts)) {
    const key = cardOf(alert);
    if (cards.has(key)) cards.get(key).push(alert);
    else cards.set(key, [alert]);
  }
  return [...cards];
}

function header(alert, state, coverage, when) {
  return h("header", {}, chip(state, alert.state), severityWord(alert), coverageChip(coverage), h("span", { class: "when" }, when));
}

const named = (alert) => labelText(alert.labels, COMMON);
const button = (action, id, text, unseen) => h("button", { type: "button", "data-action": action, "data-id": id }, text, unseen && h("span", { class: "unseen" }, ` ${unseen}`));

function buttons(alert, rule, mayChange) {
  const whom = `${alert.name} ${named(alert)}`;
  return h("p", { class: "buttons" },
    mayChange && (alert.acked_by ? button("unack", alert.fingerprint, "Withdraw", `acknowledgement of ${whom}`) : button("acknowledge", alert.fingerprint, "Acknowledge", whom)),
    mayChange && (alert.silenced_by.length ? button("unsilence", alert.silenced_by[0], "End silence", `of ${whom}`) : button("silence", alert.fingerprint, "Silence", whom)),
    rule && button("why", rule.id, "Why", alert.name));
}

function oneCard(alert, rule, now, mayChange) {
  const where = named(alert);
  const [value, threshold] = pair(alert.value, alert.threshold, rule?.unit ?? "");
  return h("article", { class: "alert", "data-tone": alert.state, "data-key": alert.fingerprint },
    header(alert, alert.state, alert.coverage, alert.state === "resolved" ? `${ago(since(alert), now)} ago` : `for ${ago(since(alert), now)}`),
    h("h3", {}, alert.name, where && h("span", { class: "labels" }, ` ${where}`)),
    alert.annotations.summary && h("p", { class: "summary" }, alert.annotations.summary),
    alert.reason && !alert.reason.startsWith(OBVIOUS) && h("p", { class: "reason" }, alert.reason),
    h("div", { class: "foot" }, h("p", { class: "facts" },
      h("span", {}, h("b", {}, `${bound(alert)}${value}`), " against ", threshold),
      alert.acked_by && chip(`acknowledged by ${alert.acked_by}`, "ok", alert.ack_comment),
      alert.silenced_by.length > 0 && chip("silenced", "idle")),
    alert.state !== "resolved" && buttons(alert, rule, mayChange)));
}

/** Many label sets of one rule: who they are and how far each is, in a few lines. */
function manyCard(key, alerts, rule, now) {
  const [first] = alerts;
  const coverage = Math.min(...alerts.map((alert) => alert.coverage ?? 0));
  const rest = alerts.length - NAMED;
  const count = (test) => alerts.filter(test).length;
  const acked = count((alert) => alert.acked_by);
  const silenced = count((alert) => alert.silenced_by.length);
  return h("article", { class: "alert many", "data-tone": first.state, "data-key": key },
    header(first, `${whole(alerts.length)} ${first.state}`, coverage, `newest ${ago(Math.max(...alerts.map(since)), now)} ago`),
    h("h3", {}, first.name),
    first.annotations.summary && h("p", { class: "note" }, `newest: ${first.annotations.summary}`),
    h("ul", { class: "members" }, alerts.slice(0, NAMED).map((alert) => h("li", { "data-key": alert.fingerprint }, named(alert), " ", h("b", {}, inUnit(alert.value, rule?.unit ?? "")))),
      rest > 0 && h("li", { class: "note", "data-key": "rest" }, `and ${whole(rest)} more`)),
    h("div", { class: "foot" },
      h("p", { class: "facts" }, acked > 0 && chip(`${acked} acknowledged`, "ok"), silenced > 0 && chip(`${silenced} silenced`, "idle")),
      h("p", { class: "buttons" }, button("each", key, "Show each", first.name), rule && button("why", rule.id, "Why", first.name))));
}

/** The cards of one rule in one state: one for all, or, opened, one for each and a button that closes them. */
function cards(key, alerts, state, mayChange) {
  const rule = state.rules?.find((candidate) => candidate.id === alerts[0].rule);
  if (alerts.length < TOGETHER) return alerts.map((alert) => oneCard(alert, rule, state.now, mayChange));
  if (!state.whole.has(key)) return [manyCard(key, alerts, rule, state.now)];
  const close = h("p", { class: "more", "data-key": `close ${key}` }, button("each", key, `Show ${alerts[0].name} as one`));
  return [...alerts.map((alert) => oneCard(alert, rule, state.now, mayChange)), close];
}

export function alertList(state, mayChange) {
  const all = state.alerts ?? [];
  if (!all.length) return h("p", { class: "empty" }, "Nothing is firing.");
  const unseen = (state.alert_counts?.total ?? 0) - all.length;
  const groups = together(all).map(([key, alerts]) => cards(key, alerts, state, mayChange));
  return [
    ...few("alerts", groups, state.whole.has("alerts"), all.length).flat(),
    unseen > 0 && h("p", { class: "note", "data-key": "unseen" }, `and ${whole(unseen)} less urgent ones, see /api/v1/alerts`),
  ].filter(Boolean);
}
