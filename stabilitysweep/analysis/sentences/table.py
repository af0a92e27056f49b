"""A table of texts, for whoever prints it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table that is ready to be shown.

    Attributes:
        heads: the columns' heads.
        rows: the cells, row by row.
        text: number of leading columns of text; the rest are numbers, and flush right.
        more: rows that are left out.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int
    more: int = 0
