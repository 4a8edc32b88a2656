// The first line of the page: where the market stands and where it came from. Pure: sections in, described elements out.

import { h } from "./draw.js";
import { duration, move, num, price, rate } from "./format.js";

export const SPARK_STEP_S = 30; // as in monitor/web/page.py
const COINS = 2;
const known = (value) => typeof value === "number" && Number.isFinite(value);
export const SEVERITIES = ["critical", "warning", "info"];

/** The move from the oldest known point to `last`, and over how long; null while there is nothing to compare with. */
export function moved(points, last) {
  const first = (points ?? []).findIndex((point) => point !== null);
  if (first < 0 || first >= points.length - 1 || !known(last) || !points[first]) return null;
  return { ratio: last / points[first] - 1, seconds: (points.length - 1 - first) * SPARK_STEP_S };
}

/** The move of a sum since the largest coin's line began; a coin that is missing at one end counts at neither. */
function movedTogether(lines) {
  const start = lines[0].findIndex((point) => point !== null);
  const whole = lines.filter((line) => line.length === lines[0].length && known(line[start]) && known(line.at(-1)));
  const sum = (place) => whole.reduce((total, line) => total + line.at(place), 0);
  return moved(whole.length ? [sum(start), ...lines[0].slice(start + 1)] : [], sum(-1));
}

export function moveText(found) {
  return h("span", { class: "rate", "data-sign": found ? Math.sign(found.ratio.toFixed(4)) : "0" }, found ? move(found.ratio) : "");
}

function tile(name, figure, found, more) {
  return h("article", { class: "tile", "data-key": name, "aria-label": name },
    h("h3", {}, name), h("p", { class: "tile-figure" }, figure),
    h("p", { class: "tile-more" }, found && [moveText(found), ` in ${duration(Math.max(60, found.seconds - (found.seconds % 60)))}`], found && more && ", ", more));
}

function interest(assets, sparks) {
  const held = assets.filter((asset) => known(asset.open_interest_usd));
  if (!held.length) return null;
  const lines = held.map((asset) => sparks[`interest/${asset.base}`] ?? []);
  const weights = held.filter((asset) => known(asset.funding_8h));
  const weight = weights.reduce((sum, asset) => sum + asset.open_interest_usd, 0);
  const funding = weight > 0 ? weights.reduce((sum, asset) => sum + asset.open_interest_usd * asset.funding_8h, 0) / weight : null;
  return [
    tile("Open interest", num(held.reduce((sum, asset) => sum + asset.open_interest_usd, 0)), movedTogether(lines), `USD, ${held.length} coins`),
    tile("Funding per 8 h", h("span", { class: "rate", "data-sign": Math.sign(funding) }, rate(funding)), null, "weighted by open interest"),
  ];
}

/** Firing alerts by severity, as counted by the monitor: what waits for a person. */
export function bySeverity(counts) {
  const rows = SEVERITIES.map((name) => [name, counts?.firing[name] ?? 0]);
  const all = Object.values(counts?.firing ?? {}).reduce((sum, count) => sum + count, 0);
  return [...rows, ["other", all - rows.reduce((sum, [, count]) => sum + count, 0)]].filter(([, count]) => count);
}

function firing(counts) {
  const rows = bySeverity(counts);
  const all = rows.reduce((sum, [, count]) => sum + count, 0);
  return h("a", { class: "tile", href: "#h-alerts", "data-key": "alerts", "data-tone": rows[0]?.[0] === "critical" ? "bad" : null },
    h("h3", {}, "Alerts firing"), h("p", { class: "tile-figure" }, num(all)),
    h("p", { class: "tile-more" }, all ? rows.map(([name, count]) => `${num(count)} ${name}`).join(", ") : "nothing is firing"));
}

export function pulse(state) {
  const assets = state.assets ?? [];
  const coins = assets.filter((asset) => known(asset.price_usd)).slice(0, COINS);
  return [
    ...coins.map((asset) => tile(asset.base, price(asset.price_usd), moved(state.sparks[`price/${asset.base}`], asset.price_usd))),
    interest(assets, state.sparks),
    state.alert_counts && firing(state.alert_counts),
  ];
}
