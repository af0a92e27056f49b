"""Lists in messages: the first items, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stabilitysweep.data.raw import Array

SHOWN = 8


def some(items: Sequence[Any] | Array, shown: int = SHOWN) -> str:
    """List the first items, and how many more there are: `a, b and 3 more`."""
    more = len(items) - shown
    return ", ".join(map(str, items[:shown])) + (f" and {more} more" if more > 0 else "")
