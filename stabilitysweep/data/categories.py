"""Columns of categories turned into numbers.

Notation: N rows, C columns of categories, K categories of a column that training has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.data.raw import MISSING_CODE, RawData, Rows
from stabilitysweep.errors import DataError

_MOST_ONE_HOT = 10_000
"""Columns that one-hot encoding may make of one: beyond, it is a column of identifiers."""

_MOST_BYTES = 4 * 10**9
"""Memory that all one-hot columns of a data set may take."""

_MISSING = "(missing)"

Codes = NDArray[np.int32]
Floats = NDArray[np.float64]


class CategoryEncoder:
    """Imputes and encodes columns of categories, as the training rows have them.

    A missing category stays missing under imputation `none` (NaN in each of its encoded
    columns), is a category of its own under `constant`, and otherwise becomes the most
    frequent one of the training rows (of equals the first in sorted order). A category
    that no training row has is encoded as none of those known, or is taken for a missing
    one, by `unknown_categories`.

    Attributes:
        names: of the encoded columns: `COLUMN=CATEGORY` each, or the column's own name.
        is_ordinal: whether the encoded columns are codes rather than zeros and ones.
        widths: of each of the C columns, how many encoded columns it becomes; 0 is possible.
    """

    def __init__(self, raw: RawData, train: Rows, preprocessing: PreprocessingSettings) -> None:
        """Learn the categories of the training rows.

        Args:
            raw: the data as loaded, with C >= 0 columns of categories.
            train: the training rows.
            preprocessing: imputation, encoding and unknown categories.

        Raises:
            DataError: one-hot encoding would make more than 10,000 columns of one, or 4 GB.
        """
        codes = raw.categories[train]
        self._raw = raw
        self._own_category = preprocessing.imputation == "constant"
        self._unknown_is_missing = preprocessing.unknown_categories == "missing"
        self._seen = [np.unique(column[column != MISSING_CODE]) for column in codes.T]
        self._imputer: Any = None
        if preprocessing.imputation not in ("none", "constant") and len(self._seen):
            self._imputer = SimpleImputer(
                missing_values=MISSING_CODE, strategy="most_frequent", keep_empty_features=True
            ).fit(codes)
        self.is_ordinal = preprocessing.encoding == "ordinal"
        # One more code than there are levels stands for what is missing.
        known = [
            np.append(seen, len(levels)) if self._own_category else seen
            for seen, levels in zip(self._seen, raw.levels, strict=True)
        ]
        self._known = known
        self.widths = [1 if self.is_ordinal else len(codes) for codes in known]
        if not self.is_ordinal:
            self._refuse_identifiers(known)
        self.names: tuple[str, ...] = (
            raw.category_names
            if self.is_ordinal
            else tuple(
                f"{name}={[*levels, _MISSING][code]}"
                for name, levels, codes_of in zip(
                    raw.category_names, raw.levels, known, strict=True
                )
                for code in codes_of
            )
        )

    def transform(self, rows: Rows) -> Floats:
        """Return the encoded columns of some rows, float64 [len(rows), len(names)].

        One-hot columns are 0 and 1, all 0 for a category that training has not. Ordinal
        codes are 1 to K in sorted order, and 0 for such a category, as in Keras' lookups.
        """
        if not len(self.names) or not len(rows):
            return np.empty((len(rows), len(self.names)))
        codes = self._impute(self._codes(rows))
        return np.hstack(
            [
                self._encode(codes[:, [place]], known)
                for place, known in enumerate(self._known)
                if self.is_ordinal or len(known)
            ]
        )

    def missing(self, rows: Rows) -> NDArray[np.bool_]:
        """Tell where a category is missing or taken for it, bool [len(rows), C]."""
        found: NDArray[np.bool_] = self._codes(rows) == MISSING_CODE
        return found

    def _codes(self, rows: Rows) -> Codes:
        codes = self._raw.categories[rows]
        if self._unknown_is_missing:
            for column, seen in zip(codes.T, self._seen, strict=True):
                column[~np.isin(column, seen)] = MISSING_CODE
        return codes

    def _impute(self, codes: Codes) -> Codes:
        if self._own_category:
            for column, levels in zip(codes.T, self._raw.levels, strict=True):
                column[column == MISSING_CODE] = len(levels)
        elif self._imputer is not None:
            filled: Codes = self._imputer.transform(codes)
            return filled
        return codes

    def _encode(self, codes: Codes, known: Codes) -> Floats:
        missing = codes[:, 0] == MISSING_CODE
        if not len(known):  # no training row has any
            encoded = np.zeros((len(codes), 1))
        elif self.is_ordinal:
            encoder = OrdinalEncoder(
                categories=[known], handle_unknown="use_encoded_value", unknown_value=-1
            )
            encoded = encoder.fit(known[:, None]).transform(codes) + 1
        else:
            encoder = OneHotEncoder(
                categories=[known], handle_unknown="ignore", sparse_output=False
            )
            encoded = encoder.fit(known[:, None]).transform(codes)
        encoded[missing] = np.nan
        return encoded

    def _refuse_identifiers(self, known: list[Codes]) -> None:
        """Refuse one-hot columns in numbers that are a slip, or that no memory holds."""
        if not known:
            return
        widths = [len(codes) for codes in known]
        widest = int(np.argmax(widths))
        name, size = self._raw.category_names[widest], sum(widths) * len(self._raw.target) * 8
        if max(widths) <= _MOST_ONE_HOT and size <= _MOST_BYTES:
            return
        raise DataError(
            f"dataset '{self._raw.label}': one-hot encoding makes a column of each category, "
            f"{widths[widest]:,} of '{name}' and {sum(widths):,} in all, which take "
            f"{size / 1e9:.1f} GB; expected at most {_MOST_ONE_HOT:,} of one column and "
            f"{_MOST_BYTES / 1e9:.0f} GB. Leave the column out (dataset: {{exclude: [{name}]}}), "
            "or set preprocessing.encoding to ordinal."
        )
