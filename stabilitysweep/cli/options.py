"""What the commands' arguments are: their types, their help, what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stabilitysweep.errors import UserError

if TYPE_CHECKING:
    from stabilitysweep.result import Result

_CONFIG = typer.Argument(metavar="CONFIG", help="The YAML file of the sweep.", show_default=False)
_RESULT = typer.Argument(
    metavar="RESULT", help="A result folder, as results/NAME.", show_default=False
)
_OUT_FOLDER = typer.Option(
    "--out", metavar="DIR", help="The result folder.  [default: results/NAME]", show_default=False
)

Config = Annotated[str, _CONFIG]
Folder = Annotated[str, _RESULT]
Out = Annotated[str | None, _OUT_FOLDER]


def _ratio(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number, got {text!r}.") from None


_OTHER_THRESHOLDS = "Judge anew, training nothing: "
StableBelow = Annotated[
    float | None,
    typer.Option(
        parser=_ratio,
        metavar="RATIO",
        help=_OTHER_THRESHOLDS + "stable under this ratio of final to initial loss.",
        show_default=False,
    ),
]
DivergedAbove = Annotated[
    float | None,
    typer.Option(
        parser=_ratio,
        metavar="RATIO",
        help=_OTHER_THRESHOLDS + "diverged over this ratio.",
        show_default=False,
    ),
]


def axis_option(place: str) -> Any:
    """Return an option that names an axis, for a place on a map."""
    return typer.Option(metavar="AXIS", help=place, show_default=False)


def positive(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        typer.BadParameter: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"expected a whole number, at least 1, got {text!r}.")
    return int(text)


Workers = Annotated[
    int | None,
    typer.Option(
        parser=positive,
        metavar="N",
        help="Processes.  [default: one a core, or a CPU of the Ray cluster]",
        show_default=False,
    ),
]
Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where to train: in processes on this machine, or on a Ray cluster."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="The Ray cluster: auto, or HOST:PORT.  [default: a Ray on this machine, for this "
        "command alone]",
        show_default=False,
    ),
]
Held = Annotated[
    list[str] | None,
    typer.Option(metavar="AXIS=VALUE", help="Hold an axis at one value. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print strict JSON.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def where_trained(executor: str, ray_address: str | None) -> list[str]:
    """Return the words of a command that say where to train, if it is not the usual place."""
    words = [] if executor == "local" else ["--executor", executor]
    return words + ([] if ray_address is None else ["--ray-address", ray_address])


def opened_result(folder: str, stable_below: float | None, diverged_above: float | None) -> Result:
    """Open a result; if other thresholds are asked for, with its trials judged by them."""
    from stabilitysweep.numerics.outcomes import Thresholds
    from stabilitysweep.result import open_result

    given = {"stable_below": stable_below, "diverged_above": diverged_above}
    other = {name: value for name, value in given.items() if value is not None}
    return open_result(folder, Thresholds(**other) if other else None)


def held_values(where: list[str]) -> dict[str, str]:
    """Read AXIS=VALUE options into a mapping.

    Raises:
        UserError: one is not of this form, or an axis is given twice.
    """
    held: dict[str, str] = {}
    for text in where:
        axis, equals, value = text.partition("=")
        if not (axis and equals and value):
            raise UserError(f"--where: expected AXIS=VALUE, got {text!r}.")
        if axis in held:
            raise UserError(f"--where: expected one value for {axis}, got two.")
        held[axis] = value
    return held
