// The plain tables of the page: depth, signals, the tape, reports. Pure: sections in, described elements out.

import { bar, chip, h } from "./draw.js";
import { ago, amount, bp, bytes, num, share, utc } from "./format.js";

function table(name, caption, heads, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: name }, h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map(([text, kind]) => h("th", { scope: "col", class: kind ?? "" }, text)))),
      h("tbody", {}, rows)));
}

export function depth(books) {
  if (!books?.length) return h("p", { class: "empty" }, "No order book has arrived: depth is a channel of its own, to be configured.");
  const deepest = Math.max(...books.map((row) => row.bid_usd + row.ask_usd));
  return table("depth", "Order book depth by coin", [["Coin"], ["Bids", "n"], ["Asks", "n"], ["Bids and asks", "grow"], ["Spread", "n"], ["Venues", "n venue"]],
    books.slice(0, 12).map((row) => h("tr", { "data-key": row.base },
      h("th", { scope: "row" }, row.base),
      h("td", { class: "n" }, num(row.bid_usd)), h("td", { class: "n" }, num(row.ask_usd)),
      h("td", { class: "grow" }, bar([{ share: row.bid_usd / deepest, kind: "short" }, { share: row.ask_usd / deepest, kind: "long" }])),
      h("td", { class: "n" }, bp(row.spread)),
      h("td", { class: "n venue" }, Object.keys(row.by_venue).length))));
}

function signalRow(row, now) {
  const state = row.absent ? chip("absent", "idle") : row.firing_rules.includes(row.rule) ? chip("firing", "firing") : chip("quiet", "ok");
  const others = row.firing_rules.filter((rule) => rule !== row.rule);
  return h("tr", { "data-key": row.id, "data-absent": row.absent ? "yes" : null },
    h("th", { scope: "row" }, row.id),
    h("td", {}, state),
    h("td", { class: "n" }, row.absent ? "" : amount(row.value, row.unit)),
    h("td", { class: "n venue" }, row.absent ? "" : row.as_of ? ago(row.as_of, now) : "n/a"),
    h("td", { class: "n venue" }, row.absent ? "" : share(row.coverage)),
    h("td", { class: "said" }, row.title, row.absent && h("span", { class: "note" }, `: ${row.absent}`),
      others.length > 0 && h("span", { class: "note" }, `: firing ${others.join(", ")}`)),
    h("td", { class: "venue note" }, row.rule));
}

export function signals(rows, now) {
  if (!rows?.length) return h("p", { class: "empty" }, "This monitor has no signal catalogue.");
  return table("signals", "Signals of the catalogue", [["Id"], ["State"], ["Value", "n"], ["Age", "n venue"], ["Coverage", "n venue"], ["Signal"], ["Rule", "venue"]],
    rows.map((row) => signalRow(row, now)));
}

export function signalCount(rows) {
  if (!rows?.length) return [];
  const alive = rows.filter((row) => !row.absent);
  return [`${alive.length} of ${rows.length} have a value, ${alive.filter((row) => row.firing).length} firing`];
}

/** What is being recorded, in a line. */
export function tape(found) {
  if (!found) return h("p", { class: "note" }, "No tape is being written; the key record in the configuration starts one.");
  const lost = Object.values(found.dropped).reduce((sum, count) => sum + count, 0);
  return h("p", {}, chip(found.failing ? "failing" : "recording", found.failing ? "bad" : "ok"), ` ${found.folder}: ${num(found.frames)} frames, ${bytes(found.folder_bytes)}`,
    found.budget_bytes !== null && ` of ${bytes(found.budget_bytes)}`, ` in ${found.files} file${found.files === 1 ? "" : "s"}`,
    h("span", { class: lost ? "problem" : "note" }, `, ${num(lost)} lost`));
}

export function reports(found) {
  if (!found) return []; // not asked yet, or not answered: nothing is known
  if (!found.length) return h("p", { class: "empty" }, "No backtest report is in the folder reports of data_dir.");
  return table("reports", "Backtest reports", [["Report"], ["Written"], ["Size", "n"]],
    found.map((report) => h("tr", { "data-key": report.name },
      h("th", { scope: "row" }, h("a", { href: `/reports/${encodeURIComponent(report.name)}`, target: "_blank", rel: "noopener" }, report.name)),
      h("td", {}, utc(report.at)), h("td", { class: "n" }, bytes(report.bytes)))));
}
