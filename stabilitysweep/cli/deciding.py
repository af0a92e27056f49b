"""The commands that decide from a map. What a command needs is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from stabilitysweep.cli.app import app
from stabilitysweep.cli.options import (
    DivergedAbove,
    Executor,
    Folder,
    Held,
    Json,
    Quiet,
    RayAddress,
    StableBelow,
    Workers,
    axis_option,
    held_values,
    positive,
    where_trained,
)


def _factor(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number of at least 1, got {text!r}.") from None


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"expected a number such as 0.05, got {text!r}.") from None


Folders = Annotated[
    list[str],
    typer.Argument(
        metavar="RESULT...", help="Result folders, as results/NAME.", show_default=False
    ),
]


@app.command(short_help="Bisect the boundary in learning rate, for every setting.")
def refine(
    result: Folder,
    tolerance: Annotated[
        float | None,
        typer.Option(
            parser=_share,
            metavar="SHARE",
            help="Stop when failing / safe is at most 1 + SHARE.  [default: 0.05]",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Refine only where it holds. Repeatable."),
    ] = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    all: Annotated[
        bool, typer.Option("--all", help="Print every slice, however many there are.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train between the last safe and the first failing learning rate of every slice.

    A slice is a combination of the other axes. All of them are trained together, with all seeds
    and the sweep's steps. Ctrl-C keeps what is finished; the same command goes on from there.
    """
    from stabilitysweep.cli.refining import refine_boundaries

    again = ["refine", result]
    again += [] if tolerance is None else ["--tolerance", f"{tolerance:g}"]
    again += [word for text in where or () for word in ("--where", text)]
    again += [] if workers is None else ["--workers", str(workers)]
    again += where_trained(executor, ray_address)
    again += ["--all"] * all + ["--json"] * json + ["--quiet"] * quiet
    return refine_boundaries(
        result,
        tolerance=tolerance,
        where=held_values(where or []),
        training={"workers": workers, "executor": executor, "ray_address": ray_address},
        every=all,
        json=json,
        quiet=quiet,
        again=again,
    )


@app.command(short_help="Pick safe hyperparameters, with the evidence.")
def recommend(
    result: Folders,
    margin: Annotated[
        float | None,
        typer.Option(
            parser=_factor,
            metavar="FACTOR",
            help="Keep this factor in learning rate from the boundary.  [default: 2]",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Rank by val_loss, final_loss or val_METRIC; NAME:max or NAME:min where the name "
            "does not tell which is better.  [default: val_loss]",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            parser=positive, metavar="N", help="Picks at most.  [default: 3]", show_default=False
        ),
    ] = None,
    where: Held = None,
    pick: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="N",
            help="The pick whose config is shown.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write that config. Without a safe cell, the config to run next.  "
            "[default: none; RESULT/next.yaml]",
            show_default=False,
        ),
    ] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print nothing but that config.")] = False,
    json: Json = False,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Pick hyperparameters that are safe in every result and data set given.

    Every seed of a pick is stable, and so is every one up to a factor in learning rate above.
    Where no cell is, the reason is printed, what to change, and the config to run next.
    """
    from stabilitysweep.cli.recommending import recommend_settings

    recommend_settings(
        result,
        margin=margin,
        metric=metric,
        count=count,
        where=held_values(where or []),
        pick=pick,
        out=out,
        yaml=yaml,
        json=json,
        thresholds=(stable_below, diverged_above),
    )


@app.command(short_help="Train picks for the long run, with fresh seeds.")
def confirm(
    result: Folder,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=VALUE",
            help="The cells to train, instead of picks: all that have this value. Repeatable.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="N",
            help="How long.  [default: 50 times the sweep's]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="N",
            help="Fresh seeds, those after the sweep's.  [default: 20]",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            parser=positive, metavar="N", help="Picks to train.  [default: 3]", show_default=False
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            parser=positive,
            metavar="K",
            help="Try one pick after another, until K have survived.  [default: try COUNT]",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            parser=_factor,
            metavar="FACTOR",
            help="Of the picks, as for recommend.  [default: 2]",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the picks, as for recommend.  [default: val_loss]",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train the picks of recommend, or other cells, over many more steps with fresh seeds.

    Says what share survived (neither diverged nor became non-finite), when the others failed
    and why, and adds it to the result. Ctrl-C keeps what is finished; the same command goes on.
    """
    from stabilitysweep.cli.confirming import confirm_cells

    given = {
        "steps": steps,
        "seeds": seeds,
        "count": count,
        "until": until,
        "margin": margin,
        "metric": metric,
        "workers": workers,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    again = ["confirm", result]
    again += [word for text in where or () for word in ("--where", text)]
    again += [word for name, value in asked.items() for word in (f"--{name}", f"{value}")]
    again += where_trained(executor, ray_address)
    again += ["--json"] * json + ["--quiet"] * quiet
    cells = {"where": held_values(where)} if where else {}
    place = {"executor": executor, "ray_address": ray_address}
    return confirm_cells(result, asked=asked | place | cells, quiet=quiet, json=json, again=again)


@app.command(short_help="Compare results, or the data sets of one.")
def compare(
    result: Folders,
    by: Annotated[
        str | None,
        axis_option(
            "Take results apart along this axis.  [default: dataset, of one result, or where it is "
            "an axis of some alone]"
        ),
    ] = None,
    x: Annotated[str | None, axis_option("Horizontal axis of the figure.")] = None,
    y: Annotated[str | None, axis_option("Vertical axis of the figure.")] = None,
    rows: Annotated[str | None, axis_option("Axis down the rows of its panels.")] = None,
    where: Held = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The folder for figure, table and JSON.  [default: figures of the first RESULT]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Put results, or the data sets of one, beside each other on the axes they share.

    Says where all are stable, how much their stable regions overlap, by how many decades of
    learning rate their boundaries lie apart, which breaks first, and what limits the comparison.
    """
    from stabilitysweep.cli.comparing import compare_results

    compare_results(
        result,
        by=by,
        x=x,
        y=y,
        rows=rows,
        where=held_values(where or []),
        out=out,
        json=json,
        thresholds=(stable_below, diverged_above),
    )
