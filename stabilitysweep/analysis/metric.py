"""What cells are ranked by: a column of the trials table, and which of its directions is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.table import CRASHED, DIVERGED, NONFINITE, numbers, outcome_codes
from stabilitysweep.errors import ResultError

USUAL = "val_loss"
_WITHOUT_VALIDATION = "final_loss"

# What Keras calls its metrics, and what people call them, by the direction that is better.
_HIGHER = frozenset({
    "acc", "accuracy", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
    "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "auc", "precision",
    "recall", "f1", "f1_score", "fbeta_score", "r2", "r2_score", "cosine_similarity",
    "binary_io_u", "io_u", "mean_io_u", "one_hot_io_u", "one_hot_mean_io_u", "iou", "mean_iou",
    "true_positives", "true_negatives", "sensitivity_at_specificity",
    "specificity_at_sensitivity", "precision_at_recall", "recall_at_precision",
    "pearson_correlation", "concordance_correlation",
})  # fmt: skip
_LOWER = frozenset({
    "loss", "mse", "mae", "rmse", "mape", "msle", "mean_squared_error", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "root_mean_squared_error", "log_cosh", "logcosh", "log_cosh_error", "hinge",
    "squared_hinge", "categorical_hinge", "huber", "poisson", "kl_divergence",
    "kullback_leibler_divergence", "binary_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "crossentropy", "error", "false_positives",
    "false_negatives",
})  # fmt: skip
_DIRECTIONS = {"max": True, "min": False}


@dataclass(frozen=True, slots=True)
class Metric:
    """What cells are ranked by.

    Attributes:
        column: of the trials table.
        higher_is_better: its direction.
    """

    column: str
    higher_is_better: bool = False

    @property
    def worst(self) -> float:
        """What a trial that failed counts as."""
        return -np.inf if self.higher_is_better else np.inf

    def scores(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        """Return the metric of every row, float64 [N].

        A trial that failed has the worst there is, so that a median over seeds knows of it, and
        so has one whose metric is not a number. NaN for crashed trials.
        """
        outcome = outcome_codes(trials)
        found = np.full(len(trials), np.nan)
        if self.column in trials:
            found = numbers(trials[self.column])
        failed = (outcome == DIVERGED) | (outcome == NONFINITE) | np.isnan(found)
        found = np.where(failed, self.worst, found)
        return np.where(outcome == CRASHED, np.nan, found)

    def cost(self, score: Any, best: float) -> NDArray[np.float64]:
        """Return by how much scores are worse than the best, relative to its size; 0 for itself.

        Infinite where the best is 0, or where there is none.
        """
        worse = best - np.asarray(score, np.float64) if self.higher_is_better else score - best
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.asarray(worse, np.float64) / abs(best)
        relative = np.where(worse == 0, 0.0, relative)
        return np.where(np.isnan(relative), np.inf, relative)


def choose_metric(tables: Sequence[pd.DataFrame], asked: str | None) -> tuple[Metric, str | None]:
    """Find what to rank by.

    Args:
        tables: trials tables, one a data set.
        asked: `val_loss`, `final_loss` or `val_METRIC`; with `:max` or `:min` behind it where
            the name does not say which is better. None is `val_loss`.

    Returns:
        The metric, and what must be said of the choice: that there are no validation rows, so
        that the final training loss took the place of the loss on them. None otherwise.

    Raises:
        ResultError: not every table has it, or its direction is not known.
    """
    name, _, direction = (asked or USUAL).partition(":")
    if direction and direction not in _DIRECTIONS:
        raise ResultError(f"metric: expected max or min after {name}:, got {direction!r}.")
    held = [column for column in _rankable(tables[0]) if all(map(_holds(column), tables))]
    if name in held:
        return Metric(name, _higher(name, direction)), None
    if name == USUAL and _WITHOUT_VALIDATION in held:
        return Metric(_WITHOUT_VALIDATION), (
            "ranked by the final training loss: there are no validation rows"
            if len(tables) == 1
            else "ranked by the final training loss: not every data set has validation rows"
        )
    if asked is None:
        return Metric(USUAL), None  # nothing was measured, since everything fails or crashes
    raise ResultError(
        f"metric: expected one that was measured ({', '.join(held) or 'there is none'}), "
        f"got {name!r}."
    )


def _rankable(table: pd.DataFrame) -> list[str]:
    named = map(str, table.columns)
    return [name for name in named if name == _WITHOUT_VALIDATION or name.startswith("val_")]


def _holds(column: str) -> Any:
    return lambda table: column in table and bool(np.isfinite(numbers(table[column])).any())


def _higher(column: str, direction: str) -> bool:
    if direction:
        return _DIRECTIONS[direction]
    # Keras numbers metrics of the same name: `auc_1`. Of several outputs each has its own.
    name = re.sub(r"_\d+$", "", column.removeprefix("val_").removeprefix("final_")).lower()
    for known, higher in ((_HIGHER, True), (_LOWER, False)):
        if name in known or name.endswith(tuple(f"_{word}" for word in known)):
            return higher
    raise ResultError(
        f"metric: expected to know whether more of {column} is better; write {column}:max or "
        f"{column}:min."
    )
