"""Whether a config extends the trials of another one, or changes what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stabilitysweep.config import DATASET, SECTIONS, SweepConfig, parse_config
from stabilitysweep.grid import DECIDED_BY, dataset_text, decided, with_whole_numbers

_MOST_SHOWN = 6  # values of an axis that a message repeats


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What keeps a new config from extending the trials of an old one.

    The rule: each setting has a set of values in a config, that of its axis, or the one of
    its section. It is a **conflict** if the new set has no value in common with the old one:
    then none of the stored trials is in the new grid. A grid is the product of its settings'
    sets, so without a conflict at least one stored trial is, and the new config extends the
    old: with more or fewer values, axes or seeds, an axis that contains the old fixed value,
    a fixed value that the old axis contains. A changed set of `training.metrics` is a
    conflict too, since the stored rows lack columns. `name` and the order of anything are
    not compared.

    Values are compared as resolved, as far as that goes without the data: null for
    `weight_decay` and `target_scaling` is the default of the optimizer and the loss. A
    batch size is compared as it is written (`full` and 353 are different), and so are
    `steps` and `epochs`.

    Args:
        old: `SweepConfig.resolved` of the stored config.
        new: `SweepConfig.resolved` of the config to run.

    Returns:
        A line for each conflict, such as `training.steps: 100 -> 200`; empty if none.

    Raises:
        ConfigError: one of the two is no config.
    """
    before = parse_config(old, source="the stored config")
    after = parse_config(new, source="the new config")
    lines = _dataset_conflicts(before, after)
    for section, model in SECTIONS.items():
        for setting in model.model_fields:
            values, others = before.values(setting), after.values(setting)
            if setting == "metrics":
                in_conflict = set(values[0]) != set(others[0])
            else:
                in_conflict = _meanings(before, setting, after).isdisjoint(
                    _meanings(after, setting, before)
                )
            if in_conflict:
                lines.append(f"{section}.{setting}: {_shown(values)} -> {_shown(others)}")
    return lines


def _meanings(config: SweepConfig, setting: str, other: SweepConfig) -> set[Any]:
    """The values a setting means, each with the value that decides on its null."""
    if setting not in DECIDED_BY:
        return set(config.values(setting))
    by = DECIDED_BY[setting][0]
    common = set(config.values(by)) & set(other.values(by))
    if not common:  # then `by` is in conflict itself, and this one need not add to it
        return set(config.values(setting))
    return {
        (decider, decided(setting, value, decider))
        for decider in common
        for value in config.values(setting)
    }


def _dataset_conflicts(before: SweepConfig, after: SweepConfig) -> list[str]:
    contents = [
        {dataset_text(dataset): dataset for dataset in config.datasets}
        for config in (before, after)
    ]
    if not contents[0].keys().isdisjoint(contents[1]):
        return []
    if any(len(content) > 1 for content in contents):
        labels = ([dataset.label for dataset in content.values()] for content in contents)
        return [f"{DATASET}: {' -> '.join(map(_shown, labels))}"]
    old, new = (config.datasets[0] for config in (before, after))
    return [
        f"{DATASET}.{key}: {_shown([getattr(old, field)])} -> {_shown([getattr(new, field)])}"
        for field, key in (
            (name, info.alias or name) for name, info in type(old).model_fields.items()
        )
        if getattr(old, field) != getattr(new, field)
    ]


def _shown(values: Sequence[Any]) -> str:
    """Values as a config has them: one by itself, several as a list."""
    texts = [
        value if isinstance(value, str) else json.dumps(with_whole_numbers(value))
        for value in values
    ]
    if len(texts) == 1:
        return texts[0]
    rest = f", ... ({len(texts)} values)" if len(texts) > _MOST_SHOWN else ""
    return f"[{', '.join(texts[:_MOST_SHOWN])}{rest}]"
