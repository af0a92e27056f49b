"""Configs made out of a config: with axes held at one value, or with other values.

What comes is the content of a config as plain values, which `parse_config` reads; `as_text` makes
YAML of it. It says nothing that is the default anyway, and its paths are absolute, since where it
will be kept is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stabilitysweep.config.axes import AXIS_SETTINGS, DATASET, SECTIONS, is_hp
from stabilitysweep.config.dataset import DatasetSettings
from stabilitysweep.config.rules import NEEDS, UNUSED
from stabilitysweep.config.sweep import SweepConfig

_LONGEST_NAME = 100
_WIDTH = 78
_BUDGETS = ("steps", "epochs")
_ALWAYS = ("optimizer", "loss", "batch_size", "precision", "width", "depth", "activation")
"""What is said even if it is the default: a reader looks for it."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it puts into quotes what a config reads as a number, as `1e3`."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def plain_content(config: SweepConfig) -> dict[str, Any]:
    """Return a config as plain values, without defaults, `cells` or relative paths."""
    content = config.resolved()
    content.pop("cells", None)
    for section, model in SECTIONS.items():
        given = config.model.build is not None and section in ("model", "training")
        content[section] = {
            name: value
            for name, value in content[section].items()
            if name in _ALWAYS
            or (value is not None if name in _BUDGETS else given)
            or value != _plain(model.model_fields[name].default)
        }
        if not content[section]:
            del content[section]
    if config.dataset is not None:
        content[DATASET] = plain_dataset(config.dataset, config)
    elif DATASET in content["grid"]:
        content["grid"][DATASET] = [plain_dataset(dataset, config) for dataset in config.datasets]
    return content


def with_values(
    config: SweepConfig,
    values: Mapping[str, Any],
    *,
    name: str,
    kept: str | None = None,
    idle: Sequence[str] = (),
    datasets: Sequence[tuple[DatasetSettings, SweepConfig]] = (),
) -> dict[str, Any]:
    """Hold axes at one value, each in the section it belongs to.

    A config has at least one axis: that is the learning rate's, or else the first.

    Args:
        config: of a sweep.
        values: a value of each of its axes as a trials table has it; a data set by its label.
            Without the data set all of them are kept.
        name: of the new sweep.
        kept: the axis of the learning rate, if it has one.
        idle: `hp` without effect beside these values, left out.
        datasets: the data sets to train on, each with the config it is from; those of `config`
            if empty.

    Returns:
        The content of a config that trains one combination of settings.
    """
    content = plain_content(config)
    grid: dict[str, Any] = {}
    held = {axis: value for axis, value in values.items() if axis not in (DATASET, *idle)}
    used = list(datasets) or [
        (dataset, config)
        for dataset in config.datasets
        if DATASET not in values or dataset.label == values[DATASET]
    ]
    listed = [plain_dataset(dataset, of) for dataset, of in used]
    if kept not in held:
        kept = next(iter(held), None)
    for axis, value in _settled(config, held).items():
        if axis == kept:
            grid[axis] = [value]
            continue
        hp = config.model.build is not None and is_hp(axis)
        section = "model" if hp else AXIS_SETTINGS[axis].section
        content.setdefault(section, {})[axis] = value
    content |= {"name": name, DATASET: listed[0] if len(listed) == 1 else listed, "grid": grid}
    if not grid:
        # An axis of data sets alone: of one that is left, the seeds are all there is to sweep.
        if len(listed) == 1:
            content["grid"] = {DATASET: listed}
            del content[DATASET]
        else:
            del content["grid"]
    return _in_order(content)


def with_axes(
    config: SweepConfig,
    axes: Mapping[str, Any],
    *,
    name: str,
    budget: int = 1,
    datasets: Sequence[tuple[DatasetSettings, SweepConfig]] = (),
) -> dict[str, Any]:
    """Give axes other values, or make axes of settings.

    Args:
        config: of a sweep.
        axes: the new values of each, as `grid` has them: a list or a range.
        name: of the new sweep.
        budget: how many times as long to train.
        datasets: see `with_values`.
    """
    content = plain_content(config)
    for axis, values in axes.items():
        for section in SECTIONS:
            content.get(section, {}).pop(axis, None)
        content["grid"][axis] = values
    for unit in _BUDGETS:
        if (length := getattr(config.training, unit)) is not None:
            content.setdefault("training", {})[unit] = length * budget
    if datasets:
        content["grid"].pop(DATASET, None)
        listed = [plain_dataset(dataset, of) for dataset, of in datasets]
        content[DATASET] = listed[0] if len(listed) == 1 else listed
    content["name"] = name
    return _in_order(content)


def other_name(name: str, ending: str) -> str:
    """Return a name for a sweep made out of another: `regression-next`, `regression-next2`.

    An ending with a number of its own, as `pick1`, is not counted on: `pick12` is another.
    """
    stem, found, number = name.rpartition(f"-{ending}")
    if found and not ending[-1].isdecimal() and (not number or number.isdecimal()):
        return f"{stem[: _LONGEST_NAME - 20]}-{ending}{int(number or 1) + 1}"
    return f"{name[: _LONGEST_NAME - 20]}-{ending}"


def as_text(content: Mapping[str, Any]) -> str:
    """Return the content of a config as YAML, a line for each of its parts where that fits."""
    return str(
        yaml.dump(
            dict(content),
            Dumper=_Dumper,
            sort_keys=False,
            default_flow_style=None,
            width=_WIDTH,
            allow_unicode=True,
        )
    )


def _settled(config: SweepConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn off what has no effect beside the values that are left, and would be refused."""
    held = dict(values)

    def value_of(setting: str) -> Any:
        return held[setting] if setting in held else config.values(setting)[0]

    for name, (by, needed) in NEEDS.items():
        if name in held and config.values(by) and value_of(by) != needed:
            held[name] = UNUSED[name]
    if held.get("nesterov") and config.values("momentum") and not value_of("momentum"):
        held["nesterov"] = False
    return held


def plain_dataset(dataset: DatasetSettings, config: SweepConfig) -> dict[str, Any]:
    """A data set as a config has it, its files found from anywhere."""
    fields = type(dataset).model_fields
    content = dataset.model_dump(mode="json", exclude_defaults=True)
    for key in ("path", "validation_path"):
        if key in content:
            content[key] = str((config.base_folder / Path(content[key]).expanduser()).resolve())
    order = {field.alias or name: place for place, (name, field) in enumerate(fields.items())}
    return dict(sorted(content.items(), key=lambda item: order[item[0]]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _in_order(content: Mapping[str, Any]) -> dict[str, Any]:
    """Sections and settings in the order of the schema; `hp` come last, as they were."""
    keys = ("name", DATASET, *SECTIONS, "grid", "seeds")
    ordered = {key: content[key] for key in keys if key in content}
    for section, model in SECTIONS.items():
        if section in ordered:
            own = ordered[section]
            first = ("build",) if "build" in own else tuple(model.model_fields)
            ordered[section] = {key: own[key] for key in first if key in own} | own
    return ordered
