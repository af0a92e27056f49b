"""Data sets: loaded, split and preprocessed; and the order of their batches.

What loads and preprocesses needs scikit-learn, and is imported when it is first asked for: a
worker is given prepared data, and starts sooner without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabilitysweep.data.batches import batch_order
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.prepared import DataShape, PreparedData
from stabilitysweep.data.raw import RawData, Targets
from stabilitysweep.data.targets import SCALED_LOSSES, target_facts

if TYPE_CHECKING:
    from stabilitysweep.data.preparation import PreparedSets, data_key
    from stabilitysweep.data.preprocess import prepare
    from stabilitysweep.data.sources.load import load
    from stabilitysweep.data.split import Split, split_rows

__all__ = [
    "SCALED_LOSSES",
    "DataShape",
    "Finding",
    "PreparedData",
    "PreparedSets",
    "RawData",
    "Severity",
    "Split",
    "Targets",
    "batch_order",
    "data_key",
    "load",
    "prepare",
    "split_rows",
    "target_facts",
]

_HOME = {
    "PreparedSets": "preparation",
    "Split": "split",
    "data_key": "preparation",
    "load": "sources.load",
    "prepare": "preprocess",
    "split_rows": "split",
}


def __getattr__(name: str) -> Any:
    """Import a function of this package when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
