"""Widths of texts in points, so that a figure is laid out before it is drawn."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from stabilitysweep.figures.style import FAMILY

LINE = 1.28
"""Distance of two lines of text, in units of the font size."""

_ELLIPSIS = "…"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@lru_cache(maxsize=4096)
def width(text: str, size: float, weight: str = "normal") -> float:
    """Width of one line in points.

    Args:
        text: the line.
        size: font size in points.
        weight: `normal` or `bold`.
    """
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    measured = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(measured[0])


def power_of_ten(exponent: int) -> str:
    """A decade as text: -4 is `10⁻⁴`.

    Not matplotlib's `$10^{-4}$`, whose parser is shared by all threads and not locked.
    """
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def shorten(text: str, size: float, limit: float, weight: str = "normal") -> str:
    """The text, its middle left out if it is wider than `limit` points."""
    if width(text, size, weight) <= limit:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        short = text[:head] + _ELLIPSIS + text[len(text) - (kept - head) :]
        if width(short, size, weight) <= limit:
            return short
    return text[:1] + _ELLIPSIS


def wrap(text: str, size: float, limit: float, weight: str = "normal") -> list[str]:
    """The text as lines no wider than `limit` points, broken between words.

    A word that is wider than a line is shortened.
    """
    lines: list[str] = []
    for word in (shorten(word, size, limit, weight) for word in text.split()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size, weight) <= limit:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
