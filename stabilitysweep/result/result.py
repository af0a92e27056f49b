"""A result folder opened for reading: its maps, its figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from stabilitysweep.analysis import (
    CellValue,
    Curves,
    StabilityMap,
    curves,
    joined,
    sensitivity,
    stability_map,
)
from stabilitysweep.analysis.axes import make_axes
from stabilitysweep.analysis.comparison import Comparison
from stabilitysweep.analysis.picks import Pick, Recommendation
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import DATABASE, FIGURES, in_words, make_folder, other_than_a_result
from stabilitysweep.longruns import SEEDS, Budget, Confirmation, LongRuns, long_run
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.recorded import subject, with_alike
from stabilitysweep.result import pictures, proved, searched
from stabilitysweep.result.compared import compared
from stabilitysweep.result.narrowed import NarrowedTrials
from stabilitysweep.result.notebook import result_html
from stabilitysweep.result.recommending import recommended
from stabilitysweep.result.saved import SUMMARY, TABLE, sealed
from stabilitysweep.store import write_csv, write_json, write_parquet

if TYPE_CHECKING:
    from stabilitysweep.runner import Progress


class Result(NarrowedTrials):
    """What a sweep found.

    Attributes:
        folder: the result folder.
    """

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """`boundaries`, and beside them how much the learning rate matters.

        See `analysis.sensitivity` for the columns.

        Raises:
            ResultError: the learning rate is no axis of numbers.
        """
        return self.sensitivity_between(None)

    def sensitivity_between(self, rates: tuple[float, float] | None) -> pd.DataFrame:
        """Return `sensitivity`, taken over a part of the learning rates.

        Args:
            rates: the lowest and the highest learning rate, both included; None for all.

        Raises:
            ResultError: the learning rate is no axis of numbers, or has no value between them.
        """
        others = {name: values for name, values in self.axes.items() if name != self.rate}
        trials = with_alike(self.trials, self.models)
        found = sensitivity(trials, self.axes, self.rate, rates)
        return joined(self.boundaries, found, others)

    @property
    def _has_rate(self) -> bool:
        axis = make_axes(self.axes).get(self.rate)
        return axis is not None and axis.numeric

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
        picks: Sequence[Any] | None = None,
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
            picks: cells to mark, the best first: picks of `recommend`, or for each a mapping of
                axes to values.

        Raises:
            ResultError: an axis or value that the sweep does not have, or a limit.
        """
        if self.config.recorded is not None and not (x or y or rows or columns or pool):
            pool = searched.scattered(self.trials, self.axes, self.rate, where or {})
        found = stability_map(
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
            boundaries=self.boundaries if self._has_rate else None,
            picks=pictures.picked(picks),
            rate=self.rate,
        )
        # A sweep of some cells of its grid lacks no trial of the others.
        return found if self.summary.missing else replace(found, missing=0)

    def curves(
        self,
        quantity: Literal["boundary", "sensitivity"] = "boundary",
        x: str | None = None,
        by: str | None = None,
        where: Mapping[str, Any] | None = None,
        pool: str | Sequence[str] = (),
    ) -> Curves:
        """Return the largest stable learning rate, or the sensitivity to it, along an axis.

        Args:
            quantity: `boundary` or `sensitivity`; see the columns of `sensitivity`.
            x: horizontal axis; a sensible one if None, as is the other.
            by: axis with a line for each value.
            where: axes to hold at one value.
            pool: axes to spread over although they could be lines.

        Raises:
            ResultError: an axis or value that the sweep does not have.
        """
        return curves(
            self.sensitivity if quantity == "sensitivity" else self.boundaries,
            self.axes,
            quantity,
            x=x,
            by=by,
            where=where,
            pool=[pool] if isinstance(pool, str) else pool,
            rate=self.rate,
        )

    def figure_data(self, kind: str = "stability", **choice: Any) -> StabilityMap | Curves:
        """Return what `plot` would draw; its `to_frame()` is the figure's data as a table.

        Args:
            kind: see `plot`.
            choice: see `plot`.

        Raises:
            ResultError: see `plot`.
        """
        pictures.require_kind(kind)
        placed = pictures.places(kind, choice)
        if kind in pictures.MAPS:
            return self.stability_map(**placed, value=self._value(kind))
        return self.curves("boundary" if kind == "boundary" else "sensitivity", **placed)

    def plot(
        self,
        kind: str = "stability",
        folder: str | Path | None = None,
        data: str | Path | None = None,
        **choice: Any,
    ) -> tuple[Path, Path]:
        """Draw a figure and save it as PNG and SVG.

        A figure of chosen axes has them in its file name, and so leaves the usual one alone.

        Args:
            kind: a map: `stability`; `onset`, the step; `learning`, the final over the initial
                loss; `best_loss`, the lowest batch loss; `cause`, why trials failed; `headroom`,
                the least bits left below the largest finite number; or `underflow`, the share of
                float32's nonzero gradient entries that became zero. Or along an axis:
                `boundary`, the largest stable learning rate, or `sensitivity`, how much it matters.
            folder: where to; `figures/` in the result folder if None.
            data: a file for the figure's data, ending in `.csv`, `.parquet` or `.json`.
            choice: for a map see `stability_map`: `theory=True` draws the limit over it, `picks`
                marks cells. For the others see `curves`.

        Returns:
            The paths of the two pictures.

        Raises:
            ResultError: another kind, an axis the sweep does not have, or nothing to draw.
        """
        shown = self.figure_data(kind, **choice)
        title = f"{subject(self.config)}: {pictures.TITLES[kind]}"
        if self.thresholds is not None:
            title += f" ({self.thresholds})"
        if data is not None:
            pictures.table_writer(Path(data))(shown.to_frame(), Path(data))
        named = dict(choice) | ({"picks": True} if choice.get("picks") is not None else {})
        return self._drawn(kind, shown, title, folder, self._judged_by(named))

    def _drawn(
        self,
        kind: str,
        shown: StabilityMap | Curves,
        title: str,
        folder: str | Path | None,
        named: Mapping[str, Any],
    ) -> tuple[Path, Path]:
        from stabilitysweep import figures

        target = self.folder / FIGURES if folder is None else Path(folder)
        make_folder(target)
        try:
            return figures.save(
                pictures.draw(kind, shown, title), target, figures.stem(kind, named)
            )
        except OSError as error:
            raise ResultError(
                f"{target}: the figure cannot be written: {in_words(error)}."
            ) from error

    def recommend(
        self,
        *others: Result,
        margin: float = 2.0,
        metric: str | None = None,
        count: int = 3,
        where: Mapping[str, Any] | None = None,
    ) -> Recommendation:
        """Find safe settings, each with its evidence and a config; or what to change.

        A pick has every seed stable in its cell and in every cell up to `margin` times its
        learning rate, in every data set. See `analysis.picks.recommend` for the order.

        Args:
            others: results of other data sets, in which the picks are to be safe too.
            margin: the factor in learning rate to keep from the boundary, at least 1.
            metric: `val_loss`, `final_loss` or `val_METRIC`, with `:max` or `:min` behind it
                where the name does not tell which is better; None is `val_loss`, or
                `final_loss` without validation rows.
            count: the largest number of picks.
            where: axes to hold at one value, such as `{"precision": "mixed_float16"}`.

        Raises:
            ResultError: a metric, axis or value there is none of, or results that differ in
                more than their data.
        """
        return recommended(
            [each._picked_from() for each in (self, *others)],
            margin=margin,
            metric=metric,
            count=count,
            where=where,
        )

    def _picked_from(
        self, besides: Budget | None = None
    ) -> tuple[Result, pd.DataFrame | None, list[Withdrawn]]:
        """What picks come from; long runs of a budget `besides` do not count against them."""
        bounds = self.boundaries if self._has_rate else None
        return self, bounds, proved.withdrawn(self, self.long_runs, besides)

    def compare(
        self, *others: Result, by: str | None = None, where: Mapping[str, Any] | None = None
    ) -> Comparison:
        """Compare this result with others, or its own data sets; see `stabilitysweep.compare`.

        Raises:
            ResultError: nothing to compare, one folder twice, or no axis in common.
        """
        results = (self, *others)
        pairs = [(each, each.boundaries if each._has_rate else None) for each in results]
        return compared(pairs, by, where)

    @property
    def long_runs(self) -> list[LongRuns]:
        """The long runs that the result holds, the shortest first; see docs/confirm.md."""
        return proved.long_runs(self, lambda folder: open_result(folder, self.thresholds))

    @property
    def confirmations(self) -> pd.DataFrame:
        """The long runs as a table, one row a cell and budget.

        A column an axis; `steps` or `epochs`; `runs` that could be made, how many `survived`
        (neither diverged nor became non-finite), their `share` with its exact 95 % interval
        from `low` to `high`; how many of them `stalled`; how many runs `crashed`; `first_onset`
        and `median_onset` of those that became non-finite; `causes` of the failures; median
        `val_loss` of those that survived.
        """
        return proved.confirmations(self.long_runs)

    def confirm(
        self,
        cells: Iterable[Pick | Mapping[str, Any]] | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        steps: int | None = None,
        seeds: int = SEEDS,
        count: int | None = None,
        until: int | None = None,
        margin: float | None = None,
        metric: str | None = None,
        workers: int | None = None,
        executor: str = "local",
        ray_address: str | None = None,
        observe: Callable[[Progress], None] | None = None,
    ) -> Confirmation:
        """Train cells for the long run, with fresh seeds, and add what survived to the result.

        Args:
            cells: picks of `recommend`, or mappings of axes to values, best first; an axis left out
                means all its values. None: those of `where`, or what `recommend` finds.
            where: axes to hold at one value: all cells of the grid that have it; none is as None.
            steps: how long; None is 50 times the budget of the sweep.
            seeds: how many, those after the seeds of the sweep.
            count: how many picks; None is 3. Like `margin` and `metric` only of picks: to be
                left out where `cells` or `where` is given.
            until: try one after another until so many have survived; None tries all.
            margin: of the picks, see `recommend`; None is 2.
            metric: what the picks are ranked by, see `recommend`.
            workers: see `refine`.
            executor: see `refine`.
            ray_address: see `refine`.
            observe: called after every stack.

        Returns:
            The cells with what became of them, and the verdict on each.

        Raises:
            UserError: an argument that is out of range, no cell to confirm, data that have
                changed since the sweep, or no Ray.
            KeyboardInterrupt: passed on; the same call goes on where it stopped.
        """
        self.config.require_sweep(self.folder)
        if cells is None and not where:
            # What these runs themselves have withdrawn is tried as before: the same call goes on.
            picked = recommended(
                [self._picked_from(long_run(self.config, steps))],
                margin=2.0 if margin is None else margin,
                metric=metric,
                count=len(self.trials) if until else 3 if count is None else count,
                where=None,
                with_configs=False,
            )
            if not picked.picks:
                raise ResultError(f"there is no pick to confirm: {picked.reason}")
            cells = picked.picks
        else:
            proved.refuse_picking(count=count, margin=margin, metric=metric)
        done = proved.confirm(
            self,
            proved.asked(self, cells, where),
            steps=steps,
            seeds=seeds,
            until=until,
            place={"workers": workers, "executor": executor, "ray_address": ray_address},
            observe=observe,
            opened=lambda folder: open_result(folder, self.thresholds),
        )
        open_result(done.folder).save(figures=False)
        if self.thresholds is None:
            write_json(self.to_json(), self.folder / "summary.json")
        return done

    def to_json(self) -> dict[str, Any]:
        """Return summary, refined boundary, long runs and provenance, as in `summary.json`."""
        found = super().to_json()
        provenance = {"provenance": found.pop("provenance")}
        return found | {"confirmed": [each.to_json() for each in self.long_runs]} | provenance

    def _repr_html_(self) -> str:
        """Outcomes, boundary and a few trials, for notebooks."""
        return result_html(self.config.name, self.axes, self.summary, self.trials)

    def save(self, figures: bool = True) -> list[Path]:
        """Write the table, the summary and the figures into the result folder.

        Args:
            figures: whether they are drawn.

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
        table, parquet, csv = self._marked(), self.folder / TABLE, self.folder / "trials.csv"
        write_parquet(table, parquet)
        write_csv(self.trials, csv)
        target = self.folder / SUMMARY
        write_json(self.to_json() | sealed(table, parquet), target)
        drawn = [path for kind in pictures.ALWAYS_DRAWN * figures for path in self.plot(kind)]
        return [parquet, csv, target, *drawn]

    def _value(self, kind: str) -> CellValue | None:
        """Return the number that a kind of map shows.

        Raises:
            ResultError: no trial has one.
        """
        value = pictures.VALUES.get(kind)
        if value and kind in pictures.LACKING and self.trials[value.column].isna().all():
            raise ResultError(f"{self.folder}: there is nothing to draw: {pictures.LACKING[kind]}.")
        return value

    def _judged_by(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        """Add thresholds that are not the stored ones to what a figure's file is named after."""
        if self.thresholds is None:
            return dict(choice)
        return {**choice, "judged": [f"{value:g}" for value in asdict(self.thresholds).values()]}


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
