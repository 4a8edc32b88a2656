// Building and updating the page. `h` describes an element; `morph` changes the real one until it matches, so that
// focus, selection and scroll position survive four updates a second.

const SVG = "http://www.w3.org/2000/svg";

/** Describe an element. Attributes: `class`, `data-…`, `aria-…`; `width` and `left` in percent go to the style. */
export function h(tag, attributes = {}, ...children) {
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return { tag, attributes, children: shown };
}

function build(node) {
  if (typeof node !== "object") return document.createTextNode(String(node));
  const element = ["svg", "path", "line", "circle", "title", "polyline", "polygon"].includes(node.tag)
    ? document.createElementNS(SVG, node.tag)
    : document.createElement(node.tag);
  apply(element, node.attributes);
  element.append(...node.children.map(build));
  return element;
}

function apply(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "size") element.style.inlineSize = `${value}%`;
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
  for (const { name } of [...element.attributes]) {
    if (name !== "style" && !(name in attributes)) element.removeAttribute(name);
  }
}

const keyOf = (node) => (typeof node === "object" ? node.attributes["data-key"] : undefined);

function fits(element, node) {
  if (typeof node !== "object") return element.nodeType === Node.TEXT_NODE;
  if (element.nodeType !== Node.ELEMENT_NODE || element.localName !== node.tag) return false;
  return (element.getAttribute("data-key") ?? undefined) === keyOf(node);
}

function morphOne(element, node) {
  if (typeof node !== "object") {
    if (element.data !== String(node)) element.data = String(node);
    return;
  }
  apply(element, node.attributes);
  morph(element, node.children);
}

/** Make the children of `parent` match the described `nodes`. */
export function morph(parent, nodes) {
  let place = parent.firstChild;
  for (const node of nodes) {
    const found = place && fits(place, node) ? place : findKeyed(place, node);
    if (found) {
      if (found !== place) parent.insertBefore(found, place);
      else place = place.nextSibling;
      morphOne(found, node);
    } else {
      parent.insertBefore(build(node), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function findKeyed(from, node) {
  if (keyOf(node) === undefined) return null;
  for (let element = from; element; element = element.nextSibling) if (fits(element, node)) return element;
  return null;
}

/** A line over the last hour; missing points break it. `floor` 0 draws from zero, null from the lowest point. */
export function sparkline(points, { width = 120, height = 32, floor = null, label = "" } = {}) {
  const values = points ?? [];
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return h("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const low = floor === null ? Math.min(...known) : Math.min(floor, ...known);
  const high = Math.max(...known);
  const x = (index) => (index / (values.length - 1)) * (width - 6) + 2;
  const y = (value) => height - 3 - ((value - low) / (high - low || 1)) * (height - 6);
  let path = "";
  values.forEach((value, index) => {
    if (value !== null) path += `${index && values[index - 1] !== null ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const last = values.length - 1;
  const area = known.length === values.length && `${path}L${x(last).toFixed(1)} ${height}L${x(0).toFixed(1)} ${height}Z`;
  return h("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    area && h("path", { class: "area", d: area }),
    h("path", { class: "stroke", d: path, "vector-effect": "non-scaling-stroke" }),
  );
}

/** A horizontal bar of parts: [{ share 0..1, kind }]. Decoration only; the numbers stand beside it. */
export function bar(parts, extra = "") {
  return h("span", { class: `bar ${extra}`, "aria-hidden": "true" },
    parts.map(({ share, kind }) => h("span", { "data-kind": kind, size: (Math.max(0, Math.min(1, share || 0)) * 100).toFixed(2) })));
}

export function chip(text, tone, title) {
  return h("span", { class: "chip", "data-tone": tone, title }, text);
}
