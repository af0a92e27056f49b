// What lies over the map: the tooltip, the keyboard's cursor, the frames of pinned cells.

/** The settings of a cell as pairs of name and exact label. */
function settingsOf(model, held) {
  return Object.entries(held).map(([name, code]) => [name, model.byName.get(name).labels[code]]);
}

/** Where and what the onset of a trial was: `weight of dense_1, +inf`. */
function onsetPlace(model, trial) {
  const { columns, words } = model;
  const stage = words.stage[columns.onset_stage[trial]];
  const tensor = words.tensor[columns.onset_tensor[trial]];
  const kind = words.kind[columns.onset_kind[trial]];
  return [stage, tensor && tensor !== stage ? tensor : null, kind].filter(Boolean).join(", ");
}

/** The trials of a cell of the map by outcome: `2 stable, 1 nonfinite`. */
function outcomesText(counts) {
  const parts = OUTCOMES.map((name, code) => [counts[code], name]).filter(([count]) => count);
  return parts.length
    ? parts.map(([count, name]) => `${formatCount(count)} ${name}`).join(", ")
    : "not trained";
}

/** Outcomes by seed, where the trials are few: pairs of seed and outcome. */
function outcomesBySeed(model, trials) {
  const { seed, outcome, onset_step: onset } = model.columns;
  return [...trials]
    .map((trial) => [model.seeds[seed[trial]], OUTCOMES[outcome[trial]], onset[trial]])
    .sort((a, b) => Number(a[0]) - Number(b[0]));
}

/** What an empty cell is called. */
function emptyText(view) {
  return view.whole ? "not trained" : "no trial shown";
}

/** One sentence on a cell, for the live region and for labels. */
function cellSentence(app, c) {
  const { model, view } = app;
  const held = settingsOf(model, heldByCell(view.cells, c))
    .map(([name, label]) => `${name} ${label}`)
    .join(", ");
  const summary = summarize(model, cellTrials(view.cells, c));
  if (!summary.trials) return `${held}: ${emptyText(view)}.`;
  const parts = [`${held}: ${outcomesText(summary.counts)}`];
  if (summary.measured) parts.push(`stability ${formatShare(summary.stability)}`);
  if (summary.onset)
    parts.push(
      `onset median step ${formatStep(summary.onset.median)}, earliest ${formatStep(summary.onset.earliest)}`,
    );
  if (summary.causes.length) parts.push(`cause ${spaced(summary.causes[0].cause)}`);
  return `${parts.join("; ")}.`;
}

/** The trials of a cell of the map. */
function cellTrials(cells, c) {
  return cells.trials.subarray(cells.start[c], cells.start[c + 1]);
}

/** Rows of a list of terms. */
function terms(pairs) {
  const list = el("dl", { class: "terms" });
  for (const [name, value] of pairs) list.append(el("dt", { text: name }), el("dd", { text: value }));
  return list;
}

/** What the tooltip of a cell says. */
function tooltipContent(app, c) {
  const { model, view } = app;
  const { cells, painting } = view;
  const trials = cellTrials(cells, c);
  const summary = summarize(model, trials);
  const content = [terms(settingsOf(model, heldByCell(cells, c)))];
  if (!summary.trials) return [...content, el("p", { class: "tip-strong", text: emptyText(view) })];
  content.push(
    el("p", {
      class: "tip-strong",
      text: `${summary.measured ? `stability ${formatShare(summary.stability)}` : "all crashed"} · ${outcomesText(summary.counts)}`,
    }),
  );
  const pairs = [];
  if (!["stability", "cause", "onset"].includes(app.state.colour))
    pairs.push([app.state.colour, painting.text(c)]);
  if (summary.onset) {
    pairs.push([
      "onset",
      `median step ${formatStep(summary.onset.median)}, earliest ${formatStep(summary.onset.earliest)}`,
    ]);
    pairs.push(["earliest in", onsetPlace(model, summary.onset.trial)]);
  }
  if (summary.causes.length) {
    const [first, ...others] = summary.causes;
    pairs.push([
      "cause",
      `${spaced(first.cause)} (${first.count})${others.length ? `, ${others.length} other` : ""}`,
    ]);
  }
  if (pairs.length) content.push(terms(pairs));
  if (trials.length <= 6) {
    const list = el("ul", { class: "tip-seeds" });
    for (const [seed, outcome, onset] of outcomesBySeed(model, trials)) {
      list.append(
        el(
          "li",
          {},
          el("span", { text: `seed ${seed}` }),
          el("span", {
            class: `outcome ${outcome}`,
            text: outcome + (onset >= 0 ? ` at step ${onset}` : ""),
          }),
        ),
      );
    }
    content.push(list);
  }
  return content;
}

/** Shows the tooltip of a cell beside a point of the window. */
function showTooltip(app, c, left, top) {
  const tip = app.parts.tooltip;
  if (tip.dataset.cell !== String(c)) {
    tip.replaceChildren(...tooltipContent(app, c));
    tip.dataset.cell = String(c);
  }
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const x = left + 16 + width > window.innerWidth - 8 ? Math.max(8, left - width - 16) : left + 16;
  const y = top + 16 + height > window.innerHeight - 8 ? Math.max(8, top - height - 12) : top + 16;
  tip.style.left = `${x}px`;
  tip.style.top = `${y}px`;
}

/** Hides the tooltip. */
function hideTooltip(app) {
  app.parts.tooltip.hidden = true;
  app.parts.tooltip.dataset.cell = "";
}

/** Puts a frame over a cell; hides it where the cell is not shown. */
function frameCell(frame, view, c) {
  frame.hidden = c < 0 || !view.cells.size;
  if (frame.hidden) return;
  const rect = rectOf(view.cells, view.layout, c);
  for (const side of ["left", "top", "width", "height"]) frame.style[side] = `${rect[side]}px`;
}

/** Redraws the cursor and the frames of the pinned cells. */
function drawFrames(app) {
  const { view, parts, state } = app;
  frameCell(parts.cursor, view, app.cursor);
  const frames = state.pins.map((held, place) => {
    const frame = el("div", { class: "pin-frame" }, el("span", { text: letterOf(place) }));
    const c = cellAt(view.cells, held);
    frameCell(frame, view, c);
    if (c >= 0)
      frame.classList.toggle(
        "low",
        rectOf(view.cells, view.layout, c).top < panelOf(view.cells, view.layout, c).top + 14,
      );
    return frame;
  });
  parts.frames.replaceChildren(...frames);
}

/** The letter that a pin goes by. */
function letterOf(place) {
  return place < 26 ? String.fromCharCode(65 + place) : String(place + 1);
}

/** The cell under a pointer. */
function cellUnder(app, event) {
  const box = app.parts.stage.getBoundingClientRect();
  return cellAtPoint(app.view.cells, app.view.layout, event.clientX - box.left, event.clientY - box.top);
}

/** Listens to the pointer over the map. */
function watchPointer(app) {
  const { stage } = app.parts;
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const c = cellUnder(app, event);
    stage.classList.toggle("over-cell", c >= 0);
    if (c >= 0) showTooltip(app, c, event.clientX, event.clientY);
    else hideTooltip(app);
  });
  stage.addEventListener("pointerleave", () => hideTooltip(app));
  stage.addEventListener("click", (event) => {
    const c = cellUnder(app, event);
    if (c < 0) return;
    moveCursor(app, c, false);
    togglePin(app, heldByCell(app.view.cells, c));
  });
}
