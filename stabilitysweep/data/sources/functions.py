"""Data from a function of the user's: `module:function`."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.sources.chatter import without_chatter
from stabilitysweep.data.sources.returned import tables_of
from stabilitysweep.data.sources.table import ArrayTable
from stabilitysweep.data.sources.user_functions import (
    attribute_of,
    in_words,
    module_of,
    place_of,
)
from stabilitysweep.data.sources.user_modules import importing_from
from stabilitysweep.errors import DataError


def function_tables(
    settings: DatasetSettings, base_folder: Path
) -> tuple[ArrayTable, ArrayTable | None]:
    """Call the function, and return its rows, and its own validation rows if it has any.

    A module of the user's is loaded anew each time, so that it is as its file is now.

    Raises:
        DataError: there is no such function, it fails, or returns what is no data.
    """
    folders = [Path.cwd(), base_folder.absolute(), base_folder.absolute().parent]
    name = str(settings.function).partition(":")[0]
    with importing_from(folders, name), without_chatter():  # it may import TensorFlow
        return _called(settings, folders)


def _called(settings: DatasetSettings, folders: list[Path]) -> tuple[ArrayTable, ArrayTable | None]:
    path = str(settings.function)
    origin = f"dataset function '{path}'"
    module_name, _, name = path.partition(":")
    module = module_of(origin, module_name, folders, DataError)
    function = _function(origin, module, name)
    _check_options(origin, function, settings.options)
    file = getattr(module, "__file__", None)
    with_file = f"{origin} ({file})" if file else origin
    try:
        returned = function(**settings.options)
        # A tf.data.Dataset runs the user's code while it is read.
        return tables_of(with_file, returned, settings.target)
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{origin}: it failed: {in_words(error, folders, module)}.") from error


def _function(origin: str, module: ModuleType, name: str) -> Callable[..., Any]:
    function = attribute_of(origin, module, name, DataError)
    if not callable(function):
        raise DataError(
            f"{origin}: expected a function, got '{name}' of type {type(function).__name__} in "
            f"{place_of(module)}."
        )
    return function  # type: ignore[no-any-return]


def _check_options(origin: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: the call will tell
    try:
        signature.bind(**options)
    except TypeError as error:
        known = [
            key
            for key, parameter in signature.parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        unknown = [key for key in options if key not in known]
        nearest = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
        raise DataError(
            f"{origin}: options: {error}."
            + (f" Did you mean '{nearest[0]}'?" if nearest else "")
            + (f" It takes: {', '.join(known)}." if known else " It takes none.")
        ) from error
