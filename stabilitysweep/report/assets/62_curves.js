// Loss curves of a pinned cell and its twins beside each other, and the cells one step away.

const MOST_CURVES = 60;

/** The traces of one panel of curves: a line a trial, a cross where it became non-finite. */
function curveTraces(app, twin, panel) {
  const { model } = app;
  const colours = LINES[themeName()];
  const suffix = panel ? String(panel + 1) : "";
  const ends = { x: [], y: [], colour: [], text: [] };
  const traces = [];
  twin.trials.slice(0, MOST_CURVES).forEach((trial, place) => {
    const curve = curveOf(model, trial);
    if (!curve) return;
    const seed = model.columns.seed[trial];
    const colour = colours[seed % colours.length];
    const name = `seed ${model.seeds[seed]}`;
    traces.push({
      type: "scatter",
      mode: curve.loss.length > 1 ? "lines" : "markers",
      x: curve.steps,
      y: curve.loss,
      name: plotText(name),
      showlegend: false,
      xaxis: `x${suffix}`,
      yaxis: `y${suffix}`,
      line: {
        width: 1.6,
        color: colour,
        dash: DASHES[(app.paperWidth ? seed : Math.floor(place / colours.length)) % DASHES.length],
      },
      marker: { color: colour, size: 5 },
      hovertemplate: `step %{x}<br>loss %{y:.4g}<extra>${plotText(name)}</extra>`,
    });
    if (curve.bad === null) return;
    const onset = model.columns.onset_step[trial];
    ends.x.push(curve.bad);
    ends.y.push(
      curve.last ??
        (model.columns.initial_loss[trial] > 0 && Number.isFinite(model.columns.initial_loss[trial])
          ? model.columns.initial_loss[trial]
          : 1),
    );
    ends.colour.push(colour);
    ends.text.push(
      plotText(`${name}: non-finite by step ${curve.bad}${onset >= 0 ? `, onset at step ${onset}` : ""}`),
    );
  });
  if (ends.x.length) {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: ends.x,
      y: ends.y,
      text: ends.text,
      hovertemplate: "%{text}<extra></extra>",
      showlegend: false,
      xaxis: `x${suffix}`,
      yaxis: `y${suffix}`,
      cliponaxis: false,
      marker: {
        symbol: "x-thin-open",
        size: 9,
        color: ends.colour,
        line: { width: 2.4, color: ends.colour },
      },
    });
  }
  return traces;
}

const MOST_DECADES = 6; // above the first losses

/** The lowest and the highest loss. */
function extent(traces) {
  const all = traces.flatMap((trace) => trace.y);
  return [lowestOf(all), -lowestOf(all.map((loss) => -loss))];
}

/** The range of the loss axis, in decades where it is logarithmic. */
function curveRange(positive, lowest, highest) {
  const [low, high] = positive ? [Math.log10(lowest), Math.log10(highest)] : [lowest, highest];
  const room = 0.05 * (high - low) || 0.5;
  return [low - room, high + room];
}

/** Ticks of the loss axis: powers of ten, or round numbers of a short one. */
function lossTicks(positive, [low, high]) {
  if (!positive) return { nticks: 5 };
  const round = logTicks(10 ** low, 10 ** high);
  const values = round.length > 7 ? round.filter((_, k) => k % Math.ceil(round.length / 7) === 0) : round;
  const few =
    values.length < 2
      ? [10 ** (low + 0.05 * (high - low)), 10 ** (high - 0.05 * (high - low))].map((value) =>
          Number(value.toPrecision(3)),
        )
      : values;
  return {
    tickvals: few,
    ticktext: few.map((value) =>
      value >= 1e4 || value < 1e-3 ? powerOfTen(Math.round(Math.log10(value))) : formatNumber(value),
    ),
  };
}

/** The loss above which curves are cut, so that the others can be read. */
function cutAt(traces) {
  const first = traces.filter((trace) => !trace.text && trace.y.length).map((trace) => trace.y[0]);
  return first.length ? Math.max(...first) * 10 ** MOST_DECADES : Infinity;
}

/** Draws the curves of twins in panels beside each other, or below where it is narrow. */
function drawCurves(app, target, twins) {
  const width = Math.max(240, Math.floor(target.getBoundingClientRect().width));
  const across = Math.max(1, Math.min(twins.length, Math.floor((width - 46) / 170)));
  const lines = Math.ceil(twins.length / across);
  const traces = twins.flatMap((twin, panel) => curveTraces(app, twin, panel));
  if (!traces.length) {
    const trained = twins.some((twin) => twin.trials.length);
    const text = trained ? "No curve is recorded for these trials." : `This cell: ${emptyText(app.view)}.`;
    target.replaceChildren(el("p", { class: "note", text }));
    target.classList.add("none");
    return;
  }
  const { paper, ink, soft, grid, frame } = theme();
  const high = 210,
    gap = 46;
  const height = lines * high + (lines - 1) * gap + 64;
  const inner = width - 58,
    tall = height - 64;
  const layout = {
    width,
    height,
    margin: { l: 48, r: 10, t: 24, b: 40 },
    paper_bgcolor: paper,
    plot_bgcolor: paper,
    showlegend: false,
    hovermode: "closest",
    dragmode: false,
    font: { family: FONT, size: TICK_SIZE, color: soft },
    hoverlabel: { font: { family: FONT, size: 12 } },
    annotations: [],
  };
  const positive = traces.every((trace) => trace.y.every((loss) => loss > 0));
  const [lowest, highest] = extent(traces);
  const top = positive ? cutAt(traces) : Infinity;
  for (const trace of traces) if (trace.text) trace.y = trace.y.map((loss) => Math.min(loss, top));
  const range = curveRange(positive, lowest, Math.min(top, highest));
  twins.forEach((twin, panel) => {
    const suffix = panel ? String(panel + 1) : "";
    const column = panel % across,
      line = Math.floor(panel / across);
    const one = (1 - ((across - 1) * 14) / inner) / across;
    const left = column * (one + 14 / inner),
      top = 1 - (line * (high + gap)) / tall;
    const axis = {
      fixedrange: true,
      gridcolor: grid,
      linecolor: frame,
      zeroline: false,
      showline: true,
      mirror: true,
      ticks: "outside",
      ticklen: 4,
      tickcolor: frame,
      automargin: false,
    };
    layout[`xaxis${suffix}`] = {
      ...axis,
      domain: [left, left + one],
      anchor: `y${suffix}`,
      title: { text: line === lines - 1 || panel + across >= twins.length ? "step" : "", standoff: 6 },
      nticks: 5,
      ...(panel ? { matches: "x" } : {}),
    };
    layout[`yaxis${suffix}`] = {
      ...axis,
      domain: [top - high / tall, top],
      anchor: `x${suffix}`,
      type: positive ? "log" : "linear",
      showticklabels: column === 0,
      range: [...range],
      autorange: false,
      ...lossTicks(positive, range),
    };
    const label = twin.label || "";
    if (label)
      layout.annotations.push({
        xref: "paper",
        yref: "paper",
        x: left,
        y: top,
        xanchor: "left",
        yanchor: "bottom",
        showarrow: false,
        text: plotText(cut(label, Math.floor((one * inner) / 6.5))),
        font: { family: FONT, size: LABEL_SIZE, color: ink, weight: twin.own ? 700 : 400 },
      });
  });
  Plotly.newPlot(target, traces, layout, {
    displayModeBar: false,
    responsive: false,
    doubleClick: false,
    scrollZoom: false,
    showTips: false,
  });
  const seeds = [
    ...new Set(
      twins.flatMap((twin) =>
        twin.trials.slice(0, MOST_CURVES).map((trial) => app.model.columns.seed[trial]),
      ),
    ),
  ]
    .sort((a, b) => a - b)
    .slice(0, 12);
  const key = el("ul", { class: "seed-key" });
  for (const seed of seeds) {
    const mark = svg(
      "svg",
      { viewBox: "0 0 26 4", width: 26, height: 4, "aria-hidden": "true" },
      svg("path", {
        d: "M0 2 H26",
        "stroke-width": 2.6,
        stroke: LINES[themeName()][seed % LINES.light.length],
        "stroke-dasharray": app.paperWidth ? ["none", "7 4", "2 3", "7 3 2 3"][seed % 4] : "none",
      }),
    );
    key.append(el("li", {}, mark, el("span", { text: `seed ${app.model.seeds[seed]}` })));
  }
  if (traces.some((trace) => trace.mode === "markers" && trace.text))
    key.append(
      el(
        "li",
        {},
        el("span", { class: "cross", text: "×", "aria-hidden": "true" }),
        el("span", { text: "became NaN or Inf" }),
      ),
    );
  const most = Math.max(...twins.map((twin) => twin.trials.length));
  if (most > MOST_CURVES) key.append(el("li", { text: `the first ${MOST_CURVES} trials` }));
  if (top < highest) key.append(el("li", { text: `cut at ${formatNumber(top, 2)}` }));
  target.parentElement.append(key);
}

/** The same cell in another result: axes that this lacks are left out, or stand at its dash. */
function heldIn(model, held, part) {
  const found = {};
  for (const [name, code] of Object.entries(held)) {
    const axis = model.byName.get(name);
    if (name === RESULT_AXIS) found[name] = part;
    else if (!axis.tables[part]) found[name] = axis.labels.indexOf(ABSENT);
    else if (axis.labels[code] !== ABSENT) found[name] = code;
  }
  return found;
}

/** Cells one step away: the next lower and higher level; of categories all others. */
function neighboursOf(model, held) {
  const found = [];
  for (const [name, code] of Object.entries(held)) {
    const axis = model.byName.get(name);
    const part = held[RESULT_AXIS];
    const own = (level) =>
      !axis.tables || part === undefined || !axis.tables[part] || axis.tables[part].includes(level);
    const next = (step) => {
      let level = code + step;
      while (level >= 0 && level < axis.labels.length && !own(level)) level += step;
      return level;
    };
    const others = () =>
      axis.labels
        .map((_, other) => other)
        .filter((other) => other !== code && axis.labels[other] !== ABSENT && own(other))
        .slice(0, 8);
    const levels = axis.labels[code] === ABSENT ? [] : axis.numbers ? [next(-1), next(1)] : others();
    for (const level of levels) {
      if (level < 0 || level >= axis.labels.length) continue;
      found.push({
        axis,
        level,
        step: axis.numbers ? (level < code ? "lower" : "higher") : "other",
        held: name === RESULT_AXIS ? heldIn(model, held, level) : { ...held, [name]: level },
      });
    }
  }
  return found;
}

/** The table of the cells one step away. */
function neighboursTable(app, held) {
  const { model, view } = app;
  const rows = neighboursOf(model, held).map((next) => {
    const summary = summarize(model, trialsAt(model, view.found.mask, next.held));
    const label = `${next.step === "lower" ? "↓ " : next.step === "higher" ? "↑ " : ""}${shortLabel(next.axis, next.level)}`;
    const go = el("button", {
      type: "button",
      class: "link",
      text: label,
      "aria-label": `pin the cell at ${next.axis.name} ${next.axis.labels[next.level]}`,
      on: { click: () => pinAndGo(app, next.held) },
    });
    return tableRow("td", [
      next.axis.name,
      go,
      summary.measured ? formatShare(summary.stability) : "–",
      outcomesText(summary.counts),
      summary.onset ? formatStep(summary.onset.median) : "–",
    ]);
  });
  return table(
    "numbers neighbours",
    ["axis", "one step to", "stability", "outcomes", "onset"],
    rows,
    "Its neighbours",
  );
}
