// Numbers as people read them. The same rules as monitor/format.py: missing is never shown as zero.

export const MISSING = "n/a";
const MOST_DIGITS = 6; // more are noise of the calculation
const NAMED = { USD: " USD", price: " USD", "vol points": " vol points" };
const SCALES = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
const known = (value) => typeof value === "number" && Number.isFinite(value);

function significant(value, digits = 3) {
  if (value === 0) return "0";
  const places = Math.min(100, Math.max(digits - 1 - Math.floor(Math.log10(Math.abs(value))), 0));
  const text = value.toFixed(places);
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

/** 1040000000 -> 1.04B */
export function num(value, digits = 3) {
  if (!known(value)) return MISSING;
  for (const [scale, letter] of SCALES) {
    if (Math.abs(value) >= scale * (1 - 0.5 * 10 ** -digits)) return significant(value / scale, digits) + letter;
  }
  return significant(value, digits);
}

/** Of alerts each one counts: 2001 -> 2,001 */
export const whole = (count) => count.toLocaleString("en-US");

/** 0.0312 -> 3.12% */
export const pct = (value, digits = 3) => (known(value) ? significant(value * 100, digits) + "%" : MISSING);

/** 0.0025 -> 25bp */
export const bp = (value) => (known(value) ? significant(value * 1e4) + "bp" : MISSING);

/** 1536000 -> 1.5 MiB */
export function bytes(value) {
  if (!known(value)) return MISSING;
  const step = value < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return step ? `${(value / 1024 ** step).toFixed(1)} ${["", "KiB", "MiB", "GiB", "TiB"][step]}` : `${value} B`;
}

/** A share as a percentage, rounded down so that it never claims more: 0.998 -> 99.8%, 0.947 -> 94%, 1 -> 100%. */
export function share(value) {
  if (!known(value)) return MISSING;
  if (value >= 1) return `${Math.round(value * 100)}%`;
  return value > 0.99 ? `${(Math.floor(value * 1000) / 10).toFixed(1)}%` : `${Math.floor(value * 100)}%`;
}

/** Percent with its sign; what rounds to nothing has none. */
function signed(percent, places) {
  const text = Math.abs(percent).toFixed(places);
  return (Number(text) === 0 ? "" : percent > 0 ? "+" : "-") + text + "%";
}

/** A funding rate, four places, with its sign: -0.0081% */
export function rate(value) {
  if (!known(value)) return MISSING;
  return signed(value * 100, 4);
}

/** The sign that a funding rate shows: 0 for what rounds to nothing. */
export const rateSign = (value) => (known(value) ? Math.sign(Number((value * 100).toFixed(4))) : 0);

/** A move of the market, two places, with its sign: -3.42% */
export function move(value) {
  if (!known(value)) return MISSING;
  return signed(value * 100, 2);
}

/** 82010.5 -> 82,010.50; five significant digits below 1 */
export function price(value, places = 2) {
  if (!known(value)) return MISSING;
  if (Math.abs(value) < 1) return significant(value, places + 3);
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

/** Seconds -> 4m12s, 8h, 250ms, 40µs */
export function duration(seconds) {
  if (!known(seconds)) return MISSING;
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "-" : "";
  if (size === 0) return "0s";
  if (size < 0.001) return sign + significant(size * 1e6) + "µs";
  if (size < 1) return sign + significant(size * 1e3) + "ms";
  let left = Math.round(size);
  const parts = [];
  for (const [name, unit] of UNITS) {
    const count = Math.floor(left / unit);
    left -= count * unit;
    if (count) parts.push(count + name);
    if (parts.length === 2) break;
  }
  return sign + parts.join("");
}

/** A signed difference of clocks in seconds: +12ms, -1.27s */
export function skew(seconds) {
  if (!known(seconds)) return MISSING;
  const size = Math.abs(seconds);
  const text = size < 1 ? `${Math.round(size * 1000)}ms` : size < 60 ? `${significant(size)}s` : duration(size);
  return (seconds < 0 ? "-" : "+") + text;
}

/** Unix milliseconds -> 04:35:21Z, on another day than now 11-20 04:35:21Z */
export function moment(ms, now) {
  const [day, time] = utc(ms).split(" ");
  return utc(now).startsWith(day) ? time : `${day.slice(5)} ${time}`;
}

/** Unix milliseconds -> 04:35:21 */
export const clock = (ms) => (known(ms) ? new Date(ms).toISOString().slice(11, 19) : "--:--:--");

/** Unix milliseconds -> 2025-11-21 04:35:21Z */
export const utc = (ms) => (known(ms) ? new Date(ms).toISOString().slice(0, 19).replace("T", " ") + "Z" : MISSING);

/** How long ago, or "never" */
export const ago = (ms, now) => (known(ms) ? duration(Math.max(0, (now - ms) / 1000)) : "never");

/** A value in the unit of its rule, without the unit's name. */
export function inUnit(value, unit, digits = 3) {
  if (unit === "ratio") return pct(value, digits);
  if (unit === "price") return price(value, digits - 1);
  if (unit === "duration") return duration(known(value) ? value / 1e9 : value);
  return num(value, digits);
}

/** A value with the name of what it counts: 1.04B USD, 7.55 vol points */
export const amount = (value, unit) => inUnit(value, unit) + (known(value) ? NAMED[unit] ?? "" : "");

/** A value and its threshold with its unit, and as many digits as it takes to tell them apart: -30.04% and -30% */
export function pair(value, threshold, unit) {
  const texts = (digits) => [inUnit(value, unit, digits), inUnit(threshold, unit, digits)];
  let digits = 3;
  while (digits < MOST_DIGITS && texts(digits)[0] === texts(digits)[1]) digits += 1;
  const [first, second] = texts(texts(digits)[0] === texts(digits)[1] ? 3 : digits);
  return [first, second + (known(threshold) ? NAMED[unit] ?? "" : "")];
}

/** 1.04B against 1B USD */
export const against = (value, threshold, unit) => (known(threshold) ? pair(value, threshold, unit).join(" against ") : amount(value, unit));

/** base=BTC side=long, without the labels in `except` */
export function labelText(labels, except = []) {
  return Object.entries(labels)
    .filter(([name]) => !except.includes(name))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}
