"""A function of the user's: found by its path, and its errors told in words."""

from __future__ import annotations

import difflib
import importlib
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stabilitysweep.data.listing import some
from stabilitysweep.errors import StabilitySweepError

_SHOWN_TEXT = 400
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ARGUMENTS = re.compile(r"\s*Arguments received by \S+.*", re.DOTALL)
_PACKAGE = str(Path(__file__).parents[2])


def module_of(
    origin: str, name: str, folders: Sequence[Path], error_type: type[StabilitySweepError]
) -> ModuleType:
    """Import a module of the user's, inside of `importing_from`.

    Args:
        origin: what asks for it, for the message: `dataset function 'mydata:load'`.
        name: of the module, dotted if it is in a package.
        folders: where it is looked for.
        error_type: of what is raised.

    Raises:
        StabilitySweepError: of that type: there is no such module, or it fails.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise error_type(_no_module(origin, name, folders)) from error
        failure: BaseException = error
    except (Exception, SystemExit) as error:
        failure = error
    reason = in_words(failure, folders)
    raise error_type(f"{origin}: the module '{name}' cannot be imported: {reason}.") from failure


def attribute_of(
    origin: str, module: ModuleType, name: str, error_type: type[StabilitySweepError]
) -> Any:
    """Return what a module has under a name.

    Args:
        origin: what asks for it, for the message.
        module: the module.
        name: of the function, class or object.
        error_type: of what is raised.

    Raises:
        StabilitySweepError: of that type: the module has nothing of this name; the nearest is
            named.
    """
    if hasattr(module, name):
        return getattr(module, name)
    own = [
        key
        for key, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not key.startswith("_")
    ]
    nearest = difflib.get_close_matches(name, own, n=1)
    raise error_type(
        f"{origin}: there is no '{name}' in {place_of(module)}."
        + (f" Did you mean '{nearest[0]}'?" if nearest else "")
        + (f" It has: {some(own)}." if own else "")
    )


def place_of(module: ModuleType) -> str:
    """Return the file of a module, or its name where it has none."""
    # Modules that are part of the interpreter have no such attribute at all.
    return getattr(module, "__file__", None) or module.__name__


def in_words(
    error: BaseException, folders: Sequence[Path], module: ModuleType | None = None
) -> str:
    """Type, message, and the line of the user's code that an error came from.

    Args:
        error: what was raised.
        folders: where the user's code is.
        module: one of the user's, which may lie elsewhere.
    """
    what = f"{type(error).__name__}: {one_line(str(error)) or 'without a message'}".rstrip(".")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{what}, in {error.filename}:{error.lineno}"
    own = None if module is None else getattr(module, "__file__", None)
    users = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if (
            frame.filename == own
            or any(Path(frame.filename).is_relative_to(folder) for folder in folders)
        )
        and "site-packages" not in frame.filename
        and not frame.filename.startswith(_PACKAGE)
    ]
    return f"{what}, in {users[-1].filename}:{users[-1].lineno}" if users else what


def one_line(text: str) -> str:
    """A message in one line: without colours, and the arguments that Keras lists behind it."""
    joined = " ".join(_ARGUMENTS.sub("", _COLOURS.sub("", text)).split())
    return joined if len(joined) <= _SHOWN_TEXT else f"{joined[: _SHOWN_TEXT - 3]}..."


def _no_module(origin: str, name: str, folders: Sequence[Path]) -> str:
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
