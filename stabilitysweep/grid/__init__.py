"""From axes to trials: every combination once, in a stable order, with an id of its own."""

from stabilitysweep.grid.identity import (
    DECIDED_BY,
    dataset_text,
    decided,
    trial_id,
    with_whole_numbers,
)
from stabilitysweep.grid.layout import Grid
from stabilitysweep.grid.requests import request_of
from stabilitysweep.grid.trial import Trial

__all__ = [
    "DECIDED_BY",
    "Grid",
    "Trial",
    "dataset_text",
    "decided",
    "request_of",
    "trial_id",
    "with_whole_numbers",
]
