"""From a file, a text or a mapping to a `SweepConfig`, or one error that says all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, TypeVar

from pydantic import BaseModel

from stabilitysweep.config.axes import (
    AXIS_SETTINGS,
    DATASET,
    SECTIONS,
    is_hp,
    read_axis,
    read_recorded_axis,
    section_of,
)
from stabilitysweep.config.dataset import DatasetSettings
from stabilitysweep.config.document import Document, read_yaml
from stabilitysweep.config.hp import name_problem, no_text, read_hp
from stabilitysweep.config.names import COMPILED_SETTINGS
from stabilitysweep.config.problems import KeyPath, Problem, check, keys, unknown_key, wrong_value
from stabilitysweep.config.recorded import RecordedSettings
from stabilitysweep.config.rules import find_conflicts
from stabilitysweep.config.selection import most_cells, read_cells, read_seeds
from stabilitysweep.config.settings import ModelSettings
from stabilitysweep.config.sweep import Head, SweepConfig
from stabilitysweep.errors import ConfigError

_M = TypeVar("_M", bound=BaseModel)
_LARGEST_FILE = 1_000_000  # bytes
_MOST_TRIALS = 10_000_000
_KEYS = ("name", DATASET, *SECTIONS, "grid", "cells", "seeds")
_RECORDED = "recorded"


def load_config(path: str | Path) -> SweepConfig:
    """Read and check a config file.

    Args:
        path: a YAML file in UTF-8.

    Returns:
        The config. Its name is the file's, without ending, unless the file gives one; its
        base folder is the file's.

    Raises:
        ConfigError: no such file, not YAML, or any key or value that is not allowed: the
            message has a line `FILE:LINE: KEY: expected ..., got ...` for each.
    """
    path = Path(path)
    return parse_config(_read_text(path), source=str(path), base_folder=path.parent)


def parse_config(
    content: str | Mapping[str, Any], *, source: str = "config", base_folder: str | Path = "."
) -> SweepConfig:
    """Check a config given as text or as a mapping.

    Args:
        content: YAML, or what YAML would give, such as `SweepConfig.resolved`.
        source: what messages call it; its stem is the sweep's name unless the content
            gives one.
        base_folder: what a data set's relative path is relative to.

    Returns:
        The config.

    Raises:
        ConfigError: as `load_config`; without a text there are no line numbers.
    """
    if isinstance(content, str):
        document = read_yaml(content, source)
    else:
        document = Document(source, dict(content) if isinstance(content, Mapping) else content)
    if not isinstance(document.value, dict):
        expected = f"a mapping with keys out of {', '.join(_KEYS)}"
        raise document.error([wrong_value((), expected, document.value)])
    reader = _Reader(document.value)
    config = reader.read(PurePath(source).stem)
    problems = document.problems + reader.problems
    if config is None or problems:
        raise document.error(problems)
    return config.based_in(base_folder)


class _Reader:
    """Checks the parts of a config one by one, gathering the problems of all."""

    def __init__(self, content: Mapping[Any, Any]) -> None:
        self.problems: list[Problem] = []
        self._content = content
        self._parts: dict[str, Any] = {}
        self._axes: dict[str, tuple[Any, ...] | None] = {}
        self._given: set[str] = set()
        self._build = _as_mapping(content.get("model")).get("build") is not None
        self._recorded = _RECORDED in content

    def read(self, default_name: str) -> SweepConfig | None:
        """The config; None if there are problems."""
        for key in self._content:
            if key not in (*_KEYS, _RECORDED):
                self._refuse_key((str(key),), _KEYS)
        self._read_head(default_name)
        self._read_dataset()
        self._read_grid()
        self._read_cells()
        for section in SECTIONS:
            if section == "model" and self._build:
                self._read_build(_as_mapping(self._content[section]))
            else:
                self._read_section(section)
        if self._recorded:  # what was searched is what it is
            content = self._content[_RECORDED]
            self._parts[_RECORDED] = self._checked(RecordedSettings, content, (_RECORDED,))
        else:
            self._check_combinations()
            self._check_size()
        if self.problems:
            return None
        grid = {name: self._values(name) for name in self._axes}
        return SweepConfig(grid=grid, given=frozenset(self._given), **self._parts)

    def _read_head(self, default_name: str) -> None:
        given = {key: self._content[key] for key in ("name",) if key in self._content}
        head, problems = check(Head, {"name": default_name, **given}, ())
        self.problems += [
            replace(problem, hint="the name of the file cannot be used, give a 'name'")
            if problem.path == ("name",) and "name" not in given
            else problem
            for problem in problems
        ]
        self._parts |= dict(head or {})
        if "seeds" in self._content:
            seeds, problems = read_seeds(self._content["seeds"])
            self.problems += problems
            self._parts["seeds"] = seeds or range(1)

    def _read_dataset(self) -> None:
        content = self._content.get(DATASET)
        axis = _as_mapping(self._content.get("grid")).get(DATASET)
        if axis is not None:
            if content is not None:
                self.problems.append(_given_twice((DATASET,)))
        elif isinstance(content, list | tuple) and len(content) != 1:
            self._read_axis(DATASET, content, (DATASET,))
        elif isinstance(content, list | tuple):
            self._parts[DATASET] = self._checked(DatasetSettings, content[0], (DATASET, 0))
        elif content is None:
            kinds = "a name, {name: ...}, {path: ..., target: ...}, or a list of these"
            self.problems.append(wrong_value((DATASET,), f"a data set: {kinds}", content))
        else:
            self._parts[DATASET] = self._checked(DatasetSettings, content, (DATASET,))

    def _read_grid(self) -> None:
        content = self._content.get("grid")
        if content is None and self._axes:
            return  # several data sets are an axis
        if not isinstance(content, Mapping) or not content:
            expected = "at least one axis: a mapping of settings to lists of values"
            self.problems.append(wrong_value(("grid",), expected, content))
            return
        for name, values in content.items():
            path = ("grid", str(name))
            if self._build and not isinstance(name, str):
                self.problems.append(no_text(name, path))
            else:
                self._read_axis(str(name), values, path)

    def _read_cells(self) -> None:
        if "cells" not in self._content:
            return
        cells, problems = read_cells(self._content["cells"], self._axes, build=self._build)
        self.problems += problems
        self._parts["cells"] = cells

    def _read_axis(self, name: str, content: object, path: KeyPath) -> None:
        if self._recorded:
            values, problems = read_recorded_axis(name, content, path)
        else:
            values, problems = read_axis(name, content, path, build=self._build)
        self.problems += problems
        own = self._recorded or (self._build and is_hp(name))
        if name == DATASET or name in AXIS_SETTINGS or own:
            self._axes[name] = values
        if section_of(name) == "training" and name in AXIS_SETTINGS:
            self._given.add(name)

    def _read_section(self, section: str) -> None:
        model, content = SECTIONS[section], self._content.get(section)
        known = {}
        for key, value in _as_mapping(content).items():
            if key not in keys(model):
                self._refuse_key((section, str(key)), keys(model))
            elif key in self._axes:
                self.problems.append(_given_twice((section, key)))
            else:
                known[key] = value
        if section == "training":
            self._given |= known.keys()
        is_mapping = content is None or isinstance(content, Mapping)
        self._parts[section] = self._checked(model, known if is_mapping else content, (section,))

    def _read_build(self, content: Mapping[Any, Any]) -> None:
        """Read the section of a model of the user's: every key but `build` is an `hp`."""
        hp: dict[str, Any] = {}
        for key, item in content.items():
            path = ("model", str(key))
            if key == "build":
                continue
            if not isinstance(key, str):
                problems = [no_text(key, path)]
            elif key == "name":
                expected = "either 'build' or 'name', the built-in model"
                problems = [Problem(path, expected, "both")]
            elif not is_hp(key):
                hint = f"it belongs to {section_of(key) or 'grid'!r}"
                problems = [Problem(path, "an hp of the build", f"the setting {key!r}", hint)]
            elif problem := name_problem(key, path):
                problems = [problem]
            elif key in self._axes:
                problems = [_given_twice(path)]
            else:
                hp[key], problems = read_hp(item, path)
            self.problems += problems
        settings = self._checked(ModelSettings, {"build": content["build"]}, ("model",))
        if settings is not None:
            settings = settings.model_copy(update={"hp": tuple(sorted(hp.items()))})
        self._parts["model"] = settings

    def _check_combinations(self) -> None:
        for conflict in find_conflicts(self._values):
            home = "grid" if conflict.setting in self._axes else section_of(conflict.setting)
            path = (str(home), conflict.setting)
            self.problems.append(Problem(path, conflict.expected, conflict.got))

    def _values(self, setting: str) -> tuple[Any, ...]:
        if setting in self._axes:
            return self._axes[setting] or ()
        if self._build and setting in COMPILED_SETTINGS and setting not in self._given:
            return ()  # it may come from the compiled model
        settings = self._parts.get(str(section_of(setting)))
        return () if settings is None else (getattr(settings, setting),)

    def _check_size(self) -> None:
        axes = {name: values for name, values in self._axes.items() if values}
        lengths = [len(values) for values in axes.values()]
        seeds, selected = len(self._parts.get("seeds", range(1))), self._parts.get("cells")
        trials = math.prod(lengths) * seeds
        key, got = "grid", f"{trials:,}: {' x '.join(map(str, lengths))} values and the seeds"
        if selected is not None and most_cells(selected, axes) * seeds < trials:
            trials = most_cells(selected, axes) * seeds
            key, got = "cells", f"{trials:,}"
        if trials > _MOST_TRIALS:
            self.problems.append(Problem((key,), f"at most {_MOST_TRIALS:,} trials", got))

    def _checked(self, model: type[_M], content: object, path: KeyPath) -> _M | None:
        instance, problems = check(model, content, path)
        self.problems += problems
        return instance

    def _refuse_key(self, path: KeyPath, known: Iterable[str]) -> None:
        home = section_of(str(path[-1]))
        hint = "" if home is None else f"it belongs to {home!r}"
        self.problems.append(unknown_key(path, known, "a known key", hint))


def _as_mapping(content: object) -> Mapping[Any, Any]:
    return content if isinstance(content, Mapping) else {}


def _given_twice(path: KeyPath) -> Problem:
    return Problem(path, "one place for it: here, or an axis in 'grid'", "both")


def _read_text(path: Path) -> str:
    refusal = f"{path}: expected a config in YAML, got "
    try:
        if path.is_dir():
            raise ConfigError(refusal + "a folder")
        if not path.exists():
            raise ConfigError(refusal + "no such file")
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise ConfigError(refusal + f"a file of {size:,} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(refusal + "a file that is not text in UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(refusal + f"a file that cannot be read: {reason}") from error
