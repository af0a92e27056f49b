"""How much memory there is for workers, and whether the system has ended one for want of it.

Read from Linux' /proc and control groups; where they are not, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stabilitysweep.errors import UserError

WORKER_BYTES = 300 * 2**20
"""What a worker takes for itself: 235 MiB once TensorFlow is imported, the rest for the graph and
the stack of a small program."""

_SMALL_STACK_BYTES = 65 * 2**20
_STACK_SHARE = 1.25
"""What training a stack takes by its weights, gradients and activations."""

SHARED_BYTES = 400 * 2**20
"""What all workers share: TensorFlow's code."""

_UNLIMITED = 2**60
"""Version 1 of the control groups writes a number near 2^63 where there is no limit."""

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def fitting_workers(stack_bytes: int = 0) -> int | None:
    """Return how many workers there is memory for, at least 1; None if it cannot be known.

    Args:
        stack_bytes: weights, gradients and activations of the largest stack there is to train.
    """
    available = available_bytes()
    if available is None:
        return None
    return max(1, (available - SHARED_BYTES) // _each(stack_bytes))


def require_memory(workers: int, stack_bytes: int = 0) -> None:
    """Check that there is memory for so many workers.

    Args:
        workers: how many there are to be.
        stack_bytes: see `fitting_workers`.

    Raises:
        UserError: there is not; one worker is always let try.
    """
    fitting = fitting_workers(stack_bytes)
    if fitting is None or workers <= max(fitting, 1):
        return
    available = available_bytes() or 0
    raise UserError(
        f"workers: expected as many as fit into memory, got {workers}: each takes at least "
        f"{_each(stack_bytes) / 2**20:,.0f} MB, and {available / 2**20:,.0f} MB are available. "
        f"Give --workers {fitting} or less, or leave it away."
    )


def _each(stack_bytes: int) -> int:
    more = int(_STACK_SHARE * stack_bytes) - _SMALL_STACK_BYTES
    return WORKER_BYTES + max(more, 0)


def available_bytes() -> int | None:
    """Return what can be taken without swapping, within the limits of the control groups."""
    found = [
        int(value.split()[0]) * 1024
        for key, value in _pairs(_PROC / "meminfo", ":")
        if key == "MemAvailable"
    ]
    for group in _own_groups():
        limit = _number(group, "memory.max", "memory.limit_in_bytes")
        used = _number(group, "memory.current", "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _UNLIMITED:
            # What is kept of files is given up first when memory runs short.
            kept = dict(_pairs(group / "memory.stat", " ")).get("inactive_file", "0")
            found.append(max(0, limit - used + int(kept)))
    return min(found, default=None)


def kills() -> int:
    """Return how many processes the system has ended for want of memory, as far as it says.

    The number itself means little; where it grows, one was ended.
    """
    counted = [value for key, value in _pairs(_PROC / "vmstat", " ") if key == "oom_kill"]
    for group in _own_groups():
        for name in ("memory.events", "memory.oom_control"):
            counted += [value for key, value in _pairs(group / name, " ") if key == "oom_kill"]
    return sum(map(int, counted))


def _own_groups() -> Iterator[Path]:
    """The folders of this process' control groups for memory, and of those around them."""
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        number, controllers, place = line.split(":", 2)
        if number == "0":
            root = _GROUPS
        elif "memory" in controllers.split(","):
            root = _GROUPS / "memory"
        else:
            continue
        own = root / place.strip("/")
        # In a container the path may be that of the host: then only the root is there.
        yield from (each for each in (own, *own.parents) if each.is_relative_to(root))


def _number(group: Path, *names: str) -> int | None:
    for name in names:
        text = _text(group / name).strip()
        if text.isdigit():  # "max" is no limit
            return int(text)
    return None


def _pairs(path: Path, separator: str) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        key, found, value = line.partition(separator)
        if found:
            yield key, value.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
