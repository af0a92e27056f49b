// Pinned cells: their settings, loss curves, seeds, twins, neighbours and commands.

const MOST_ROWS = 30;

/** Pins a cell, or unpins it. */
function togglePin(app, held) {
  const key = pinKey(held);
  const place = app.state.pins.findIndex((other) => pinKey(other) === key);
  if (place >= 0) app.state.pins.splice(place, 1);
  else app.state.pins.push(held);
  app.repin();
  app.say(place >= 0 ? "Unpinned." : `Pinned as ${letterOf(app.state.pins.length - 1)}, below the map.`);
}

/** Pins a cell if it is not pinned yet, and goes to its card. */
function pinAndGo(app, held) {
  const key = pinKey(held);
  if (!app.state.pins.some((other) => pinKey(other) === key)) {
    app.state.pins.push(held);
    app.repin();
  }
  const place = app.state.pins.findIndex((other) => pinKey(other) === key);
  const card = byId(`pin-${place}`);
  if (!card) return;
  card.scrollIntoView({ block: "nearest" });
  card.focus({ preventScroll: true });
}

/** A table's row. */
function tableRow(tag, values) {
  return el(
    "tr",
    {},
    ...values.map((value) =>
      value instanceof Node
        ? el(tag, {}, value)
        : el(tag, tag === "th" ? { text: value, scope: "col" } : { text: value }),
    ),
  );
}

/** A table in a box that scrolls by itself. */
function table(kind, head, rows, caption) {
  return el(
    "div",
    { class: "table-box", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      { class: kind },
      el("caption", { text: caption }),
      el("thead", {}, tableRow("th", head)),
      el("tbody", {}, ...rows),
    ),
  );
}

/** An outcome as it stands in a table. */
function outcomeMark(outcome) {
  return el("span", { class: `outcome ${OUTCOMES[outcome]}`, text: OUTCOMES[outcome] });
}

/** A loss, exact in its title. */
function exact(value) {
  return el("span", {
    text: formatNumber(value),
    title: String(Number.isFinite(value) ? Number(value.toPrecision(7)) : formatNumber(value)),
  });
}

/** A button that copies a trial's command. */
function commandButton(app, trial, kind) {
  const command = commandOf(app.model, trial, kind);
  if (!command) return null;
  return el("button", {
    type: "button",
    class: "small",
    text: kind,
    title: command,
    "aria-label": `copy: ${command}`,
    on: { click: (event) => copyText(command, event.currentTarget) },
  });
}

/** The table of a cell's trials. */
function trialsTable(app, held, trials, open) {
  const { model } = app;
  const { columns } = model;
  const varies = (axis) => trials.some((trial) => axis.codes[trial] !== axis.codes[trials[0]]);
  const pooled = model.axes.filter((axis) => !(axis.name in held) && varies(axis));
  const head = [
    "trial",
    "seed",
    ...pooled.map((axis) => axis.name),
    "outcome",
    "onset",
    "where",
    "first NaN",
    "cause",
    "initial",
    "final",
    "best",
    "val",
    "headroom",
    "steps",
    "copy",
  ];
  const shown = open ? trials : trials.slice(0, MOST_ROWS);
  const rows = shown.map((trial) => {
    const cause = model.causes[columns.cause[trial]];
    return tableRow("td", [
      el("code", { text: trialId(model, trial) }),
      model.seeds[columns.seed[trial]],
      ...pooled.map((axis) => axis.labels[axis.codes[trial]]),
      outcomeMark(columns.outcome[trial]),
      formatStep(columns.onset_step[trial]),
      onsetPlace(model, trial) || "–",
      formatStep(columns.nan_step[trial]),
      cause ? el("span", { text: spaced(cause), title: causeText(model, trial) }) : "–",
      ...["initial_loss", "final_loss", "best_loss", "val_loss", "headroom_bits"].map((name) =>
        columns.outcome[trial] === CRASHED ? "–" : exact(columns[name][trial]),
      ),
      formatStep(columns.steps_run[trial]),
      el(
        "span",
        { class: "copies" },
        commandButton(app, trial, "show"),
        commandButton(app, trial, "diagnose"),
      ),
    ]);
  });
  return table("numbers trials", head, rows, "Its trials");
}

/** Other levels of the axes by which twins are looked at: precision, and the result. */
function twinsOf(app, held) {
  const axes = ["precision", RESULT_AXIS]
    .map((name) => app.model.byName.get(name))
    .filter((axis) => axis && axis.labels.length > 1);
  let twins = [{ held }];
  for (const axis of axes) {
    twins = twins.flatMap((twin) =>
      axis.labels.map((_, code) => ({
        held:
          axis.name === RESULT_AXIS
            ? heldIn(app.model, twin.held, code)
            : { ...twin.held, [axis.name]: code },
      })),
    );
  }
  const keys = new Set(); // a result without precisions is met once a precision
  twins = twins.filter((twin) => !keys.has(pinKey(twin.held)) && keys.add(pinKey(twin.held)));
  const labelOf = (twin, axis) => {
    const code = twin.held[axis.name];
    return code === undefined ? "pooled" : axis.labels[code] === ABSENT ? null : shortLabel(axis, code);
  };
  const found = twins.map((twin) => ({
    held: twin.held,
    label: axes
      .map((axis) => labelOf(twin, axis))
      .filter(Boolean)
      .join(" · "),
    trials: trialsAt(app.model, app.view.found.mask, twin.held),
  }));
  const present = (cell) =>
    pinKey(
      Object.fromEntries(
        Object.entries(cell).filter(([name, code]) => app.model.byName.get(name).labels[code] !== ABSENT),
      ),
    );
  const own = (twin) => present(twin.held) === present(held);
  return found
    .filter((twin) => twin.trials.length || own(twin))
    .map((twin) => ({ ...twin, own: own(twin) }))
    .slice(0, 6);
}

/** The numbers of twins side by side. */
function twinsTable(app, twins) {
  const { model } = app;
  const all = twins.map((twin) => summarize(model, twin.trials));
  const line = (label, text) => {
    const row = el("tr", {}, el("th", { text: label, scope: "row" }));
    all.forEach((summary, place) =>
      row.append(el("td", { text: text(summary), class: twins[place].own ? "own" : null })),
    );
    return row;
  };
  const rows = [
    line("stability", (s) => (s.measured ? formatShare(s.stability) : "–")),
    line("outcomes", (s) => outcomesText(s.counts)),
    line("onset, median", (s) => (s.onset ? `step ${formatStep(s.onset.median)}` : "–")),
    line("onset, earliest", (s) => (s.onset ? `step ${formatStep(s.onset.earliest)}` : "–")),
    line("first bad", (s) => (s.onset ? onsetPlace(model, s.onset.trial) : "–")),
    line("cause", (s) =>
      s.causes.length ? s.causes.map((each) => `${spaced(each.cause)} (${each.count})`).join(", ") : "–",
    ),
    line("best loss, median", (s) => (s.measured ? formatNumber(s.best_loss) : "–")),
    line("final / initial", (s) => (s.measured ? formatNumber(s.learning) : "–")),
    line("headroom, least", (s) =>
      Number.isNaN(s.headroom_bits) ? "–" : `${formatNumber(s.headroom_bits, 3)} bits`,
    ),
  ];
  return table("twins", ["", ...twins.map((twin) => twin.label || "this cell")], rows, "In numbers");
}

/** The card of a pinned cell. */
function pinCard(app, held, place) {
  const { model, view } = app;
  const trials = trialsAt(model, view.found.mask, held);
  const hidden = view.whole
    ? 0
    : trialsAt(model, new Uint8Array(model.n).fill(1), held).length - trials.length;
  const names = settingsOf(model, held);
  const title = el("h3", { class: "pin-title" }, el("span", { class: "letter", text: letterOf(place) }));
  for (const [name, label] of names)
    title.append(
      el(
        "span",
        { class: "setting" },
        el("span", { class: "name", text: name }),
        " ",
        el("b", { text: label }),
      ),
    );
  const close = el("button", {
    type: "button",
    class: "small",
    text: "unpin",
    "aria-label": `unpin ${letterOf(place)}`,
    on: { click: () => togglePin(app, held) },
  });
  const card = el(
    "article",
    { class: "card", id: `pin-${place}`, tabindex: "-1", "aria-label": `pinned cell ${letterOf(place)}` },
    el("header", {}, title, close),
  );
  if (hidden)
    card.append(el("p", { class: "note", text: `The filters hide ${formatCount(hidden)} of its trials.` }));
  const twins = twinsOf(app, held);
  const curves = el("div", { class: "curves" });
  const texts = el("div", { class: "card-side" }, twinsTable(app, twins), neighboursTable(app, held));
  const reasons = el("div", { class: "reasons" });
  for (const text of [...new Set(trials.map((trial) => causeText(model, trial)).filter(Boolean))].slice(0, 3))
    reasons.append(el("p", { class: "cause-text", text }));
  card.append(
    el(
      "div",
      { class: "card-top" },
      el("div", { class: "card-curves" }, el("h4", { text: "Loss by step" }), el("div", {}, curves), reasons),
      texts,
    ),
  );
  if (trials.length) {
    const box = el("div", {}, trialsTable(app, held, trials, false));
    if (trials.length > MOST_ROWS) {
      box.append(
        el("button", {
          type: "button",
          class: "small",
          text: `all ${formatCount(trials.length)} trials`,
          on: { click: () => box.replaceChildren(trialsTable(app, held, trials, true)) },
        }),
      );
    }
    card.append(box, commandLines(app, trials));
  }
  return { card, draw: () => drawCurves(app, curves, twins) };
}

/** The commands of the trial that tells most: the earliest failed, else the first. */
function commandLines(app, trials) {
  const { model } = app;
  const summary = summarize(model, trials);
  const failed = trials.find((trial) => isFailed(model.columns.outcome[trial]));
  const trial = summary.onset ? summary.onset.trial : (failed ?? trials[0]);
  const box = el("div", { class: "commands" });
  for (const kind of ["show", "diagnose"]) {
    const command = commandOf(model, trial, kind);
    if (!command) continue;
    box.append(
      el(
        "div",
        { class: "command" },
        el("pre", {}, el("code", { text: command })),
        el("button", {
          type: "button",
          class: "small",
          text: "copy",
          "aria-label": `copy: ${command}`,
          on: { click: (event) => copyText(command, event.currentTarget) },
        }),
      ),
    );
  }
  return box;
}

/** Draws the cards of all pins. */
function drawPins(app) {
  const { parts, state } = app;
  for (const plot of parts.pin.querySelectorAll(".js-plotly-plot")) Plotly.purge(plot);
  const cards = state.pins.map((held, place) => pinCard(app, held, place));
  const head = [];
  if (cards.length) {
    head.push(
      el(
        "div",
        { class: "pin-head" },
        el("h3", { text: cards.length > 1 ? "Pinned cells" : "Pinned cell" }),
        cards.length > 1
          ? el("button", {
              type: "button",
              class: "small",
              id: "unpin-all",
              text: "unpin all",
              on: {
                click: () => {
                  state.pins = [];
                  app.repin();
                },
              },
            })
          : null,
      ),
    );
  } else {
    head.push(
      el("p", {
        class: "hint",
        text: app.touch
          ? "Tap a cell for its loss curves, seeds and neighbours."
          : "Click a cell, or press Enter on it, for its loss curves, seeds and neighbours.",
      }),
    );
  }
  parts.pin.replaceChildren(...head, ...cards.map((card) => card.card));
  for (const card of cards) card.draw();
}
