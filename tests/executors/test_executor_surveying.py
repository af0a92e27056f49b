"""Builds that end the process that calls them: what is known of the other models."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from test_executor_apart import interrupted

from stabilitysweep.blueprint import Blueprint, Request, TargetFacts
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors import surveying


def requests(names: Sequence[str]) -> list[Request]:
    """One for each name, which says what building its model does."""
    return [
        Request("m:build", (("name", name),), (), (), "float32", (), False, TargetFacts())
        for name in names
    ]


def pretended(wanted: list[Request], folders: list[Path]) -> Iterator[Blueprint | None]:
    """Stand for the survey, without TensorFlow; it notes each process and what it builds."""
    (folder,) = folders
    if (folder / "no start").exists():
        os._exit(3)
    yield None
    for request in wanted:
        name = str(request.values[0][1])
        with (folder / "told").open("a") as told:
            told.write(f"{os.getpid()} {name}\n")
        if name.startswith("segfaults"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith("sleeps"):
            time.sleep(30)
            (folder / "to its end").touch()
        if name.startswith("exits"):
            os.write(2, b"my last words\n")
            os._exit(7)
        if name.startswith("is killed") and (folder / "told").read_text().count(name) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Blueprint("m:build", values=request.values, program=name)


@pytest.fixture(autouse=True)
def _pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "_survey", pretended)


def surveyed(names: Sequence[str], folder: Path) -> dict[str, str]:
    """The error of each model, by its name; empty for those that were built."""
    found = surveying.survey_apart(requests(names), [folder])
    assert [blueprint.values[0][1] for blueprint in found] == list(names)
    assert all(blueprint.error or blueprint.program for blueprint in found)
    return {str(blueprint.values[0][1]): blueprint.error for blueprint in found}


def processes(folder: Path) -> int:
    return len({line.split()[0] for line in (folder / "told").read_text().splitlines()})


def test_only_the_models_that_end_their_process_are_without_one(tmp_path: Path) -> None:
    names = ["a", "segfaults", "b", "exits", "c"]
    errors = surveyed(names, tmp_path)
    assert [name for name, error in errors.items() if error] == ["segfaults", "exits"]
    how = "Call the build by itself to see why."
    assert errors["segfaults"] == (
        "model.build 'm:build' with name segfaults: the process that builds it ended by SIGSEGV. "
        + how
    )
    words = "ended with exit code 7; its last words: my last words. "
    assert errors["exits"].endswith(words + how)
    # One at first; for each of the two one in which it comes first, and one that goes on.
    assert processes(tmp_path) == 5


def test_one_that_is_killed_from_outside_is_tried_again(tmp_path: Path) -> None:
    assert set(surveyed(["is killed 1", "a", "is killed 2"], tmp_path).values()) == {""}


def test_where_every_model_ends_its_process_there_is_one_error_and_not_all_are_tried(
    tmp_path: Path,
) -> None:
    names = [f"segfaults {number}" for number in range(30)]
    with pytest.raises(StabilitySweepError) as caught:
        surveyed(names, tmp_path)
    assert str(caught.value).startswith(
        "no model can be built. model.build 'm:build' with name segfaults 0: the process that "
        "builds it ended by SIGSEGV."
    )
    told = [line.partition(" ")[2] for line in (tmp_path / "told").read_text().splitlines()]
    assert told == [names[0], names[1], names[2], names[29]]


def test_many_in_a_row_do_not_take_others_with_them(tmp_path: Path) -> None:
    names = [f"segfaults {number}" for number in range(5)] + ["a", "b"]
    errors = surveyed(names, tmp_path)
    assert [name for name, error in errors.items() if not error] == ["a", "b"]


def test_a_process_that_cannot_start_is_no_fault_of_the_models(tmp_path: Path) -> None:
    (tmp_path / "no start").touch()
    with pytest.raises(StabilitySweepError, match=r"with exit code 3\. Check that 'import tensor"):
        surveyed(["a", "b"], tmp_path)


def test_an_interruption_is_heard_while_several_processes_build(tmp_path: Path) -> None:
    names = ["sleeps"] * 3 * surveying._REQUESTS_A_PROCESS
    with interrupted(tmp_path, 1):
        surveying.survey_apart(requests(names), [tmp_path], 3)
    assert not (tmp_path / "to its end").exists()
