"""Loading: the module of a function of the user's is the one beside the config, as it is now."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import load
from stabilitysweep.errors import DataError


def value(function: str, folder: Path) -> float:
    """The only number that a function returns."""
    return float(load(DatasetSettings(function=function), folder).features.item())


def returning(number: object) -> str:
    return f"def f(): return [[{number}]], [0]\n"


def test_modules_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "helper.py").write_text(f"N = {number}\n")
        (tmp_path / folder / "mydata.py").write_text("import helper\n" + returning("helper.N"))
    assert [value("mydata:f", tmp_path / folder) for folder in "abab"] == [0, 1, 0, 1]


@pytest.mark.parametrize("package", [True, False])
def test_a_package_is_loaded_anew_with_all_that_is_in_it(tmp_path: Path, package: bool) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder / "sets").mkdir(parents=True)
        if package:
            (tmp_path / folder / "sets" / "__init__.py").touch()
        (tmp_path / folder / "sets" / "numbers.py").write_text(f"N = {number}\n")
        (tmp_path / folder / "sets" / "x.py").write_text(
            "from sets.numbers import N\n" + returning("N")
        )
    assert [value("sets.x:f", tmp_path / folder) for folder in "aba"] == [0, 1, 0]


def test_a_file_changed_between_two_loads_is_read_again(tmp_path: Path) -> None:
    for number in (1, 2, 3):  # the same size within the same second
        (tmp_path / "edited.py").write_text(returning(number))
        assert value("edited:f", tmp_path) == number


def test_nothing_stays_behind(tmp_path: Path) -> None:
    (tmp_path / "left.py").write_text("import wave\n" + returning(1))
    path, finders = [*sys.path], [*sys.meta_path]
    value("left:f", tmp_path)
    with pytest.raises(DataError, match="there is no 'g'"):
        value("left:g", tmp_path)
    with pytest.raises(DataError, match="no module 'lost'"):
        value("lost:f", tmp_path)
    assert (sys.path, sys.meta_path) == (path, finders)
    assert "left" not in sys.modules
    # What is not the user's own is loaded once: TensorFlow could not be loaded twice.
    assert "wave" in sys.modules


def test_a_module_in_use_stays_the_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "in_use.py").write_text(returning(1))
    before = importlib.import_module("in_use")
    (tmp_path / "in_use.py").write_text(returning(2))
    assert value("in_use:f", tmp_path) == 2
    assert sys.modules.pop("in_use") is before


def test_installed_modules_are_hidden_by_none_and_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, beside = tmp_path / "installed", tmp_path / "config"
    for number, folder in enumerate((installed, beside)):
        folder.mkdir()
        (folder / "own_set.py").write_text(f"LOADS = [{number}]\n" + returning("LOADS[0]"))
    monkeypatch.syspath_prepend(str(installed))
    assert value("own_set:f", beside) == 0
    sys.modules["own_set"].LOADS[0] = 7
    assert value("own_set:f", beside) == 7
    del sys.modules["own_set"]


def test_what_is_imported_while_the_function_runs_is_found(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("N = 5\n")
    (tmp_path / "early.py").write_text("def f():\n  import late\n  return [[late.N]], [0]\n")
    assert value("early:f", tmp_path) == 5
    assert "late" not in sys.modules


def test_this_package_is_never_loaded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    before = sys.modules["stabilitysweep.data"]
    with pytest.raises(DataError, match="there is no 'nothing'"):
        value("stabilitysweep.data.raw:nothing", root)
    assert sys.modules["stabilitysweep.data"] is before


@pytest.mark.parametrize("name", ["time", "os"])
def test_pythons_own_modules_are_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sys.modules[name]
    (tmp_path / f"{name}.py").write_text(returning(1))
    with pytest.raises(DataError, match=f"there is no 'f' in .*{name}"):
        value(f"{name}:f", tmp_path)
    assert sys.modules[name] is before
