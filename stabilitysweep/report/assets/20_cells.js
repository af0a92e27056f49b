// Trials grouped into the cells of a map by loops over typed arrays.

/**
 * @typedef {Object} Place an axis' part in a map: which of its levels are shown, in which order
 * @property {Axis|null} axis
 * @property {number[]} levels codes shown
 * @property {Int32Array|null} position of each code among them, -1 if not shown
 */

/**
 * @typedef {Object} Cells
 * @property {Place} x
 * @property {Place} y
 * @property {Place} rows
 * @property {Place} columns
 * @property {number} size number of cells: [rows, columns, y, x], the last fastest
 * @property {Uint32Array} start first trial of each cell in `trials`, and one more
 * @property {Uint32Array} trials trials sorted by cell
 * @property {Uint32Array} counts trials by cell and outcome
 * @property {Int32Array|null} owner the cell that each one's place belongs to; null: each is its own
 */

/** The levels of an axis that the filter allows, `most` at most. Of the y axis the first is the lowest. */
function placeOf(model, name, allowed, most = Infinity) {
  const axis = name ? model.byName.get(name) : null;
  if (!axis) return { axis: null, levels: [0], position: null, left: 0 };
  const filter = allowed ? allowed.get(name) : null;
  let levels = axis.labels.map((_, code) => code);
  if (filter) levels = levels.filter((code) => filter.has(code));
  const left = Math.max(0, levels.length - most);
  if (left) levels = levels.slice(0, most);
  const position = new Int32Array(axis.labels.length).fill(-1);
  levels.forEach((code, place) => {
    position[code] = place;
  });
  return { axis, levels, position, left };
}

/**
 * Groups the trials that the mask lets through.
 * @param {Model} model
 * @param {Uint8Array} mask
 * @param {{x: Place, y: Place, rows: Place, columns: Place}} places
 * @returns {Cells}
 */
function groupCells(model, mask, places) {
  const { x, y, rows, columns } = places;
  const size = rows.levels.length * columns.levels.length * y.levels.length * x.levels.length;
  const cell = new Int32Array(model.n).fill(-1);
  for (let i = 0; i < model.n; i++) if (mask[i]) cell[i] = 0;
  for (const place of [rows, columns, y, x]) {
    if (!place.axis) continue;
    const { codes } = place.axis;
    const { position } = place;
    const length = place.levels.length;
    for (let i = 0; i < model.n; i++) {
      if (cell[i] < 0) continue;
      const at = position[codes[i]];
      cell[i] = at < 0 ? -1 : cell[i] * length + at;
    }
  }
  const start = new Uint32Array(size + 1);
  const counts = new Uint32Array(size * 5);
  const { outcome } = model.columns;
  for (let i = 0; i < model.n; i++) {
    if (cell[i] < 0) continue;
    start[cell[i] + 1]++;
    counts[cell[i] * 5 + outcome[i]]++;
  }
  for (let c = 0; c < size; c++) start[c + 1] += start[c];
  const next = start.slice();
  const trials = new Uint32Array(start[size]);
  for (let i = 0; i < model.n; i++) if (cell[i] >= 0) trials[next[cell[i]]++] = i;
  return { ...places, size, start, trials, counts, owner: null };
}

/** Trials of a cell that could be run. */
function measuredOf(counts, c) {
  return counts[c * 5] + counts[c * 5 + 1] + counts[c * 5 + 2] + counts[c * 5 + 3];
}

/** Trials of a cell that diverged or became non-finite. */
function failuresOf(counts, c) {
  return counts[c * 5 + DIVERGED] + counts[c * 5 + NONFINITE];
}

/** The lowest of some numbers, however many: as arguments there can only be so many. */
function lowestOf(values) {
  let lowest = Infinity;
  for (const value of values) if (value < lowest) lowest = value;
  return lowest;
}

/** The share of the measured trials without failure; NaN where none is measured. */
function stabilityOf(counts, c) {
  const measured = measuredOf(counts, c);
  return measured ? 1 - failuresOf(counts, c) / measured : NaN;
}

/** The outcome that a cell's glyph shows, as in the figures; -1 for an empty cell. */
function dominantOf(counts, c) {
  const measured = measuredOf(counts, c);
  if (!measured) return counts[c * 5 + CRASHED] ? CRASHED : -1;
  if (2 * failuresOf(counts, c) >= measured) {
    return counts[c * 5 + DIVERGED] > counts[c * 5 + NONFINITE] ? DIVERGED : NONFINITE;
  }
  return counts[c * 5 + STALLED] > counts[c * 5 + STABLE] ? STALLED : STABLE;
}

/** The median of the first `length` numbers of an array, which it sorts; NaN of none. */
function medianOf(numbers, length) {
  if (!length) return NaN;
  const sorted = numbers.subarray(0, length).sort();
  const low = sorted[(length - 1) >> 1],
    high = sorted[length >> 1];
  return low === high ? low : (low + high) / 2;
}

/** Median of a column in every cell, over the trials that `take` accepts; NaN for none. */
function cellMedians(cells, column, take) {
  const found = new Float64Array(cells.size).fill(NaN);
  let room = new Float64Array(64);
  for (let c = 0; c < cells.size; c++) {
    const first = cells.start[c],
      end = cells.start[c + 1];
    if (end - first > room.length) room = new Float64Array(2 * (end - first));
    let length = 0;
    for (let k = first; k < end; k++) {
      const trial = cells.trials[k];
      if (take(trial)) room[length++] = column[trial];
    }
    if (length) found[c] = medianOf(room, length);
  }
  return found;
}

/** Lowest of a column in every cell; NaN for none. */
function cellLowest(cells, column, take) {
  const found = new Float64Array(cells.size).fill(NaN);
  for (let c = 0; c < cells.size; c++) {
    for (let k = cells.start[c]; k < cells.start[c + 1]; k++) {
      const value = column[cells.trials[k]];
      if (take(cells.trials[k]) && !(found[c] <= value)) found[c] = value;
    }
  }
  return found;
}

/** The most frequent cause in every cell, -1 for none. */
function cellCauses(cells, causes, kinds) {
  const found = new Int16Array(cells.size).fill(-1);
  const counts = new Uint32Array(kinds);
  for (let c = 0; c < cells.size; c++) {
    counts.fill(0);
    for (let k = cells.start[c]; k < cells.start[c + 1]; k++) {
      const code = causes[cells.trials[k]];
      if (code < kinds) counts[code]++;
    }
    let most = 0;
    for (let code = 0; code < kinds; code++) {
      if (counts[code] > most) {
        most = counts[code];
        found[c] = code;
      }
    }
  }
  return found;
}

/**
 * What a list of trials comes to: the numbers of tooltips, pins and the test interface.
 * @param {Model} model
 * @param {ArrayLike<number>} trials
 */
function summarize(model, trials) {
  const { columns } = model;
  const counts = new Uint32Array(5);
  const causes = new Map();
  const onsets = [],
    losses = [],
    learning = [],
    headroom = [];
  let first = -1; // the trial with the earliest onset
  for (const trial of trials) {
    const outcome = columns.outcome[trial];
    counts[outcome]++;
    const cause = columns.cause[trial];
    if (cause < model.causes.length) causes.set(cause, (causes.get(cause) || 0) + 1);
    const onset = columns.onset_step[trial];
    if (onset >= 0) {
      onsets.push(onset);
      if (first < 0 || onset < columns.onset_step[first]) first = trial;
    }
    if (outcome === CRASHED) continue;
    for (const [list, name] of [
      [losses, "best_loss"],
      [learning, "learning"],
      [headroom, "headroom_bits"],
    ]) {
      if (!Number.isNaN(columns[name][trial])) list.push(columns[name][trial]);
    }
  }
  const median = (list) => medianOf(Float64Array.from(list), list.length);
  const sorted = [...causes].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return {
    trials: trials.length,
    counts: [...counts],
    measured: measuredOf(counts, 0),
    failures: failuresOf(counts, 0),
    stability: stabilityOf(counts, 0),
    dominant: dominantOf(counts, 0),
    causes: sorted.map(([code, count]) => ({ cause: model.causes[code], count })),
    onset: onsets.length ? { median: median(onsets), earliest: lowestOf(onsets), trial: first } : null,
    best_loss: median(losses),
    learning: median(learning),
    headroom_bits: headroom.length ? lowestOf(headroom) : NaN,
  };
}

/** Trials that the mask lets through with the given level on each of the axes held. */
function trialsAt(model, mask, held) {
  const tests = Object.entries(held).map(([name, code]) => [model.byName.get(name).codes, code]);
  const found = [];
  for (let i = 0; i < model.n; i++) {
    if (!mask[i]) continue;
    if (tests.every(([codes, code]) => codes[i] === code)) found.push(i);
  }
  return found;
}
