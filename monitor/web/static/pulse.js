// The first line of the page: what fires, where the market stands and came from, whether the data is complete. Pure:
// sections in, described elements out.

import { h } from "./draw.js";
import { duration, move, num, price, rate, rateSign, share, whole } from "./format.js";
import { coverageTone, SEVERITIES } from "./parts.js";

export const SPARK_STEP_S = 30; // as in monitor/web/page.py
const COINS = 2;
const known = (value) => typeof value === "number" && Number.isFinite(value);

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

function tile(name, figure, unit, ...more) {
  return h("article", { class: "tile", "data-key": name, "aria-label": name },
    h("h3", {}, name), h("p", { class: "tile-figure" }, figure, unit && h("small", {}, ` ${unit}`)), h("p", { class: "tile-more" }, more));
}

/** A tile that leads to the part of the page that says more. */
function link(name, figure, tone, to, more) {
  return h("a", { class: "tile", href: to, "data-key": name, "data-tone": tone },
    h("h3", {}, name), h("p", { class: "tile-figure" }, figure), h("p", { class: "tile-more" }, more));
}

const course = (found) => (found ? [moveText(found), ` in ${duration(Math.max(60, found.seconds - (found.seconds % 60)))}`] : []);

function interest(assets, sparks) {
  const held = assets.filter((asset) => known(asset.open_interest_usd));
  if (!held.length) return null;
  const lines = held.map((asset) => sparks[`interest/${asset.base}`] ?? []);
  const weights = held.filter((asset) => known(asset.funding_8h));
  const weight = weights.reduce((sum, asset) => sum + asset.open_interest_usd, 0);
  const funding = weight > 0 ? weights.reduce((sum, asset) => sum + asset.open_interest_usd * asset.funding_8h, 0) / weight : null;
  return [
    tile("Open interest", num(held.reduce((sum, asset) => sum + asset.open_interest_usd, 0)), "USD", ...course(movedTogether(lines))),
    tile("Funding per 8 h", h("span", { class: "rate", "data-sign": rateSign(funding) }, rate(funding)), null, `${held.length} coins, by open interest`),
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
  const words = all ? rows.map(([name, count]) => `${whole(count)} ${name}`).join(", ") : "nothing is firing";
  return link("Alerts firing", whole(all), rows[0]?.[0] === "critical" ? "bad" : null, "#h-alerts", words);
}

/** Whether the numbers can be trusted: the least complete feed's hour, and how many feeds are up now. */
function completeness(feeds) {
  const known = feeds.filter((feed) => feed.coverage !== null);
  const worst = known.length ? Math.min(...known.map((feed) => feed.coverage)) : null;
  const up = feeds.filter((feed) => feed.up).length;
  const tone = up < feeds.length ? "bad" : coverageTone(worst);
  return link("Data, last hour", share(worst), tone === "ok" ? null : tone, "#h-feeds", `worst feed; ${up} of ${feeds.length} feeds up`);
}

export function pulse(state) {
  const assets = state.assets ?? [];
  const coins = assets.filter((asset) => known(asset.price_usd)).slice(0, COINS);
  return [
    state.alert_counts && firing(state.alert_counts),
    ...coins.map((asset) => tile(asset.base, price(asset.price_usd), "USD", ...course(moved(state.sparks[`price/${asset.base}`], asset.price_usd)))),
    interest(assets, state.sparks),
    state.feeds?.length > 0 && completeness(state.feeds),
  ];
}
