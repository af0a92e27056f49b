// What the reader chose: axes, colour, filters, pins; kept in the URL's hash so that a view can be sent.

/**
 * @typedef {Object} State
 * @property {string} x
 * @property {string|null} y
 * @property {string|null} rows
 * @property {string|null} columns
 * @property {string} colour
 * @property {Set<number>|null} outcomes allowed; null for all
 * @property {Set<number>|null} causes allowed, `model.causes.length` standing for none
 * @property {Set<number>|null} seeds
 * @property {Map<string, Set<number>>} axes allowed levels by axis
 * @property {Object<string, number>[]} pins codes by axis held
 * @property {boolean} table whether the table of the map is open
 */

const COLOURS = ["stability", "onset", "learning", "cause", "headroom", "loss"];
const SIDES = ["x", "y", "rows", "columns"];

/** @param {Model} model @returns {State} the view that the payload asks for */
function defaultState(model) {
  const wanted = model.parts[0].result.default || {};
  const known = (name) => (name && model.byName.has(name) ? name : null);
  const state = {
    x: known(wanted.x) || (model.axes[0] ? model.axes[0].name : null),
    y: known(wanted.y),
    rows: known(wanted.rows),
    columns: known(wanted.columns),
    colour: "stability",
    outcomes: null,
    causes: null,
    seeds: null,
    axes: new Map(),
    pins: [],
    table: false,
  };
  if (model.byName.has(RESULT_AXIS)) {
    for (const side of ["columns", "rows"])
      if (state[side] && model.byName.get(state[side]).labels.includes(ABSENT)) state[side] = null;
    if (!state.columns) state.columns = RESULT_AXIS;
    // Where all sides are taken: pooled, two results would be one.
    else state.rows = RESULT_AXIS;
  }
  return state;
}

/**
 * Places an axis on a side of the map; where it stood before comes what it replaces.
 *
 * The map always has an x: where nothing can come there, that of another side does, y first.
 */
function placeAxis(state, side, name) {
  const before = state[side];
  const other = name ? SIDES.find((each) => each !== side && state[each] === name) : undefined;
  if (other === "x" && !before) {
    const giving = SIDES.slice(1).find((each) => each !== side && state[each]);
    if (!giving) return;
    state.x = state[giving];
    state[giving] = null;
  } else if (other) {
    state[other] = before;
  }
  state[side] = name;
}

/** Whether any filter is set. */
function isFiltered(state) {
  return Boolean(state.outcomes || state.causes || state.seeds || state.axes.size);
}

/** Removes every filter. */
function resetFilters(state) {
  state.outcomes = state.causes = state.seeds = null;
  state.axes = new Map();
}

/** An allowed set as it is kept: null where it allows all. */
function allowedOrAll(codes, size) {
  return codes.size === size ? null : codes;
}

/** An allowed set from a hash; null for all, or where nothing that it names is known. */
function readAllowed(text, labels) {
  const codes = readCodes(text, labels);
  return text && !codes.size ? null : allowedOrAll(codes, labels.length);
}

/** @param {Set<number>} codes @param {string[]} labels @returns {string} */
function writeCodes(codes, labels) {
  const sorted = [...codes].sort((a, b) => a - b);
  const run = sorted.length > 2 && sorted[sorted.length - 1] - sorted[0] === sorted.length - 1;
  if (run)
    return `${encodeURIComponent(labels[sorted[0]])}..${encodeURIComponent(labels[sorted[sorted.length - 1]])}`;
  return sorted.map((code) => encodeURIComponent(labels[code])).join(",");
}

/** Reads what `writeCodes` wrote; unknown labels are left out. */
function readCodes(text, labels) {
  const find = (part) => labels.indexOf(decodeURIComponent(part));
  const ends = text.split("..");
  if (ends.length === 2) {
    const [first, last] = ends.map(find);
    const codes = new Set();
    if (first >= 0) for (let code = first; code <= last; code++) codes.add(code);
    return codes;
  }
  if (text === "") return new Set();
  return new Set(
    text
      .split(",")
      .map(find)
      .filter((code) => code >= 0),
  );
}

/**
 * The state as the text after `#`; what is as at first is left out.
 * @param {Model} model
 * @param {State} state
 * @returns {string}
 */
function writeHash(model, state) {
  const first = defaultState(model);
  const parts = [];
  for (const side of SIDES)
    if (state[side] !== first[side]) parts.push(`${side}=${encodeURIComponent(state[side] || "")}`);
  if (state.colour !== first.colour) parts.push(`colour=${state.colour}`);
  if (state.outcomes) parts.push(`outcome=${writeCodes(state.outcomes, model.outcomes)}`);
  if (state.causes) parts.push(`cause=${writeCodes(state.causes, causeNames(model))}`);
  if (state.seeds) parts.push(`seed=${writeCodes(state.seeds, model.seeds)}`);
  for (const [name, codes] of state.axes) {
    parts.push(`only.${encodeURIComponent(name)}=${writeCodes(codes, model.byName.get(name).labels)}`);
  }
  for (const held of state.pins) {
    const cell = Object.entries(held).map(
      ([name, code]) =>
        `${encodeURIComponent(name)}:${encodeURIComponent(model.byName.get(name).labels[code])}`,
    );
    parts.push(`pin=${cell.join(";")}`);
  }
  if (state.table) parts.push("table=1");
  return parts.join("&");
}

/**
 * The state that a hash describes; what it does not say, or says wrongly, is as at first.
 * @param {Model} model
 * @param {string} hash with or without `#`
 * @returns {State}
 */
function readHash(model, hash) {
  const state = defaultState(model);
  for (const part of hash.replace(/^#/, "").split("&")) {
    const split = part.indexOf("=");
    if (split < 1) continue;
    try {
      readPart(model, state, part.slice(0, split), part.slice(split + 1));
    } catch (error) {
      if (!(error instanceof URIError)) throw error; // a hash cut short in a mail
    }
  }
  const taken = new Set();
  for (const side of SIDES) {
    if (state[side] && taken.has(state[side])) state[side] = null;
    if (state[side]) taken.add(state[side]);
  }
  if (!state.x)
    return { ...state, ...(({ x, y, rows, columns }) => ({ x, y, rows, columns }))(defaultState(model)) };
  return state;
}

/** One `key=value` of a hash. */
function readPart(model, state, key, value) {
  if (SIDES.includes(key)) {
    const name = decodeURIComponent(value);
    if (model.byName.has(name)) state[key] = name;
    else if (!name && key !== "x") state[key] = null;
  } else if (key === "colour" && COLOURS.includes(value)) state.colour = value;
  else if (key === "outcome") state.outcomes = readAllowed(value, model.outcomes);
  else if (key === "cause") state.causes = readAllowed(value, causeNames(model));
  else if (key === "seed") state.seeds = readAllowed(value, model.seeds);
  else if (key === "table") state.table = value === "1";
  else if (key === "pin") {
    const held = readPin(model, value);
    if (held) state.pins.push(held);
  } else if (key.startsWith("only.")) {
    const axis = model.byName.get(decodeURIComponent(key.slice(5)));
    const codes = axis ? readAllowed(value, axis.labels) : null;
    if (codes) state.axes.set(axis.name, codes);
  }
}

/** The codes of a pin in a hash; null where an axis or a level is unknown. */
function readPin(model, text) {
  const held = {};
  for (const part of text.split(";")) {
    const split = part.lastIndexOf(":");
    const axis = model.byName.get(decodeURIComponent(part.slice(0, Math.max(0, split))));
    const code = axis ? axis.labels.indexOf(decodeURIComponent(part.slice(split + 1))) : -1;
    if (code < 0) return null;
    held[axis.name] = code;
  }
  return held;
}

/** Causes as the filter lists them, with `none` at the end. */
function causeNames(model) {
  return [...model.causes, "none"];
}

/** @param {Object<string, number>} held @returns {string} the same for the same cell */
function pinKey(held) {
  return Object.entries(held)
    .map(([name, code]) => `${name}:${code}`)
    .sort()
    .join(";");
}

/**
 * The trials that the filters let through, and live counts for the filters.
 * @param {Model} model
 * @param {State} state
 * @returns {{mask: Uint8Array, shown: number, outcomes: Uint32Array, causes: Uint32Array}} the counts of
 *   an outcome or a cause are of the trials that all other filters let through
 */
function filterTrials(model, state) {
  const mask = new Uint8Array(model.n).fill(1);
  const narrow = (codes, allowed, size) => {
    const passes = new Uint8Array(size);
    for (const code of allowed) passes[code] = 1;
    for (let i = 0; i < model.n; i++) if (!passes[codes[i]]) mask[i] = 0;
  };
  for (const [name, allowed] of state.axes)
    narrow(model.byName.get(name).codes, allowed, model.byName.get(name).labels.length);
  if (state.seeds) narrow(model.columns.seed, state.seeds, model.seeds.length);
  const none = model.causes.length;
  const outcomes = new Uint32Array(5),
    causes = new Uint32Array(none + 1);
  const byOutcome = new Uint8Array(5).fill(state.outcomes ? 0 : 1);
  const byCause = new Uint8Array(none + 1).fill(state.causes ? 0 : 1);
  for (const code of state.outcomes || []) byOutcome[code] = 1;
  for (const code of state.causes || []) byCause[code] = 1;
  let shown = 0;
  for (let i = 0; i < model.n; i++) {
    if (!mask[i]) continue;
    const outcome = model.columns.outcome[i],
      cause = Math.min(model.columns.cause[i], none);
    if (byCause[cause]) outcomes[outcome]++;
    if (byOutcome[outcome]) causes[cause]++;
    mask[i] = byOutcome[outcome] & byCause[cause];
    shown += mask[i];
  }
  return { mask, shown, outcomes, causes };
}
