"""scikit-learn's data sets and generators."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import datasets

from stabilitysweep.data.sources.table import ArrayTable, Shaped, column_of, matrix_columns
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


def scikit_learn_table(name: str, options: Mapping[str, Any]) -> ArrayTable:
    """Load a data set, or make one.

    Args:
        name: of `BUNDLED` or `GENERATORS`.
        options: arguments of a generator.

    Raises:
        DataError: the generator refuses the options, or makes what is no data set.
    """
    origin = f"dataset '{name}'"
    shaped: tuple[Shaped, ...] = ()
    if name in BUNDLED:
        bundle = BUNDLED[name]()
        features, target = bundle.data, bundle.target
        names = [str(feature) for feature in bundle.feature_names]
        columns = dict(zip(names, features.T, strict=True))
    else:
        features, target = _generate(name, options)
        columns = matrix_columns("x", np.asarray(features), joint="")
        shaped = (Shaped("x", (len(columns),), tuple(columns), whole=False),)
    target = np.atleast_1d(np.array(target))  # of a single sample, scikit-learn gives a scalar
    if target.ndim != 1:
        raise DataError(
            f"{origin}: expected one target, got {target.shape[1]}. Set n_targets to 1."
        )
    table = ArrayTable(origin, columns, column_of(origin, "", target))
    table.shaped = shaped
    return table


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
