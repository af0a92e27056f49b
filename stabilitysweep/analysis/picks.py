"""Safe hyperparameters, each with its evidence; or why there are none, and what to change.

What safe means, and how cells stand, is in `standing`; what to change is in `advice`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.analysis.advice import Advice, advise
from stabilitysweep.analysis.metric import choose_metric
from stabilitysweep.analysis.standing import DATASET, Source, Standing, make_panels, standing
from stabilitysweep.analysis.table import beside
from stabilitysweep.analysis.withdrawn import (
    Withdrawn,
    none_left,
    withdrawn_cells,
    withdrawn_notes,
)
from stabilitysweep.errors import ResultError

_MARGIN = 2.0
_COUNT = 3
_FEW_SEEDS = 3
_HALF = ("float16", "mixed_float16")
_LOW_HEADROOM = 1.0


@dataclass(frozen=True, slots=True)
class BestAnywhere:
    """The cell with the best score of a data set, be it safe or not.

    Attributes:
        axes: its value on each axis.
        score: its median over the seeds, failed ones counted as the worst.
        trials: its trials.
        stable: of them, those that are stable.
        margin: how many times its learning rate the boundary of its slice is; below 1 above
            the boundary, None where it is not known.
    """

    axes: Mapping[str, Any]
    score: float
    trials: int
    stable: int
    margin: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a pick in one data set.

    Attributes:
        dataset: what the data set is called.
        score: the median over the seeds.
        cost: by how much it is worse than the best cell anywhere, relative to that.
        best_anywhere: that cell.
        safe: the largest learning rate at and below which nothing failed, None if unknown.
        failing: the smallest that fails, None where none does.
        open_ended: whether nothing failed up to the top of the grid.
        islands: runs of stable learning rates above the first failure.
        refined: whether the boundary was looked for between the grid's learning rates.
        headroom_bits: the least of its trials, None where it is not known.
        seeds: distinct seeds of its cell.
        trials: trials of its cell and of all those up to the margin: none of them failed.
        steps: budget that all this holds for.
    """

    dataset: str
    score: float
    cost: float
    best_anywhere: BestAnywhere
    safe: float | None
    failing: float | None
    open_ended: bool
    islands: int
    refined: bool
    headroom_bits: float | None
    seeds: int
    trials: int
    steps: int | None


@dataclass(frozen=True, slots=True)
class Pick:
    """Settings that are safe.

    Attributes:
        axes: a value on each axis; without the data set where the pick holds for several.
        rate: its learning rate, None without such an axis.
        metric: the name of what `score` is.
        score: the median over the seeds; of several data sets in the one where it costs most.
        safe: the largest learning rate at and below which nothing failed, in the data set
            where it is lowest; None without a learning-rate axis.
        failing: the smallest that fails, in the data set where it is lowest; None if none does.
        margin_decades: log10(safe / rate); None without a learning-rate axis.
        open_ended: whether no failure was met in any data set, up to the top of the grid.
        headroom_bits: the least of its trials, None where it is not known.
        safety_cost: by how much it is worse than the best cell anywhere, relative to that; of
            several data sets the largest.
        best_anywhere: that cell, in that data set.
        per_dataset: the evidence, data set by data set.
        seeds: distinct seeds of its cell; of several data sets the fewest.
        trials: trials of its cells and of all those up to the margin, in all data sets.
        steps: budget that all this holds for; of several data sets the smallest.
    """

    axes: Mapping[str, Any]
    rate: float | None
    metric: str
    score: float
    safe: float | None
    failing: float | None
    margin_decades: float | None
    open_ended: bool
    headroom_bits: float | None
    safety_cost: float
    best_anywhere: BestAnywhere
    per_dataset: tuple[Evidence, ...]
    seeds: int
    trials: int
    steps: int | None

    @property
    def dataset(self) -> str:
        """The data set in which it costs most."""
        return max(self.per_dataset, key=lambda found: found.cost).dataset

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "axes": dict(self.axes)}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Picks, best first; or why there are none, and what to change.

    Attributes:
        picks: safe settings, best first; empty if there are none.
        metric: what they are ranked by.
        higher_is_better: its direction.
        margin: factor in learning rate that every pick keeps from the boundary; None without a
            learning-rate axis, where it is not known.
        datasets: what every pick is safe in.
        cells: cells that every data set has.
        complete: of them, those with all their seeds, in every data set.
        good: of these, those whose every seed is stable, in every data set.
        safe: of these, those that keep the margin, in every data set.
        alone: for each data set, the cells that are safe in it by itself.
        notes: what else must be known.
        reason: why there are no picks; None if there are.
        advice: what to change, the most promising first; empty if there are picks.
        configs: a config as YAML for each pick; empty unless made for a result.
        next_config: the config to run next, as YAML, where there are no picks.
        withdrawn: safe cells that are left out, since long runs of them failed.
    """

    picks: tuple[Pick, ...]
    metric: str
    higher_is_better: bool
    margin: float | None
    datasets: tuple[str, ...]
    cells: int
    complete: int
    good: int
    safe: int
    alone: Mapping[str, int]
    notes: tuple[str, ...] = ()
    reason: str | None = None
    advice: tuple[Advice, ...] = ()
    configs: tuple[str, ...] = field(default=(), repr=False)
    next_config: str | None = field(default=None, repr=False)
    withdrawn: tuple[Withdrawn, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each pick, best first.

        Columns: `pick` from 1; one an axis; the metric, `safety_cost`, `safe`, `failing`,
        `margin_decades`, `open_ended`, `headroom_bits`, `seeds`, `trials`, `steps`; and with
        several data sets the metric in each as `METRIC in DATASET`. What is not known is NaN.
        """
        rows = []
        for place, pick in enumerate(self.picks, 1):
            row: dict[str, Any] = {"pick": place, pick.metric: pick.score}
            for name in _NUMBERS:
                value = getattr(pick, name)
                row[name] = math.nan if value is None else value
            if len(pick.per_dataset) > 1:
                row |= {f"{pick.metric} in {e.dataset}": e.score for e in pick.per_dataset}
            rows.append({"pick": place} | beside(pick.axes, row))
        return pd.DataFrame(rows, columns=None if rows else ["pick", self.metric, *_NUMBERS])

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, for `write_json`."""
        configs = self.configs or (None,) * len(self.picks)
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "margin": self.margin,
            "datasets": list(self.datasets),
            "cells": self.cells,
            "complete_cells": self.complete,
            "stable_cells": self.good,
            "safe_cells": self.safe,
            "safe_cells_by_dataset": dict(self.alone),
            "withdrawn": [cell.to_json() for cell in self.withdrawn],
            "notes": list(self.notes),
            "picks": [
                {**pick.to_json(), "config": config}
                for pick, config in zip(self.picks, configs, strict=True)
            ],
            "reason": self.reason,
            "advice": [advice.to_json() for advice in self.advice],
            "next_config": self.next_config,
        }

    def _repr_html_(self) -> str:
        """The table of picks as a notebook shows it, or why there are none."""
        if self.picks:
            return str(self.to_frame().to_html(index=False, float_format="{:.4g}".format))
        lines = (self.reason or "", *map(str, self.advice))
        escaped = (line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)
        return "".join(f"<p>{line}</p>" for line in escaped)


_NUMBERS = (
    "safety_cost", "safe", "failing", "margin_decades", "open_ended", "headroom_bits", "seeds",
    "trials", "steps",
)  # fmt: skip


def recommend(
    sources: Sequence[Source],
    *,
    margin: float = _MARGIN,
    metric: str | None = None,
    count: int = _COUNT,
    where: Mapping[str, object] | None = None,
    settings: Mapping[str, Any] | None = None,
    withdrawn: Sequence[Sequence[Withdrawn]] = (),
) -> Recommendation:
    """Find safe settings.

    They are ranked by how much worse their score is than that of the best cell anywhere, in the
    data set where that is most.

    Args:
        sources: results on the same axes; each value of an axis `dataset` is a data set of its
            own, and so is each source.
        margin: factor in learning rate that a pick keeps from the boundary, at least 1.
        metric: see `metric.choose_metric`.
        count: the largest number of picks, at least 1.
        where: axes to hold at one value, each with the value or its text.
        settings: of those that are no axis: `learning_rate`, `precision`, `imputation`, `steps`
            and `epochs`, as far as they are known; advice goes by them.
        withdrawn: for each source, cells that are no picks since long runs of them failed.

    Raises:
        ResultError: no source, different axes, an axis, value or metric there is none of, or a
            margin or count out of range.
    """
    if not (isinstance(margin, int | float | np.number) and math.isfinite(margin) and margin >= 1):
        raise ResultError(f"margin: expected a factor of at least 1, got {margin!r}.")
    if not (isinstance(count, int | np.integer) and count >= 1):
        raise ResultError(f"count: expected a whole number of at least 1, got {count!r}.")
    if not sources:
        raise ResultError("expected at least one result, got none.")
    if len({source.rate for source in sources}) > 1:
        names = " and ".join(dict.fromkeys(source.rate for source in sources))
        raise ResultError(f"expected one axis of the learning rate in all results, got {names}.")
    panels = make_panels(sources, where or {})
    if len({panel.label for panel in panels}) < len(panels):
        labels = ", ".join(panel.label for panel in panels)
        raise ResultError(f"expected data sets that can be told apart, got {labels}.")
    if not any(len(panel.trials) for panel in panels):
        raise ResultError("expected trials to pick from; there are none yet. Run the sweep first.")
    chosen, note = choose_metric([panel.trials for panel in panels], metric)
    stands = standing(sources, chosen, margin, panels)
    if not stands.shared.any():
        raise ResultError(_nothing_shared(stands))
    left_out = withdrawn_cells(stands, withdrawn)
    picks = tuple(_picks(stands, count, left_out))
    shared, complete = stands.shared, stands.complete.all(axis=0) & stands.asked
    good = stands.good.all(axis=0) & stands.asked
    reason, advice = (None, ()) if picks else advise(stands, settings or {})
    if left_out and not picks:
        reason, advice = none_left(len(left_out), settings or {})
    return Recommendation(
        picks,
        chosen.column,
        chosen.higher_is_better,
        margin if stands.rate else None,
        tuple(panel.label for panel in panels),
        cells=int(shared.sum()),
        complete=int(complete.sum()),
        good=int(good.sum()),
        safe=int(stands.safe.all(axis=0).sum()),
        alone={
            panel.label: int(safe.sum()) for panel, safe in zip(panels, stands.safe, strict=True)
        },
        notes=(*_notes(stands, note, picks), *withdrawn_notes(list(left_out.values()))),
        reason=reason,
        advice=advice,
        withdrawn=tuple(left_out.values()),
    )


def _nothing_shared(stands: Standing) -> str:
    for name, axis in stands.axes.items():
        own = [set(map(axis.index_of, panel.axes[name].values)) for panel in stands.panels]
        if not set.intersection(*own):
            listed = "; ".join(
                f"{panel.label} has {', '.join(panel.axes[name].labels)}" for panel in stands.panels
            )
            return f"expected combinations that all data sets have; of {name}, {listed}."
    return "expected combinations that all data sets have; there are none yet."


def _picks(stands: Standing, count: int, left_out: Collection[int]) -> Iterator[Pick]:
    safe = np.flatnonzero(stands.safe.all(axis=0))
    cost = stands.costs.max(axis=0)
    rates = np.where(stands.rates == 0, np.nan, stands.rates)
    room = np.nan_to_num(stands.safe_rate.min(axis=0) / rates)
    # Ties go to the wider margin, then to the order of the grid: never to that of the rows.
    order = safe[np.lexsort((safe, -room[safe], stands.costs.mean(axis=0)[safe], cost[safe]))]
    # Combinations that train the same are one, be it picked or left out.
    seen = {_first_trial(stands, cell) for cell in left_out}
    most = count + len(seen)
    for cell in order:
        trial = _first_trial(stands, int(cell))
        if trial in seen:
            continue
        seen.add(trial)
        yield _pick(stands, int(cell))
        if len(seen) == most:
            return


def _first_trial(stands: Standing, cell: int) -> str:
    panel = stands.panels[0]
    return str(panel.trials["trial_id"].to_numpy()[stands.rows(0, cell)].min())


def _pick(stands: Standing, cell: int) -> Pick:
    found = tuple(_evidence(stands, panel, cell) for panel in range(len(stands.panels)))
    worst = max(found, key=lambda evidence: evidence.cost)
    safe = _least(evidence.safe for evidence in found)
    rate = None if stands.rate is None else float(stands.rates[cell])
    return Pick(
        axes=_axes(stands, 0 if len(found) == 1 else None, cell),
        rate=rate,
        metric=stands.metric.column,
        score=worst.score,
        safe=safe,
        failing=_least(evidence.failing for evidence in found),
        margin_decades=None if safe is None or rate is None else math.log10(safe / rate),
        open_ended=all(evidence.open_ended for evidence in found),
        headroom_bits=_least(evidence.headroom_bits for evidence in found),
        safety_cost=worst.cost,
        best_anywhere=worst.best_anywhere,
        per_dataset=found,
        seeds=min(evidence.seeds for evidence in found),
        trials=sum(evidence.trials for evidence in found),
        steps=_least(evidence.steps for evidence in found),
    )


def _evidence(stands: Standing, panel: int, cell: int) -> Evidence:
    best = stands.best[panel]
    if best is None:
        best = cell  # not met: a safe cell has a score
    bound = _known(stands.safe_rate[panel, best]) if stands.rates[best] else None
    steps = _known(stands.steps[panel, cell])
    return Evidence(
        dataset=stands.panels[panel].label,
        score=float(stands.score[panel, cell]),
        cost=float(stands.costs[panel, cell]),
        best_anywhere=BestAnywhere(
            axes=_axes(stands, panel, best),
            score=float(stands.score[panel, best]),
            trials=int(stands.trials[panel, best]),
            stable=int(stands.stable[panel, best]),
            margin=None if bound is None else bound / float(stands.rates[best]),
        ),
        safe=_known(stands.safe_rate[panel, cell]),
        failing=_known(stands.failing_rate[panel, cell]),
        open_ended=bool(stands.open_ended[panel, cell]),
        islands=int(stands.islands[panel, cell]),
        refined=bool(stands.refined[panel, cell]),
        headroom_bits=_known(stands.headroom[panel, cell]),
        seeds=int(stands.seeds[panel, cell]),
        trials=int(stands.trials[panel][stands.window(cell)].sum()),
        steps=None if steps is None else int(steps),
    )


def _axes(stands: Standing, panel: int | None, cell: int) -> dict[str, Any]:
    """The values of a cell on the axes, with the data set first where there is one to be named."""
    named = stands.settings(cell)
    of = None if panel is None else stands.panels[panel].dataset
    return named if of is None else {DATASET: of, **named}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _least(values: Iterator[Any] | Any) -> Any:
    return min((value for value in values if value is not None), default=None)


def _notes(stands: Standing, note: str | None, picks: Sequence[Pick]) -> Iterator[str]:
    if note is not None:
        yield note
    shared = stands.shared
    if several := int(stands.asked.sum()) - int(shared.sum()):
        yield f"{several:,} cells are not in every data set, and left out"
    lacking = int((shared & ~stands.complete.all(axis=0)).sum())
    if lacking:
        yield f"{lacking:,} cells lack seeds, not run yet or crashed, and are no picks"
    tables = [panel.boundaries for panel in stands.panels if panel.boundaries is not None]
    if partial := sum(int(table["partial"].sum()) for table in tables):
        counted = "1 refined learning rate lacks seeds and counts"
        if partial > 1:
            counted = f"{partial:,} refined learning rates lack seeds and count"
        yield f"{counted} for nothing: run refine again"
    if stands.rate is None:
        yield "the learning rate is no axis, so the margin to the boundary is not known"
    seeds = min((pick.seeds for pick in picks), default=_FEW_SEEDS)
    if seeds < _FEW_SEEDS:
        counted = "1 seed says" if seeds == 1 else f"{seeds} seeds say"
        yield f"{counted} little of others: sweep with more, or confirm"
    for place, pick in enumerate(picks, 1):
        bits = pick.headroom_bits
        if pick.axes.get("precision") in _HALF and bits is not None and bits < _LOW_HEADROOM:
            yield f"pick {place} comes within {bits:.1f} bits of overflow in half precision"
        ragged = [evidence.dataset for evidence in pick.per_dataset if evidence.islands]
        if ragged:
            yield f"pick {place}: above its boundary stable and failing rates alternate"
