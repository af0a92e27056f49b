"""The processors that workers may run on, and the cache that each has to itself.

The cache is read from Linux' /sys; where it is not, a size is assumed.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

CACHE_BYTES = 16 * 2**20
"""What is assumed of a core's share of the last cache where nothing is known."""

LEAST_CACHE_BYTES, MOST_CACHE_BYTES = 8 * 2**20, 64 * 2**20
"""Whatever the system says: below, operations are too small for what it takes to begin one."""

_CPUS = Path("/sys/devices/system/cpu")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def available_cores() -> list[int]:
    """Return the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@cache
def cache_share() -> int:
    """Return how many bytes of the last level of cache there are for each core, as a worker has it.

    The cache is divided by the cores that share it and that this process may run on; of several
    such caches the smallest share counts. Between 8 and 64 MiB, whatever the system says. Looked
    up once.
    """
    cores = available_cores()
    shares = [share for core in cores if (share := _share(core, cores)) is not None]
    return min(max(min(shares), LEAST_CACHE_BYTES), MOST_CACHE_BYTES) if shares else CACHE_BYTES


def _share(core: int, cores: list[int]) -> int | None:
    """The share of one core in its highest cache; None if the system does not tell."""
    found: dict[int, int] = {}
    for folder in (_CPUS / f"cpu{core}" / "cache").glob("index*"):
        try:
            level, kind, size, sharing = (
                (folder / name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size", "shared_cpu_list")
            )
            number = re.fullmatch(r"(\d+)([KMG]?)", size)
            if number is None or kind == "Instruction":
                continue
            together = len(_numbers(sharing) & set(cores))
            found[int(level)] = int(number[1]) * _UNITS[number[2]] // max(together, 1)
        except (OSError, ValueError):
            continue
    return found[max(found)] if found else None


def _numbers(text: str) -> set[int]:
    """Read a list of processors as the system writes it, such as `0-3,8`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
