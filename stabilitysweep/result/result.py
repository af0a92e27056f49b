"""A result folder opened for reading: its maps, its figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stabilitysweep.analysis import (
    CellValue,
    StabilityMap,
    stability_map,
)
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import DATABASE, FIGURES, make_folder, other_than_a_result
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.recorded import (
    subject,
    with_alike,
)
from stabilitysweep.result.stored import StoredTrials
from stabilitysweep.store import (
    write_csv,
    write_json,
    write_parquet,
)

KINDS = ("stability", "onset", "headroom", "underflow")
"""The maps that can be drawn."""

_ALWAYS_DRAWN = KINDS[:2]
_VALUES = {
    "headroom": CellValue("headroom_bits", "lowest"),
    "underflow": CellValue("lost_gradients", "median"),
}


class Result(StoredTrials):
    """What a sweep found.

    Attributes:
        folder: the result folder.
    """

    def stability_map(
        self,
        x: str | None = None,
        y: str | None = None,
        rows: str | None = None,
        columns: str | None = None,
        where: Mapping[str, Any] | None = None,
        pool: str | Sequence[str] = (),
        value: CellValue | None = None,
        theory: bool = False,
    ) -> StabilityMap:
        """Return the map over two axes, with small multiples over up to two more.

        Args:
            x: horizontal axis; a sensible one if None, as are the others.
            y: vertical axis.
            rows: axis of the rows of panels.
            columns: axis of the columns of panels.
            where: axes to hold at one value.
            pool: axes to average over although they could be panels.
            value: a number of the trials to take along, cell by cell.
            theory: whether to take along the theoretical limit of the learning rate.

        Raises:
            ResultError: an axis or value that the sweep does not have, or a limit.
        """
        return stability_map(
            with_alike(self.trials, self.models),
            self.axes,
            x=x,
            y=y,
            rows=rows,
            columns=columns,
            where=where,
            pool=[pool] if isinstance(pool, str) else pool,
            value=value,
            theory=theory,
            rate=self.rate,
        )

    def plot(
        self, kind: str = "stability", folder: str | Path | None = None, **choice: Any
    ) -> tuple[Path, Path]:
        """Draw a map and save it as PNG and SVG.

        A map of chosen axes has them in its file name, and so leaves the usual one alone.

        Args:
            kind: `stability`; `onset`, the step; `headroom`, the least bits left below the
                largest finite number; or `underflow`, the share of float32's nonzero
                gradient entries that became zero.
            folder: where to; `figures/` in the result folder if None.
            choice: see `stability_map`; `theory=True` draws the limit over the map.

        Returns:
            The paths of the two files.

        Raises:
            ResultError: another kind, or an axis the sweep does not have.
        """
        # Drawing is slow to import, and reading a result needs none of it.
        from stabilitysweep import figures

        if kind not in KINDS:
            known = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
            raise ResultError(f"kind: expected {known}, got {kind!r}.")
        chosen = self.stability_map(**choice, value=self._value(kind))
        title = f"{subject(self.config)}: {_TITLES[kind]}"
        if self.thresholds is not None:
            title += f" ({self.thresholds})"
        draw = {
            "stability": figures.draw_stability,
            "onset": figures.draw_onset,
            "headroom": figures.draw_headroom,
            "underflow": figures.draw_underflow,
        }[kind]
        target = self.folder / FIGURES if folder is None else Path(folder)
        make_folder(target)
        try:
            return figures.save(
                draw(chosen, title), target, figures.stem(kind, self._judged_by(choice))
            )
        except OSError as error:
            raise ResultError(
                f"{target}: the figure cannot be written: {error.strerror or error}."
            ) from error

    def save(self) -> list[Path]:
        """Write the table, the summary and the figures into the result folder.

        Returns:
            The files written.

        Raises:
            ResultError: the trials are judged by other thresholds than those stored.
        """
        if self.thresholds is not None:
            raise ResultError(
                f"{self.folder}: expected the stored outcomes to be saved, got those judged by "
                f"{self.thresholds}. Open the result without thresholds."
            )
        parquet, csv = self.folder / "trials.parquet", self.folder / "trials.csv"
        write_parquet(self.trials, parquet)
        write_csv(self.trials, csv)
        target = self.folder / "summary.json"
        write_json(self.to_json(), target)
        drawn = [path for kind in _ALWAYS_DRAWN for path in self.plot(kind)]
        return [parquet, csv, target, *drawn]

    def _value(self, kind: str) -> CellValue | None:
        """Return the number that a kind of map shows.

        Raises:
            ResultError: no trial has one.
        """
        value = _VALUES.get(kind)
        if value is not None and self.trials[value.column].isna().all():
            raise ResultError(f"{self.folder}: there is nothing to draw: {_LACKING[kind]}.")
        return value

    def _judged_by(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        """Add thresholds that are not the stored ones to what a figure's file is named after."""
        if self.thresholds is None:
            return dict(choice)
        return {**choice, "judged": [f"{value:g}" for value in asdict(self.thresholds).values()]}


_TITLES = {
    "stability": "where training is stable",
    "onset": "when training became non-finite",
    "headroom": "how near numbers came to overflow",
    "underflow": "gradients lost to half precision",
}
_LACKING = {
    "headroom": "no trial has a headroom, since the result is of an earlier version or no trial"
    " got past its first step",
    "underflow": "gradients are lost by a trial beside its float32 twin, so expected"
    " 'precision' as an axis with float32 and another value",
}


def open_result(path: str | Path, thresholds: Thresholds | None = None) -> Result:
    """Open a result folder, complete or not, for reading.

    Args:
        path: the folder.
        thresholds: judge every trial anew by these, from what is stored of it; nothing is
            trained, and the record stays as it is. None keeps the outcomes stored.

    Raises:
        ResultError: there is no result at `path`, or it is damaged.
    """
    folder = Path(path)
    if not os.path.isfile(folder / DATABASE):  # unlike Path's, False where we may not look
        raise ResultError(
            f"{folder}: expected a result folder (results/NAME, written by 'stabilitysweep "
            f"run'), got {other_than_a_result(folder)}."
        )
    result = Result(folder, thresholds)
    _ = result.config  # reads the record, so that a damaged one is refused here
    return result
