"""The command line as a whole: what its commands are added to."""

from __future__ import annotations

from typing import Annotated

import typer

from stabilitysweep import __version__

app = typer.Typer(
    help="Train every combination of a grid of hyperparameters, and map where training breaks.",
    epilog="To begin: run configs/quickstart.yaml",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"stabilitysweep {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
