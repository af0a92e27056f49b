"""Figures to files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

DPI = 200


def save(figure: Figure, folder: str | Path, stem: str) -> tuple[Path, Path]:
    """Writes a figure as PNG (200 dots an inch) and SVG.

    Args:
        figure: a figure from this package.
        folder: made if it is not there.
        stem: the files' name without an ending.

    Returns:
        The two paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{stem}.png", folder / f"{stem}.svg"
    figure.savefig(png, dpi=DPI)
    # The date would make two runs' figures differ where nothing else does.
    figure.savefig(svg, dpi=DPI, metadata={"Date": None})
    return png, svg
