"""Sizes, colours and glyphs: one look for every figure.

Colour never carries a meaning alone: failures are told apart by glyphs, and both
colormaps rise steadily in luminance, so that a figure reads in grey and to the
colour-blind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from stabilitysweep.types import Cause, Outcome

# Points. The family is matplotlib's own, so that measured widths hold on any machine.
FAMILY = "DejaVu Sans"
TITLE_SIZE = 12.0
LABEL_SIZE = 9.5
PANEL_SIZE = 9.0
TEXT_SIZE = 8.5
TICK_SIZE = 8.0

INK = "#1a1a1a"
SOFT_INK = "#555555"
FRAME = "#666666"
GRID = "#ffffff"
UNMEASURED = "#ededed"
UNMEASURED_HATCH = "#a3a3a3"
CRASHED = "#c9c9c9"
NEUTRAL = "#f1f1f1"

HATCH = "/////"
HATCH_WIDTH = 0.6
BOUNDARY_WIDTH = 1.9
CASING = 2.2  # width of the white casing, in widths of the line within it
DASHES = (2.2, 1.3)
THEORY = "#d81b60"  # neither blue nor yellow, as the cells are
THEORY_WIDTH = 1.6
THEORY_DASHES = (4.2, 1.4)
BRACKET = "#8f8f8f"
LINES = (  # Okabe and Ito's colours, darkest first, each with a marker of its own
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "D"),
    ("#cc79a7", "P"),
    ("#e69f00", "X"),
    ("#56b4e9", "h"),
    ("#1a1a1a", "p"),
    ("#9a8f00", "*"),
)


@dataclass(frozen=True, slots=True)
class Glyph:
    """The mark of an outcome, or of a cause.

    Attributes:
        outcome: what it stands for.
        marker: matplotlib's marker, or `?`; see `marker`.
        scale: its size beside that of the other glyphs.
        on_dark: whether it sits on dark cells, and is drawn light.
        label: its line in the legend.
    """

    outcome: Outcome | Cause
    marker: str
    scale: float
    on_dark: bool
    label: str

    @property
    def is_line(self) -> bool:
        """Whether it is made of lines rather than filled."""
        return self.marker in ("x", "_", "+", "|")


GLYPHS: tuple[Glyph, ...] = (
    Glyph(Outcome.NONFINITE, "x", 1.0, True, "mostly nonfinite"),
    Glyph(Outcome.DIVERGED, "^", 1.0, True, "mostly diverged"),
    Glyph(Outcome.STALLED, "_", 1.15, False, "mostly stalled"),
    Glyph(Outcome.CRASHED, "?", 1.25, False, "all crashed"),
)


# Okabe and Ito's colours, which the colour-blind can tell apart, a dark and a middle grey.
CAUSE_COLOURS: dict[Outcome | Cause, str] = {
    Cause.INPUT_NOT_FINITE: "#303030",
    Cause.LEARNING_RATE_TOO_HIGH: "#d55e00",
    Cause.FLOAT16_OVERFLOW: "#0072b2",
    Cause.FLOAT16_UNDERFLOW: "#56b4e9",
    Cause.LOSS_FUNCTION_SINGULAR: "#cc79a7",
    Cause.ACTIVATION_UNBOUNDED: "#e69f00",
    Cause.LOSS_SCALE_EXHAUSTED: "#009e73",
    Cause.PREDICTION_ONLY: "#f0e442",
    Cause.UNKNOWN: "#9a9a9a",
}

CAUSE_GLYPHS: tuple[Glyph, ...] = tuple(
    Glyph(cause, mark, size, dark, cause.value.replace("_", " "))
    for cause, mark, size, dark in (
        (Cause.INPUT_NOT_FINITE, "s", 0.8, True),
        (Cause.LEARNING_RATE_TOO_HIGH, "x", 1.0, True),
        (Cause.FLOAT16_OVERFLOW, "^", 1.0, True),
        (Cause.FLOAT16_UNDERFLOW, "v", 1.0, False),
        (Cause.LOSS_FUNCTION_SINGULAR, "D", 0.75, False),
        (Cause.ACTIVATION_UNBOUNDED, "+", 1.2, False),
        (Cause.LOSS_SCALE_EXHAUSTED, "_", 1.15, True),
        (Cause.PREDICTION_ONLY, "o", 0.85, False),
        (Cause.UNKNOWN, "|", 1.1, False),
    )
)


def marker(glyph: Glyph) -> str | Path:
    """What matplotlib draws for a glyph."""
    return _question_mark() if glyph.marker == "?" else glyph.marker


@cache
def _question_mark() -> Path:
    """A question mark around the origin. A marker `$?$` would need the mathematics parser."""
    outline = TextPath((0, 0), "?", size=1, prop=FontProperties(family=FAMILY, weight="bold"))
    corners = outline.get_extents()
    middle = ((corners.x0 + corners.x1) / 2, (corners.y0 + corners.y1) / 2)
    return outline.transformed(Affine2D().translate(-middle[0], -middle[1]))


def stability_colormap() -> Colormap:
    """Cividis: dark where everything failed, light where nothing did."""
    return matplotlib.colormaps["cividis"]


def onset_colormap() -> Colormap:
    """Inferno without its ends: dark for early, and never as light as a cell that held."""
    return ListedColormap(matplotlib.colormaps["inferno"](np.linspace(0.08, 0.80, 256)))


def learning_colormap() -> Colormap:
    """Blue, white, red: dark for what learnt much, and red no darker than a glyph shows on."""
    colours = matplotlib.colormaps["RdBu_r"]
    return ListedColormap(
        np.vstack([colours(np.linspace(0.02, 0.5, 128)), colours(np.linspace(0.5, 0.82, 128))])
    )
