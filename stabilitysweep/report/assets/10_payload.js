// The payload decoded once into typed arrays; several results joined along an axis "result".

/**
 * @typedef {Object} Axis
 * @property {string} name
 * @property {string[]} labels exact, as in the trials table
 * @property {number[]|null} numbers increasing; null for categories
 * @property {boolean} log
 * @property {boolean} boolean
 * @property {Uint16Array} codes level of every trial
 */

/**
 * @typedef {Object} Model
 * @property {number} n trials
 * @property {Axis[]} axes
 * @property {string[]} seeds
 * @property {string[]} outcomes
 * @property {string[]} causes
 * @property {Object<string, TypedArray>} columns of numbers, one a trial
 * @property {{stage: string[], tensor: string[], kind: string[]}} words
 * @property {{result: Object, start: number, n: number, ids: *, curves: *}[]} parts one a result
 * @property {string|null} rate name of the learning-rate axis
 * @property {Object[]} boundaries with codes into `axes`
 * @property {Object[]} picks with codes into `axes`
 */

const OUTCOMES = ["stable", "stalled", "diverged", "nonfinite", "crashed"];
const STABLE = 0,
  STALLED = 1,
  DIVERGED = 2,
  NONFINITE = 3,
  CRASHED = 4;
const NO_TEXT = 0xffffffff;
let RESULT_AXIS = "result"; // another name where a sweep has an axis of this one
const ABSENT = "–"; // the level of an axis that a result does not have

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array };
const NUMBERS = ["initial_loss", "final_loss", "best_loss", "val_loss", "headroom_bits", "learning"];
const STEPS = ["onset_step", "nan_step", "steps_run"];

/** @param {string} text base64 @returns {ArrayBuffer} */
function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
}

/** @param {{type: string, data: string}} column @returns {TypedArray} */
function decodeColumn(column) {
  return new ARRAYS[column.type](bytesOf(column.data));
}

/** A column of a result, or `n` times `fill` where the result lacks it. */
function columnOf(result, name, Kind, fill) {
  const column = result.columns[name];
  return column ? decodeColumn(column) : new Kind(result.n).fill(fill);
}

/** @param {string[][]} lists @returns {string[]} all their texts, in the order first met */
function union(lists) {
  return [...new Set(lists.flat())];
}

/** Codes of one dictionary as codes of another; codes beyond it (none) become `none`. */
function translate(codes, from, to, none, out, start) {
  const table = from.map((word) => to.indexOf(word));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    out[start + i] = code < table.length ? table[code] : none;
  }
}

/** Whether two numbers of an axis are one: they may have gone through text and back. */
function sameNumber(a, b) {
  return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}

/** Levels of an axis over all results: numbers increasing, categories in the order first met. */
function joinLevels(name, results) {
  const found = results.map((result) => result.axes.find((axis) => axis.name === name));
  const present = found.filter(Boolean);
  const numeric = present.every((axis) => axis.numbers);
  let levels = new Map();
  for (const axis of present) {
    axis.labels.forEach((label, code) => {
      const number = axis.numbers ? axis.numbers[code] : null;
      const key = numeric ? number : label;
      if (!levels.has(key)) levels.set(key, { label, number });
    });
  }
  levels = [...levels.values()];
  if (numeric) {
    levels.sort((a, b) => a.number - b.number);
    levels = levels.filter((level, i) => !i || !sameNumber(level.number, levels[i - 1].number));
  }
  // Numbers of different results may be alike in the digits of a label, which names them.
  const times = new Map();
  for (const { label } of levels) times.set(label, (times.get(label) || 0) + 1);
  for (const level of levels)
    if (numeric && times.get(level.label) > 1) level.label = String(Number(level.number.toPrecision(12)));
  const whole = present.length === results.length;
  return {
    name,
    labels: levels.map((level) => level.label).concat(whole ? [] : [ABSENT]),
    values: numeric ? levels.map((level) => level.number) : null,
    numbers: numeric && whole ? levels.map((level) => level.number) : null,
    log: present.some((axis) => axis.log),
    boolean: present.every((axis) => axis.boolean),
  };
}

/** Where a result's levels of an axis stand in the joint axis. */
function levelTable(axis, own) {
  if (!own) return null;
  return own.labels.map((label, code) => {
    if (axis.values) return axis.values.findIndex((value) => sameNumber(value, own.numbers[code]));
    return axis.labels.indexOf(label);
  });
}

/** The labels of the results, made different from each other. */
function resultLabels(results) {
  const seen = new Map();
  return results.map((result) => {
    const label = String(result.label || result.name || "result");
    const times = (seen.get(label) || 0) + 1;
    seen.set(label, times);
    return times > 1 ? `${label} (${times})` : label;
  });
}

/** Axes of the model with the codes of every trial. */
function joinAxes(results, starts, n) {
  const names = union(results.map((result) => result.axes.map((axis) => axis.name)));
  while (names.includes(RESULT_AXIS)) RESULT_AXIS += " (of several)";
  const axes = names.map((name) => {
    const axis = joinLevels(name, results);
    axis.codes = new Uint16Array(n);
    axis.tables = results.map((result) =>
      levelTable(
        axis,
        result.axes.find((own) => own.name === name),
      ),
    );
    results.forEach((result, part) => {
      const table = axis.tables[part];
      const end = starts[part] + result.n;
      if (!table) {
        axis.codes.fill(axis.labels.length - 1, starts[part], end);
        return;
      }
      const place = result.axes.findIndex((own) => own.name === name);
      const codes = decodeColumn(result.columns[`axis${place}`]);
      for (let i = 0; i < result.n; i++) axis.codes[starts[part] + i] = table[codes[i]];
    });
    return axis;
  });
  if (results.length > 1) {
    const axis = {
      name: RESULT_AXIS,
      labels: resultLabels(results),
      numbers: null,
      log: false,
      boolean: false,
    };
    axis.codes = new Uint16Array(n);
    results.forEach((result, part) => axis.codes.fill(part, starts[part], starts[part] + result.n));
    axis.tables = null;
    axes.push(axis);
  }
  return axes;
}

/** Codes by axis name, as a boundary or a pick gives them, in those of the joint axes. */
function jointCodes(axes, part, codes) {
  const joint = {};
  for (const axis of axes) {
    if (axis.name === RESULT_AXIS) joint[axis.name] = part;
    else if (!axis.tables[part]) joint[axis.name] = axis.labels.length - 1;
    else if (codes[axis.name] != null) joint[axis.name] = axis.tables[part][codes[axis.name]];
  }
  return joint;
}

/** The codes of a boundary: its own object, or the fields named after axes. */
function boundaryCodes(result, boundary) {
  const source = boundary.codes || boundary.axes || boundary;
  const codes = {};
  result.axes.forEach((axis, place) => {
    const found = source[axis.name] ?? source[`axis${place}`];
    if (typeof found === "number") codes[axis.name] = found;
  });
  return codes;
}

/**
 * Decodes the payload.
 * @param {Object} payload
 * @returns {Model}
 */
function decodePayload(payload) {
  const results = payload.results;
  const starts = [];
  let n = 0;
  for (const result of results) {
    starts.push(n);
    n += result.n;
  }
  const words = {
    stage: union(results.map((result) => result.stages)),
    tensor: union(results.map((result) => result.tensors)),
    kind: union(results.map((result) => result.kinds)),
  };
  const causes = union(results.map((result) => result.causes));
  const seeds = union(results.map((result) => result.seeds.map(String)));
  seeds.sort((a, b) => Number(a) - Number(b));
  const axes = joinAxes(results, starts, n);
  const columns = {
    seed: new Uint16Array(n),
    outcome: new Uint8Array(n),
    cause: new Uint8Array(n),
    onset_stage: new Uint8Array(n),
    onset_tensor: new Uint16Array(n),
    onset_kind: new Uint8Array(n),
    cause_text: new Uint32Array(n),
  };
  for (const name of STEPS) columns[name] = new Int32Array(n);
  for (const name of NUMBERS) columns[name] = new Float32Array(n);
  results.forEach((result, part) => {
    const start = starts[part];
    const dictionary = (name, from, to, none) =>
      translate(columnOf(result, name, Uint16Array, none), from, to, none, columns[name], start);
    dictionary("seed", result.seeds.map(String), seeds, 0);
    dictionary("outcome", result.outcomes || OUTCOMES, OUTCOMES, CRASHED);
    dictionary("cause", result.causes, causes, 255);
    dictionary("onset_stage", result.stages, words.stage, 255);
    dictionary("onset_tensor", result.tensors, words.tensor, 65535);
    dictionary("onset_kind", result.kinds, words.kind, 255);
    columns.cause_text.set(columnOf(result, "cause_text", Uint32Array, NO_TEXT), start);
    for (const name of STEPS) columns[name].set(columnOf(result, name, Int32Array, -1), start);
    for (const name of NUMBERS) columns[name].set(columnOf(result, name, Float32Array, NaN), start);
  });
  for (let i = 0; i < n; i++) if (columns.outcome[i] === NONFINITE) columns.learning[i] = Infinity;
  const parts = results.map((result, part) => ({
    result,
    start: starts[part],
    n: result.n,
    label: resultLabels(results)[part],
    ids: Array.isArray(result.ids) ? result.ids : null,
    idBytes: null,
    curves: null,
  }));
  const withCodes = (part, item, codes) => ({ ...item, part, codes: jointCodes(axes, part, codes) });
  return {
    n,
    axes,
    seeds,
    outcomes: OUTCOMES,
    causes,
    columns,
    words,
    parts,
    byName: new Map(axes.map((axis) => [axis.name, axis])),
    rate: (results.find((result) => result.rate) || { rate: null }).rate,
    boundaries: results.flatMap((result, part) =>
      (result.boundaries || []).map((boundary) => withCodes(part, boundary, boundaryCodes(result, boundary))),
    ),
    picks: results.flatMap((result, part) =>
      (result.picks || []).map((pick) => withCodes(part, pick, pick.codes || {})),
    ),
  };
}

/** @param {Model} model @param {number} trial @returns the part of the result it belongs to */
function partOf(model, trial) {
  return model.parts.find((part) => trial < part.start + part.n);
}

/** @param {Model} model @param {number} trial @returns {string} the trial's id */
function trialId(model, trial) {
  const part = partOf(model, trial);
  const place = trial - part.start;
  if (part.ids) return String(part.ids[place]);
  if (!part.idBytes) part.idBytes = new Uint8Array(bytesOf(part.result.ids));
  let id = "";
  for (let i = place * 8; i < place * 8 + 8; i++) id += part.idBytes[i].toString(16).padStart(2, "0");
  return id;
}

/** @param {Model} model @param {number} trial @returns {string} why it failed; "" if it did not */
function causeText(model, trial) {
  const code = model.columns.cause_text[trial];
  return code === NO_TEXT ? "" : String(partOf(model, trial).result.texts[code] ?? "");
}

/** @param {Model} model @param {number} trial @param {"show"|"diagnose"} kind @returns {string} */
function commandOf(model, trial, kind) {
  const command = (partOf(model, trial).result.commands || {})[kind];
  return command ? `${command} ${trialId(model, trial)}` : "";
}

/**
 * The loss curve of a trial from its quantised points.
 * @param {Model} model
 * @param {number} trial
 * @returns {{steps: number[], loss: number[], bad: number|null, last: number|null}|null} the finite
 *   points, the step of the first non-finite point, the loss before it
 */
function curveOf(model, trial) {
  const part = partOf(model, trial);
  const stored = part.result.curves;
  if (!stored || !stored.points || !stored.data) return null;
  if (!part.curves) {
    const buffer = bytesOf(stored.data);
    part.curves =
      buffer.byteLength >= 2 * part.n * stored.points ? new Uint16Array(buffer) : new Uint8Array(buffer);
  }
  const most = part.curves instanceof Uint16Array ? 65535 : 255;
  const scale = (stored.hi - stored.lo) / (most - 2);
  const curve = { steps: [], loss: [], bad: null, last: null };
  const first = (trial - part.start) * stored.points;
  for (let point = 0; point < stored.points; point++) {
    const code = part.curves[first + point];
    if (code === most - 1) continue;
    if (code === most) {
      if (curve.bad === null) curve.bad = stored.steps[point];
      continue;
    }
    curve.steps.push(stored.steps[point]);
    const scaled = stored.lo + code * scale;
    curve.last = stored.scale === "asinh" ? Math.sinh(scaled) : 10 ** scaled;
    curve.loss.push(curve.last);
  }
  return curve;
}
