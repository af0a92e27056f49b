"""The commands and their options. What a command needs is imported when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stabilitysweep.cli.app import app
from stabilitysweep.cli.options import (
    Config,
    DivergedAbove,
    Executor,
    Folder,
    Held,
    Json,
    Open,
    Out,
    Quiet,
    RayAddress,
    StableBelow,
    Workers,
    axis_option,
    held_values,
    opened_result,
    positive,
    where_trained,
)
from stabilitysweep.cli.terminal import console, emit

if TYPE_CHECKING:
    from stabilitysweep.result import Result


@app.command(short_help="Train what is missing; write table, figures, page.")
def run(
    config: Config,
    out: Out = None,
    engine: Annotated[
        Literal["stacked", "fit"],
        typer.Option(help="Many trials at once, or model.fit one by one: slow, the yardstick."),
    ] = "stacked",
    workers: Workers = None,
    compile: Annotated[
        Literal["auto", "graph", "xla"],
        typer.Option(help="How training graphs are compiled; auto measures where it may pay."),
    ] = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; an old result is kept beside.")
    ] = False,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    open: Open = False,
) -> int:
    """Train every trial that is not stored yet, then write table, summary, figures and a page.

    Ctrl-C keeps what is finished; the same command goes on from there.
    """
    from stabilitysweep.config import load_config

    checked = load_config(config)  # before anything slow is imported

    from stabilitysweep.cli.running import run_sweep
    from stabilitysweep.execution import Options, how_compiled

    again = ["run", config]
    again += [] if out is None else ["--out", out]
    again += [] if engine == "stacked" else ["--engine", engine]
    again += [] if workers is None else ["--workers", str(workers)]
    again += [] if compile == "auto" else ["--compile", compile]
    again += where_trained(executor, ray_address)
    again += ["--quiet"] if quiet else []
    again += ["--open"] if open else []
    options = Options(engine, workers, how_compiled(compile), fresh, executor, ray_address)
    return run_sweep(checked, out, options, quiet=quiet, again=again, browse=open)


@app.command(short_help="Print what a run would do.")
def check(
    config: Config,
    out: Out = None,
    all: Annotated[
        bool, typer.Option("--all", help="Print every finding of the audit, column by column.")
    ] = False,
) -> int:
    """Validate a config, audit its data and print the plan; nothing is stored.

    Of a long run some steps are tried out, to say how long it takes.
    """
    from stabilitysweep.config import load_config

    checked = load_config(config)

    from stabilitysweep.cli.running import check_sweep

    return check_sweep(checked, config, out, every=all)


@app.command(short_help="Print a summary, or one trial with its curve.")
def show(
    result: Folder,
    trial: Annotated[
        str | None,
        typer.Argument(metavar="TRIAL", help="A trial's id, or its beginning.", show_default=False),
    ] = None,
    json: Json = False,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Print the summary of a result, or one trial with its loss curve."""
    opened = opened_result(result, stable_below, diverged_above)
    if json:
        from stabilitysweep.cli.exporting import print_json

        print_json(opened.to_json() if trial is None else opened.trial_to_json(trial))
    elif trial is None:
        from stabilitysweep.cli.summary_view import result_view

        emit(console(), result_view(opened))
    else:
        _show_trial(opened, trial)


@app.command(short_help="Show why trials failed: train them again and look closely.")
def diagnose(
    result: Folder,
    trial: Annotated[
        str | None,
        typer.Argument(
            metavar="TRIAL",
            help="The id of a failed trial, or its beginning.  [default: one for each cause, the "
            "earliest onset, the one nearest to the boundary]",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="N",
            help="Steps to look at, up to the first bad one.  [default: 6]",
            show_default=False,
        ),
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Print every tensor, also of deep networks.")
    ] = False,
    json: Json = False,
    figure: Annotated[bool, typer.Option(help="Draw the magnitudes into RESULT/figures.")] = True,
) -> None:
    """Train failed trials again from their seeds and show the steps in which they broke.

    Every layer's output, gradient, update and weights are inspected; the cause is given, and
    the nearest cells of the sweep in which it does not happen.
    """
    from stabilitysweep.cli.diagnosing import diagnose_trials

    diagnose_trials(result, trial, steps=steps or 6, whole=all, json=json, figure=figure)


@app.command(short_help="Draw a map, or what the learning rate may be along an axis.")
def plot(
    result: Folder,
    x: Annotated[str | None, axis_option("Horizontal axis.")] = None,
    y: Annotated[str | None, axis_option("Vertical axis.")] = None,
    rows: Annotated[str | None, axis_option("Axis down the rows of panels.")] = None,
    columns: Annotated[str | None, axis_option("Axis along the columns of panels.")] = None,
    where: Held = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS", help="Average over an axis. Repeatable."),
    ] = None,
    by: Annotated[
        str | None, axis_option("Axis with a line for each value (boundary, sensitivity).")
    ] = None,
    kind: Annotated[
        Literal[
            "stability",
            "onset",
            "learning",
            "best_loss",
            "cause",
            "headroom",
            "underflow",
            "boundary",
            "sensitivity",
        ],
        typer.Option(
            metavar="KIND",
            help="Maps: stability, share of trials without failure; onset, step of the first "
            "one; learning, final over initial loss; best_loss, lowest batch loss; cause, why "
            "trials failed; headroom, bits left below overflow; underflow, share of gradients "
            "lost to half precision. Along an axis: boundary, largest stable learning rate; "
            "sensitivity, how much the learning rate matters.",
        ),
    ] = "stability",
    theory: Annotated[
        bool,
        typer.Option("--theory", help="Draw the theoretical limit of the learning rate over it."),
    ] = False,
    picks: Annotated[
        bool, typer.Option("--picks", help="Mark the hyperparameters that recommend picks.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write what the figure shows as a table too: .csv, .parquet or .json.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The folder to draw into.  [default: RESULT/figures]",
            show_default=False,
        ),
    ] = None,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Draw a map over two axes, small multiples over two more, as PNG and SVG.

    Or a figure along one axis, x, with a line for each value of another. Axes that are not chosen
    get a sensible place.
    """
    opened = opened_result(result, stable_below, diverged_above)
    choice: dict[str, Any] = {"x": x, "y": y, "rows": rows, "columns": columns, "by": by}
    paths = opened.plot(
        kind,
        out,
        data,
        **choice,
        where=held_values(where or []),
        pool=tuple(pool or ()),
        theory=theory,
        picks=opened.recommend().picks if picks else None,
    )
    for path in (*paths, *([] if data is None else [data])):
        print(path)


@app.command(short_help="Write a table as CSV, Parquet or JSON.")
def export(
    result: Folder,
    table: Annotated[
        Literal["trials", "boundaries", "sensitivity"],
        typer.Option(
            help="One row a trial; or a row for each setting of the other axes: the largest stable "
            "learning rate with its bracket, and how much the learning rate matters."
        ),
    ] = "trials",
    format: Annotated[
        Literal["csv", "parquet", "json"] | None,
        typer.Option(help="[default: that of FILE's ending, else csv]", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="[default: standard output]", show_default=False),
    ] = None,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Write the trials table, or one that follows from it, to a file or to standard output."""
    from stabilitysweep.cli.exporting import export_table

    export_table(opened_result(result, stable_below, diverged_above), format, out, table)


def _show_trial(result: Result, prefix: str) -> None:
    from stabilitysweep.cli.trial_view import trial_view

    screen = console()
    found = result.trial(prefix).result
    settings = result.settings(found.trial_id)
    plain = screen.options.ascii_only
    view = trial_view(
        found,
        settings,
        result.fixed,
        width=screen.width,
        ascii_only=plain,
        explanation=result.explain(found.trial_id),
    )
    emit(screen, view)
