"""Figures to files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from stabilitysweep.analysis import value_label
from stabilitysweep.folder import replacing

DPI = 200


def save(figure: Figure, folder: str | Path, stem: str) -> tuple[Path, Path]:
    """Writes a figure as PNG (200 dots an inch) and SVG, each whole or not at all.

    Args:
        figure: a figure from this package.
        folder: made if it is not there.
        stem: the files' name without an ending.

    Returns:
        The two paths.

    Raises:
        OSError: they cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{stem}.png", folder / f"{stem}.svg"
    with replacing(png) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
    with replacing(svg) as temporary:
        # The date would make two runs' figures differ where nothing else does.
        figure.savefig(temporary, dpi=DPI, format="svg", metadata={"Date": None})
    return png, svg


def stem(kind: str, choice: Mapping[str, Any]) -> str:
    """Name a figure's file after its kind and what was chosen."""
    parts = [kind]
    for role, value in choice.items():
        match value:
            case None | () | [] | False:
                continue
            case True:
                parts.append(role)
            case Mapping():
                parts += [f"{name}={value_label(held)}" for name, held in value.items()]
            case str():
                parts.append(f"{role}-{value}")
            case _:
                parts.append("-".join((role, *value)))
    return re.sub(r"[^\w.=-]+", "_", "_".join(parts))
