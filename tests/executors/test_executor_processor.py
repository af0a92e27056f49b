"""The share of a core in the last level of cache, as Linux tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stabilitysweep.executors import processor

MIB = 2**20
Caches = list[tuple[int, str, str, str]]


@pytest.fixture(autouse=True)
def cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of four processors that tells nothing yet."""
    monkeypatch.setattr(processor, "_CPUS", tmp_path)
    monkeypatch.setattr(processor, "available_cores", lambda: [0, 1, 2, 3])
    processor.cache_share.cache_clear()
    yield tmp_path
    processor.cache_share.cache_clear()


def tell(cpus: Path, core: int, caches: Caches) -> None:
    for number, (level, kind, size, sharing) in enumerate(caches):
        folder = cpus / f"cpu{core}" / "cache" / f"index{number}"
        folder.mkdir(parents=True)
        contents = {"level": level, "type": kind, "size": size, "shared_cpu_list": sharing}
        for name, content in contents.items():
            (folder / name).write_text(f"{content}\n")


@pytest.mark.parametrize(
    ("size", "sharing", "share"),
    [
        ("65536K", "0-3", 16 * MIB),
        ("64M", "0-3,64-67", 16 * MIB),  # those that we may not run on do not count
        ("64M", "0-1", 32 * MIB),
        ("4096K", "0-3", 8 * MIB),
        ("1G", "0", 64 * MIB),
        ("", "0-3", processor.CACHE_BYTES),
        ("much", "0-3", processor.CACHE_BYTES),
        ("64M", "all", processor.CACHE_BYTES),
    ],
)
def test_the_last_level_is_divided_by_the_cores_that_share_it(
    cpus: Path, size: str, sharing: str, share: int
) -> None:
    for core in range(4):
        last: Caches = [(3, "Unified", size, sharing)] if size else []
        tell(cpus, core, [(1, "Instruction", "32K", str(core)), *last])
    assert processor.cache_share() == share


def test_the_smallest_share_counts(cpus: Path) -> None:
    tell(cpus, 0, [(3, "Unified", "32M", "0"), (2, "Unified", "1M", "0")])
    tell(cpus, 1, [(3, "Unified", "40M", "1-2")])
    assert processor.cache_share() == 20 * MIB


def test_nothing_known_is_a_size_that_is_assumed() -> None:
    assert processor.cache_share() == processor.CACHE_BYTES
