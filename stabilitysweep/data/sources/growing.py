"""Arrays that grow by rows, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from stabilitysweep.data.raw import Array, Rows

_FACTOR = 1.25


class Growing:
    """An array whose number of rows is not known when it is begun.

    It is enlarged with `realloc`, which moves no large block but maps it anew: the rows are
    never there twice, as they would be with a list of chunks that are joined in the end.
    """

    def __init__(self, tail: tuple[int, ...], dtype: DTypeLike, rows: int = 0) -> None:
        """Begin an array [0, *tail], with place for `rows`."""
        self._array = np.empty((rows, *tail), dtype)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @property
    def content(self) -> Array:
        """The rows so far; not to be kept: the next call may move them."""
        return self._array[: self._rows]

    def room(self, rows: int) -> Array:
        """Add rows and return them, to be written to at once."""
        start, self._rows = self._rows, self._rows + rows
        if self._rows > len(self._array):
            self._resize(max(self._rows, int(_FACTOR * len(self._array))))
        return self._array[start : self._rows]

    def add(self, values: Array) -> None:
        """Add rows, in a dtype that holds those before and these."""
        if not self._rows:
            self._array = self._array.astype(values.dtype, copy=False)
        together = np.result_type(self._array.dtype, values.dtype)
        self._array = self._array.astype(together, copy=False)
        self.room(len(values))[...] = values

    def keep(self, rows: Rows) -> None:
        """Forget all rows but these, given in ascending order."""
        self._array[: len(rows)] = self._array[rows]
        self._rows = len(rows)

    def done(self) -> Array:
        """Return the rows, without the place for more."""
        if self._rows != len(self._array):
            self._resize(self._rows)
        return self._array

    def _resize(self, rows: int) -> None:
        # The views that `room` gave are gone by now, or not used any more.
        self._array.resize((rows, *self._array.shape[1:]), refcheck=False)
