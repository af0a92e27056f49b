// The choices of what is drawn where.

/** A labelled list of choices. */
function choice(id, label, options, value, change) {
  const list = el("select", { id, on: { change: (event) => change(event.target.value) } });
  for (const [code, text] of options) list.append(el("option", { value: code, text }));
  list.value = value;
  return el("label", { class: "choice", for: id }, el("span", { text: label }), list);
}

/** Axes as options, those that vary first. */
function axisOptions(model, none) {
  const options = model.axes.map((axis) => [axis.name, axis.name]);
  return none === null ? options : [["", none], ...options];
}

/** The axis that holds precisions side by side, or null. */
function precisionAxis(model) {
  const axis = model.byName.get("precision");
  return axis && axis.labels.length > 1 ? axis : null;
}

/** Whether precisions stand side by side. */
function precisionsBeside(state) {
  return state.columns === "precision" || state.rows === "precision";
}

/** Puts precisions side by side, or pools them again. */
function togglePrecisions(state) {
  if (precisionsBeside(state)) {
    if (state.columns === "precision") state.columns = null;
    else state.rows = null;
    return;
  }
  const before = state.columns;
  placeAxis(state, "columns", "precision");
  if (before && !state.rows && before !== "precision" && !SIDES.some((side) => state[side] === before))
    state.rows = before;
}

/**
 * Fills the controls.
 * @param {Object} app
 */
function drawControls(app) {
  const { model, state } = app;
  const set = (side) => (name) => app.change(() => placeAxis(state, side, name || null));
  const controls = [
    choice("control-x", "x", axisOptions(model, null), state.x, set("x")),
    choice("control-y", "y", axisOptions(model, "–"), state.y || "", set("y")),
    choice("control-rows", "rows of maps", axisOptions(model, "–"), state.rows || "", set("rows")),
    choice(
      "control-columns",
      "columns of maps",
      axisOptions(model, "–"),
      state.columns || "",
      set("columns"),
    ),
    choice(
      "control-colour",
      "colour",
      COLOURS.map((name) => [name, colourTitle(name)]),
      state.colour,
      (name) =>
        app.change(() => {
          state.colour = name;
        }),
    ),
  ];
  const buttons = el("div", { class: "buttons" });
  if (precisionAxis(model)) {
    buttons.append(
      el("button", {
        type: "button",
        id: "toggle-precision",
        "aria-pressed": String(precisionsBeside(state)),
        text: "precisions side by side",
        on: { click: () => app.change(() => togglePrecisions(state)) },
      }),
    );
  }
  buttons.append(
    el("button", {
      type: "button",
      id: "toggle-table",
      "aria-pressed": String(state.table),
      "aria-controls": "map-table",
      text: "table",
      on: {
        click: () =>
          app.change(() => {
            state.table = !state.table;
          }),
      },
    }),
    el("button", {
      type: "button",
      id: "swap",
      text: "swap x and y",
      disabled: !state.y,
      on: {
        click: () =>
          app.change(() => {
            [state.x, state.y] = [state.y, state.x];
          }),
      },
    }),
    el("button", {
      type: "button",
      id: "keys",
      text: "keys (?)",
      "aria-expanded": "false",
      on: { click: () => toggleKeys(app) },
    }),
  );
  keepFocus(app.parts.controls, () =>
    app.parts.controls.replaceChildren(
      disclosure(
        "axes-box",
        `Axes and colour: ${[state.x, state.y, state.rows, state.columns].filter(Boolean).join(" × ")}, ${state.colour}`,
        el("div", { class: "choices" }, ...controls, buttons),
        app,
      ),
    ),
  );
}

/** A part that a narrow window shows closed, and a wide one always open. */
function disclosure(id, title, content, app) {
  const open = app.open.has(id) ? app.open.get(id) : !app.narrow;
  const box = el("details", { id, class: "disclosure", open }, el("summary", { text: title }), content);
  box.addEventListener("toggle", () => app.open.set(id, box.open));
  return box;
}

/** Draws a part anew and gives the focus back to the element of the same id. */
function keepFocus(part, draw) {
  const active = document.activeElement;
  const id = active && part.contains(active) ? active.id : "";
  draw();
  const again = id ? byId(id) : null;
  if (!again) return;
  const target = again.disabled ? part.querySelector("summary") : again;
  if (target) target.focus({ preventScroll: true });
}
