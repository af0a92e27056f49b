"""A result folder opened for reading: its table, its summary, its maps, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep import figures
from stabilitysweep.analysis import StabilityMap, Summary, caption, stability_map, summary
from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.errors import ResultError
from stabilitysweep.grid import Grid
from stabilitysweep.runner import DATABASE
from stabilitysweep.store import (
    ConfigRecord,
    Entry,
    SQLiteStore,
    write_csv,
    write_json,
    write_parquet,
)

KINDS = ("stability", "onset")
"""The maps that can be drawn."""

_IDENTITY = ("trial_id", "seed")


class Result:
    """What a sweep found.

    Attributes:
        folder: the result folder.
    """

    def __init__(self, folder: Path) -> None:
        """Open a result folder; use `open_result`."""
        self.folder = folder

    def __repr__(self) -> str:
        """Name the folder and count the trials by outcome."""
        counts = ", ".join(
            f"{count:,} {outcome.value}" for outcome, count in self.summary.outcomes.items() if count
        )
        return f"Result({str(self.folder)!r}: {counts or 'no trials yet'})"

    @cached_property
    def _record(self) -> ConfigRecord:
        with self._open() as store:
            record = store.latest_config()
        if record is None:
            raise ResultError(f"{self.folder}: the record is empty; run the sweep first.")
        return record

    @cached_property
    def config(self) -> SweepConfig:
        """The config of the last run, relative paths based where they were then."""
        base = self._record.provenance.get("base_folder", ".")
        return parse_config(
            self._record.resolved, source=str(self.folder / DATABASE), base_folder=base
        )

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, processor, flags, data hashes and thresholds of the last run."""
        with self._open() as store:
            meta = store.meta()
        return {**self._record.provenance, **meta, "started": self._record.created}

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials table: one row a trial, in the order of the grid; see docs/result.md."""
        names = list(self.config.grid)
        with self._open() as store:
            table = store.table(
                names, defaults=_setting_of_the_time, metrics=self.config.training.metrics
            )
        order = [_sort_key(table[name], self.config.values(name)) for name in names]
        keys = pd.DataFrame(dict(enumerate([*order, table["seed"]])), index=table.index)
        return table.loc[keys.sort_values(list(keys.columns)).index].reset_index(drop=True)

    @cached_property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of each axis, those of the grid first and in its order."""
        axes: dict[str, tuple[Any, ...]] = {}
        for name in self.config.grid:
            stored = self.trials[name].drop_duplicates().tolist()
            wanted = [_label(value) for value in self.config.values(name)]
            known = [value for value in wanted if value in stored]
            extra = [value for value in stored if value not in known]
            unmeasured = [v for v in wanted if v not in known] if name != "batch_size" else []
            axes[name] = tuple(known + extra + unmeasured)
        return axes

    @cached_property
    def wanted(self) -> int:
        """Number of trials the whole sweep of the config has, resolved duplicates included."""
        return len(Grid(self.config))

    @cached_property
    def summary(self) -> Summary:
        """Trials by outcome, earliest onset, largest stable learning rate."""
        return summary(self.trials, self.axes, self.wanted)

    def trial(self, prefix: str) -> Entry:
        """Return one trial with its trace, by its id or the beginning of it.

        Raises:
            ResultError: no trial, or more than one, begins so; close ids are listed.
        """
        with self._open() as store:
            return store.result(store.find(prefix))

    def stability_map(
        self,
        x: str | None = None,
        y: str | None = None,
        rows: str | None = None,
        columns: str | None = None,
        where: Mapping[str, Any] | None = None,
        pool: Sequence[str] = (),
    ) -> StabilityMap:
        """Return the map over two axes, with small multiples over up to two more.

        Args:
            x: horizontal axis; a sensible one if None, as are the others.
            y: vertical axis.
            rows: axis of the rows of panels.
            columns: axis of the columns of panels.
            where: axes to hold at one value.
            pool: axes to average over although they could be panels.

        Raises:
            ResultError: an axis or value that the sweep does not have.
        """
        return stability_map(
            self.trials, self.axes, x=x, y=y, rows=rows, columns=columns, where=where, pool=pool
        )

    def plot(
        self, kind: str = "stability", folder: Path | None = None, **choice: Any
    ) -> tuple[Path, Path]:
        """Draw a map and save it as PNG and SVG.

        Args:
            kind: `stability` or `onset`.
            folder: where to; `figures/` in the result folder if None.
            choice: see `stability_map`.

        Returns:
            The paths of the two files.

        Raises:
            ResultError: another kind, or an axis the sweep does not have.
        """
        if kind not in KINDS:
            raise ResultError(f"expected a map of {' or '.join(KINDS)}, got {kind!r}.")
        chosen = self.stability_map(**choice)
        title = f"{self.config.name}: {_TITLES[kind]}"
        draw = figures.draw_onset if kind == "onset" else figures.draw_stability
        target = folder or self.folder / "figures"
        target.mkdir(parents=True, exist_ok=True)
        return figures.save(draw(chosen, title), target, kind)

    def save(self) -> list[Path]:
        """Write the table, the summary and the figures into the result folder.

        Returns:
            The files written.
        """
        parquet, csv = self.folder / "trials.parquet", self.folder / "trials.csv"
        write_parquet(self.trials, parquet)
        write_csv(self.trials, csv)
        target = self.folder / "summary.json"
        write_json({**self.summary.to_json(), "provenance": dict(self.provenance)}, target)
        drawn = [path for kind in KINDS for path in self.plot(kind)]
        return [parquet, csv, target, *drawn]

    def _open(self) -> SQLiteStore:
        return SQLiteStore(self.folder / DATABASE, read_only=True)


_TITLES = {"stability": "where training is stable", "onset": "when it failed"}


def open_result(path: str | Path) -> Result:
    """Open a result folder, complete or not, for reading.

    Raises:
        ResultError: there is no result at `path`, or it is damaged.
    """
    folder = Path(path)
    if not (folder / DATABASE).is_file():
        what = "no such folder" if not folder.exists() else f"a folder without {DATABASE}"
        raise ResultError(
            f"{folder}: expected a result folder (results/NAME, written by"
            f" 'stabilitysweep run'), got {what if folder.is_dir() or not folder.exists() else 'a file'}."
        )
    result = Result(folder)
    _ = result.config  # reads the record, so that a damaged one is refused here
    return result


def _setting_of_the_time(axis: str, record: ConfigRecord) -> Any:
    """Return the fixed value an axis had under the config a trial was trained with."""
    return _label(parse_config(record.resolved).values(axis)[0])


def _label(value: Any) -> Any:
    return getattr(value, "label", value)


def _sort_key(column: pd.Series[Any], values: Sequence[Any]) -> pd.Series[Any]:
    """Rank an axis column in the order of the grid, numbers by size."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    order = {str(_label(value)): place for place, value in enumerate(values)}
    return column.map(lambda value: order.get(str(value), len(order)))


__all__ = ["KINDS", "Result", "caption", "open_result"]
