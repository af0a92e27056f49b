// The map as a table, for those who cannot see it and for exact numbers.

const MOST_CELLS = 2000;

/** The head of the table. */
function mapTableHead(cells) {
  const axes = [cells.rows, cells.columns, cells.y, cells.x]
    .filter((place) => place.axis)
    .map((place) => place.axis.name);
  return [
    ...axes,
    "trials",
    ...OUTCOMES,
    "stability",
    "onset, median",
    "onset, earliest",
    "cause",
    "best loss",
    "final / initial",
  ];
}

/** A row of the table. */
function mapTableRow(app, c) {
  const { model, view } = app;
  const { cells } = view;
  const held = heldByCell(cells, c);
  const labels = [cells.rows, cells.columns, cells.y, cells.x]
    .filter((place) => place.axis)
    .map((place) => place.axis.labels[held[place.axis.name]]);
  const summary = summarize(model, cellTrials(cells, c));
  if (!summary.trials)
    return tableRow("td", [
      ...labels,
      "0",
      ...OUTCOMES.map(() => "0"),
      emptyText(view),
      "–",
      "–",
      "–",
      "–",
      "–",
    ]);
  return tableRow("td", [
    ...labels,
    String(summary.trials),
    ...summary.counts.map(String),
    summary.measured ? formatShare(summary.stability) : "–",
    summary.onset ? formatStep(summary.onset.median) : "–",
    summary.onset ? formatStep(summary.onset.earliest) : "–",
    summary.causes.length ? spaced(summary.causes[0].cause) : "–",
    summary.measured ? formatNumber(summary.best_loss) : "–",
    summary.measured ? formatNumber(summary.learning) : "–",
  ]);
}

/** Draws the table where it is open. */
function drawTable(app) {
  const { parts, state, view } = app;
  parts.table.hidden = !state.table;
  if (!state.table) {
    parts.table.replaceChildren();
    return;
  }
  const rows = [];
  const size = Math.min(view.cells.size, MOST_CELLS);
  for (let c = 0; c < size; c++) if (ownerOf(view.cells, c) === c) rows.push(mapTableRow(app, c));
  parts.table.replaceChildren(
    table("numbers map-cells", mapTableHead(view.cells), rows, "The map as a table, one row a cell"),
  );
  if (size < view.cells.size) {
    parts.table.append(
      el("p", {
        class: "note",
        text: `The first ${formatCount(size)} of ${formatCount(view.cells.size)} cells; filters narrow it.`,
      }),
    );
  }
}
