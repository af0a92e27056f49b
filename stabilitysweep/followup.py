"""Sweeps that follow from a result: other rates, seeds or steps for some of its cells.

Each is trained into a folder of its own inside that result's, by the same engine and store, so
that the grid's own table stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.building import changed_build
from stabilitysweep.config import (
    DATASET,
    SECTIONS,
    DatasetSettings,
    SweepConfig,
    parse_config,
)
from stabilitysweep.config.selection import cell_key, plain_seeds
from stabilitysweep.errors import ResultError
from stabilitysweep.execution import Options, Plan, carry_out, plan
from stabilitysweep.folder import DATABASE, is_begun
from stabilitysweep.runner import Progress, Sweep, changed_data, load_sweep
from stabilitysweep.store import DIGESTS, ConfigRecord, SQLiteStore

Cell = Mapping[str, Any]
"""The value of each axis, or several, as the trials table has them; of data sets the label."""


def follow_up(
    config: SweepConfig,
    folder: Path,
    cells: Sequence[Cell],
    *,
    seeds: range | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    options: Options | None = None,
    observe: Callable[[Progress], None] | None = None,
    beside: Path | None = None,
) -> Plan:
    """Train what is missing of some cells into a folder of their own.

    Args:
        config: of the sweep that is followed, with its base folder.
        folder: where to; a result folder of an earlier follow-up is extended.
        cells: see `derived`.
        seeds: those of the config if None.
        steps: the budget; that of the config if this and `epochs` are None.
        epochs: the budget in epochs instead.
        options: how to train.
        observe: called before the first and after every stack.
        beside: the result that is followed; its data must be what they were.

    Returns:
        What was done.

    Raises:
        ResultError: what is stored in `folder` means something else; the data have changed
            since the sweep; the folder cannot be written, or another run is using it.
        UserError: the data cannot be loaded.
        KeyboardInterrupt: passed on; the same call goes on where it stopped.
    """
    own = derived(config, cells, seeds=seeds, steps=steps, epochs=epochs)
    try:
        todo = plan(own, folder, options or Options())
    except ResultError:
        if beside is not None and is_begun(folder):  # is it the followed sweep that has changed?
            refuse_changes(load_sweep(own), beside)
        raise
    if beside is not None:
        refuse_changes(todo.sweep, beside)
    if observe is not None:
        observe(Progress(total=todo.work.trials + len(todo.sweep.failed)))
    carry_out(todo, observe)
    return todo


def derived(
    config: SweepConfig,
    cells: Sequence[Cell],
    *,
    seeds: range | None = None,
    steps: int | None = None,
    epochs: int | None = None,
) -> SweepConfig:
    """Return the config of a follow-up: the same sweep, of some cells only.

    An axis that no cell names has all of its values. One that the config does not have, since
    only an earlier config of the result had it, becomes one.

    Args:
        config: of the sweep that is followed.
        cells: at least one; values may be others than the config's.
        seeds: those of the config if None.
        steps: the budget; that of the config if this and `epochs` are None.
        epochs: the budget in epochs instead.

    Raises:
        ResultError: a data set that the config does not have.
        ConfigError: a value that is none of its axis.
        ValueError: no cell.
    """
    if not cells:
        raise ValueError("cells: expected at least one")
    content = config.resolved()
    plain = [{axis: _values(config, axis, own) for axis, own in cell.items()} for cell in cells]
    for axis in dict.fromkeys(axis for cell in plain for axis in cell):
        used = _different(value for cell in plain for value in cell.get(axis, ()))
        if any(axis not in cell for cell in plain):
            used = _different([*used, *_own_values(config, axis)])
        content["grid"][axis] = _ordered(used, _own_values(config, axis))
        for section in SECTIONS:
            content[section].pop(axis, None)
    if any(DATASET in cell for cell in plain):
        content["grid"][DATASET] = _data_sets(config, content["grid"][DATASET])
        content.pop(DATASET, None)
    content["cells"] = [
        {axis: own[0] if len(own) == 1 else own for axis, own in cell.items()} for cell in plain
    ]
    if seeds is not None:
        content["seeds"] = plain_seeds(seeds)
    if steps is not None or epochs is not None:
        content["training"] |= {"steps": steps, "epochs": epochs}
    return parse_config(content, source="the follow-up", base_folder=config.base_folder)


def refuse_changes(sweep: Sweep, followed: Path) -> None:
    """Check that a sweep is of the data, and the build, that another's result is of.

    Args:
        sweep: loaded.
        followed: a result folder.

    Raises:
        ResultError: the data or the build have changed since.
    """
    records, digests = _recorded(followed)
    changed = changed_data(sweep, records)
    changed += changed_build(sweep.config, sweep.firsts, digests)
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise ResultError(
            f"{followed}: expected what its trials were trained on, which has changed since:\n"
            f"{lines}\nPut the old back, or run the sweep again with --fresh (the old folder is "
            "kept beside)."
        )


def refuse_changed_build(config: SweepConfig, cells: Sequence[Cell], followed: Path) -> None:
    """Build the user's models of cells that a result has, and check that they are the same.

    What a build makes of settings that it was never asked for cannot be compared: so before
    cells at other settings are trained, some of the result's own are looked at.

    Args:
        config: of the result; nothing is done without a `model.build`.
        cells: of the result.
        followed: its folder.

    Raises:
        ResultError: the data or the build have changed since.
        UserError: the data cannot be loaded.
    """
    if config.model.build is not None and cells:
        refuse_changes(load_sweep(derived(config, cells, seeds=config.seeds[:1])), followed)


def _recorded(folder: Path) -> tuple[list[ConfigRecord], dict[str, str]]:
    with SQLiteStore(folder / DATABASE, read_only=True) as store:
        return store.configs(), dict(store.meta().get(DIGESTS, {}))


def _values(config: SweepConfig, axis: str, given: Any) -> list[Any]:
    """Values of a cell as a config has them."""
    several = given if isinstance(given, list | tuple) else [given]
    known = {cell_key(value): value for value in _own_values(config, axis)}
    return _different(known.get(cell_key(_plain(value)), _plain(value)) for value in several)


def _own_values(config: SweepConfig, axis: str) -> list[Any]:
    """The values of a setting in a config, data sets by their label."""
    return [getattr(value, "label", value) for value in config.values(axis)]


def _ordered(used: Iterable[Any], known: Sequence[Any]) -> list[Any]:
    """The values used: numbers by size, others in the order of the config, those it lacks last."""
    values = list(used)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return sorted(values)
    place = {cell_key(value): number for number, value in enumerate(known)}
    return sorted(values, key=lambda value: place.get(cell_key(value), len(place)))


def _different(values: Iterable[Any]) -> list[Any]:
    return list({cell_key(value): value for value in values}.values())


def _plain(value: Any) -> Any:
    """A value of the table as Python's own; what is missing there is None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if not isinstance(value, str) and pd.isna(value) else value


def _data_sets(config: SweepConfig, labels: Sequence[Any]) -> list[dict[str, Any]]:
    known: dict[str, DatasetSettings] = {own.label: own for own in config.datasets}
    missing = [str(label) for label in labels if label not in known]
    if missing:
        raise ResultError(
            f"expected data sets of the sweep's last config ({', '.join(known)}), got "
            f"{', '.join(missing)}. Run the sweep with all of them once more."
        )
    return [
        known[label].model_dump(mode="json", exclude_none=True, exclude=known[label].unsaid())
        for label in labels
    ]
