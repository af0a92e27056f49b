"""Modules out of the user's folders: found there, and loaded anew each time.

Two configs may each have a `mydata.py` beside them, and a notebook edits one between two
loads: what Python keeps of a module by its name would be the other's, or the old one.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

_KEPT = {"__main__", __name__.partition(".")[0], *sys.stdlib_module_names}
"""Never loaded anew: what is running has state that a second copy would not share."""


@contextmanager
def importing_from(folders: Sequence[Path], name: str) -> Iterator[None]:
    """Let a module, and what it imports, be found in folders too, after the installed ones.

    All of it that is in one of the folders is loaded anew, and forgotten afterwards: the
    modules and the path are then what they were before.

    Args:
        folders: where to look; absolute.
        name: of the module, dotted if it is in a package.
    """
    finder = _Finder(folders)
    path, root = [*sys.path], name.partition(".")[0]
    sys.path += [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in path]
    importlib.invalidate_caches()
    hidden: dict[str, ModuleType] = {}
    try:
        if finder.find_spec(root) is not None and root in finder.found:
            hidden = _taken_out(loaded for loaded in sys.modules if _root(loaded) == root)
        # Beside the finder that it takes the place of: what Python itself brings comes first.
        finders = sys.meta_path
        finders.insert(finders.index(PathFinder) if PathFinder in finders else 0, finder)
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
        _taken_out(loaded for loaded in sys.modules if loaded in finder.found)
        sys.modules.update(hidden)
        sys.path[:] = path


def _root(name: str) -> str:
    return name.partition(".")[0]


def _taken_out(names: Iterable[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(names)}


class _Loader(SourceFileLoader):
    """Compiles a module: its bytecode on disk may be that of a text changed within a second."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Finds modules of the user's on Python's path, and notes their names."""

    def __init__(self, folders: Iterable[Path]) -> None:
        installed = {Path(place).resolve() for place in sysconfig.get_paths().values()}
        self._folders = {folder.resolve() for folder in folders} - installed
        self.found: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a module that is in one of the folders, or in a package that is."""
        root = _root(fullname)
        if root in _KEPT or (root != fullname and root not in self.found):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or (root == fullname and not self._is_own(spec)):
            return None
        self.found.add(fullname)
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec

    def _is_own(self, spec: ModuleSpec) -> bool:
        # A package may be spread over several folders, and then has no file of its own.
        places = spec.submodule_search_locations or [spec.origin or ""]
        return any(Path(place).parent.resolve() in self._folders for place in places)
