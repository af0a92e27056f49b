// The report's map put together.
//
// The page provides, and this fills: #map-controls, #map-filters, #map-count, #map-plot, #map-legend,
// #pin, #map-table; #theme and [data-copy] are the page's own buttons. Stable names, for tests:
//   #control-x #control-y #control-rows #control-columns #control-colour   choices
//   #toggle-precision #toggle-table #swap #keys                            buttons (aria-pressed)
//   #axes-box #filters-box                                                 <details>, closed where narrow
//   #filter-outcome-0..4 #filter-cause-K (last: none) #filter-seed-K       checkboxes
//   #filter-axisN-K, or #filter-axisN-from and -to                         by axis N; K its level
//   #filter-reset #map-count ("N of M trials") #map-live (aria-live)
//   #map-stage       takes the focus and the keys; .cursor and .pin-frame lie over it
//   #map-tip         the tooltip; #map-keys the list of keys
//   #pin-0, #pin-1 …  cards of pinned cells: table.trials, table.twins, table.neighbours, .curves,
//                    .commands pre; #unpin-all
//   #map-table table.map-cells
// window.stabilitysweep: state(), counts(), cell({axis: label}) of the trials shown, point({axis: label}) in the
// window, boundaries(), timing() in milliseconds. Labels are those of the payload. <html data-ready="true"> is
// set after the first drawing.

/** Draws at most once a frame. */
function onceAFrame(call) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      call();
    });
  };
}

/** What the page says about the view: pooled axes, hidden trials, facets left out. */
function viewNotes(app, cells, whole) {
  const { model, state } = app;
  const notes = [];
  const placed = new Set(SIDES.map((side) => state[side]));
  const pooled = model.axes
    .filter((axis) => !placed.has(axis.name) && axis.labels.length > 1)
    .map((axis) => {
      const allowed = state.axes.get(axis.name);
      return allowed && allowed.size === 1 ? `${axis.name} = ${axis.labels[[...allowed][0]]}` : axis.name;
    });
  const facets = [cells.columns, cells.rows]
    .filter((place) => place.axis && place.axis.name !== RESULT_AXIS)
    .map((place) => place.axis.name);
  if (facets.length) notes.push(`One map for each value of ${facets.join(" and ")}.`);
  if (pooled.length)
    notes.push(`Each cell pools ${pooled.join(", ")}${model.seeds.length > 1 ? " and the seeds" : ""}.`);
  if (!whole) notes.push("Filters hide trials: shares and the boundary are of the trials shown.");
  for (const side of ["columns", "rows"]) {
    if (cells[side].left)
      notes.push(
        `${cells[side].levels.length} of ${cells[side].levels.length + cells[side].left} values of ${cells[side].axis.name} are shown; the filter chooses which.`,
      );
  }
  return notes;
}

/** Computes the view of a state: the cells, their colours, the boundary. */
function makeView(app) {
  const { model, state } = app;
  const found = filterTrials(model, state);
  const whole = found.shown === model.n;
  const y = placeOf(model, state.y, state.axes);
  if (y.axis && !y.axis.numbers) {
    // categories read from the top, numbers rise
    y.levels.reverse();
    y.levels.forEach((code, place) => {
      y.position[code] = place;
    });
  }
  const cells = groupCells(model, found.mask, {
    x: placeOf(model, state.x, state.axes),
    y,
    rows: placeOf(model, state.rows, state.axes, MOST_FACETS),
    columns: placeOf(model, state.columns, state.axes, MOST_FACETS),
  });
  const scales = { x: makeScale(cells.x), y: makeScale(cells.y) };
  cells.owner = ownersOf(model, cells, scales);
  const room = app.paperWidth || app.parts.plot.clientWidth || 800;
  return {
    found,
    whole,
    cells,
    painting: paint(model, cells, state.colour),
    boundaries: findBoundaries(model, cells, whole),
    layout: makeLayout(cells, Math.floor(room), scales),
    notes: viewNotes(app, cells, whole),
  };
}

/** Draws everything but the pins' cards. @returns {Promise} */
function drawView(app) {
  const held = app.view && app.cursor >= 0 ? heldByCell(app.view.cells, app.cursor) : null;
  const began = performance.now();
  app.view = makeView(app);
  app.timing.computed = performance.now() - began;
  app.cursor = held ? cellAt(app.view.cells, held) : -1;
  const { view, parts, model, state } = app;
  for (const side of ["width", "height"]) parts.stage.style[side] = `${view.layout[side]}px`;
  parts.stage.setAttribute(
    "aria-label",
    `Map of ${state.colour} over ${[state.x, state.y].filter(Boolean).join(" and ")}. Arrow keys move from cell to cell, Enter pins.`,
  );
  const drawn = drawMap(parts.canvas, model, view.cells, view.layout, view.painting, view.boundaries);
  app.timing.plotted = performance.now() - began;
  drawControls(app);
  drawFilters(app);
  drawCount(app);
  drawLegend(parts.legend, model, view);
  drawTable(app);
  drawFrames(app);
  hideTooltip(app);
  return drawn;
}

/** The elements that the map lives in. */
function makeParts() {
  const parts = {
    controls: byId("map-controls"),
    filters: byId("map-filters"),
    plot: byId("map-plot"),
    legend: byId("map-legend"),
    count: byId("map-count"),
    pin: byId("pin"),
    table: byId("map-table"),
  };
  parts.canvas = el("div", { class: "canvas", "aria-hidden": "true" });
  parts.cursor = el("div", { class: "cursor", hidden: true });
  parts.frames = el("div", { class: "frames", "aria-hidden": "true" });
  parts.stage = el(
    "div",
    { id: "map-stage", class: "stage", tabindex: "0", role: "application", "aria-roledescription": "map" },
    parts.canvas,
    parts.frames,
    parts.cursor,
  );
  parts.tooltip = el("div", { id: "map-tip", class: "tip", hidden: true, role: "tooltip" });
  parts.live = el("p", { id: "map-live", class: "off", "aria-live": "polite" });
  parts.keys = keysBox();
  parts.plot.replaceChildren(el("div", { class: "map-scroll" }, parts.stage));
  parts.plot.after(parts.keys, parts.live);
  document.body.append(parts.tooltip);
  return parts;
}

/** The small interface for tests: all read only. */
function publicInterface(app) {
  const { model } = app;
  const codesOf = (labels) =>
    Object.fromEntries(
      Object.entries(labels).map(([name, label]) => [
        name,
        model.byName.get(name).labels.indexOf(String(label)),
      ]),
    );
  const named = (codes, labels) => (codes ? [...codes].sort((a, b) => a - b).map((code) => labels[code]) : null);
  return Object.freeze({
    state: () => ({
      ...Object.fromEntries(SIDES.map((side) => [side, app.state[side]])),
      colour: app.state.colour,
      table: app.state.table,
      outcomes: named(app.state.outcomes, OUTCOMES),
      causes: named(app.state.causes, causeNames(model)),
      seeds: named(app.state.seeds, model.seeds),
      filters: Object.fromEntries(
        [...app.state.axes].map(([name, codes]) => [
          name,
          [...codes].map((code) => model.byName.get(name).labels[code]),
        ]),
      ),
      pins: app.state.pins.map((held) => Object.fromEntries(settingsOf(model, held))),
      theme: themeName(),
    }),
    counts: () => {
      const outcomes = Object.fromEntries(OUTCOMES.map((name) => [name, 0]));
      for (let i = 0; i < model.n; i++)
        if (app.view.found.mask[i]) outcomes[OUTCOMES[model.columns.outcome[i]]]++;
      return { shown: app.view.found.shown, total: model.n, outcomes, cells: app.view.cells.size };
    },
    cell: (labels) => {
      const { counts, onset, ...rest } = summarize(
        model,
        trialsAt(model, app.view.found.mask, codesOf(labels)),
      );
      return {
        ...rest,
        outcomes: Object.fromEntries(OUTCOMES.map((name, code) => [name, counts[code]])),
        dominant: OUTCOMES[rest.dominant] || null,
        onset: onset ? { median: onset.median, earliest: onset.earliest } : null,
      };
    },
    point: (labels) => {
      const c = cellAt(app.view.cells, codesOf(labels));
      if (c < 0) return null;
      const box = app.parts.stage.getBoundingClientRect(),
        rect = rectOf(app.view.cells, app.view.layout, c);
      return { x: box.left + rect.left + rect.width / 2, y: box.top + rect.top + rect.height / 2 };
    },
    boundaries: () => (app.view.boundaries ? app.view.boundaries.lines.map((line) => ({ ...line })) : []),
    timing: () => ({ ...app.timing }),
  });
}

/** Reads the payload, draws, and listens. */
function start() {
  setTheme(document.documentElement.dataset.theme);
  watchCopies();
  const began = performance.now(); // from navigation
  const model = decodePayload(JSON.parse(byId("payload").textContent));
  const narrow = window.matchMedia("(max-width: 700px)");
  const app = {
    model,
    state: readHash(model, window.location.hash),
    parts: makeParts(),
    view: null,
    cursor: -1,
    open: new Map(),
    paperWidth: null,
    narrow: narrow.matches,
    touch: window.matchMedia("(pointer: coarse)").matches,
    timing: { began, decoded: performance.now() - began },
  };
  const keepHash = () => {
    const hash = writeHash(model, app.state);
    if (hash !== window.location.hash.slice(1))
      window.history.replaceState(null, "", hash ? `#${hash}` : window.location.href.split("#")[0]);
  };
  app.say = (text) => {
    app.parts.live.textContent = text;
  };
  app.repin = () => {
    drawPins(app);
    drawFrames(app);
    keepHash();
  };
  app.redraw = () => {
    app.width = app.parts.plot.clientWidth;
    const drawn = drawView(app);
    drawPins(app);
    return drawn;
  };
  app.change = (edit) => {
    const from = performance.now();
    const before = app.view.found;
    edit();
    const drawn = drawView(app);
    if (
      app.state.pins.length &&
      (before.shown !== app.view.found.shown || before.mask.some((bit, i) => bit !== app.view.found.mask[i]))
    )
      drawPins(app);
    keepHash();
    drawn.then(() =>
      requestAnimationFrame(() => {
        app.timing.change = performance.now() - from;
      }),
    );
  };
  window.stabilitysweep = publicInterface(app);
  watchPointer(app);
  watchKeys(app);
  watchTheme(app);
  watchPrinting(app);
  narrow.addEventListener("change", (event) => {
    app.narrow = event.matches;
    app.open.clear();
    app.redraw();
  });
  new ResizeObserver(
    onceAFrame(() => {
      if (app.parts.plot.clientWidth !== app.width && !app.paperWidth) app.redraw();
    }),
  ).observe(app.parts.plot);
  window.addEventListener("hashchange", () => {
    const hash = window.location.hash.slice(1);
    if ((hash && !hash.includes("=")) || hash === writeHash(model, app.state)) return; // an anchor of the page
    app.state = readHash(model, window.location.hash);
    app.redraw();
  });
  app.redraw().then(() => {
    app.timing.ready = performance.now();
    document.documentElement.dataset.ready = "true";
  });
}
