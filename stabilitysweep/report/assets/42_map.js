// The map as plotly traces: one heatmap for all panels, and lines, glyphs and texts over it.

/** The heatmap of all panels; their gaps are empty columns and lines. */
function heatmapTrace(model, cells, layout, painting) {
  const nx = cells.x.levels.length,
    ny = cells.y.levels.length;
  const lefts = layout.panels.filter((panel) => panel.line === 0).map((panel) => panel.left);
  const tops = [...new Set(layout.panels.map((panel) => panel.top))];
  const x = [],
    y = [];
  for (const left of lefts) for (const edge of layout.x.edges) x.push(left + edge * layout.panelWidth);
  for (const top of tops)
    for (let j = ny; j >= 0; j--) y.push(top + (1 - layout.y.edges[j]) * layout.panelHeight);
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
  const gap = cells.owner === null && smallestOf(layout) >= 10 ? 1 : 0;
  return {
    type: "heatmap",
    x,
    y,
    z,
    colorscale: stops,
    zmin: 0,
    zmax: most,
    zauto: false,
    showscale: false,
    hoverinfo: "skip",
    xgap: gap,
    ygap: gap,
    zsmooth: false,
  };
}

/** A path of lines; a null ends one. */
function lineTrace(path, line, more = {}) {
  return {
    type: "scatter",
    mode: "lines",
    x: path.x,
    y: path.y,
    line,
    hoverinfo: "skip",
    showlegend: false,
    cliponaxis: false,
    ...more,
  };
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
      const from = rectOf(cells, layout, first + i),
        to = rectOf(cells, layout, first + end);
      addBox(path, from.left, from.top, to.left + to.width, from.top + from.height);
      i = end;
    }
  }
  if (!path.x.length) return [];
  const colours = theme();
  return [
    lineTrace(
      path,
      { width: 0, color: colours.unmeasured },
      {
        fill: "toself",
        fillcolor: colours.unmeasured,
        fillpattern: {
          shape: "/",
          size: 7,
          solidity: 0.12,
          fgcolor: colours.hatch,
          bgcolor: colours.unmeasured,
        },
      },
    ),
  ];
}

/** Frames of the panels and the marks at their ticks. */
function frameTrace(cells, layout) {
  const path = { x: [], y: [] };
  for (const panel of layout.panels) {
    const bottom = panel.top + layout.panelHeight,
      right = panel.left + layout.panelWidth;
    addBox(path, panel.left, panel.top, right, bottom);
    for (const tick of layout.xTicks.major) {
      const at = panel.left + tick.at * layout.panelWidth;
      addLine(path, at, bottom, at, bottom + 5);
    }
    for (const at of layout.xTicks.minor)
      addLine(
        path,
        panel.left + at * layout.panelWidth,
        bottom,
        panel.left + at * layout.panelWidth,
        bottom + 2.5,
      );
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
  return {
    type: "scatter",
    mode: "text",
    x: pick("x"),
    y: pick("y"),
    text: items.map((item) => plotText(item.text)),
    hoverinfo: "skip",
    textposition: pick("position"),
    textfont: { family: FONT, size: pick("size"), color: pick("colour"), weight: pick("weight") },
    cliponaxis: false,
    showlegend: false,
  };
}

/** Tick labels, titles of panels and of axes. */
function labelItems(layout) {
  const { ink, soft } = theme();
  const items = [];
  const add = (x, y, text, position, size = TICK_SIZE, colour = soft, weight = 400) =>
    items.push({ x, y, text, position, size, colour, weight });
  for (const panel of layout.panels) {
    const bottom = panel.top + layout.panelHeight;
    if (panel.title)
      add(panel.left + layout.panelWidth / 2, panel.top - 3, panel.title, "top center", LABEL_SIZE, ink, 600);
    if (panel.below && !layout.xTicks.turned) {
      for (const tick of layout.xTicks.major)
        add(panel.left + tick.at * layout.panelWidth, bottom + 5, tick.text, "bottom center");
    }
    if (panel.place > 0) continue;
    for (const tick of layout.yTicks.major) {
      add(
        panel.left - 7,
        panel.top + (1 - tick.at) * layout.panelHeight,
        cut(tick.text, yCharacters(layout.width)),
        "middle left",
      );
    }
  }
  const middle = (layout.left + layout.width - 12) / 2;
  if (layout.xTitle) add(middle, layout.height - 2, layout.xTitle, "top center", LABEL_SIZE, ink);
  return items;
}

/** Texts at an angle: the y axis' title and turned tick labels. */
function turnedTexts(layout) {
  const { ink, soft } = theme();
  const base = {
    xref: "x",
    yref: "y",
    showarrow: false,
    font: { family: FONT, size: TICK_SIZE, color: soft },
  };
  const found = [];
  const last = layout.panels[layout.panels.length - 1];
  if (layout.yTitle) {
    found.push({
      ...base,
      x: 9,
      y: (layout.panels[0].top + last.top + layout.panelHeight) / 2,
      text: plotText(cut(layout.yTitle, 60)),
      textangle: -90,
      font: { ...base.font, size: LABEL_SIZE, color: ink },
    });
  }
  if (!layout.xTicks.turned) return found;
  for (const panel of layout.panels) {
    if (!panel.below) continue;
    for (const tick of layout.xTicks.major) {
      const text = cut(tick.text, 24);
      const half = textWidth(text, TICK_SIZE) * 0.354;
      found.push({
        ...base,
        x: panel.left + tick.at * layout.panelWidth - half + 2,
        y: panel.top + layout.panelHeight + 10 + half,
        text: plotText(text),
        textangle: -45,
        xanchor: "center",
        yanchor: "middle",
      });
    }
  }
  return found;
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
    heatmapTrace(model, cells, layout, painting),
    ...hatchTrace(cells, layout, painting),
    ...glyphTraces(model, cells, layout, painting),
    ...boundaryTraces(cells, layout, boundaries),
    ...pickTraces(model, cells, layout),
    frameTrace(cells, layout),
    textTrace(labelItems(layout)),
  ];
  return Plotly.react(
    target,
    traces,
    {
      width: layout.width,
      height: layout.height,
      margin: { l: 0, r: 0, t: 0, b: 0, pad: 0 },
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      showlegend: false,
      hovermode: false,
      dragmode: false,
      annotations: turnedTexts(layout),
      xaxis: { ...axis, range: [0, layout.width] },
      yaxis: { ...axis, range: [layout.height, 0] },
    },
    { staticPlot: true, displayModeBar: false, responsive: false },
  );
}
