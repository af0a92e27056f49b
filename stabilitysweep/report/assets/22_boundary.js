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
function walkLine(counts, first, stride, length) {
  let index = -1;
  for (let k = 0; k < length; k++) {
    const c = first + k * stride;
    if (!measuredOf(counts, c)) return { index, status: index < 0 ? "unmeasured" : "gap" };
    if (failuresOf(counts, c)) return { index, status: index < 0 ? "all_fail" : "found" };
    index = k;
  }
  return { index, status: "no_failure" };
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
  const rate = cells[along], other = along === "x" ? cells.y : cells.x;
  const panelSize = cells.x.levels.length * cells.y.levels.length;
  const lines = [];
  for (let panel = 0; panel < cells.rows.levels.length * cells.columns.levels.length; panel++) {
    for (let k = 0; k < other.levels.length; k++) {
      const first = panel * panelSize + (along === "x" ? k * rate.levels.length : k);
      const stride = along === "x" ? 1 : other.levels.length;
      const line = walkLine(cells.counts, first, stride, rate.levels.length);
      const number = (at) => (at >= 0 && at < rate.levels.length ? rate.axis.numbers[rate.levels[at]] : null);
      line.safe = number(line.index);
      line.failing = line.status === "found" || line.status === "all_fail" ? number(line.index + 1) : null;
      line.refined = false;
      if (whole && line.status === "found") {
        const held = heldBy(cells, Math.floor(panel / cells.columns.levels.length), panel % cells.columns.levels.length);
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
  const nx = cells.x.levels.length, ny = cells.y.levels.length, nc = cells.columns.levels.length;
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
