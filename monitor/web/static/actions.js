// What a person can do: acknowledge, silence, look behind a rule. Changes carry the token, kept for this tab only.

import { h, morph, sparkline, bar, chip } from "./draw.js";
import { amount, labelText, pair, share } from "./format.js";

const $ = (id) => document.getElementById(id);
const TOKEN = "monitor-token";
const NAME = "monitor-name";
let pending = null;
let told = () => {}; // hears when a token came or went

export const token = () => sessionStorage.getItem(TOKEN) ?? "";

async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (method !== "GET") headers.Authorization = `Bearer ${token()}`;
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) }).catch(() => { throw new Error("no connection to the monitor; nothing was changed"); });
  if (reply.status === 401) forget();
  const answer = await reply.json().catch(() => ({ error: `the monitor answered ${reply.status}` }));
  if (!reply.ok) throw Object.assign(new Error(answer.error ?? `the monitor answered ${reply.status}`), { status: reply.status });
  return answer.data;
}

/** A token that was refused, as after a restart with another one: the page must not go on saying "signed in". */
function forget() {
  sessionStorage.removeItem(TOKEN);
  told();
}

/** Whether the token is taken: ending a silence that does not exist is refused as unknown only to those who may end one. */
async function verify() {
  await call("DELETE", "/api/v1/silences/none").catch((problem) => { if (problem.status !== 404) throw problem; });
}

const WORDS = {
  acknowledge: ["Acknowledge alert", "Acknowledge"],
  silence: ["Silence alert", "Silence"],
  token: ["Sign in for changes", "Keep for this tab"],
};

/** Open the form for "acknowledge" or "silence" of an alert, or "token" alone. */
export function ask(kind, alert) {
  pending = { kind, alert };
  const [title, button] = WORDS[kind];
  $("act-title").textContent = title;
  $("act-submit").textContent = button;
  $("act-subject").textContent = alert
    ? labelText(alert.labels, ["alertname", "severity"]) ? `${alert.name} ${labelText(alert.labels, ["alertname", "severity"])}` : alert.name
    : "The token allows acknowledging and silencing. It stays in this tab and is sent only with changes.";
  $("act-duration-label").hidden = kind !== "silence";
  $("act-comment").closest("label").hidden = kind === "token";
  $("act-comment").value = "";
  $("act-token").value = token();
  $("act-by").value = localStorage.getItem(NAME) ?? "";
  $("act-problem").textContent = "";
  $("act").showModal();
  $(kind === "token" || $("act-by").value ? "act-token" : "act-by").focus();
}

async function perform({ kind, alert }, form) {
  const by = form.by.value;
  const comment = form.comment.value;
  if (kind === "token") await verify();
  if (kind === "acknowledge") await call("POST", "/api/v1/acks", { fingerprint: alert.fingerprint, by, comment });
  if (kind === "silence") {
    const matchers = Object.entries(alert.labels).filter(([name]) => name !== "severity").map(([name, value]) => ({ name, value }));
    await call("POST", "/api/v1/silences", { matchers, createdBy: by, comment, duration: form.duration.value });
  }
}

/** Take back an acknowledgement or end a silence; asks for the token when there is none. */
export async function withdraw(path) {
  if (!token()) return ask("token");
  try {
    await call("DELETE", path);
  } catch (problem) {
    ask("token");
    $("act-problem").textContent = problem.message;
  }
}

export function installForm(onChange) {
  told = onChange;
  $("act-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target.elements;
    sessionStorage.setItem(TOKEN, form.token.value);
    localStorage.setItem(NAME, form.by.value);
    $("act-submit").disabled = true;
    try {
      await perform(pending, form);
      $("act").close();
      onChange();
    } catch (problem) {
      $("act-problem").textContent = problem.message;
    } finally {
      $("act-submit").disabled = false;
    }
  });
}

const TRUTH = { 1: ["true", "bad"], 0: ["false", "idle"], "-1": ["unknown", "held"] };

/** One who made up a reading: only the labels that tell it from the row; a symbol says its coins. */
function contributorRow(part, labels) {
  const known = [...Object.keys(labels), ...(part.labels.symbol ? ["base", "quote"] : [])];
  return h("tr", {},
    h("th", { scope: "row" }, labelText(part.labels, known) || labelText(part.labels)),
    h("td", { class: "n" }, amount(part.value, part.unit)),
    h("td", { class: "n" }, part.share ? share(part.share) : ""),
    h("td", { class: "grow" }, part.share ? bar([{ share: part.share, kind: "plain" }]) : null));
}

function whyRow(row, unit) {
  const [truth, tone] = TRUTH[row.truth];
  const [value, threshold] = pair(row.value, row.threshold, unit);
  return h("section", { class: "why-row", "data-key": labelText(row.labels) },
    h("h3", {}, labelText(row.labels) || "the whole market", chip(row.state, row.state), chip(truth, tone)),
    h("p", { class: "why-figures" },
      h("span", {}, h("small", {}, "value"), h("b", {}, value)),
      h("span", {}, h("small", {}, "threshold"), h("b", {}, threshold)),
      h("span", {}, h("small", {}, "coverage"), h("b", {}, share(row.coverage)))),
    row.reason && h("p", { class: "reason" }, row.reason),
    row.near_miss && h("p", { class: "note" }, row.near_miss),
    row.spark.length > 1 && sparkline(row.spark, { width: 480, height: 60, label: "value over the window" }),
    row.signs.length === 0 && row.contributors.length > 0 && h("table", { class: "contributors" }, h("caption", { class: "unseen" }, "Contributors"),
      h("tbody", {}, row.contributors.map((part) => contributorRow(part, row.labels)))),
    row.signs.length > 0 && h("ul", { class: "parts" }, row.signs.map((sign) => h("li", {}, h("code", {}, sign)))),
    row.parts.length > 0 && h("ul", { class: "parts" }, row.parts.map((part) => h("li", {}, h("code", {}, part.text), " = ", amount(part.value, part.unit)))),
    row.largest && h("p", { class: "note" }, `largest: ${row.largest}`),
    ...row.notes.map((text) => h("p", { class: "note" }, text)),
    row.missing.length > 0 && h("p", { class: "reason" }, `missing: ${row.missing.join(", ")}`));
}

/** Show what stands behind a rule's numbers. */
export async function inspect(rule) {
  $("why-title").textContent = rule.name;
  morph($("why-body"), [h("p", { class: "note" }, "reading")]);
  $("why").showModal();
  try {
    const { rows } = await call("GET", `/api/v1/why?rule=${encodeURIComponent(rule.id)}`);
    morph($("why-body"), [
      h("p", {}, h("code", { class: "expr" }, rule.text)),
      rule.clear && h("p", { class: "note" }, "clears when ", h("code", {}, rule.clear)),
      ...rows.map((row) => whyRow(row, rule.unit)),
    ].filter(Boolean));
  } catch (problem) {
    morph($("why-body"), [h("p", { class: "problem" }, problem.message)]);
  }
}
