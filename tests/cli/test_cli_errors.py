"""Wrong input: exit code 2, one message on stderr, no traceback, and nothing written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_sweep import TINY, call

from stabilitysweep import folder as folders
from stabilitysweep.cli import main

TEXT = yaml.safe_dump(TINY, sort_keys=False)
ROWS = (f"{i},{'red' if i % 2 else 'blue'},{i * 10}\n" for i in range(20))
CSV = "size,colour,price\n" + "".join(ROWS)


def changed(**changes: Any) -> str:
    return yaml.safe_dump({**TINY, **changes}, sort_keys=False)


def grid(**axes: Any) -> str:
    return changed(grid={**TINY["grid"], **axes})


def on_csv(target: str, loss: str = "mse", path: str = "data.csv") -> str:
    training = {"steps": 10, "batch_size": 8, "loss": loss}
    return changed(dataset={"path": path, "target": target}, training=training)


# What is wrong: the config, and what the message must name.
CONFIGS: dict[str, tuple[str, list[str]]] = {
    "unknown key": (changed(grdi={}), ["bad.yaml:", "'grdi'", "did you mean 'grid'"]),
    "unknown setting": (changed(model={"widht": 4}), ["bad.yaml:8: model.widht", "'width'"]),
    "misspelt activation": (grid(activation=["rleu"]), ["bad.yaml:", "'rleu'", "'relu'"]),
    "unknown axis": (grid(learningrate=[1]), ["'learningrate'", "'learning_rate'"]),
    "empty axis": (grid(depth=[]), ["bad.yaml:", "grid.depth", "an empty list"]),
    "negative learning rate": (grid(learning_rate=[-0.1]), ["grid.learning_rate", "-0.1"]),
    "duplicate value": (grid(depth=[1, 2, 1]), ["grid.depth", "1"]),
    "no grid": (changed(grid=None), ["grid"]),
    "not YAML": ("name: [tiny\ngrid: }", ["bad.yaml:2"]),
    "a list": ("- name\n- grid\n", ["bad.yaml", "a mapping"]),
    "nothing": ("", ["bad.yaml", "a mapping"]),
    "unknown data set": (changed(dataset={"name": "diabetis"}), ["'diabetis'", "'diabetes'"]),
    "unknown generator option": (
        changed(dataset={"name": "make_regression", "options": {"rows": 3}}),
        ["make_regression", "'rows'"],
    ),
    "missing CSV": (on_csv("price", path="nope.csv"), ["nope.csv"]),
    "missing target column": (on_csv("prize"), ["data.csv", "'prize'", "price"]),
    "text target for a regression": (on_csv("colour"), ["mse needs", "text 'blue'", "line 2"]),
    "a loss that does not fit": (
        changed(dataset="wine", training={"steps": 10, "loss": "binary_crossentropy"}),
        ["'wine'", "binary_crossentropy"],
    ),
    "too few rows": (
        changed(dataset={"name": "make_blobs", "options": {"n_samples": 1}}),
        ["'make_blobs'", "1 rows are too few"],
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for a CSV file and a good config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(CSV)
    (tmp_path / "tiny.yaml").write_text(TEXT)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Call the command line; return the one message it gave."""
    capsys.readouterr()
    code = main(words)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (code, out, err)
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "pydantic" not in err
    return err


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_config_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    text, named = CONFIGS[name]
    (here / "bad.yaml").write_text(text)
    before = files(here)
    message = refused(capsys, command, "bad.yaml")
    for part in named:
        assert part in message, message
    assert files(here) == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run"], ["CONFIG", "run --help"]),
        (["run", "nope.yaml"], ["nope.yaml", "no such file"]),
        (["run", "."], ["a folder"]),
        (["run", "tiny.yaml", "--engine", "jax"], ["--engine", "'jax'", "stacked"]),
        (["run", "tiny.yaml", "--compile", "llvm"], ["--compile", "'llvm'", "xla"]),
        (["run", "tiny.yaml", "--workers", "0"], ["--workers", "0"]),
        (["run", "tiny.yaml", "--workers", "many"], ["--workers", "many"]),
        (["run", "tiny.yaml", "--wokers", "2"], ["--wokers", "--workers"]),
        (["run", "tiny.yaml", "again.yaml"], ["again.yaml"]),
        (["rnu", "tiny.yaml"], ["'rnu'", "'run'"]),
        (["run", "tiny.yaml", "--out", "data.csv"], ["data.csv", "got a file", "--out"]),
        (["run", "tiny.yaml", "--out", "data.csv/x"], ["data.csv/x", "Not a directory"]),
        (["run", "tiny.yaml", "--out", "."], ["holds other files", "data.csv"]),
        (["run", "tiny.yaml", "--out", ".", "--fresh"], ["holds other files", "data.csv"]),
        (["check", "tiny.yaml", "--out", "data.csv"], ["data.csv", "got a file"]),
        (["show", "results/tiny"], ["results/tiny", "no such folder"]),
        (["show", "."], ["a folder without sweep.db"]),
        (["show", "data.csv"], ["a file"]),
        (["plot", "results/tiny"], ["no such folder"]),
        (["export", "results/tiny"], ["no such folder"]),
        (["export", "results/tiny", "--format", "xls"], ["--format", "'xls'", "csv"]),
        (["--fresh"], ["--fresh"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: list[str]
) -> None:
    before = files(here)
    message = refused(capsys, *words)
    for part in named:
        assert part in message, message
    assert files(here) == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["show", "R", "zzzz"], ["there is no trial 'zzzz'", "Nearest: "]),
        (["show", "R", "zzzz", "--json"], ["there is no trial 'zzzz'"]),
        (["plot", "R", "--x", "width"], ["x: expected an axis", "learning_rate", "'width'"]),
        (["plot", "R", "--x", "depth", "--y", "depth"], ["one place", "'depth'"]),
        (["plot", "R", "--where", "depth"], ["--where", "AXIS=VALUE", "'depth'"]),
        (["plot", "R", "--where", "depth=7"], ["depth", "1, 2", "'7'"]),
        (["plot", "R", "--where", "depth=1", "--where", "depth=2"], ["one value for depth"]),
        (["plot", "R", "--pool", "seed"], ["pool: expected an axis", "'seed'"]),
        (["plot", "R", "--kind", "heat"], ["--kind", "'heat'", "onset"]),
        (["plot", "R", "--out", "data.csv"], ["data.csv", "File exists"]),
        (["export", "R", "--out", "data.csv/x.csv"], ["data.csv/x.csv", "Not a directory"]),
    ],
    ids=" ".join,
)
def test_what_a_result_does_not_have_is_refused(
    here: Path,
    result: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    named: list[str],
) -> None:
    before = files(here), {path for path in files(result) if "sweep.db-" not in path}
    message = refused(capsys, *(str(result) if word == "R" else word for word in words))
    for part in named:
        assert part in message, message
    assert before == (
        files(here), {path for path in files(result) if "sweep.db-" not in path}
    )  # fmt: skip


def test_a_damaged_record_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy / "results" / "tiny"
    (folder / "sweep.db").write_bytes(b"no database at all" * 1_000)
    for words in (["show", str(folder)], ["run", str(copy / "tiny.yaml"), "--out", str(folder)]):
        assert "no SQLite database" in refused(capsys, *words)


def test_a_result_that_another_run_writes_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(copy / "results" / "tiny")
    config = yaml.safe_dump({**TINY, "seeds": 3})
    (copy / "more.yaml").write_text(config)
    with folders.locked(Path(folder)):
        for extra in ([], ["--fresh"]):
            words = ["run", str(copy / "more.yaml"), "--out", folder, "--quiet", *extra]
            assert "another run is writing" in refused(capsys, *words)
    assert [path.name for path in (copy / "results").iterdir()] == ["tiny"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_without_permission_is_refused(here: Path, capsys: Any) -> None:
    locked = here / "locked"
    locked.mkdir(mode=0o500)
    here.chmod(0o755)
    os.seteuid(65534)
    try:
        for target in ("locked", "locked/deeper", "/root/anywhere"):
            message = refused(capsys, "run", "tiny.yaml", "--out", target)
            assert "Permission denied" in message
            assert "--out" in message
    finally:
        os.seteuid(0)
    assert list(locked.iterdir()) == []


def test_an_error_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(CONFIGS["misspelt activation"][0])
    for command in ("run", "check"):
        done = call(command, "bad.yaml", cwd=tmp_path, code=2)
        assert done.stdout == ""
        assert done.stderr.startswith("error: bad.yaml:")
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_an_unexpected_exception_is_a_bug_and_shows_itself(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stabilitysweep import api

    def broken(*args: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(api, "plan", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["run", "tiny.yaml"])
    assert not (here / "results").exists()
