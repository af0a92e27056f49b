// The map as plotly traces: one heatmap for all panels, and lines, glyphs and texts over it.

const MOST_GLYPHS = 1500;

/** The heatmap of all panels; their gaps are empty columns and lines. */
function heatmapTrace(model, cells, layout, painting) {
  const nx = cells.x.levels.length, ny = cells.y.levels.length;
  const lefts = layout.panels.filter((panel) => panel.line === 0).map((panel) => panel.left);
  const tops = [...new Set(layout.panels.map((panel) => panel.top))];
  const x = [], y = [];
  for (const left of lefts) for (const edge of layout.x.edges) x.push(left + edge * layout.panelWidth);
  for (const top of tops) for (let j = ny; j >= 0; j--) y.push(top + (1 - layout.y.edges[j]) * layout.panelHeight);
  const z = [];
  for (let row = 0; row < y.length - 1; row++) z.push(new Float64Array(x.length - 1).fill(NaN));
  layout.panels.forEach((panel, place) => {
    for (let j = 0; j < ny; j++) {
      const line = z[panel.line * (ny + 1) + (ny - 1 - j)];
      const first = (place * ny + j) * nx;
      line.set(painting.z.subarray(first, first + nx), panel.place * (nx + 1));
    }
  });
  const { stops, most } = colourScale(model, painting);
  const gap = cells.owner === null && smallestOf(layout) >= 7 ? 1 : 0;
  return { type: "heatmap", x, y, z, colorscale: stops, zmin: 0, zmax: most, zauto: false, showscale: false,
    hoverinfo: "skip", xgap: gap, ygap: gap, zsmooth: false };
}

/** A path of lines; a null ends one. */
function lineTrace(path, line, more = {}) {
  return { type: "scatter", mode: "lines", x: path.x, y: path.y, line, hoverinfo: "skip", showlegend: false, cliponaxis: false, ...more };
}

/** Adds a rectangle to a path. */
function addBox(path, left, top, right, bottom) {
  path.x.push(left, right, right, left, left, null);
  path.y.push(top, top, bottom, bottom, top, null);
}

/** Adds a line to a path. */
function addLine(path, x0, y0, x1, y1) {
  path.x.push(x0, x1, null);
  path.y.push(y0, y1, null);
}

/** Hatching over the cells without a trial, runs of them as one box. */
function hatchTrace(cells, layout, painting) {
  const nx = cells.x.levels.length;
  const path = { x: [], y: [] };
  for (let first = 0; first < cells.size; first += nx) {
    for (let i = 0; i < nx; i++) {
      if (!Number.isNaN(painting.z[first + i])) continue;
      let end = i;
      while (end + 1 < nx && Number.isNaN(painting.z[first + end + 1])) end++;
      const from = rectOf(cells, layout, first + i), to = rectOf(cells, layout, first + end);
      addBox(path, from.left, from.top, to.left + to.width, from.top + from.height);
      i = end;
    }
  }
  if (!path.x.length) return [];
  const colours = theme();
  return [lineTrace(path, { width: 0, color: colours.unmeasured }, { fill: "toself", fillcolor: colours.unmeasured,
    fillpattern: { shape: "/", size: 7, solidity: 0.12, fgcolor: colours.hatch, bgcolor: colours.unmeasured } })];
}

/** Frames of the panels and the marks at their ticks. */
function frameTrace(cells, layout) {
  const path = { x: [], y: [] };
  for (const panel of layout.panels) {
    const bottom = panel.top + layout.panelHeight, right = panel.left + layout.panelWidth;
    addBox(path, panel.left, panel.top, right, bottom);
    for (const tick of layout.xTicks.major) {
      const at = panel.left + tick.at * layout.panelWidth;
      addLine(path, at, bottom, at, bottom + 5);
    }
    for (const at of layout.xTicks.minor) addLine(path, panel.left + at * layout.panelWidth, bottom, panel.left + at * layout.panelWidth, bottom + 2.5);
    if (panel.place > 0) continue;
    for (const tick of layout.yTicks.major) {
      const at = panel.top + (1 - tick.at) * layout.panelHeight;
      addLine(path, panel.left - 5, at, panel.left, at);
    }
  }
  return lineTrace(path, { width: 1, color: theme().frame });
}

/** Texts at points, as one trace. */
function textTrace(items) {
  const pick = (name) => items.map((item) => item[name]);
  return { type: "scatter", mode: "text", x: pick("x"), y: pick("y"), text: items.map((item) => plotText(item.text)), hoverinfo: "skip",
    textposition: pick("position"), textfont: { family: FONT, size: pick("size"), color: pick("colour"), weight: pick("weight") },
    cliponaxis: false, showlegend: false };
}

/** Tick labels, titles of panels and of axes. */
function labelItems(layout) {
  const { ink, soft } = theme();
  const items = [];
  const add = (x, y, text, position, size = TICK_SIZE, colour = soft, weight = 400) => items.push({ x, y, text, position, size, colour, weight });
  for (const panel of layout.panels) {
    const bottom = panel.top + layout.panelHeight;
    if (panel.title) add(panel.left + layout.panelWidth / 2, panel.top - 3, panel.title, "top center", LABEL_SIZE, ink, 600);
    if (panel.below && !layout.xTicks.turned) {
      for (const tick of layout.xTicks.major) add(panel.left + tick.at * layout.panelWidth, bottom + 5, tick.text, "bottom center");
    }
    if (panel.place > 0) continue;
    for (const tick of layout.yTicks.major) {
      add(panel.left - 7, panel.top + (1 - tick.at) * layout.panelHeight, cut(tick.text, yCharacters(layout.width)), "middle left");
    }
  }
  const middle = (layout.left + layout.width - 12) / 2;
  if (layout.xTitle) add(middle, layout.height - 2, layout.xTitle, "top center", LABEL_SIZE, ink);
  return items;
}

/** Texts at an angle: the y axis' title and turned tick labels. */
function turnedTexts(layout) {
  const { ink, soft } = theme();
  const base = { xref: "x", yref: "y", showarrow: false, font: { family: FONT, size: TICK_SIZE, color: soft } };
  const found = [];
  const last = layout.panels[layout.panels.length - 1];
  if (layout.yTitle) {
    found.push({ ...base, x: 9, y: (layout.panels[0].top + last.top + layout.panelHeight) / 2, text: plotText(cut(layout.yTitle, 60)), textangle: -90,
      font: { ...base.font, size: LABEL_SIZE, color: ink } });
  }
  if (!layout.xTicks.turned) return found;
  for (const panel of layout.panels) {
    if (!panel.below) continue;
    for (const tick of layout.xTicks.major) {
      const text = cut(tick.text, 24);
      const half = textWidth(text, TICK_SIZE) * 0.354;
      found.push({ ...base, x: panel.left + tick.at * layout.panelWidth - half + 2, y: panel.top + layout.panelHeight + 10 + half,
        text: plotText(text), textangle: -45, xanchor: "center", yanchor: "middle" });
    }
  }
  return found;
}

/** The lesser side of the smallest cell, in pixels. */
function smallestOf(layout) {
  return Math.min(smallestCell(layout.x, layout.panelWidth), smallestCell(layout.y, layout.panelHeight));
}

/** Whether glyphs are drawn: they are few, and the cells large enough. */
function hasGlyphs(layout, painting) {
  let count = 0;
  for (const glyph of painting.glyphs) if (glyph >= 0) count++;
  return count > 0 && count <= MOST_GLYPHS && smallestOf(layout) >= 7;
}

/** Glyphs of the cells. */
function glyphTraces(model, cells, layout, painting) {
  if (!hasGlyphs(layout, painting)) return [];
  const small = smallestOf(layout);
  const size = Math.min(10, Math.max(5, small * 0.45));
  const marks = { x: [], y: [], symbol: [], size: [], colour: [], edge: [] };
  const questions = [];
  for (let c = 0; c < cells.size; c++) {
    if (painting.glyphs[c] < 0) continue;
    const rect = rectOf(cells, layout, c);
    const ground = cellColour(model, painting, c);
    const colour = luminance(ground) < 0.3 ? "#ffffff" : "#1a1a1a";
    const [symbol, isLine, scale] = SYMBOLS[glyphForm(model, painting.glyphs[c])];
    const x = rect.left + rect.width / 2, y = rect.top + rect.height / 2;
    if (symbol === "?") {
      questions.push({ x, y, text: "?", position: "middle center", size: size * 1.3, colour, weight: 700 });
      continue;
    }
    marks.x.push(x); marks.y.push(y); marks.symbol.push(symbol); marks.size.push(size * scale * (isLine ? 1 : 0.95));
    marks.colour.push(colour); marks.edge.push(isLine ? 1.4 : 0);
  }
  const traces = questions.length ? [textTrace(questions)] : [];
  if (marks.x.length) {
    traces.push({ type: "scatter", mode: "markers", x: marks.x, y: marks.y, hoverinfo: "skip", showlegend: false,
      marker: { symbol: marks.symbol, size: marks.size, color: marks.colour, opacity: 1, line: { width: marks.edge, color: marks.colour } } });
  }
  return traces;
}

/** Where a line's boundary is drawn, as a fraction along the rate; NaN for nowhere. */
function boundaryPlace(line, scale) {
  if (line.status === "unmeasured") return NaN;
  if (line.refined && line.safe > 0) return scale.place(Math.sqrt(line.safe * line.failing));
  return scale.edges[line.last + 1];
}

/** The boundary of every panel: the bracket's band, the line and its casing; dashed where it is open. */
function boundaryTraces(cells, layout, boundaries) {
  if (!boundaries) return [];
  const flat = boundaries.along === "x";
  const rate = flat ? layout.x : layout.y, other = flat ? layout.y : layout.x;
  const n = other.centres.length;
  const solid = { x: [], y: [] }, dashed = { x: [], y: [] }, band = { x: [], y: [] };
  layout.panels.forEach((panel, place) => {
    const point = (along, across) => [
      panel.left + (flat ? along : across) * layout.panelWidth, panel.top + (1 - (flat ? across : along)) * layout.panelHeight];
    let before = null;
    for (let k = 0; k < n; k++) {
      const line = boundaries.lines[place * n + k];
      const at = boundaryPlace(line, rate);
      const open = line.status === "no_failure" || line.status === "gap";
      if (Number.isNaN(at)) { before = null; continue; }
      const path = open ? dashed : solid;
      const low = point(at, other.edges[k]), high = point(at, other.edges[k + 1]);
      if (before && before.at !== at) {
        const joint = before.open && open ? dashed : solid;
        const from = point(before.at, other.edges[k]);
        addLine(joint, from[0], from[1], low[0], low[1]);
      }
      addLine(path, low[0], low[1], high[0], high[1]);
      if (line.refined) {
        const [from, to] = [rate.place(line.safe), rate.place(line.failing)];
        if (from <= to) {
          const one = point(from, other.edges[k]), two = point(to, other.edges[k + 1]);
          addBox(band, one[0], one[1], two[0], two[1]);
        }
      }
      before = { at, open };
    }
  });
  const { line, casing, bracket } = theme();
  const traces = [];
  if (band.x.length) traces.push(lineTrace(band, { width: 0, color: bracket }, { fill: "toself", fillcolor: bracket }));
  if (dashed.x.length) traces.push(lineTrace(dashed, { width: 5, color: casing }), lineTrace(dashed, { width: 2.2, color: line, dash: "5px,3px" }));
  if (solid.x.length) traces.push(lineTrace(solid, { width: 5, color: casing }), lineTrace(solid, { width: 2.4, color: line }));
  return traces;
}

/** The picks that lie on the map, their ranks in circles. */
function pickTraces(model, cells, layout) {
  const items = [];
  const taken = new Map();
  for (const pick of model.picks) {
    const c = cellAt(cells, pick.codes);
    if (c < 0) continue;
    const rank = taken.has(c) ? `${taken.get(c).text},${pick.rank}` : String(pick.rank);
    const rect = rectOf(cells, layout, c);
    taken.set(c, { x: rect.left + rect.width / 2, y: rect.top + rect.height / 2, text: rank, position: "middle center", size: 10, colour: "#1a1a1a", weight: 700 });
  }
  items.push(...taken.values());
  if (!items.length) return [];
  return [{ type: "scatter", mode: "markers", x: items.map((item) => item.x), y: items.map((item) => item.y), hoverinfo: "skip", showlegend: false,
    cliponaxis: false, marker: { symbol: "circle", size: items.map((item) => 15 + 4 * (item.text.length - 1)), color: "#ffffff", line: { width: 1.4, color: "#1a1a1a" } } }, textTrace(items)];
}

/**
 * Draws the map.
 * @param {HTMLElement} target
 * @param {Model} model
 * @param {Cells} cells
 * @param {Layout} layout
 * @param {Painting} painting
 * @param {Object|null} boundaries
 * @returns {Promise}
 */
function drawMap(target, model, cells, layout, painting, boundaries) {
  const axis = { visible: false, fixedrange: true, autorange: false };
  const { paper } = theme();
  const traces = [
    heatmapTrace(model, cells, layout, painting), ...hatchTrace(cells, layout, painting), ...glyphTraces(model, cells, layout, painting),
    ...boundaryTraces(cells, layout, boundaries), ...pickTraces(model, cells, layout), frameTrace(cells, layout), textTrace(labelItems(layout)),
  ];
  return Plotly.react(target, traces, {
    width: layout.width, height: layout.height, margin: { l: 0, r: 0, t: 0, b: 0, pad: 0 }, paper_bgcolor: paper, plot_bgcolor: paper,
    showlegend: false, hovermode: false, dragmode: false, annotations: turnedTexts(layout),
    xaxis: { ...axis, range: [0, layout.width] }, yaxis: { ...axis, range: [layout.height, 0] },
  }, { staticPlot: true, displayModeBar: false, responsive: false });
}
