"""Whether a search can be recorded, and whether a folder is its own."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from stabilitysweep.errors import UserError
from stabilitysweep.integrations.keras_tuner.recording_record import Record
from stabilitysweep.integrations.keras_tuner.recording_space import column_of, values_of

_PARALLEL = "KERASTUNER_ORACLE_IP"
_FUNCTION = re.compile(r"[A-Za-z_]\w*")


def require_recordable(tuner: Any, bins: Any, loss_rows: int) -> None:
    """Check what `record` is given.

    Raises:
        UserError: a tuner that cannot be recorded, or a number out of range.
    """
    if not isinstance(tuner, keras_tuner.engine.base_tuner.BaseTuner):
        raise UserError(f"record: expected a KerasTuner tuner, got {type(tuner).__name__}.")
    if os.environ.get(_PARALLEL):
        raise UserError(
            "record: expected a search in one process, got one of several (KERASTUNER_ORACLE_IP "
            "is set), whose workers cannot write into one folder."
        )
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"record: expected Keras to run on TensorFlow, it runs on {keras.backend.backend()!r}."
        )
    if isinstance(bins, Mapping):
        for name, ends in bins.items():
            if not _increasing(ends):
                raise UserError(
                    f"bins: expected for {name} the lower ends of bins, increasing numbers, got "
                    f"{ends!r}."
                )
    elif isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise UserError(f"bins: expected a whole number of at least 2, got {bins!r}.")
    if isinstance(loss_rows, bool) or not isinstance(loss_rows, int) or loss_rows < 0:
        raise UserError(f"loss_rows: expected a whole number of at least 0, got {loss_rows!r}.")


def _increasing(ends: Any) -> bool:
    numbers = isinstance(ends, list | tuple) and all(
        isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end)
        for end in ends
    )
    return numbers and len(ends) > 0 and all(a < b for a, b in itertools.pairwise(ends))


def require_same_search(tuner: Any, kept: Record) -> None:
    """Refuse a folder whose trials are not those that the tuner has.

    Raises:
        ResultError: they are not, or the folder holds something else.
    """
    for trial_id, values in kept.known_trials().items():
        trial = tuner.oracle.trials.get(trial_id)
        if trial is None:
            raise kept.another(
                f"its trial {trial_id} is none of this tuner's, which has "
                f"{len(tuner.oracle.trials)} so far: was it made with overwrite=True?"
            )
        names = {hp.name: column_of(hp.name) for hp in trial.hyperparameters.space}
        own = values_of(trial.hyperparameters, names)
        differing = [name for name in values if own.get(name, values[name]) != values[name]]
        if differing:
            name = differing[0]
            raise kept.another(
                f"{name} of its trial {trial_id} is {values[name]!r}, of this tuner's {own[name]!r}"
            )


def build_of(tuner: Any) -> str:
    """What is searched, as `module:name`."""
    hypermodel = getattr(tuner, "hypermodel", None)
    found: Any = type(tuner) if hypermodel is None else type(hypermodel)
    build = getattr(hypermodel, "build", None)
    if found.__name__ == "DefaultHyperModel" and callable(build):
        found = build
    module = str(getattr(found, "__module__", "") or "")
    name = str(getattr(found, "__name__", "") or "")
    named = all(_FUNCTION.fullmatch(part) for part in (*module.split("."), name))
    return f"{module}:{name}" if named else f"keras_tuner:{type(tuner).__name__}"
