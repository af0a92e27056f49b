// From the cells of a map to what is drawn: a number of each cell for one colour scale, its glyph.
// On the scale, 0 to 100 is the ramp; beyond it stand flat colours: no failure, crashed, failed, causes.

const NEUTRAL = 110,
  ALL_CRASHED = 120,
  FAILED = 130,
  FIRST_CAUSE = 140;

/**
 * @typedef {Object} Painting
 * @property {Float64Array} z of each cell, NaN for none
 * @property {string[]|null} ramp
 * @property {string} label of the colour bar
 * @property {{at: number, text: string}[]} ticks of the colour bar, at fractions
 * @property {Int8Array} glyphs of each cell: an outcome, or 10 + a cause; -1 for none
 * @property {string[]} notes names of flat colours in use: "no failure", "no value", "failed"
 * @property {function(number): string} text the colour's number of a cell
 */

/** What the cells hold for each way to colour, drawn by `paint`. */
const PAINTERS = {
  stability: paintStability,
  onset: paintOnset,
  learning: paintLearning,
  cause: paintCause,
  headroom: paintHeadroom,
  loss: paintLoss,
};

/** @param {string} colour @returns {string} for the list of choices */
function colourTitle(colour) {
  return {
    stability: "stability (share)",
    onset: "onset (median step)",
    learning: "learning (final / initial loss)",
    cause: "cause (most frequent)",
    headroom: "headroom (least, bits)",
    loss: "best loss (median)",
  }[colour];
}

/** @param {Model} model @param {Cells} cells @param {string} colour @returns {Painting} */
function paint(model, cells, colour) {
  const dominant = new Int8Array(cells.size);
  for (let c = 0; c < cells.size; c++) dominant[c] = dominantOf(cells.counts, c);
  const painting = PAINTERS[colour](model, cells, dominant);
  for (let c = 0; c < cells.size; c++) {
    if (dominant[c] === CRASHED) painting.z[c] = ALL_CRASHED;
    else if (dominant[c] < 0) painting.z[c] = NaN;
    if (dominant[c] === CRASHED) painting.glyphs[c] = CRASHED;
  }
  if (cells.owner) {
    for (let c = 0; c < cells.size; c++) {
      if (cells.owner[c] === c) continue;
      painting.z[c] = painting.z[cells.owner[c]];
      painting.glyphs[c] = -1;
    }
  }
  return painting;
}

/** Glyphs of the dominant outcomes, but for those left out. */
function outcomeGlyphs(dominant, ...without) {
  return dominant.map((outcome) => (outcome <= 0 || without.includes(outcome) ? -1 : outcome));
}

function paintStability(model, cells, dominant) {
  const z = new Float64Array(cells.size);
  for (let c = 0; c < cells.size; c++) z[c] = 100 * stabilityOf(cells.counts, c);
  return {
    z,
    ramp: CIVIDIS,
    label: "stability: share of trials without failure",
    notes: [],
    ticks: [0, 0.25, 0.5, 0.75, 1].map((at) => ({ at, text: String(at) })),
    glyphs: outcomeGlyphs(dominant),
    text: (c) => formatShare(z[c] / 100),
  };
}

function paintOnset(model, cells, dominant) {
  const { onset_step: onset } = model.columns;
  const median = cellMedians(cells, onset, (trial) => onset[trial] >= 0);
  const last = Math.max(
    10,
    median.reduce((most, step) => (step > most ? step : most), 1),
  );
  const place = (step) => Math.log10(Math.max(1, step)) / Math.log10(last);
  const z = median.map((step) => (Number.isNaN(step) ? NEUTRAL : 100 * place(step)));
  const glyphs = new Int8Array(cells.size).fill(-1);
  let none = false;
  for (let c = 0; c < cells.size; c++) {
    if (failuresOf(cells.counts, c) && Number.isNaN(median[c])) glyphs[c] = DIVERGED;
    if (z[c] === NEUTRAL && measuredOf(cells.counts, c)) none = true;
  }
  return {
    z,
    ramp: INFERNO,
    label: "onset: median step of the first NaN or Inf",
    glyphs,
    text: (c) => formatStep(median[c]),
    notes: none ? ["no onset"] : [],
    ticks: logTicks(1, last).map((step) => ({ at: place(step), text: formatNumber(step) })),
  };
}

function paintLearning(model, cells, dominant) {
  const { learning, outcome } = model.columns;
  const ratio = cellMedians(
    cells,
    learning,
    (trial) => outcome[trial] !== CRASHED && !Number.isNaN(learning[trial]),
  );
  let least = -0.1;
  for (const value of ratio)
    if (value > 0 && Number.isFinite(value)) least = Math.min(least, Math.log10(value));
  const low =
    least >= Math.log10(0.5)
      ? Math.log10(0.5)
      : least >= Math.log10(0.2)
        ? Math.log10(0.2)
        : least >= -1
          ? -1
          : Math.floor(Math.max(least, -6));
  const place = (decades) =>
    decades < 0 ? 0.5 * (1 - Math.max(decades, low) / low) : 0.5 + 0.5 * Math.min(1, decades);
  const z = ratio.map((value) =>
    Number.isNaN(value) ? NEUTRAL : value === Infinity ? FAILED : 100 * place(Math.log10(value)),
  );
  const glyphs = outcomeGlyphs(dominant, NONFINITE);
  for (let c = 0; c < cells.size; c++) if (ratio[c] === Infinity) glyphs[c] = NONFINITE;
  const powers =
    low <= -2
      ? logTicks(10 ** low, 0.9)
      : { [Math.log10(0.5)]: [0.5, 0.7], [Math.log10(0.2)]: [0.2, 0.5], "-1": [0.1, 0.3] }[low];
  const ticks = powers.map((value) => ({
    at: place(Math.log10(value)),
    text: low <= -2 ? powerOfTen(Math.round(Math.log10(value))) : String(value),
  }));
  return {
    z,
    ramp: BLUE_RED,
    label: "learning: final / initial loss (median)",
    glyphs,
    text: (c) => formatNumber(ratio[c]),
    notes: noteFailed(z, cells),
    ticks: [...ticks, { at: 0.5, text: "1" }, { at: 1, text: "≥ 10" }],
  };
}

function paintCause(model, cells) {
  const causes = cellCauses(cells, model.columns.cause, model.causes.length);
  const z = Float64Array.from(causes, (code) => (code < 0 ? NEUTRAL : FIRST_CAUSE + code));
  const glyphs = Int8Array.from(causes, (code) => (code < 0 ? -1 : 10 + code));
  return {
    z,
    ramp: null,
    label: "cause of failure, the most frequent",
    glyphs,
    ticks: [],
    notes: z.includes(NEUTRAL) ? ["no failure"] : [],
    text: (c) => (causes[c] < 0 ? "no failure" : spaced(model.causes[causes[c]])),
  };
}

function paintHeadroom(model, cells, dominant) {
  const { headroom_bits: bits, outcome } = model.columns;
  const least = cellLowest(cells, bits, (trial) => outcome[trial] !== CRASHED);
  let half = false,
    most = 1;
  for (const value of least) {
    if (value < 16) half = true;
    if (value > most && Number.isFinite(value)) most = value;
  }
  const last = half ? 16 : most;
  return paintNumbers(
    cells,
    dominant,
    least,
    CIVIDIS,
    (value) => Math.min(1, Math.max(0, value / last)),
    `headroom: least bits below overflow${half ? "; light: 16 or more" : ""}`,
    [0, 0.25, 0.5, 0.75, 1].map((at) => ({ at, text: formatNumber(at * last, 3) })),
  );
}

function paintLoss(model, cells, dominant) {
  const { best_loss: loss, outcome } = model.columns;
  const median = cellMedians(
    cells,
    loss,
    (trial) => outcome[trial] !== CRASHED && !Number.isNaN(loss[trial]),
  );
  let low = Infinity,
    high = -Infinity;
  for (let c = 0; c < cells.size; c++) {
    if (isFailed(dominant[c]) || !Number.isFinite(median[c])) continue;
    low = Math.min(low, median[c]);
    high = Math.max(high, median[c]);
  }
  if (low > high) [low, high] = [0, 1];
  if (low === high) high = low + Math.max(Math.abs(low), 1);
  const byLog = low > 0 && high / low >= 10;
  const scaled = byLog ? Math.log10 : (value) => value;
  const place = (value) => (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
  const marks = byLog ? logTicks(low, high) : [0, 1, 2, 3].map((k) => low + (k * (high - low)) / 3);
  return paintNumbers(
    cells,
    dominant,
    median,
    LIGHT_IS_LOW,
    place,
    "best loss: lowest batch loss (median)",
    marks.map((value) => ({ at: place(value), text: formatNumber(value, 3) })),
  );
}

/** A number of each cell on a ramp; cells that mostly failed are dark grey. */
function paintNumbers(cells, dominant, numbers, ramp, place, label, ticks) {
  const z = numbers.map((value, c) =>
    isFailed(dominant[c])
      ? FAILED
      : Number.isFinite(value)
        ? 100 * Math.min(1, Math.max(0, place(value)))
        : NEUTRAL,
  );
  return {
    z,
    ramp,
    label,
    ticks,
    glyphs: outcomeGlyphs(dominant, STALLED),
    notes: noteFailed(z, cells),
    text: (c) => formatNumber(numbers[c]),
  };
}

function isFailed(outcome) {
  return outcome === DIVERGED || outcome === NONFINITE;
}

/** Names of the flat colours in use on a map of numbers. */
function noteFailed(z, cells) {
  let none = false;
  for (let c = 0; c < cells.size; c++) if (z[c] === NEUTRAL && measuredOf(cells.counts, c)) none = true;
  return none ? ["no value"] : [];
}

/** Round numbers between two: powers of ten, within two decades also 2 and 5 times them. */
function logTicks(low, high) {
  const first = Math.floor(Math.log10(low) + 1e-9),
    last = Math.ceil(Math.log10(high) - 1e-9);
  const digits = last - first <= 2 ? [1, 2, 5] : [1];
  const stride = 1 + Math.floor((last - first) / 6);
  const ticks = [];
  for (let power = first; power <= last; power += stride) {
    for (const digit of digits) ticks.push(Number((digit * 10 ** power).toPrecision(3)));
  }
  return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
}

/** The flat colours by their place on the scale. */
function flatColours(model) {
  const colours = theme();
  return [
    [NEUTRAL, colours.neutral],
    [ALL_CRASHED, colours.crashed],
    [FAILED, colours.failed],
    ...model.causes.map((cause, code) => [FIRST_CAUSE + code, causeStyle(cause)[0]]),
  ];
}

/** Plotly's colour scale of a painting, and its largest number. */
function colourScale(model, painting) {
  const flat = flatColours(model);
  const most = FIRST_CAUSE + Math.max(1, model.causes.length);
  const ramp = painting.ramp || ["#808080", "#808080"];
  const stops = ramp.map((colour, k) => [(100 * k) / (ramp.length - 1) / most, colour]);
  let end = 105;
  for (let k = 0; k < flat.length; k++) {
    const next = k + 1 < flat.length ? (flat[k][0] + flat[k + 1][0]) / 2 : most;
    if (k === 0) stops.push([end / most, ramp[ramp.length - 1]]);
    stops.push([end / most, flat[k][1]], [next / most, flat[k][1]]);
    end = next;
  }
  return { stops, most };
}

/** The colour that a cell is drawn in. */
function cellColour(model, painting, c) {
  const z = painting.z[c];
  if (Number.isNaN(z)) return theme().unmeasured;
  if (z <= 100) return rampColour(painting.ramp, z / 100);
  const found = flatColours(model).find(([place]) => place === z);
  return found ? found[1] : theme().neutral;
}

/** Name of a glyph's form, from a painting's code. */
function glyphForm(model, glyph) {
  return glyph >= 10 ? causeStyle(model.causes[glyph - 10])[1] : OUTCOME_GLYPHS[glyph];
}
