"""The largest box of safe cells of a result, and the search space that it is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from stabilitysweep.analysis.axes import Axis
from stabilitysweep.analysis.picks import Pick
from stabilitysweep.analysis.region import OffMap, Region
from stabilitysweep.analysis.safe_box import SafeBox, safe_box
from stabilitysweep.analysis.safety import cell_states, joint_axes
from stabilitysweep.analysis.standing import make_panels
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.config import AXIS_SETTINGS, SweepConfig
from stabilitysweep.errors import ResultError, TrialError
from stabilitysweep.result.recommending import recommended, sources_of
from stabilitysweep.result.searched import EXACT, hp_columns
from stabilitysweep.result.summed_up import SummedUpTrials

if TYPE_CHECKING:
    from stabilitysweep.models.search_space import SearchSpace, Span

_OF_A_RANGE = 5
"""So many evenly spaced values are taken for a range of the config: a list is seldom so even."""
_EVEN = 1e-6


class NarrowedTrials(SummedUpTrials):
    """The trials of a sweep, and what of their settings is safe to search in.

    Attributes:
        folder: the result folder.
    """

    def _picked_from(self) -> tuple[Any, pd.DataFrame | None, list[Withdrawn]]:
        """What picks come from: the result, its boundaries, the cells withdrawn by long runs."""
        raise NotImplementedError

    def safe_box(
        self,
        *others: Self,
        pick: Pick | Mapping[str, Any] | None = None,
        where: Mapping[str, Any] | None = None,
        margin: float = 2.0,
        metric: str | None = None,
    ) -> SafeBox:
        """Find the largest box of safe cells that contains the best pick.

        A box takes neighbouring values of each axis of numbers and any values of the others, and
        has all their combinations. A cell is safe here if all its seeds were trained and none
        diverged or became non-finite, in any data set, nor in a long run of `confirm`; one that
        stalls is safe. How the data are prepared (the settings of `preprocessing`) is held at
        what the pick has, since that is decided before a search. See `analysis.safe_box`.

        Args:
            others: results of other data sets, in which the box is to be safe too.
            pick: a pick of `recommend`, or a mapping of every axis to a value; None is the first
                pick.
            where: axes to hold at one value, such as `{"precision": "float32"}`; `dataset` among
                them where it is an axis, or the box is safe in all of them.
            margin: of the pick, see `recommend`; the box itself goes up to the boundary.
            metric: what the pick is chosen by, see `recommend`.

        Raises:
            ResultError: no pick, a pick that is no safe cell, an axis or value there is none of,
                or results that differ in more than their data.
        """
        each = [result._picked_from() for result in (self, *others)]
        withdrawn = [own for _, _, own in each]
        sources = sources_of([(result, bounds) for result, bounds, _ in each], alike=True)
        panels = make_panels(sources, where or {})
        axes = joint_axes(panels)
        if pick is None:
            found = recommended(
                each, margin=margin, metric=metric, count=1, where=where, with_configs=False
            )
            if not found.picks:
                raise ResultError(f"there is no pick to begin a box from: {found.reason}")
            pick = found.picks[0]
        cell = dict(pick.axes if isinstance(pick, Pick) else pick)
        cell = {name: axes[name].values[0] for name in axes if len(axes[name]) == 1} | cell
        if panels[0].held is not None:
            cell[self.rate] = panels[0].held
        held = {name: None for name in axes if name in (where or {}) or _is_of_the_data(name)}
        return safe_box(
            cell_states(panels, axes, withdrawn),
            axes,
            cell,
            held=held,
            datasets=[panel.label for panel in panels],
        )

    def hyperparameters(
        self,
        *others: Self,
        pick: Pick | Mapping[str, Any] | None = None,
        where: Mapping[str, Any] | None = None,
        margin: float = 2.0,
        metric: str | None = None,
        unswept: str = "fixed",
    ) -> SearchSpace:
        """Return the largest box of safe cells as a search space, a `keras_tuner.HyperParameters`.

        What a user's build asks for keeps its kind, sampling, step and conditional scopes, within
        the box. Another axis is a `Float` or an `Int` if it was given as a range, an ordered
        `Choice` if it was a list, and `Fixed` where one value is left; so is an axis that the box
        holds. Null is no value of KerasTuner's: an axis whose pick is null is left out, so that
        a search takes its own default. The defaults are the pick. `safe_box` says what is left
        out.

        Args:
            others: see `safe_box`, as for the next four.
            pick: see there.
            where: see there.
            margin: see there.
            metric: see there.
            unswept: what becomes of an `hp` of the build that is no axis: `fixed` at the value
                that the map was measured at, or as it is `declared`, beyond what was measured.
                A recorded search varied it, so it stays as declared either way: the space has
                none of it, and `fixed` warns.

        Raises:
            ResultError: see `safe_box`; another `unswept`; or a build that cannot be asked.
        """
        if unswept not in ("fixed", "declared"):
            raise ResultError(f"unswept: expected 'fixed' or 'declared', got {unswept!r}.")
        box = self.safe_box(*others, pick=pick, where=where, margin=margin, metric=metric)
        from stabilitysweep.models.search_space import search_space

        # What was recorded from a search belongs to the program that searched.
        asks = self.config.model.build is not None and self.config.recorded is None
        if self.config.recorded is not None and unswept == "fixed":
            _warn_of_varied(self)
        return search_space(
            spans_of(self, box),
            _declared(self.config) if asks else None,
            self._measured_at() if unswept == "fixed" else None,
        )

    def _measured_at(self) -> dict[str, Any]:
        """The one value of each `hp` that is no axis."""
        defaults = dict(self.models.get("defaults", {}))
        found = {name: values[0] for name, values in defaults.items() if len(values) == 1}
        return {**found, **dict(self.config.model.hp)}


def region_of(
    results: Sequence[NarrowedTrials],
    where: Mapping[str, object] | None = None,
    *,
    margin: float = 1.0,
    off_map: OffMap = "refuse",
) -> Region:
    """Put the maps of results together, to ask whether settings are safe in all of them.

    Args:
        results: at least one, which differ in their data alone.
        where: see `analysis.region.Region`, as for the others.
        margin: see there.
        off_map: see there.

    Raises:
        ResultError: see there; or results that differ in more than their data.
    """
    each = [result._picked_from() for result in results]
    sources = sources_of([(result, bounds) for result, bounds, _ in each], alike=True)
    withdrawn = [own for _, _, own in each]
    return Region(sources, where, margin=margin, off_map=off_map, withdrawn=withdrawn)


def spans_of(result: NarrowedTrials, box: SafeBox) -> list[Span]:
    """Return the axes of a box as a search is to see them."""
    from stabilitysweep.models.search_space import Span

    spans = []
    for name, values in {
        **box.axes,
        **{name: (value,) for name, value in box.held.items()},
    }.items():
        kind, sampling, step = "choice", "linear", None
        if name in box.numeric:
            everything = Axis(name, tuple(sorted(result.axes.get(name, values))), numeric=True)
            kind, sampling, step = _range_of(everything, values)
        spans.append(Span(name, values, box.pick[name], kind, sampling, step))
    return spans


def _range_of(axis: Axis, values: tuple[Any, ...]) -> tuple[str, str, int | None]:
    """Kind, sampling and step of numbers that a config gave as a range; a choice of others."""
    numbers = axis.numbers
    setting = AXIS_SETTINGS.get(axis.name)
    if len(numbers) < _OF_A_RANGE or (setting is not None and setting.kind == "choice"):
        return "choice", "linear", None
    whole = all(isinstance(value, int) for value in axis.values)
    steps = np.diff(numbers)
    linear = bool(np.allclose(steps, steps[0], rtol=_EVEN, atol=0))
    logarithmic = bool(
        numbers[0] > 0 and np.allclose(np.diff(np.log(numbers)), np.log(numbers[1] / numbers[0]))
    )
    if whole and linear:
        return "whole", "linear", int(steps[0])
    if whole:
        return "choice", "linear", None
    if linear or logarithmic:
        return "real", "linear" if linear else "log", None
    return "choice", "linear", None


def _warn_of_varied(result: NarrowedTrials) -> None:
    columns = hp_columns(result.trials, result.config)
    names = [name for name in columns if not name.startswith(EXACT)]
    if names:
        warnings.warn(
            f"hyperparameters: no axis of the recorded search, which varied them: "
            f"{', '.join(names)}. They stay as the build declares them, and the box holds only for "
            "what was tried of them (unswept='declared' says that this is meant).",
            stacklevel=3,
        )


def _is_of_the_data(name: str) -> bool:
    setting = AXIS_SETTINGS.get(name)
    return setting is not None and setting.section == "preprocessing"


def _declared(config: SweepConfig) -> SearchSpace:
    """What the build of a config asks for.

    Raises:
        ResultError: it cannot be found or built.
    """
    from stabilitysweep.models.search_space import declared_space
    from stabilitysweep.models.user_builds import UserBuild

    base = config.base_folder.absolute()
    folders = list(dict.fromkeys([Path.cwd(), base, base.parent]))
    try:
        with UserBuild(str(config.model.build), folders) as build:
            return declared_space(build.declare)
    except TrialError as error:
        raise ResultError(f"hyperparameters: {error}") from error
