// Small pieces that several parts of the page share. Pure: values in, described elements out.

import { chip, h } from "./draw.js";
import { share, whole as exact } from "./format.js";

export const SEVERITIES = ["critical", "warning", "info"];
export const FEW = 8; // cards shown before somebody asks for all of them

/** Place of a row's severity; one with another word comes last. */
export const severity = (row) => (SEVERITIES.includes(row.severity) ? SEVERITIES.indexOf(row.severity) : SEVERITIES.length);

/** The word; critical stands out. */
export const severityWord = (row) => row.severity && h("span", { class: "severity", "data-severity": row.severity }, row.severity);

/** What stands before a reading whose missing part could only add to it. */
export const bound = (row) => (row.lower_bound && row.coverage < 1 ? "≥ " : "");

/** Whether a rule that does not hold may do so only because too little of its data is there. */
export const unsure = (rule, row) => row.state === "inactive" && (row.truth < 0 || (row.truth === 0 && row.coverage < rule.min_coverage));

export const coverageTone = (value) => (value === null || value === undefined ? "idle" : value >= 0.95 ? "ok" : value >= 0.8 ? "warn" : "bad");

export const coverageChip = (value) => chip(`${share(value)} covered`, coverageTone(value), "Share of the window in which the feeds behind this number were live");

/** The first cards of a list, and a button for the rest; `count` is how many things the cards show. */
export function few(name, cards, whole, count = cards.length) {
  const button = cards.length > FEW && h("p", { class: "more", "data-key": "more" },
    h("button", { type: "button", "data-action": "whole", "data-id": name, "aria-expanded": String(whole) }, whole ? `Show the first ${FEW}` : `Show all ${exact(count)} ${name}`));
  return [...(whole ? cards : cards.slice(0, FEW)), button].filter(Boolean);
}
