"""Data from a function of the user's: `module:function`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.listing import some
from stabilitysweep.data.sources.returned import tables_of
from stabilitysweep.data.sources.table import ArrayTable, shortened
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
    with importing_from(folders, str(settings.function).partition(":")[0]):
        return _called(settings, folders)


def _called(settings: DatasetSettings, folders: list[Path]) -> tuple[ArrayTable, ArrayTable | None]:
    path = str(settings.function)
    origin = f"dataset function '{path}'"
    module_name, _, name = path.partition(":")
    module = _module(origin, module_name, folders)
    function = _function(origin, module, name)
    _check_options(origin, function, settings.options)
    # Should the function import TensorFlow, then without its notices.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with_file = f"{origin} ({_file(module)})" if _file(module) else origin
    try:
        returned = function(**settings.options)
        # A tf.data.Dataset runs the user's code while it is read.
        return tables_of(with_file, returned, settings.target)
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{origin}: it failed: {_in_words(error, module, folders)}.") from error


def _module(origin: str, name: str, folders: list[Path]) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise DataError(_no_module(origin, name, folders)) from error
        reason = _in_words(error, None, folders)
    except (Exception, SystemExit) as error:
        reason = _in_words(error, None, folders)
    raise DataError(f"{origin}: the module '{name}' cannot be imported: {reason}.")


def _no_module(origin: str, name: str, folders: list[Path]) -> str:
    names = {
        entry.stem if entry.suffix == ".py" else entry.name
        for folder in folders
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").is_file()
    }
    nearest = difflib.get_close_matches(name.partition(".")[0], sorted(names), n=1)
    looked = ", ".join(str(folder) for folder in dict.fromkeys(folders))
    return (
        f"{origin}: there is no module '{name}'. Looked for it in {looked} and among the "
        "installed ones." + (f" There is '{nearest[0]}'." if nearest else "")
    )


def _function(origin: str, module: ModuleType, name: str) -> Callable[..., Any]:
    where = _file(module) or module.__name__
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        nearest = difflib.get_close_matches(name, public, n=1)
        raise DataError(
            f"{origin}: there is no function '{name}' in {where}."
            + (f" Did you mean '{nearest[0]}'?" if nearest else "")
            + (f" Functions: {some(public)}." if public else "")
        )
    function = getattr(module, name)
    if not callable(function):
        raise DataError(
            f"{origin}: expected a function, got '{name}' of type {type(function).__name__} in "
            f"{where}."
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


def _file(module: ModuleType) -> str | None:
    # Modules that are part of the interpreter have no such attribute at all.
    return getattr(module, "__file__", None)


def _in_words(error: BaseException, module: ModuleType | None, folders: list[Path]) -> str:
    """Type, message, and the line of the user's code that an error came from."""
    text = shortened(" ".join(str(error).split()), 400) or "without a message"
    what = f"{type(error).__name__}: {text}".rstrip(".")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{what}, in {error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = None if module is None else _file(module)
    users = [
        frame
        for frame in frames
        if frame.filename == own
        or any(Path(frame.filename).is_relative_to(folder) for folder in folders)
    ]
    users = [frame for frame in users if "site-packages" not in frame.filename]
    package = str(Path(__file__).parent)
    users = [frame for frame in users if not frame.filename.startswith(package)]
    return f"{what}, in {users[-1].filename}:{users[-1].lineno}" if users else what
