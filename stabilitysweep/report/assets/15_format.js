// Numbers as text, and elements: text goes in by textContent alone, it comes from users.

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * A number with few digits: 0.1234, 12, 1.2e-5, inf, nan.
 * @param {number|null} value
 * @param {number} [digits]
 * @returns {string}
 */
function formatNumber(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${trimZeros(mantissa)}e${Number(exponent)}`;
  }
  return trimZeros(value.toPrecision(digits));
}

/** @param {string} text @returns {string} without the zeros at the end of its decimals */
function trimZeros(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** @param {number} step @returns {string} a step, or a dash for none */
function formatStep(step) {
  return step === null || Number.isNaN(step) || step < 0 ? "–" : formatNumber(step, 6);
}

/** @param {number} share @returns {string} as a percentage */
function formatShare(share) {
  return Number.isNaN(share) ? "–" : `${trimZeros((100 * share).toFixed(1))} %`;
}

/** @param {number} count @returns {string} with commas between thousands */
function formatCount(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** @param {number} power @returns {string} 10 with the power raised */
function powerOfTen(power) {
  const digits = [...String(Math.abs(power))].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
  return `10${power < 0 ? "⁻" : ""}${digits}`;
}

/** A level's label, short enough for a tick: long decimals get four digits, results what tells them apart. */
function shortLabel(axis, code) {
  const label = axis.labels[code];
  if (axis.name === RESULT_AXIS) return withoutCommon(axis.labels, label);
  if (axis.numbers && label.length > 7) {
    const short = formatNumber(axis.numbers[code]);
    if (short.length < label.length) return short;
  }
  return label;
}

/** A long label without the beginning that all of them share. */
function withoutCommon(labels, label) {
  let shared = 0;
  while (shared < label.length && labels.every((other) => other[shared] === label[shared])) shared++;
  while (shared > 0 && !" /:".includes(label[shared - 1])) shared--;
  return label.length > 28 && shared > 12 && shared < label.length ? `…${label.slice(shared)}` : label;
}

/** @param {string} text @param {number} most characters @returns {string} */
function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Text for plotly, which would read tags in it. */
function plotText(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** @param {string} name of a cause or axis @returns {string} for reading */
function spaced(name) {
  return name.replace(/_/g, " ");
}

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, *>} [options] `text`, `on` (listeners by event); the rest are attributes
 * @param {...(Node|string|null)} children
 * @returns {HTMLElement}
 */
function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "on")
      for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Makes an SVG element with attributes. */
function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** @param {string} id @returns {HTMLElement|null} */
function byId(id) {
  return document.getElementById(id);
}

const measuring = document.createElement("canvas").getContext("2d");

/** Width of a text in pixels. */
function textWidth(text, size, weight = 400) {
  measuring.font = `${weight} ${size}px ${FONT}`;
  return measuring.measureText(text).width;
}
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
