// The map by keyboard: arrows move a cursor from cell to cell, Enter pins, Escape unpins, ? shows the keys.

const KEYS = [
  ["← → ↑ ↓", "move from cell to cell (the map must have the focus)"],
  ["Home, End", "first, last cell of the row"],
  ["Enter or space", "pin the cell, or unpin it"],
  ["Escape", "unpin the latest pin"],
  ["c", "next colour"],
  ["s", "swap x and y"],
  ["t", "table of the map"],
  ["?", "show or hide this list"],
];

/** Moves the cursor to a cell and says what it holds. */
function moveCursor(app, c, tell = true) {
  app.cursor = c;
  frameCell(app.parts.cursor, app.view, c);
  if (!tell || c < 0) return;
  app.say(cellSentence(app, c));
  const rect = app.parts.cursor.getBoundingClientRect();
  showTooltip(app, c, rect.right, rect.bottom);
  app.parts.cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Where the cursor starts: the lowest cell at the left of the first panel. */
function cursorOrFirst(app) {
  return app.cursor >= 0 ? app.cursor : 0;
}

/** A key pressed on the map. @returns {boolean} whether it meant something */
function mapKey(app, key) {
  const { cells, layout } = app.view;
  if (!cells.size) return false;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  if (steps[key]) {
    moveCursor(app, app.cursor < 0 ? 0 : stepFrom(cells, layout, app.cursor, ...steps[key]));
    return true;
  }
  const nx = cells.x.levels.length;
  const c = cursorOrFirst(app);
  if (key === "Home") moveCursor(app, c - (c % nx));
  else if (key === "End") moveCursor(app, c - (c % nx) + nx - 1);
  else if (key === "Enter" || key === " ") {
    moveCursor(app, c, false);
    hideTooltip(app);
    togglePin(app, heldByCell(cells, c));
  } else return false;
  return true;
}

/** A key pressed anywhere but where text or a choice is made. @returns {boolean} */
function pageKey(app, key) {
  const { state } = app;
  if (key === "?") toggleKeys(app);
  else if (key === "Escape") {
    if (!app.parts.keys.hidden) toggleKeys(app);
    else if (!app.parts.tooltip.hidden) hideTooltip(app);
    else if (state.pins.length) togglePin(app, state.pins[state.pins.length - 1]);
    else return false;
  } else if (key === "c")
    app.change(() => {
      state.colour = COLOURS[(COLOURS.indexOf(state.colour) + 1) % COLOURS.length];
    });
  else if (key === "s" && state.y)
    app.change(() => {
      [state.x, state.y] = [state.y, state.x];
    });
  else if (key === "t")
    app.change(() => {
      state.table = !state.table;
    });
  else return false;
  return true;
}

/** Shows or hides the list of keys. */
function toggleKeys(app) {
  const { keys } = app.parts;
  keys.hidden = !keys.hidden;
  const button = byId("keys");
  if (button) button.setAttribute("aria-expanded", String(!keys.hidden));
}

/** The list of keys. */
function keysBox() {
  const list = el("dl", { class: "terms" });
  for (const [key, text] of KEYS) list.append(el("dt", {}, el("kbd", { text: key })), el("dd", { text }));
  return el(
    "div",
    { id: "map-keys", class: "keys", hidden: true, role: "region", "aria-label": "keys" },
    list,
  );
}

/** Listens to the keyboard. */
function watchKeys(app) {
  app.parts.stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (mapKey(app, event.key)) event.preventDefault();
  });
  app.parts.stage.addEventListener("blur", () => hideTooltip(app));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest && event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (pageKey(app, event.key)) event.preventDefault();
  });
}
