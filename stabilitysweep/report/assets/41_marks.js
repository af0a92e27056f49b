// What is drawn over the cells: glyphs, the boundary, the picks.

const MOST_GLYPHS = 1500;

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
    const x = rect.left + rect.width / 2,
      y = rect.top + rect.height / 2;
    if (symbol === "?") {
      questions.push({ x, y, text: "?", position: "middle center", size: size * 1.3, colour, weight: 700 });
      continue;
    }
    marks.x.push(x);
    marks.y.push(y);
    marks.symbol.push(symbol);
    marks.size.push(size * scale * (isLine ? 1 : 0.95));
    marks.colour.push(colour);
    marks.edge.push(isLine ? 1.4 : 0);
  }
  const traces = questions.length ? [textTrace(questions)] : [];
  if (marks.x.length) {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: marks.x,
      y: marks.y,
      hoverinfo: "skip",
      showlegend: false,
      marker: {
        symbol: marks.symbol,
        size: marks.size,
        color: marks.colour,
        opacity: 1,
        line: { width: marks.edge, color: marks.colour },
      },
    });
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
  const rate = flat ? layout.x : layout.y,
    other = flat ? layout.y : layout.x;
  const n = other.centres.length;
  const solid = { x: [], y: [] },
    dashed = { x: [], y: [] },
    band = { x: [], y: [] };
  layout.panels.forEach((panel, place) => {
    const point = (along, across) => [
      panel.left + (flat ? along : across) * layout.panelWidth,
      panel.top + (1 - (flat ? across : along)) * layout.panelHeight,
    ];
    let before = null;
    for (let k = 0; k < n; k++) {
      const line = boundaries.lines[place * n + k];
      const at = boundaryPlace(line, rate);
      const open = line.status === "no_failure" || line.status === "gap";
      if (Number.isNaN(at)) {
        before = null;
        continue;
      }
      const path = open ? dashed : solid;
      const low = point(at, other.edges[k]),
        high = point(at, other.edges[k + 1]);
      if (before && before.at !== at) {
        const joint = before.open && open ? dashed : solid;
        const from = point(before.at, other.edges[k]);
        addLine(joint, from[0], from[1], low[0], low[1]);
      }
      addLine(path, low[0], low[1], high[0], high[1]);
      if (line.refined) {
        const [from, to] = [rate.place(line.safe), rate.place(line.failing)];
        if (from <= to) {
          const one = point(from, other.edges[k]),
            two = point(to, other.edges[k + 1]);
          addBox(band, one[0], one[1], two[0], two[1]);
        }
      }
      before = { at, open };
    }
  });
  const { line, casing, bracket } = theme();
  const traces = [];
  if (band.x.length)
    traces.push(lineTrace(band, { width: 0, color: bracket }, { fill: "toself", fillcolor: bracket }));
  if (dashed.x.length)
    traces.push(
      lineTrace(dashed, { width: 5, color: casing }),
      lineTrace(dashed, { width: 2.2, color: line, dash: "5px,3px" }),
    );
  if (solid.x.length)
    traces.push(lineTrace(solid, { width: 5, color: casing }), lineTrace(solid, { width: 2.4, color: line }));
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
    taken.set(c, {
      x: rect.left + rect.width / 2,
      y: rect.top + rect.height / 2,
      text: rank,
      position: "middle center",
      size: 10,
      colour: "#1a1a1a",
      weight: 700,
    });
  }
  items.push(...taken.values());
  if (!items.length) return [];
  return [
    {
      type: "scatter",
      mode: "markers",
      x: items.map((item) => item.x),
      y: items.map((item) => item.y),
      hoverinfo: "skip",
      showlegend: false,
      cliponaxis: false,
      marker: {
        symbol: "circle",
        size: items.map((item) => 15 + 4 * (item.text.length - 1)),
        color: "#ffffff",
        line: { width: 1.4, color: "#1a1a1a" },
      },
    },
    textTrace(items),
  ];
}
