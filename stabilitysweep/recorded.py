"""What a record tells of a sweep's settings, those that only a user's models know included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stabilitysweep.analysis import RATE
from stabilitysweep.config import COMPILED_SETTINGS, SweepConfig, parse_config
from stabilitysweep.store import DIGESTS, VERDICTS, ConfigRecord


def models_of(record: ConfigRecord) -> dict[str, Any]:
    """Return what a user's models are, see `building.models_in_words`; empty for the built-in."""
    return dict(record.provenance.get("models", {}))


def with_alike(table: pd.DataFrame, models: Mapping[str, Any]) -> pd.DataFrame:
    """Add the trials of combinations that train the same as others: what those others did.

    So a map has no holes where an `hp` has no effect.

    Args:
        table: the trials table, with a column for each axis of the last run.
        models: see `building.models_in_words`.

    Returns:
        The table, with more rows; those added have the id of the trial that they repeat.
    """
    alike, names = models.get("alike", ()), list(models.get("axes", ()))
    if not alike:
        return table
    rows: dict[tuple[Any, ...], list[int]] = {}
    for place, values in enumerate(table[names].itertuples(index=False, name=None)):
        rows.setdefault(values, []).append(place)
    found = [(own, place) for own, cell in alike for place in rows.get(tuple(cell), ())]
    if not found:
        return table
    added = table.iloc[[place for _, place in found]].reset_index(drop=True)
    for column, name in enumerate(names):
        own_values = pd.Series([own[column] for own, _ in found], dtype=object)
        added[name] = own_values.astype(table[name].dtype)
    return pd.concat([table, added], ignore_index=True)


def refined_alike(table: pd.DataFrame, models: Mapping[str, Any], rate: str) -> pd.DataFrame:
    """Add refined trials of combinations that train the same as others, as `with_alike` does.

    Args:
        table: trials at rates between those of the grid.
        models: see `building.models_in_words`.
        rate: the axis of the learning rate.
    """
    names = list(models.get("axes", ()))
    if rate not in names:
        return table
    at = names.index(rate)
    others = [name for name in names if name != rate]
    slices = {
        (tuple(own[:at] + own[at + 1 :]), tuple(cell[:at] + cell[at + 1 :]))
        for own, cell in models.get("alike", ())
        if own[at] == cell[at]
    }
    parts = [table]
    for own, cell in sorted(slices, key=repr):
        if own != cell:
            rows = [row == cell for row in zip(*(table[name] for name in others), strict=True)]
            values = dict(zip(others, own, strict=True))
            added = table.loc[rows]
            parts.append(added.assign(**values).astype(table[others].dtypes.to_dict()))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else table


def disagreements(provenance: Mapping[str, Any]) -> list[str]:
    """Return why programs of a user's models were trained one by one, a line each."""
    verdicts = provenance.get(VERDICTS, {}).values()
    return sorted(verdict["text"] for verdict in verdicts if not verdict["agrees"])


def provenance_of(record: ConfigRecord, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a result comes from, as a reader wants it: lists of cells by their length.

    Args:
        record: of the last run.
        meta: the facts about the whole record.
    """
    facts = {**record.provenance, **meta, "started": record.created}
    facts.pop(DIGESTS, None)
    if "models" in facts:
        facts["models"] = {
            name: len(value) if name in ("failed", "alike") else value
            for name, value in facts["models"].items()
        }
    return facts


def setting_of(axis: str, record: ConfigRecord) -> Any:
    """Return the fixed value that a setting had under the config a trial was trained with.

    Of a user's build that is what its models had, where the config does not say; None if not
    all of them had the same.
    """
    config = parse_config(record.resolved)
    values = list(config.values(axis))
    models = models_of(record)
    said = models.get("training" if axis in COMPILED_SETTINGS else "defaults", {})
    if axis in said and axis not in config.given:
        values = said[axis] if len(said[axis]) == 1 else []
    return label(values[0]) if values else None


def causal_settings(record: ConfigRecord) -> dict[str, Any]:
    """Return the settings that causes are judged by, as far as all trials share them."""
    found = {name: setting_of(name, record) for name in ("precision", "loss", RATE, "optimizer")}
    targets = models_of(record).get("target")
    if targets:  # the form says whether the loss is one of those that are known to be regular
        found["loss"] = targets[0] if len(targets) == 1 else None
    return found


def shared_settings(config: SweepConfig, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that all trials share, those that are off left out.

    Of a user's build also the `hp` that took their default and, where its models are
    compiled, their optimizer, loss and learning rate: what all models have alike.
    """
    of_models = dict(models.get("defaults", {}))
    if models.get("compiled"):
        own = models["training"]
        of_models |= {"optimizer": models["optimizer"], "loss": models["loss"]}
        of_models |= {RATE: own[RATE]} if RATE in own else {}
    return config.fixed() | {
        name: values[0]
        for name, values in of_models.items()
        if len(values) == 1 and name not in config.grid
    }


def label(value: Any) -> Any:
    """A value as the table has it: a data set by its label."""
    return getattr(value, "label", value)


def subject(config: SweepConfig) -> str:
    """Say what was swept: `regression (diabetes, 100 steps)`, as far as it is one thing."""
    datasets, budgets = config.datasets, config.values("steps")
    if config.recorded is not None:
        return f"{config.name} (recorded from {config.recorded.tuner})"
    parts = [datasets[0].label] if len(datasets) == 1 else []
    if config.training.epochs is not None:
        parts.append(f"{config.training.epochs:,} epochs")
    elif len(budgets) == 1:
        parts.append(f"{budgets[0]:,} steps")
    return f"{config.name} ({', '.join(parts)})" if parts else config.name
