"""Where a result comes from: versions, processor, flags, data and its audit, as plain values."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("stabilitysweep", "tensorflow", "keras", "keras-tuner", "numpy", "scikit-learn")


def provenance(
    data_hashes: Mapping[str, str],
    training_rows: Mapping[str, int],
    base_folder: Path,
    flags: Mapping[str, Any],
    data_sets: Mapping[str, Mapping[str, Any]] | None = None,
    audit: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Any]:
    """Collect what is needed to reproduce a result, or to see why it cannot be.

    Args:
        data_hashes: content hash of each data set, by label.
        training_rows: number of training rows of each, by label.
        base_folder: what relative paths in the config are relative to.
        flags: what the run was called with: engine, compilation, workers.
        data_sets: source, shape and dtypes of each data set, by label.
        audit: what was found in each, by label.

    Returns:
        Plain values for JSON. No package is imported to ask it for its version.
    """
    return {
        "versions": {"python": platform.python_version()} | versions(),
        "processor": {
            "model": processor_name(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "flags": dict(flags),
        "data": dict(data_hashes),
        "training_rows": dict(training_rows),
        "data_sets": dict(data_sets or {}),
        "audit": {label: list(found) for label, found in (audit or {}).items()},
        "base_folder": str(base_folder.resolve()),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on; none of them is imported."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a folder that was never installed
            continue
    return found


def processor_name() -> str:
    """Return the name of the processor; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
