// Filters by outcome, cause, seed and the levels of every axis, with live counts.

const MOST_BOXES = 60;

/** A group of checkboxes. */
function boxes(app, id, title, labels, allowed, counts, change, shorten) {
  const group = el("fieldset", { class: "filter", id }, el("legend", { text: title }));
  const list = el("div", { class: "boxes" });
  labels.slice(0, MOST_BOXES).forEach((label, code) => {
    const input = el("input", {
      type: "checkbox",
      id: `${id}-${code}`,
      on: {
        change: (event) => {
          const next = new Set(allowed || labels.map((_, each) => each));
          if (event.target.checked) next.add(code);
          else next.delete(code);
          app.change(() => change(allowedOrAll(next, labels.length)));
        },
      },
    });
    input.checked = !allowed || allowed.has(code);
    const text = counts ? el("span", { class: "count", text: formatCount(counts[code]) }) : null;
    list.append(
      el(
        "label",
        { class: "box", for: `${id}-${code}`, title: label },
        input,
        el("span", { text: cut((shorten || String)(label, code), 40) }),
        text,
      ),
    );
  });
  if (labels.length > MOST_BOXES)
    list.append(el("p", { class: "note", text: `and ${labels.length - MOST_BOXES} more` }));
  group.append(list);
  return group;
}

/** A range of a numeric axis: two lists, from and to. */
function range(app, axis, id) {
  const { state } = app;
  const allowed = state.axes.get(axis.name);
  const codes = allowed ? [...allowed].sort((a, b) => a - b) : [];
  const low = codes.length ? codes[0] : 0,
    high = codes.length ? codes[codes.length - 1] : axis.labels.length - 1;
  const setRange = (from, to) =>
    app.change(() => {
      const [first, last] = from <= to ? [from, to] : [to, from];
      const next = new Set();
      for (let code = first; code <= last; code++) next.add(code);
      setLevels(state, axis, next);
    });
  const options = axis.labels.map((label, code) => [String(code), shortLabel(axis, code)]);
  return el(
    "fieldset",
    { class: "filter range", id },
    el("legend", { text: axis.name }),
    el(
      "div",
      { class: "ends" },
      choice(`${id}-from`, "from", options, String(low), (code) => setRange(Number(code), high)),
      choice(`${id}-to`, "to", options, String(high), (code) => setRange(low, Number(code))),
    ),
  );
}

/** Sets the levels of an axis that are shown. */
function setLevels(state, axis, codes) {
  const kept = allowedOrAll(codes, axis.labels.length);
  if (kept) state.axes.set(axis.name, kept);
  else state.axes.delete(axis.name);
}

/** What the filters hide, in words, for the closed disclosure. */
function filterTitle(app) {
  const { state, model } = app;
  const set = [];
  if (state.outcomes) set.push("outcome");
  if (state.causes) set.push("cause");
  if (state.seeds) set.push("seed");
  set.push(...model.axes.map((axis) => axis.name).filter((name) => state.axes.has(name)));
  return set.length ? `Filters: ${set.join(", ")}` : "Filters: none";
}

/**
 * Fills the filters.
 * @param {Object} app
 */
function drawFilters(app) {
  const { model, state, view } = app;
  const groups = [
    boxes(app, "filter-outcome", "outcome", OUTCOMES, state.outcomes, view.found.outcomes, (codes) => {
      state.outcomes = codes;
    }),
  ];
  if (model.causes.length) {
    groups.push(
      boxes(
        app,
        "filter-cause",
        "cause",
        causeNames(model).map(spaced),
        state.causes,
        view.found.causes,
        (codes) => {
          state.causes = codes;
        },
      ),
    );
  }
  model.axes.forEach((axis, place) => {
    const id = `filter-axis${place}`;
    if (axis.labels.length < 2) return;
    if (axis.numbers && axis.labels.length > 3 && !axis.boolean) groups.push(range(app, axis, id));
    else
      groups.push(
        boxes(
          app,
          id,
          axis.name,
          axis.labels,
          state.axes.get(axis.name),
          null,
          (codes) => setLevels(state, axis, codes || new Set(axis.labels.keys())),
          (_, code) => shortLabel(axis, code),
        ),
      );
  });
  if (model.seeds.length > 1) {
    groups.push(
      boxes(app, "filter-seed", "seed", model.seeds, state.seeds, null, (codes) => {
        state.seeds = codes;
      }),
    );
  }
  const reset = el("button", {
    type: "button",
    id: "filter-reset",
    text: "reset filters",
    disabled: !isFiltered(state),
    on: { click: () => app.change(() => resetFilters(state)) },
  });
  keepFocus(app.parts.filters, () =>
    app.parts.filters.replaceChildren(
      disclosure("filters-box", filterTitle(app), el("div", { class: "filters" }, ...groups, reset), app),
    ),
  );
}

/** Says how many trials are shown. */
function drawCount(app) {
  const { model, view, parts } = app;
  const text = `${formatCount(view.found.shown)} of ${formatCount(model.n)} trials`;
  if (parts.count.textContent !== text) parts.count.textContent = text;
}
