// The legend below the map: the colour bar and what glyphs, hatching and lines mean.

/** A small picture of a glyph on its ground. */
function swatch(ground, form, light) {
  const picture = svg("svg", {
    viewBox: "0 0 24 14",
    width: 24,
    height: 14,
    "aria-hidden": "true",
    class: "swatch",
  });
  picture.append(
    svg("rect", {
      x: 0.5,
      y: 0.5,
      width: 23,
      height: 13,
      fill: ground,
      stroke: theme().frame,
      "stroke-width": 0.6,
    }),
  );
  if (form) picture.append(glyphShape(form, light ? "#ffffff" : "#1a1a1a"));
  return picture;
}

/** A glyph in the middle of a swatch. */
function glyphShape(form, colour) {
  const lines = {
    x: "M8.5 3.5 L15.5 10.5 M15.5 3.5 L8.5 10.5",
    dash: "M8 7 H16",
    plus: "M12 3 V11 M8 7 H16",
    bar: "M12 3 V11",
  };
  const areas = {
    "triangle-up": "M12 3 L16 10.5 H8 Z",
    "triangle-down": "M12 11 L16 3.5 H8 Z",
    square: "M9 4 H15 V10 H9 Z",
    diamond: "M12 3 L16 7 L12 11 L8 7 Z",
    circle: "M12 3.6 a3.4 3.4 0 1 0 0.01 0 Z",
  };
  if (form === "question") {
    const text = svg("text", {
      x: 12,
      y: 11,
      "text-anchor": "middle",
      "font-size": 11,
      "font-weight": 700,
      fill: colour,
    });
    text.textContent = "?";
    return text;
  }
  if (lines[form]) return svg("path", { d: lines[form], stroke: colour, "stroke-width": 1.5, fill: "none" });
  return svg("path", { d: areas[form], fill: colour });
}

/** The hatched ground of cells without a trial. */
function hatchSwatch() {
  const { unmeasured, hatch, frame } = theme();
  const picture = svg("svg", {
    viewBox: "0 0 24 14",
    width: 24,
    height: 14,
    "aria-hidden": "true",
    class: "swatch",
  });
  picture.append(
    svg("rect", {
      x: 0.5,
      y: 0.5,
      width: 23,
      height: 13,
      fill: unmeasured,
      stroke: frame,
      "stroke-width": 0.6,
    }),
    svg("path", { d: "M3 13 L15 1 M9 13 L21 1 M1 9 L9 1 M15 13 L23 5", stroke: hatch, "stroke-width": 1 }),
  );
  return picture;
}

/** A line as the boundary is drawn. */
function lineSwatch(dashed, band) {
  const { line, casing, bracket } = theme();
  const picture = svg("svg", {
    viewBox: "0 0 24 14",
    width: 24,
    height: 14,
    "aria-hidden": "true",
    class: "swatch",
  });
  if (band) picture.append(svg("rect", { x: 0, y: 1, width: 24, height: 12, fill: bracket }));
  picture.append(
    svg("path", { d: "M0 7 H24", stroke: casing, "stroke-width": 5 }),
    svg("path", {
      d: "M0 7 H24",
      stroke: line,
      "stroke-width": 2.4,
      "stroke-dasharray": dashed ? "5 3" : "none",
    }),
  );
  return picture;
}

/** The mark of a pick. */
function pickSwatch() {
  const picture = svg("svg", {
    viewBox: "0 0 24 14",
    width: 24,
    height: 14,
    "aria-hidden": "true",
    class: "swatch",
  });
  const text = svg("text", {
    x: 12,
    y: 10.4,
    "text-anchor": "middle",
    "font-size": 9,
    "font-weight": 700,
    fill: "#1a1a1a",
  });
  text.textContent = "1";
  picture.append(
    svg("circle", { cx: 12, cy: 7, r: 6.2, fill: "#ffffff", stroke: "#1a1a1a", "stroke-width": 1.2 }),
    text,
  );
  return picture;
}

/** The colour bar with its ticks. */
function colourBar(painting) {
  const bar = el("div", { class: "bar" });
  bar.style.backgroundImage = `linear-gradient(to right, ${painting.ramp.join(", ")})`;
  const ticks = el("div", { class: "bar-ticks" });
  let last = -1;
  for (const tick of [...painting.ticks].sort((a, b) => a.at - b.at)) {
    if (tick.at - last < 0.09 && last >= 0) continue;
    const mark = el("span", { text: tick.text });
    mark.style.left = `${100 * tick.at}%`;
    ticks.append(mark);
    last = tick.at;
  }
  return el("div", { class: "bar-box" }, el("div", { class: "bar-label", text: painting.label }), bar, ticks);
}

/** The entries that the map calls for. */
function legendEntries(model, view) {
  const { painting, cells, boundaries } = view;
  const entries = [];
  const colours = theme();
  const grounds = new Map(); // a glyph's ground: that of the first cell that has it
  const shown = hasGlyphs(view.layout, painting);
  let empty = false,
    failed = false;
  for (let c = 0; c < cells.size; c++) {
    const glyph = painting.glyphs[c];
    if (painting.z[c] === FAILED) failed = true;
    if ((shown || glyph >= CRASHED) && glyph >= 0 && !grounds.has(painting.glyphs[c]))
      grounds.set(painting.glyphs[c], cellColour(model, painting, c));
    if (Number.isNaN(painting.z[c])) empty = true;
  }
  for (const note of painting.notes) entries.push([note, swatch(colours.neutral)]);
  for (const glyph of [...grounds.keys()].sort((a, b) => (a >= 10 || b >= 10 ? a - b : b - a))) {
    const ground = grounds.get(glyph);
    const label =
      glyph >= 10
        ? spaced(model.causes[glyph - 10])
        : glyph === CRASHED
          ? "all crashed"
          : painting.notes.includes("no onset")
            ? "diverged, no onset"
            : `mostly ${OUTCOMES[glyph]}`;
    entries.push([label, swatch(ground, shown ? glyphForm(model, glyph) : null, luminance(ground) < 0.3)]);
  }
  if (failed && !shown) entries.push(["mostly failed", swatch(colours.failed)]);
  if (empty)
    entries.push([view.whole ? "not trained" : "not trained, or hidden by the filters", hatchSwatch()]);
  const lines = boundaries ? boundaries.lines : [];
  const has = (test) => lines.some(test);
  if (has((line) => !line.refined && (line.status === "found" || line.status === "all_fail")))
    entries.push(["boundary: no failure at lower rates", lineSwatch(false)]);
  if (has((line) => line.refined))
    entries.push(["boundary, refined; grey: its bracket", lineSwatch(false, true)]);
  if (has((line) => line.status === "no_failure" || line.status === "gap"))
    entries.push(["no failure found up to here", lineSwatch(true)]);
  if (model.picks.length) {
    const inside = model.picks.some((pick) => cellAt(cells, pick.codes) >= 0);
    entries.push([inside ? "recommended, by rank" : "recommended: outside this map", pickSwatch()]);
  }
  return entries;
}

/** Fills the legend. */
function drawLegend(target, model, view) {
  const list = el("ul", { class: "legend-list" });
  for (const [label, picture] of legendEntries(model, view))
    list.append(el("li", {}, picture, el("span", { text: label })));
  target.replaceChildren(
    ...(view.painting.ramp
      ? [colourBar(view.painting)]
      : [el("div", { class: "bar-label", text: view.painting.label })]),
    list,
  );
  for (const note of view.notes) target.append(el("p", { class: "note", text: note }));
}
