"""Gaps in columns of numbers, filled as the training rows say.

Notation: N rows, D columns of numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.data.prepared import Floats
from stabilitysweep.data.raw import RawData, Rows
from stabilitysweep.data.split import Split
from stabilitysweep.errors import DataError

_MOST_PAIRS = 10**9
"""Pairs of rows that `knn` may compare: some minutes."""


class Imputer:
    """Fills NaN; Inf is data under study, and stays where it is.

    A column without any training value becomes 0, or the fill value under `constant`. It is
    learnt when it is first needed, once.
    """

    def __init__(self, raw: RawData, split: Split, preprocessing: PreprocessingSettings) -> None:
        """Say what to fill, and how.

        Args:
            raw: the data as loaded.
            split: the rows of each side.
            preprocessing: `imputation`, `fill_value` and `neighbors`.

        Raises:
            DataError: `knn` would compare too many rows.
        """
        self._features = raw.features
        self._train = split.train
        self._preprocessing = preprocessing
        self._fill: Callable[[Floats, Rows], Floats] | None = None
        if preprocessing.imputation == "knn":
            self._refuse_endless(raw.label)

    def filled(self, rows: Rows) -> Floats:
        """Return the numbers of some rows, float64 [len(rows), D], an array of the caller's own."""
        values: Floats = self._features[rows]
        if self._preprocessing.imputation == "none" or not values.shape[1]:
            return values
        with_gaps = np.flatnonzero(np.isnan(values).any(axis=1))
        if len(with_gaps):
            if self._fill is None:
                self._fill = self._learn()
            values[with_gaps] = self._fill(values[with_gaps], rows[with_gaps])
        return values

    def _learn(self) -> Callable[[Floats, Rows], Floats]:
        train = without_infinity(self._features[self._train])
        if self._preprocessing.imputation == "knn":
            return self._nearest(train)
        strategy = self._preprocessing.imputation
        imputer = SimpleImputer(
            strategy=strategy,
            fill_value=self._preprocessing.fill_value if strategy == "constant" else None,
            keep_empty_features=True,
        ).fit(train)
        return lambda values, rows: _into_gaps(values, imputer.transform(without_infinity(values)))

    def _nearest(self, train: Floats) -> Callable[[Floats, Rows], Floats]:
        """Find the neighbours of all rows with gaps at once, and keep only what they say.

        Distances are taken between standardised columns: in their own units, the column with
        the largest numbers alone would decide which rows are near.
        """
        units = StandardScaler().fit(train)
        imputer = KNNImputer(n_neighbors=self._preprocessing.neighbors, keep_empty_features=True)
        imputer.fit(units.transform(train))
        rows = np.flatnonzero(np.isnan(self._features).any(axis=1))
        known = without_infinity(self._features[rows])
        found = units.inverse_transform(imputer.transform(units.transform(known)))
        # Without any training value there is no mean to come back to.
        found = np.where(np.isnan(units.mean_), 0.0, found)
        place = np.full(len(self._features), -1)
        place[rows] = np.arange(len(rows))
        return lambda values, rows: _into_gaps(values, found[place[rows]])

    def _refuse_endless(self, label: str) -> None:
        gaps = int(np.isnan(self._features).any(axis=1).sum())
        pairs = gaps * len(self._train)
        if pairs > _MOST_PAIRS:
            raise DataError(
                f"dataset '{label}': imputation 'knn' compares each row that has a gap with every "
                f"training row, here {gaps:,} with {len(self._train):,}; expected at most "
                f"{_MOST_PAIRS:,} pairs. Use median, or draw fewer rows (dataset: {{rows: ...}})."
            )


def without_infinity(values: Floats) -> Floats:
    """Return values with NaN for Inf: scikit-learn takes NaN for a gap, but refuses Inf."""
    infinite: NDArray[np.bool_] = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def _into_gaps(values: Floats, found: Floats) -> Floats:
    return np.where(np.isnan(values), found, values)
