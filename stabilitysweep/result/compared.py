"""Results made into the members of a comparison, and what is written of one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.analysis import RATE
from stabilitysweep.analysis.alignment import Member, split
from stabilitysweep.analysis.comparison import Comparison, compare
from stabilitysweep.analysis.side_by_side import side_by_side
from stabilitysweep.config.axes import SECTIONS
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import in_words, make_folder
from stabilitysweep.recorded import label, with_alike
from stabilitysweep.result.stored import StoredTrials
from stabilitysweep.store import write_csv, write_json

DATASET = "dataset"

Source = tuple[StoredTrials, pd.DataFrame | None]
"""A result, and its boundaries along the learning rate, None without such an axis."""

_LONGEST_STEM = 100
_OF_THE_DATA = ("validation_fraction", "split_seed")
_OFF = (None, 0, False, "none")


def compared(
    sources: Sequence[Source],
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare results, or the parts of one.

    Args:
        sources: the results, each with its boundaries.
        by: the axis to take results apart along; None takes one result apart along its data
            sets, and leaves several whole unless the data set is an axis of some of them alone.
        where: axes to hold at one value.

    Raises:
        ResultError: one folder twice, one result without the axis to take it apart along, or
            what `analysis.comparison.compare` refuses.
    """
    _refuse_twice([stored.folder for stored, _ in sources])
    axis, rate = _axis_between(sources, by), _common_rate(sources)
    members: list[Member] = []
    for (stored, boundaries), name in zip(sources, _names(sources), strict=True):
        whole = _member(stored, boundaries, name, rate)
        if axis is None or axis not in whole.axes:
            members.append(whole)
            continue
        complete = stored.summary.missing == 0
        parts = split(whole, axis, complete=complete)
        if len(sources) > 1:
            parts = [replace(part, name=f"{name}: {part.name}") for part in parts]
        members += parts
    kind = axis if axis is not None and len(sources) == 1 else "result"
    if len(members) == 1:
        raise ResultError(
            f"{sources[0][0].folder}: expected several values of {axis} to compare, got one "
            f"({members[0].name}). Give another result, or another axis with --by."
        )
    return compare(members, kind=kind, where=where, rate=rate)


def _axis_between(sources: Sequence[Source], by: str | None) -> str | None:
    """The axis that results are taken apart along, None to leave them whole."""
    having = [stored for stored, _ in sources if (by or DATASET) in stored.axes]
    if by is not None:
        if not having:
            each = ", ".join(dict.fromkeys(name for stored, _ in sources for name in stored.axes))
            raise ResultError(f"by: expected an axis of the results ({each}), got {by!r}.")
        return by
    if len(sources) == 1 and not having:
        stored = sources[0][0]
        raise ResultError(
            f"{stored.folder}: expected a second result, or one with the data set as an axis; "
            f"this one has {', '.join(stored.axes)}. Give another result, or compare along one "
            "of its axes with --by."
        )
    if len(sources) == 1:
        return DATASET
    # As an axis of all it is shared, as any other is.
    return DATASET if having and len(having) < len(sources) else None


def _refuse_twice(folders: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for folder in folders:
        real = os.path.realpath(folder)
        if real in seen:
            both = str(folder) if folder == seen[real] else f"{seen[real]} and {folder}"
            raise ResultError(f"expected different results, got one folder twice: {both}.")
        seen[real] = folder


def _names(sources: Sequence[Source]) -> list[str]:
    """The folders' names, with as many of the folders above as it takes to differ."""
    paths = [Path(os.path.realpath(stored.folder)).parts for stored, _ in sources]
    for length in range(1, max(map(len, paths)) + 1):
        names = [str(Path(*parts[-length:])) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def _common_rate(sources: Sequence[Source]) -> str:
    """What the axis of the learning rate is called in the comparison."""
    rates = {stored.rate for stored, _ in sources}
    return rates.pop() if len(rates) == 1 else RATE


def _member(stored: StoredTrials, boundaries: pd.DataFrame | None, name: str, rate: str) -> Member:
    """A whole result as a member, its axis of the learning rate called `rate`."""
    trials, axes = with_alike(stored.trials, stored.models), dict(stored.axes)
    if stored.rate != rate and stored.rate in axes and rate not in trials:
        called = {stored.rate: rate}
        trials = trials.rename(columns=called)
        boundaries = None if boundaries is None else boundaries.rename(columns=called)
        axes = {called.get(axis, axis): values for axis, values in axes.items()}
    datasets = stored.config.datasets
    return Member(
        name=name,
        trials=trials,
        axes=axes,
        settings=_settings(stored),
        boundaries=boundaries,
        missing=stored.summary.missing,
        budget=_budget(stored),
        dataset=datasets[0].label if len(datasets) == 1 else None,
        seeds=len(stored.config.seeds),
    )


def _budget(stored: StoredTrials) -> str:
    training = stored.config.training
    if training.epochs is not None:
        return "1 epoch" if training.epochs == 1 else f"{training.epochs:,} epochs"
    return "1 step" if training.steps == 1 else f"{training.steps or 0:,} steps"


def _settings(stored: StoredTrials) -> dict[str, Any]:
    """Every setting that may make results differ, those that are off included.

    Those without effect are left out, as are those that only a user's models know and do not
    have alike.
    """
    config, provenance = stored.config, stored.provenance
    found: dict[str, Any] = dict(stored.fixed)
    for section in SECTIONS:
        if section == "model" and config.model.build is not None:
            continue
        for name in type(getattr(config, section)).model_fields:
            own = name not in config.grid and name not in found
            if section == "training" and config.model.build is not None:
                own &= name in config.given
            if own and (value := getattr(getattr(config, section), name)) in _OFF:
                found[name] = value
    found["build"] = config.model.build
    if config.recorded is None:  # of a search the data are not known
        found |= _data_settings(stored)
    trials = stored.trials
    found["seeds"] = len(config.seeds)
    for name in ("engine", "compiled"):
        if trials[name].nunique() == 1:
            found[name] = str(trials[name].dropna().iloc[0])
    found |= provenance.get("thresholds", {})
    versions = provenance.get("versions", {})
    found |= {name: versions[name] for name in ("tensorflow", "keras") if name in versions}
    return {**found, "name of the learning rate": stored.rate}


def _data_settings(stored: StoredTrials) -> dict[str, Any]:
    """How the data is split, where that is one thing, and a digest of each data set."""
    datasets = stored.config.datasets
    found: dict[str, Any] = {}
    if DATASET not in stored.axes:
        found[DATASET] = label(datasets[0])
    for name in _OF_THE_DATA:
        values = {getattr(dataset, name) for dataset in datasets}
        if len(values) == 1:
            found[name] = values.pop()
    hashes = stored.provenance.get("data", {})
    return found | {f"content of {name}": digest[:8] for name, digest in hashes.items()}


def title_of(comparison: Comparison, sources: Sequence[StoredTrials]) -> str:
    """What a figure of a comparison is called, with the steps its verdicts hold for."""
    budgets = list(dict.fromkeys(member.budget for member in comparison.members))
    steps = f" ({' and '.join(budgets)})"
    if comparison.kind == "result":
        return f"{len(comparison.members)} results{steps}: where training is stable"
    values = f"{len(comparison.members)} values of {comparison.kind}"
    if comparison.kind == DATASET:
        values = f"{len(comparison.members)} data sets"
    return f"{sources[0].config.name}{steps}: where training is stable, {values}"


def write_comparison(
    comparison: Comparison,
    folder: Path,
    title: str,
    *,
    x: str | None = None,
    y: str | None = None,
    rows: str | None = None,
    where: Mapping[str, Any] | None = None,
    judged: str | None = None,
) -> list[Path]:
    """Write figure, table and JSON of a comparison: all of them, or none.

    Args:
        comparison: what is written.
        folder: where to; made if it is not there.
        title: of the figure.
        x: see `side_by_side`, as are the others.
        y: see `x`.
        rows: see `x`.
        where: what was held, for the files' name.
        judged: the thresholds that trials were judged anew by, for the files' name.

    Returns:
        `compare_NAMES.png`, `.svg`, `.csv` (a row a shared cell) and `.json`, with what was
        chosen in their name.

    Raises:
        ResultError: an axis that is not shared, or the files cannot be written.
    """
    # Drawing is slow to import, and comparing needs none of it.
    from stabilitysweep.figures.comparison import draw_comparison
    from stabilitysweep.figures.save import save, stem

    data = side_by_side(comparison, x=x, y=y, rows=rows)
    figure = draw_comparison(data, title)
    chosen = {"x": x, "y": y, "rows": rows, "where": dict(where or {}), "judged": judged}
    name = stem(f"compare_{_called(comparison)}", chosen)
    make_folder(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".compare-", dir=folder) as apart:
            whole = Path(apart)
            save(figure, whole, name)
            write_csv(comparison.to_frame(), whole / f"{name}.csv")
            write_json(comparison.to_json(), whole / f"{name}.json")
            written = []
            for ending in ("png", "svg", "csv", "json"):
                path = folder / f"{name}.{ending}"
                os.replace(whole / path.name, path)
                written.append(path)
    except OSError as error:
        raise ResultError(
            f"{folder}: the comparison cannot be written: {in_words(error)}."
        ) from error
    return written


def _called(comparison: Comparison) -> str:
    """The members' names in one, short enough for the name of a file."""
    if comparison.kind != "result":
        return comparison.kind
    name = "_".join(re.sub(r"[^\w.=-]+", "-", each) for each in comparison.names)
    if len(name) <= _LONGEST_STEM:
        return name
    return f"{name[: _LONGEST_STEM - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
