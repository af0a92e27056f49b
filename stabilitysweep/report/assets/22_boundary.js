// Where stability ends along the learning rate, in each line of cells.

/**
 * @typedef {Object} Boundary of one line of cells along the rate
 * @property {number} index position of the largest rate with no failure at or below it; -1 for none
 * @property {"found"|"all_fail"|"no_failure"|"gap"|"unmeasured"} status what ended the walk
 * @property {number|null} safe the rate, from the refined bracket where there is one
 * @property {number|null} failing the smallest rate that failed, likewise
 * @property {boolean} refined
 */

/** Walks along a line of cells as far as every one is measured and none failed. */
function walkLine(cells, first, stride, length) {
  const { counts, owner } = cells;
  const line = { index: -1, last: -1, next: -1, status: "no_failure" };
  for (let k = 0; k < length; k++) {
    const c = first + k * stride;
    if (owner && owner[c] !== c) {
      // a rate of another result's grid
      if (line.index >= 0 && owner[c] === first + line.index * stride) line.last = k;
      continue;
    }
    const end = !measuredOf(counts, c) ? "gap" : failuresOf(counts, c) ? "found" : null;
    if (end) {
      line.next = k;
      line.status = line.index >= 0 ? end : end === "gap" ? "unmeasured" : "all_fail";
      if (owner && end === "found" && line.index < 0) {
        while (line.last + 1 < k && owner[first + (line.last + 1) * stride] !== c) line.last++;
      }
      return line;
    }
    line.index = line.last = k;
  }
  return line;
}

/**
 * Where a panel is of one result, a level that only another result's grid has belongs to the cell of
 * the nearest level of its own: on a true axis the own cells fill the panel.
 * @returns {Int32Array|null} the owner of every cell; null where every cell is its own
 */
function ownersOf(model, cells, scales) {
  const facet = ["rows", "columns"].find((side) => cells[side].axis && cells[side].axis.name === RESULT_AXIS);
  if (!facet) return null;
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length,
    nc = cells.columns.levels.length;
  const owner = Int32Array.from({ length: cells.size }, (_, c) => c);
  for (let panel = 0; panel < cells.rows.levels.length * nc; panel++) {
    const part = cells[facet].levels[facet === "rows" ? Math.floor(panel / nc) : panel % nc];
    const [ownX, ownY] = ["x", "y"].map((side) => nearestOwn(cells[side], scales[side], part));
    for (let j = 0; j < ny; j++)
      for (let i = 0; i < nx; i++) owner[(panel * ny + j) * nx + i] = (panel * ny + ownY[j]) * nx + ownX[i];
  }
  return owner;
}

/** For every level shown, the position of the nearest one of a result's own grid, if between two of them. */
function nearestOwn(place, scale, part) {
  const all = place.levels.map((_, k) => k);
  const table = place.axis && place.axis.tables ? place.axis.tables[part] : null;
  if (!table || scale.kind === "category") return all;
  const own = all.filter((k) => table.includes(place.levels[k]));
  if (!own.length) return all;
  return all.map((k) => {
    if (k < own[0] || k > own[own.length - 1]) return k;
    return own.reduce(
      (best, other) =>
        Math.abs(scale.centres[other] - scale.centres[k]) < Math.abs(scale.centres[best] - scale.centres[k])
          ? other
          : best,
      own[0],
    );
  });
}

/** The refined bracket of what is pooled in a line: the lowest safe and failing of all. */
function refinedBracket(model, held) {
  const names = Object.keys(held);
  let bracket = null;
  for (const boundary of model.boundaries) {
    if (!names.every((name) => boundary.codes[name] === held[name])) continue;
    if (typeof boundary.safe !== "number" || typeof boundary.failing !== "number") return null;
    if (!bracket) bracket = { safe: Infinity, failing: Infinity, refined: false };
    bracket.refined = bracket.refined || Boolean(boundary.refined);
    bracket.safe = Math.min(bracket.safe, boundary.safe);
    bracket.failing = Math.min(bracket.failing, boundary.failing);
  }
  return bracket && bracket.refined ? bracket : null;
}

/**
 * The boundary of every line of cells along the rate; null where neither x nor y is the rate.
 * @param {Model} model
 * @param {Cells} cells
 * @param {boolean} whole whether no filter hides a trial, so that the refined brackets hold
 * @returns {{along: "x"|"y", lines: Boundary[]}|null} lines in the order [rows, columns, other axis]
 */
function findBoundaries(model, cells, whole) {
  const along = ["x", "y"].find((side) => cells[side].axis && cells[side].axis.name === model.rate);
  if (!along || !cells[along].axis.numbers) return null;
  const rate = cells[along],
    other = along === "x" ? cells.y : cells.x;
  const panelSize = cells.x.levels.length * cells.y.levels.length;
  const lines = [];
  for (let panel = 0; panel < cells.rows.levels.length * cells.columns.levels.length; panel++) {
    for (let k = 0; k < other.levels.length; k++) {
      const first = panel * panelSize + (along === "x" ? k * rate.levels.length : k);
      const stride = along === "x" ? 1 : other.levels.length;
      const line = walkLine(cells, first, stride, rate.levels.length);
      const number = (at) => (at >= 0 && at < rate.levels.length ? rate.axis.numbers[rate.levels[at]] : null);
      line.safe = number(line.index);
      line.failing = line.status === "found" || line.status === "all_fail" ? number(line.next) : null;
      line.refined = false;
      if (whole && line.status === "found") {
        const held = heldBy(
          cells,
          Math.floor(panel / cells.columns.levels.length),
          panel % cells.columns.levels.length,
        );
        if (other.axis) held[other.axis.name] = other.levels[k];
        Object.assign(line, refinedBracket(model, held));
      }
      lines.push(line);
    }
  }
  return { along, lines };
}

/** The codes that a panel holds its facet axes at. */
function heldBy(cells, row, column) {
  const held = {};
  if (cells.rows.axis) held[cells.rows.axis.name] = cells.rows.levels[row];
  if (cells.columns.axis) held[cells.columns.axis.name] = cells.columns.levels[column];
  return held;
}

/** The codes that a cell holds the axes of the map at. */
function heldByCell(cells, c) {
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length,
    nc = cells.columns.levels.length;
  const panel = Math.floor(c / (nx * ny));
  const held = heldBy(cells, Math.floor(panel / nc), panel % nc);
  if (cells.y.axis) held[cells.y.axis.name] = cells.y.levels[Math.floor(c / nx) % ny];
  if (cells.x.axis) held[cells.x.axis.name] = cells.x.levels[c % nx];
  return held;
}

/** The cell that holds the axes of the map at the given codes; -1 if it is not shown. */
function cellAt(cells, held) {
  let c = 0;
  for (const side of ["rows", "columns", "y", "x"]) {
    const place = cells[side];
    if (!place.axis) continue;
    const code = held[place.axis.name];
    const at = code === undefined ? -1 : place.position[code];
    if (at < 0) return -1;
    c = c * place.levels.length + at;
  }
  return c;
}
