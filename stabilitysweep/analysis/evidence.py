"""What is known of one failed trial when its cause is sought, read out of the trials table.

N is the number of trials. A *twin* has the same settings and seed but for one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.neighbours import Lattice, safer_direction
from stabilitysweep.analysis.table import RATE, numbers
from stabilitysweep.types import Outcome, Stage, Trace

HALF = ("float16", "mixed_float16")

_BITS = {"float64": 1024}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One failed trial by itself.

    Attributes:
        outcome: nonfinite, diverged, or stalled.
        precision: its dtype policy.
        loss: the name of the loss; None where it is the user's own.
        rate: learning rate.
        sgd: whether the optimizer is SGD, whose steps are in proportion to the gradient.
        step: of the onset; None without one, as the next three.
        stage: of the onset.
        tensor: of the onset.
        kind: of the onset.
        steps_run: steps trained.
        skipped: steps that loss scaling skipped.
        final_scale: the loss scale at the end, None without loss scaling.
        initial_loss: over the training split, before step 1; may be NaN.
        final_loss: the same after the last step.
        limit: the critical learning rate, None where theory has none.
        lost: share of float32's nonzero gradient entries that are zero; NaN if unknown.
        trace: its curves, None where no step was run.
    """

    outcome: Outcome
    precision: str
    loss: str | None
    rate: float
    sgd: bool
    step: int | None
    stage: Stage | None
    tensor: str | None
    kind: str | None
    steps_run: int
    skipped: int
    final_scale: float | None
    initial_loss: float
    final_loss: float
    limit: float | None
    lost: float
    trace: Trace | None

    @property
    def half(self) -> bool:
        """Whether it computes in float16."""
        return self.precision in HALF

    @property
    def huge(self) -> float:
        """The magnitude above which squares and sums overflow the loss' dtype, or come near."""
        return float(2.0 ** (0.4 * _BITS.get(self.precision, 128)))

    @property
    def moved(self) -> float | None:
        """The largest norm of the weights before the onset over the smallest; None if unknown.

        It takes two steps to tell: the initial weights are not on the trace.
        """
        if self.trace is None or self.step is None:
            return None
        norms = self.trace.weight_norm[self.trace.steps < self.step]
        if len(norms) < 2 or not np.isfinite(norms).all() or norms.min() <= 0:
            return None
        return float(norms.max()) / float(norms.min())

    @property
    def untouched(self) -> bool:
        """Whether it broke before an update was made that could have been too large."""
        return self.step == 1 and self.stage is not Stage.WEIGHT

    def at(self, curve: str, step: int) -> float:
        """Return the value of a curve of the trace at a step; NaN if the trace lacks it."""
        if self.trace is None:
            return float("nan")
        place = np.flatnonzero(self.trace.steps == step)
        return float(getattr(self.trace, curve)[place[0]]) if len(place) else float("nan")

    @property
    def streak(self) -> int:
        """Steps of a skipping that lasts to the end, 0 if none does.

        Such an onset is the first step of the streak, and the scale is halved from there on.
        """
        if self.final_scale is None or self.step is None or self.skipped == 0:
            return 0
        length = self.steps_run - self.step + 1
        before = self.at("loss_scale", self.step)
        lasts = self.skipped >= length and self.final_scale <= before * 2.0**-length * 1.5
        return length if lasts else 0


class Table:
    """The trials table, laid out for looking up trials and their twins by row."""

    def __init__(
        self,
        trials: pd.DataFrame,
        axes: Mapping[str, Sequence[object]],
        settings: Mapping[str, Any],
        trace_of: Callable[[str], Trace | None],
        rate: str = RATE,
    ) -> None:
        """Read the columns once.

        Args:
            trials: the trials table, N rows in any order.
            axes: name of each axis to the grid's values.
            settings: `precision`, `loss`, `learning_rate` and `optimizer`, where they are no
                column.
            trace_of: gives the trace of a trial by its id, None where it has none.
            rate: the name of the axis of the learning rate.
        """
        self.lattice = Lattice.of(trials, axes, rate)
        self.rate = rate
        self.ids = trials["trial_id"].to_numpy()
        self.outcomes = [Outcome(value) for value in trials["outcome"]]
        self._trace_of = trace_of
        columns = {name: name for name in ("precision", "loss", RATE, "optimizer")} | {RATE: rate}
        self._settings = {
            name: trials[axis].to_numpy() if axis in axes else _same(settings.get(name), trials)
            for name, axis in columns.items()
        }
        if f"exact_{rate}" in trials:  # the axis has the lower ends of bins
            self._settings[RATE] = trials[f"exact_{rate}"].to_numpy()
        self._text = {
            name: trials[f"onset_{name}"].to_numpy() for name in ("stage", "tensor", "kind")
        }
        self._numbers = {
            name: numbers(trials[name])
            for name in (
                "onset_step",
                "steps_run",
                "skipped_steps",
                "final_loss_scale",
                "initial_loss",
                "final_loss",
                "critical_learning_rate",
            )
        }
        lost = trials.get("lost_gradients")
        self._lost = np.full(len(trials), np.nan) if lost is None else numbers(lost)
        self._twins: dict[str, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = {}

    def evidence(self, row: int) -> Evidence:
        """Return what one trial says."""
        read = {name: float(column[row]) for name, column in self._numbers.items()}
        onset = np.isfinite(read["onset_step"])
        scale, limit = read["final_loss_scale"], read["critical_learning_rate"]
        return Evidence(
            outcome=self.outcomes[row],
            precision=str(self._settings["precision"][row]),
            loss=self._settings["loss"][row],
            rate=float(self._settings[RATE][row] or np.nan),
            sgd=self._settings["optimizer"][row] == "sgd",
            step=int(read["onset_step"]) if onset else None,
            stage=Stage(self._text["stage"][row]) if onset else None,
            tensor=self._text["tensor"][row] if onset else None,
            kind=self._text["kind"][row] if onset else None,
            steps_run=_count(read["steps_run"]),
            skipped=_count(read["skipped_steps"]),
            final_scale=None if np.isnan(scale) else scale,
            initial_loss=read["initial_loss"],
            final_loss=read["final_loss"],
            limit=None if np.isnan(limit) else limit,
            lost=float(self._lost[row]),
            trace=self._trace_of(self.ids[row]),
        )

    def failed(self, row: int) -> bool:
        """Tell whether a trial diverged or became non-finite."""
        return bool(self.lattice.failed[row])

    def broke_by(self, rows: NDArray[np.int64], step: int) -> bool:
        """Tell whether all of some trials failed with an onset at a step, or before it."""
        onsets = self._numbers["onset_step"][rows]
        # An onset in the input has the step 0, which no update can have brought about.
        return bool(self.lattice.failed[rows].all() and ((onsets > 0) & (onsets <= step)).all())

    def twins(self, axis: str, row: int) -> NDArray[np.int64]:
        """Return the rows of the measured twins of a trial along one axis, by place on it."""
        if axis not in self.lattice.axes:
            return np.empty(0, np.int64)
        if axis not in self._twins:
            groups = self.lattice.groups(but=axis)
            order = np.lexsort((self.lattice.column(axis), groups)).astype(np.int64)
            bounds = np.searchsorted(groups[order], np.arange(int(groups.max()) + 2))
            self._twins[axis] = groups, order, bounds.astype(np.int64)
        groups, order, bounds = self._twins[axis]
        own = order[bounds[groups[row]] : bounds[groups[row] + 1]]
        found: NDArray[np.int64] = own[(own != row) & self.lattice.measured[own]]
        return found

    def float32_twin(self, row: int) -> int | None:
        """Return the row of the twin in float32, None if there is none."""
        if "precision" not in self.lattice.axes:
            return None
        for twin in self.twins("precision", row).tolist():
            if self._settings["precision"][twin] == "float32":
                return int(twin)
        return None

    def safer_twins(self, axis: str, row: int) -> NDArray[np.int64]:
        """Return the rows of the twins on the safer side of an axis, nearest first.

        On an axis without such a side these are all twins.
        """
        twins = self.twins(axis, row)
        direction = safer_direction(axis, self.rate)
        if not len(twins) or not direction or axis not in self.lattice.ordered:
            return twins
        column = self.lattice.column(axis)
        away = (column[twins] - column[row]) * direction
        found: NDArray[np.int64] = twins[away > 0][np.argsort(away[away > 0], kind="stable")]
        return found

    def value(self, axis: str, row: int) -> Any:
        """Return a trial's value on an axis."""
        return self.lattice.axes[axis].values[int(self.lattice.column(axis)[row])]


def _same(value: Any, trials: pd.DataFrame) -> NDArray[np.object_]:
    """One value for every trial, object [N], kept once."""
    held = np.empty(1, object)
    held[0] = value
    return np.broadcast_to(held, len(trials))


def _count(value: float) -> int:
    return 0 if np.isnan(value) else int(value)
