"""The command `report`: a result, or several, as one page of HTML."""

from __future__ import annotations

from typing import Annotated

import typer

from stabilitysweep.cli.app import app
from stabilitysweep.cli.browsing import open_page
from stabilitysweep.cli.options import DivergedAbove, Open, StableBelow, opened_result


@app.command(short_help="Write a page to look around in: one file, offline.")
def report(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT", help="A result folder, or several.", show_default=False),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The page.  [default: report.html in the first RESULT]",
            show_default=False,
        ),
    ] = None,
    open: Open = False,
    stable_below: StableBelow = None,
    diverged_above: DivergedAbove = None,
) -> None:
    """Write a result as one HTML file: an interactive map, what failed and why, picks, commands.

    Several results are put beside each other. The page holds everything it shows, loads nothing
    and sends nothing.
    """
    from stabilitysweep.report import write_report

    opened = [opened_result(folder, stable_below, diverged_above) for folder in results]
    path = write_report(*opened, out=out)
    print(path)
    if open:
        open_page(path)
