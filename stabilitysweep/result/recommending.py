"""Results as sources of picks, and the configs that are made of what was found in them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.analysis.advice import Change
from stabilitysweep.analysis.axes import make_axes, value_label
from stabilitysweep.analysis.picks import Pick, Recommendation, recommend
from stabilitysweep.analysis.standing import Source
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.config import DATASET, DatasetSettings, SweepConfig, parse_config
from stabilitysweep.config.rewritten import (
    as_text,
    other_name,
    plain_content,
    with_axes,
    with_values,
)
from stabilitysweep.errors import ConfigError, ResultError
from stabilitysweep.extension import difference
from stabilitysweep.recorded import label, with_alike
from stabilitysweep.result.searched import pick_text
from stabilitysweep.result.stored import StoredTrials

_WIDTH = 76
_MORE_SEEDS = ("sweep with more, or confirm", "search with more executions_per_trial")
_OF_THE_DATA = (
    "dataset", "preprocessing.", "training.loss", "training.metrics", "training.steps",
    "training.epochs",
)  # fmt: skip
"""Settings in which results may differ, since they belong to the data or to the budget."""


def recommended(
    results: Sequence[tuple[StoredTrials, pd.DataFrame | None, Sequence[Withdrawn]]],
    *,
    margin: float,
    metric: str | None,
    count: int,
    where: Mapping[str, Any] | None,
    with_configs: bool = True,
) -> Recommendation:
    """Find safe settings in results, with a config for each; see `Result.recommend`.

    Args:
        results: at least one, each with its boundaries, None without a learning-rate axis,
            and with the cells that long runs have withdrawn.
        margin: see `picks.recommend`, as for the others.
        metric: see there.
        count: see there.
        where: see there.
        with_configs: whether to make them; they take longer than the picks.

    Raises:
        ResultError: see there; or the results differ in more than their data.
    """
    stored = [result for result, _, _ in results]
    first = stored[0]
    # It may name a combination that was not trained since it trains as another.
    sources = sources_of([(result, bounds) for result, bounds, _ in results], alike=bool(where))
    found = recommend(
        sources,
        margin=margin,
        metric=metric,
        count=count,
        where=where,
        settings=_settings(first),
        withdrawn=[withdrawn for _, _, withdrawn in results],
    )
    notes = found.notes
    if first.config.recorded is not None:
        notes = tuple(note.replace(*_MORE_SEEDS) for note in notes)
    budgets = dict.fromkeys(
        f"{result.config.training.steps or result.config.training.epochs} "
        f"{'steps' if result.config.training.steps else 'epochs'}"
        for result in stored
    )
    if len(budgets) > 1:
        notes = (*notes, f"the results have different budgets: {', '.join(budgets)}")
    if not with_configs:
        return replace(found, notes=notes)
    configs = tuple(
        _pick_config(stored, pick, place, found) for place, pick in enumerate(found.picks, 1)
    )
    following = None if found.picks else _next_config(stored, found, where or {})
    return replace(found, notes=notes, configs=configs, next_config=following)


def sweep_config(result: StoredTrials) -> str | None:
    """Return the config of a sweep as YAML, to be run anywhere; None of a recorded search.

    So of a result that holds some cells of a grid alone, which are another command's.
    """
    config = result.config
    if config.recorded is not None or config.cells is not None:
        return None
    return _commented("", config) + as_text(plain_content(config))


def sources_of(
    results: Sequence[tuple[StoredTrials, pd.DataFrame | None]], *, alike: bool
) -> list[Source]:
    """Return results as sources of picks, all with the same axes.

    Args:
        results: at least one, each with its boundaries, None without a learning-rate axis.
        alike: whether combinations that were not trained, since they train as others, are among
            the trials.

    Raises:
        ResultError: a result twice, or results that differ in more than their data.
    """
    stored = [result for result, _ in results]
    folders = [result.folder.resolve() for result in stored]
    for place, other in enumerate(stored[1:], 1):
        if folders[place] in folders[:place]:
            raise ResultError(f"expected different results, got {other.folder} twice.")
        _require_alike(stored[0], other)
    names = list(dict.fromkeys(axis for result in stored for axis in result.axes))
    return [
        _source(result, bounds, names, called, alike)
        for (result, bounds), called in zip(results, _labels(stored), strict=True)
    ]


def _require_alike(first: StoredTrials, other: StoredTrials) -> None:
    conflicts = [
        line
        for line in difference(first.config.resolved(), other.config.resolved())
        if not line.startswith(_OF_THE_DATA)
    ]
    if conflicts:
        lines = "\n".join(f"  {line}" for line in conflicts)
        raise ResultError(
            f"expected results that differ in their data alone; {first.folder} and "
            f"{other.folder} have no settings in common:\n{lines}"
        )


def _labels(stored: Sequence[StoredTrials]) -> list[str]:
    """What each result's data set is called: its label, and the folder where that is no name."""
    own = [
        result.config.datasets[0].label if DATASET not in result.axes else result.folder.name
        for result in stored
    ]
    if len(set(own)) == len(own):
        return own
    return [
        f"{result.folder}" if DATASET in result.axes else f"{name} ({result.folder})"
        for name, result in zip(own, stored, strict=True)
    ]


def _source(
    result: StoredTrials,
    bounds: pd.DataFrame | None,
    names: Sequence[str],
    called: str,
    alike: bool,
) -> Source:
    """A result as a source, with an axis of one value for each that only another one has."""
    axes, trials = dict(result.axes), result.trials
    if alike:
        trials = with_alike(trials, result.models)
    if DATASET in axes:  # one that earlier runs had can be named in no config any more
        known = [dataset.label for dataset in result.config.datasets]
        axes[DATASET] = tuple(value for value in axes[DATASET] if value in known)
        trials = trials.loc[trials[DATASET].isin(known)]
    for name in names:
        if name in axes or name == DATASET:
            continue
        value = _fixed_value(result, name)
        axes[name] = (value,)
        column = pd.Series([value] * len(trials), index=trials.index, dtype=object)
        trials = trials.assign(**{name: column})
        if bounds is not None:
            bounds = bounds.assign(**{name: pd.Series([value] * len(bounds), dtype=object).values})
    return Source(
        called,
        trials,
        axes,
        seeds=len(result.config.seeds),
        boundaries=bounds,
        rate=result.rate,
    )


def fixed_values(result: StoredTrials, setting: str) -> list[Any]:
    """Return the values that a setting has in a result where it is no axis; none if unknown."""
    if setting in result.fixed:
        return [result.fixed[setting]]
    try:
        values: Sequence[Any] = result.config.values(setting)
    except KeyError:
        values = ()
    return list(map(label, values or result.models.get("defaults", {}).get(setting, ())))


def _fixed_value(result: StoredTrials, axis: str) -> Any:
    """The one value that a setting has in a result where it is no axis."""
    values = fixed_values(result, axis)
    if len(values) != 1:
        raise ResultError(
            f"expected results with the same axes; {result.folder} has no {axis}, and another has."
        )
    return values[0]


def _settings(result: StoredTrials) -> dict[str, Any]:
    """What advice goes by, as far as it is one value."""
    config = result.config
    found: dict[str, Any] = {"steps": config.training.steps, "epochs": config.training.epochs}
    for name in ("precision", "imputation"):
        values = config.values(name)
        if len(values) == 1:
            found[name] = values[0]
    if result.rate not in config.grid:
        found["learning_rate"] = result.fixed.get("learning_rate")
    return found


def _merged(stored: Sequence[StoredTrials]) -> list[tuple[DatasetSettings, SweepConfig]]:
    """The data sets of all results, where one config can train on all; else of the first."""
    first = stored[0].config

    def rest(config: SweepConfig) -> dict[str, Any]:
        content = plain_content(config)
        kept = {name: content.get(name) for name in ("preprocessing", "training")}
        for axis in {name for result in stored for name in result.axes}:
            for section in kept.values():
                if section:
                    section.pop(axis, None)
        return kept

    if any(rest(result.config) != rest(first) for result in stored[1:]):
        return [(dataset, first) for dataset in first.datasets]
    found: dict[str, tuple[DatasetSettings, SweepConfig]] = {}
    for result in stored:
        for dataset in result.config.datasets:
            found.setdefault(dataset.label, (dataset, result.config))
    return list(found.values())


def _pick_config(
    stored: Sequence[StoredTrials], pick: Pick, place: int, found: Recommendation
) -> str:
    result = stored[0]
    listed = _merged(stored) if len(stored) > 1 else []
    shown = value_label(pick.score)
    recorded = result.config.recorded
    if recorded is not None:
        said = (
            f"Pick {place} of {result.folder}: the trial of its cell with the best {pick.metric} "
            "of those that keep the margin, as the search ran it. Give these values to the build."
        )
        best = pick.metric, found.higher_is_better
        limit = None if pick.safe is None or found.margin is None else pick.safe / found.margin
        comment = _commented(said, result.config)
        return pick_text(result.trials, result.config, pick.axes, comment, best, limit)
    content = with_values(
        result.config,
        pick.axes,
        name=other_name(result.config.name, f"pick{place}"),
        kept=result.rate,
        idle=_idle(result, pick.axes),
        datasets=[] if DATASET in pick.axes else listed,
    )
    said = (
        f"Pick {place} of {', '.join(str(each.folder) for each in stored)}: {pick.metric} {shown}"
    )
    if len(pick.per_dataset) > 1:
        said += f" in {pick.dataset}"
    if pick.rate is not None and pick.safe is not None:
        said += f", nothing failed up to {pick.safe / pick.rate:.3g} times this learning rate"
    said += f" in {pick.steps:,} steps" if pick.steps else ""
    said += f", {pick.seeds} seed{'s' * (pick.seeds > 1)}."
    if len(found.datasets) > 1 and len(listed or result.config.datasets) < len(found.datasets):
        said += f" It is safe in {', '.join(found.datasets)}."
    return _commented(said, result.config) + as_text(content)


def _next_config(
    stored: Sequence[StoredTrials], found: Recommendation, where: Mapping[str, Any]
) -> str | None:
    """The config that the advice comes to; None where it changes nothing in it."""
    result = stored[0]
    config = result.config
    if config.recorded is not None:  # a search is no sweep to be run
        return None
    held = {
        name: _on_axis(config, name, (value,)) for name, value in where.items() if name != DATASET
    }
    axes: dict[str, Any] = {name: values for name, values in held.items() if values}
    datasets = _merged(stored) if len(stored) > 1 else []
    if DATASET in where:
        known = datasets or [(dataset, config) for dataset in config.datasets]
        datasets = [each for each in known if each[0].label == str(where[DATASET])]
    unchanged = dict(axes)
    factor = 1
    for advice in found.advice:
        match advice.change:
            case Change.RATES if advice.axis is not None:
                low, high, number = advice.values
                axes[advice.axis] = {"from": low, "to": high, "num": number, "scale": "log"}
            case Change.STEPS:
                factor = int(advice.values[0])
            case Change.VALUES if advice.axis in config.grid:
                if kept := _on_axis(config, str(advice.axis), advice.values):
                    axes[str(advice.axis)] = kept
            case Change.PRECISION:
                axes["precision"] = [*config.values("precision"), *advice.values]
            case Change.IMPUTATION if advice.axis is not None:
                axes[advice.axis] = list(advice.values)
    if axes == unchanged and factor == 1:
        return None
    content = with_axes(
        config,
        axes,
        name=other_name(config.name, "next"),
        budget=factor,
        datasets=datasets,
    )
    text = as_text(content)
    try:
        parse_config(text)
    except ConfigError:  # as where a model of the user's own decides on the learning rate
        return None
    changes = "; ".join(
        str(advice)
        for advice in found.advice
        if advice.change not in (Change.FINISH, Change.REFINE, Change.MARGIN)
    )
    said = f"After {result.folder}, where {found.reason} Changed: {changes}."
    return _commented(said, config) + text


def _on_axis(config: SweepConfig, name: str, values: Sequence[Any]) -> list[Any]:
    """The values of an axis of the grid that are among others, as the config has them."""
    if name not in config.grid:
        return []
    axis = make_axes({name: list(map(label, config.grid[name]))})[name]
    wanted = {axis.index_of(value) for value in values} - {None}
    return [value for value in config.grid[name] if axis.index_of(label(value)) in wanted]


def _idle(result: StoredTrials, values: Mapping[str, Any]) -> list[str]:
    """The `hp` that make no difference beside the others: the build may not even ask for them."""
    alike, names = result.models.get("alike", ()), list(result.models.get("axes", ()))
    if not alike:
        return []
    full = dict(values)
    if DATASET in names and DATASET not in full:
        full[DATASET] = result.config.datasets[0].label
    if not set(names) <= full.keys():
        return []
    own = [full[name] for name in names]
    same = [other for other, cell in alike if cell == own]
    idle = []
    for column, name in enumerate(names):
        others = [value for value in result.config.grid.get(name, ()) if value != own[column]]
        swapped = [[*own[:column], value, *own[column + 1 :]] for value in others]
        if name in result.config.hp_axes and others and all(row in same for row in swapped):
            idle.append(name)
    return idle


def _commented(text: str, config: SweepConfig) -> str:
    """A text as the comment at the top of a config, with where its code is looked for."""
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    lines += [f"Run it in {home}, where {module} is." for module, home in _homes(config)]
    return "".join(f"# {line}\n" for line in lines)


def _homes(config: SweepConfig) -> Iterator[tuple[str, Path]]:
    """The user's modules that a config names, each with the folder it is found in."""
    named = [config.model.build, *(dataset.function for dataset in config.datasets)]
    modules = dict.fromkeys(name.partition(":")[0].partition(".")[0] for name in named if name)
    base = config.base_folder.absolute()
    for module in modules:
        for folder in (Path.cwd(), base, base.parent):
            if (folder / module).is_dir() or (folder / f"{module}.py").is_file():
                yield module, folder
                break
