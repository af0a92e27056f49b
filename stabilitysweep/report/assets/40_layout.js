// Where panels and cells lie, in pixels of the map: everything is drawn in these coordinates.

const TICK_SIZE = 11,
  LABEL_SIZE = 12,
  MOST_FACETS = 6;

/**
 * @typedef {Object} Panel
 * @property {number} row of the facet
 * @property {number} column of the facet
 * @property {number} line of panels it stands in
 * @property {number} place in that line
 * @property {number} left
 * @property {number} top
 * @property {string} title
 * @property {boolean} below whether tick labels stand below it
 */

/**
 * @typedef {Object} Layout
 * @property {number} width
 * @property {number} height
 * @property {number} panelWidth
 * @property {number} panelHeight
 * @property {number} perLine panels in a line
 * @property {number} lines
 * @property {Panel[]} panels
 * @property {Scale} x
 * @property {Scale} y
 * @property {Ticks} xTicks
 * @property {Ticks} yTicks
 * @property {number} left of the first panel
 * @property {string} xTitle
 * @property {string} yTitle
 */

/** An axis' name as a title. */
function axisTitle(place, scale) {
  if (!place.axis) return "";
  return place.axis.name + (scale.kind === "log" ? " (log scale)" : "");
}

/** How high a panel should be. */
function panelHeight(cells, scale, width, lines) {
  const n = cells.y.levels.length;
  if (!cells.y.axis) return 72;
  const room = Math.max(96, 780 / lines - 30);
  const wanted =
    scale.kind === "category" || n <= 8
      ? Math.max(n < 3 ? 100 : 150, n * 40)
      : Math.max(180, Math.min(n * 22, 0.8 * width));
  return Math.round(Math.min(wanted, 460, Math.max(room, Math.min(n * 13, 320))));
}

/** A facet's title that fits a panel: `precision = float16`, `float16`, or cut. */
function panelTitle(cells, row, column, width) {
  const parts = [
    [cells.columns, column],
    [cells.rows, row],
  ]
    .filter(([place]) => place.axis)
    .map(([place, at]) => [place.axis.name, shortLabel(place.axis, place.levels[at])]);
  const long = parts.map(([name, label]) => `${name} = ${label}`).join(" · ");
  if (textWidth(long, LABEL_SIZE, 600) <= width) return long;
  let short = parts.map(([, label]) => label).join(" · ");
  while (short.length > 3 && textWidth(short, LABEL_SIZE, 600) > width) short = cut(short, short.length - 1);
  return short;
}

/**
 * Lays the panels out.
 * @param {Cells} cells
 * @param {number} available width in pixels
 * @param {{x: Scale, y: Scale}} scales
 * @returns {Layout}
 */
function makeLayout(cells, available, { x, y }) {
  const columns = cells.columns.levels.length,
    rows = cells.rows.levels.length;
  const faceted = Boolean(cells.columns.axis || cells.rows.axis);
  const yLabels = cells.y.axis
    ? cells.y.levels.map((code) => cut(shortLabel(cells.y.axis, code), yCharacters(available)))
    : [];
  const left = Math.ceil(
    cells.y.axis ? 30 + Math.max(24, ...yLabels.map((label) => textWidth(label, TICK_SIZE))) : 8,
  );
  const right = 12,
    between = cells.x.axis && available > 500 ? 28 : 16;
  const wide = rows === 1 && columns > 1 ? Math.min(220, 60 + 5 * cells.x.levels.length) : 84;
  const fit = Math.max(1, Math.floor((available - left - right + between) / (wide + between)));
  let perLine = columns;
  if (rows === 1 && columns > fit) perLine = Math.ceil(columns / Math.ceil(columns / fit));
  else if (columns === 1 && rows > 1 && fit >= 2 && available > 700 && rows > 3) perLine = 1;
  const lines = rows === 1 ? Math.ceil(columns / perLine) : rows;
  const width = Math.max(available, left + right + perLine * wide + (perLine - 1) * between);
  const one = Math.floor((width - left - right - (perLine - 1) * between) / perLine);
  const xTicks = horizontalTicks(cells.x, x, one, TICK_SIZE);
  const widest = xTicks.turned
    ? Math.max(...xTicks.major.map((tick) => textWidth(cut(tick.text, 24), TICK_SIZE)))
    : 0;
  const tickRoom = xTicks.turned ? Math.ceil(widest * 0.71 + 16) : 20;
  const high = panelHeight(cells, y, one, lines);
  const panels = [];
  const titleRoom = faceted ? 24 : 8;
  let top = titleRoom;
  for (let line = 0; line < lines; line++) {
    let ragged = false;
    for (let place = 0; place < perLine; place++) {
      const column = rows === 1 ? line * perLine + place : place;
      if (column >= columns) continue;
      const below = line === lines - 1 || (rows === 1 && (line + 1) * perLine + place >= columns);
      ragged = ragged || (below && line < lines - 1);
      const row = rows === 1 ? 0 : line;
      panels.push({
        row,
        column,
        line,
        place,
        left: left + place * (one + between),
        top,
        below,
        title: faceted ? panelTitle(cells, row, column, one) : "",
      });
    }
    top += high + (line === lines - 1 ? tickRoom : (ragged ? tickRoom : 6) + titleRoom);
  }
  return {
    width,
    height: top + (cells.x.axis ? 22 : 4),
    panelWidth: one,
    panelHeight: high,
    perLine,
    lines,
    panels,
    left,
    x,
    y,
    xTicks,
    yTicks: verticalTicks(cells.y, y, high, TICK_SIZE),
    xTitle: axisTitle(cells.x, x),
    yTitle: axisTitle(cells.y, y),
  };
}

/** How many characters of a label beside the map are shown. */
function yCharacters(available) {
  return available < 500 ? 10 : 20;
}

/** The rectangle of a cell in pixels, with the levels that it owns. */
function rectOf(cells, layout, c) {
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length;
  const panel = panelOf(cells, layout, c);
  let i = c % nx,
    j = Math.floor(c / nx) % ny,
    right = i,
    upper = j;
  if (cells.owner && cells.owner[c] === c) {
    const owned = (a, b) => cells.owner[c + (b - first[1]) * nx + (a - first[0])] === c;
    const first = [i, j];
    while (i > 0 && owned(i - 1, first[1])) i--;
    while (right < nx - 1 && owned(right + 1, first[1])) right++;
    while (j > 0 && owned(first[0], j - 1)) j--;
    while (upper < ny - 1 && owned(first[0], upper + 1)) upper++;
  }
  const left = panel.left + layout.x.edges[i] * layout.panelWidth;
  const top = panel.top + (1 - layout.y.edges[upper + 1]) * layout.panelHeight;
  return {
    left,
    top,
    width: (layout.x.edges[right + 1] - layout.x.edges[i]) * layout.panelWidth,
    height: (layout.y.edges[upper + 1] - layout.y.edges[j]) * layout.panelHeight,
  };
}

/** The cell that a cell's place belongs to. */
function ownerOf(cells, c) {
  return c >= 0 && cells.owner ? cells.owner[c] : c;
}

/** The panel that a cell lies in. */
function panelOf(cells, layout, c) {
  return layout.panels[Math.floor(c / (cells.x.levels.length * cells.y.levels.length))];
}

/** The first index whose upper edge is above a fraction. */
function levelAt(edges, fraction) {
  let low = 0,
    high = edges.length - 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle + 1] <= fraction) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The cell at a point of the map in pixels; -1 where there is none. */
function cellAtPoint(cells, layout, left, top) {
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length;
  for (let place = 0; place < layout.panels.length; place++) {
    const panel = layout.panels[place];
    const across = (left - panel.left) / layout.panelWidth,
      up = 1 - (top - panel.top) / layout.panelHeight;
    if (across < 0 || across >= 1 || up < 0 || up >= 1) continue;
    return ownerOf(cells, (place * ny + levelAt(layout.y.edges, up)) * nx + levelAt(layout.x.edges, across));
  }
  return -1;
}

/** The cell one step from another; it goes on into the next panel at a panel's end. */
function stepFrom(cells, layout, c, dx, dy) {
  let at = c,
    next = oneLevelFrom(cells, layout, c, dx, dy);
  while (next !== at && ownerOf(cells, next) === c)
    [at, next] = [next, oneLevelFrom(cells, layout, next, dx, dy)];
  return ownerOf(cells, next);
}

/** The place one level from another. */
function oneLevelFrom(cells, layout, c, dx, dy) {
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length;
  const panel = panelOf(cells, layout, c);
  let i = (c % nx) + dx,
    j = (Math.floor(c / nx) % ny) + dy;
  let { line, place } = panel;
  if (i < 0) {
    place--;
    i = nx - 1;
  } else if (i >= nx) {
    place++;
    i = 0;
  }
  if (j < 0) {
    line++;
    j = ny - 1;
  } else if (j >= ny) {
    line--;
    j = 0;
  }
  const next = layout.panels.findIndex((other) => other.line === line && other.place === place);
  return next < 0 ? c : (next * ny + j) * nx + i;
}
