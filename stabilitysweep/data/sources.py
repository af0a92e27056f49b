"""Where data comes from: scikit-learn's sets and generators, or a CSV file."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.csv_source import load_csv
from stabilitysweep.data.raw import RawData
from stabilitysweep.errors import DataError

BUNDLED: dict[str, Callable[..., Any]] = {
    "diabetes": datasets.load_diabetes,
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
}
GENERATORS: dict[str, Callable[..., Any]] = {
    "make_regression": datasets.make_regression,
    "make_classification": datasets.make_classification,
    "make_friedman1": datasets.make_friedman1,
    "make_moons": datasets.make_moons,
    "make_circles": datasets.make_circles,
    "make_blobs": datasets.make_blobs,
}
# These options change what a function returns, not the data in it.
_RETURN_OPTIONS = {"return_X_y", "as_frame", "coef", "return_distributions", "return_centers"}
_MAX_SEED = 2**32 - 1


def load(settings: DatasetSettings, base_folder: Path) -> RawData:
    """Load the data set that the settings name.

    Args:
        settings: a `name` with its `options`, or a `path` to a CSV file and its `target`
            (the config has checked that it is one of the two, and that the name is known).
        base_folder: what a relative `path` is relative to: the config's folder.

    Returns:
        The data as it is, with N >= 1 rows and D >= 1 features.

    Raises:
        DataError: an option, file or column that is not there, or content that cannot be
            used.
    """
    if settings.path is not None:
        return load_csv(base_folder, settings.path, settings.target or "", settings.label)
    name = str(settings.name)
    if name in BUNDLED:
        bundle = BUNDLED[name]()
        names = tuple(str(feature) for feature in bundle.feature_names)
        return _raw(name, bundle.data, bundle.target, names, settings.label)
    features, target = _generate(name, settings.options)
    names = tuple(f"x{column}" for column in range(features.shape[1]))
    return _raw(name, features, target, names, settings.label)


def _raw(name: str, features: Any, target: Any, names: tuple[str, ...], label: str) -> RawData:
    target = np.atleast_1d(np.array(target))  # of a single sample, scikit-learn gives a scalar
    if target.ndim != 1:
        raise DataError(
            f"dataset '{name}': expected one target, got {target.shape[1]}. Set n_targets to 1."
        )
    if np.asarray(features).shape[1] == 0:
        raise DataError(f"dataset '{name}': expected at least one feature, got none.")
    return RawData(
        features=np.array(features, np.float64, order="C"),
        target=target,
        feature_names=names,
        label=label,
        source=f"scikit-learn: {name}",
    )


def _generate(name: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
    function = GENERATORS[name]
    known = [key for key in inspect.signature(function).parameters if key not in _RETURN_OPTIONS]
    for key in options:
        if key not in known:
            raise DataError(_unknown_option(name, key, known))
    arguments = {"random_state": 0, **options}
    _check_seed(name, arguments["random_state"])
    if isinstance(arguments.get("n_samples"), list):
        # YAML has no tuples, and make_moons takes its two counts as nothing else.
        arguments["n_samples"] = tuple(arguments["n_samples"])
    try:
        features, target = function(**arguments)
    except MemoryError as error:
        raise DataError(f"dataset '{name}': it does not fit in memory: {error}") from error
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise DataError(
            f"dataset '{name}': scikit-learn refuses the options ({given}): {error}"
        ) from error
    return features, target


def _check_seed(name: str, seed: object) -> None:
    # None would draw other data on every load, and no trial could be repeated.
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _MAX_SEED:
        raise DataError(
            f"dataset '{name}': random_state: expected a whole number from 0 to {_MAX_SEED}, "
            f"got {seed!r}."
        )


def _unknown_option(name: str, key: str, known: list[str]) -> str:
    def likeness(option: str) -> float:
        return difflib.SequenceMatcher(None, key, option).ratio()

    ranked = sorted(known, key=likeness, reverse=True)
    return f"dataset '{name}': there is no option '{key}'. Options, nearest first: " + ", ".join(
        ranked
    )
