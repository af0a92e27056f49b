"""The command `report`: a result, or several, as one page of HTML."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from stabilitysweep.cli.app import app
from stabilitysweep.cli.options import DivergedAbove, StableBelow, opened_result
from stabilitysweep.cli.terminal import note

Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


@app.command(short_help="Write a page to look around in: one file, offline.")
def report(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...", help="A result folder, or several.", show_default=False
        ),
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


def open_page(path: str | Path) -> None:
    """Open a page in the browser; say where it is if there is none."""
    target = Path(path).absolute()
    if not webbrowser.open(target.as_uri()):
        note(f"warning: no browser could be opened. The page is {target}")
