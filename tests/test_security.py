"""What a config, a data file and a result folder may not do: see docs/security.md."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from inline_executor import InlineExecutor

import stabilitysweep
from stabilitysweep import open_result, write_report
from stabilitysweep.cli import main
from stabilitysweep.config import load_config, parse_config
from stabilitysweep.errors import ConfigError, DataError
from stabilitysweep.execution import Options, plan
from stabilitysweep.runner import train
from stabilitysweep.store import SQLiteStore
from stabilitysweep.store.encoding import decode_trace

ROOT = Path(__file__).parents[1]
PACKAGE = Path(stabilitysweep.__file__).parent

CONFIG: dict[str, Any] = {
    "name": "safe",
    "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
    "model": {"width": 4},
    "training": {"steps": 5, "batch_size": 8},
    "grid": {"learning_rate": [0.01, 0.1]},
}


# --- no code out of texts and files


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/new:os.system ['touch {marker}']",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!!python/object/apply:eval ['open(''{marker}'', ''w'')']",
    ],
)
def test_yaml_cannot_run_code_and_says_where(value: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "owned", tmp_path / "bad.yaml"
    path.write_text(f"name: bad\ndataset: {value.format(marker=marker)}\ngrid: {{depth: [1]}}\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml:2: dataset: expected plain YAML, got the"):
        load_config(path)
    assert not marker.exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    marker = tmp_path / "owned"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    np.savez(tmp_path / "bad.npz", x=np.array([Payload()] * 40, object), y=np.arange(40.0))
    config = CONFIG | {"dataset": {"path": "bad.npz", "target": "y"}}
    with pytest.raises(DataError, match=r"pickle|objects"):
        plan(parse_config(config, base_folder=tmp_path), tmp_path / "out", Options())
    assert not marker.exists()


def test_a_trace_that_is_no_trace_is_refused() -> None:
    import pickle

    with pytest.raises(ValueError, match="trace"):
        decode_trace(pickle.dumps(print))


UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OWN_PROCESSES = {"executors/ray_supervisor.py"}
"""What unpickles what this package has just sent to itself, to another of its own processes."""

UNSAFE_CALLS = {"eval", "exec", "read_pickle", "unsafe_load", "full_load", "load_model"}
IMPORTING = {  # what imports a module by a name, and whose name that is
    "__init__.py",  # its own parts
    "data/__init__.py",
    "api.py",
    "data/sources/keras_sets.py",  # keras.datasets
    "data/sources/user_functions.py",  # named by the config, under `build` or `dataset`
}


@cache
def calls() -> list[tuple[str, ast.Call, str]]:
    """Every call in the package: its file, itself, and the name of what is called."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                found.append((str(path.relative_to(PACKAGE)), node, name))
    return found


def test_nothing_in_the_package_loads_what_runs_code() -> None:
    assert len(calls()) > 1_000
    for file, call, name in calls():
        place = f"{file}:{call.lineno}: {ast.unparse(call.func)}"
        assert name not in UNSAFE_CALLS, place
        assert ast.unparse(call.func) not in ("os.system", "os.popen"), place
        module = ast.unparse(call.func).partition(".")[0]
        if module in UNPICKLING and file not in OWN_PROCESSES:
            assert name not in ("load", "loads", "open", "Unpickler"), place
        for keyword in call.keywords:
            safe = keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
            assert safe, place


def test_modules_are_imported_by_name_in_known_places_alone() -> None:
    found = {file for file, _, name in calls() if name in ("import_module", "__import__")}
    assert found <= IMPORTING, found - IMPORTING


def test_a_result_is_looked_at_without_running_the_code_it_names(tmp_path: Path) -> None:
    """What only looks at a folder that somebody else made."""
    folder, marker = tmp_path / "theirs", tmp_path / "owned"
    result_of(CONFIG, folder)
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\ndef build(hp): pass\n")
    theirs = CONFIG | {"model": {"build": "evil:build"}}
    theirs["grid"] = {"learning_rate": [0.01, 0.1]}
    with SQLiteStore(folder / "sweep.db") as store:
        recorded = store.latest_config()
        assert recorded is not None
        resolved = recorded.resolved | {"model": theirs["model"]}
        store.record_config(resolved, recorded.provenance | {"base_folder": str(tmp_path)})
    result = open_result(folder)
    assert result.config.model.build is not None
    assert len(result.trials) == 2
    for words in (["show"], ["plot"], ["report"], ["export"], ["recommend"]):
        assert main([*words, str(folder)]) == 0
    assert not marker.exists()


# --- nothing outside of the result folder


def result_of(config: dict[str, Any], folder: Path) -> None:
    planned = plan(parse_config(config, base_folder=folder.parent), folder, Options())
    train(planned.sweep, folder, planned.work, InlineExecutor(), lambda progress: None, {})


@pytest.mark.parametrize(
    "name", ["../escape", "/tmp/escape", "a/b", "..", ".hidden", "-x", "a\\b", "a\nb", ""]
)
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        parse_config(CONFIG | {"name": name})


HOSTILE = ["../../escape", "/tmp/stabilitysweep-escape/x", "..", "a/b", "{id}", "x\x00y"]


def test_labels_that_are_paths_write_nothing_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    labels = [label for label in HOSTILE if "\x00" not in label]
    sets = [CONFIG["dataset"] | {"label": label, "split_seed": n} for n, label in enumerate(labels)]
    config = {key: value for key, value in CONFIG.items() if key != "dataset"}
    config["grid"] = CONFIG["grid"] | {"dataset": sets}
    folder = tmp_path / "results" / "deep" / "safe"
    result_of(config, folder)
    result = open_result(folder)
    assert sorted(set(result.trials["dataset"])) == sorted(labels)
    result.save()
    write_report(result)
    for words in (
        ["plot", "--kind", "boundary"],
        *(["plot", "--where", f"dataset={label}"] for label in labels),
        ["compare"],
        ["recommend", "--out", str(folder / "next.yaml")],
    ):
        assert main([words[0], str(folder), *words[1:]]) == 0, words
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["deep"]
    assert [path.name for path in folder.parent.iterdir()] == ["safe"]
    assert not Path("/tmp/stabilitysweep-escape").exists()


# --- nothing listens


def test_neither_a_run_nor_its_workers_listen_or_call_anybody(tmp_path: Path) -> None:
    (tmp_path / "safe.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    run = subprocess.Popen(
        [sys.executable, "-m", "stabilitysweep", "run", "safe.yaml", "--workers", "1", "--quiet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    driver = psutil.Process(run.pid)
    looked: set[int] = set()
    try:
        while run.poll() is None:
            for process in (driver, *driver.children(recursive=True)):
                try:
                    assert process.net_connections(kind="inet") == []
                    looked.add(process.pid)
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        pass  # it ended between two looks
    finally:
        run.kill()
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert len(looked) >= 2  # the driver and its worker


def test_the_look_at_sockets_would_see_one() -> None:
    code = """
        import socket, sys
        server = socket.create_server(("127.0.0.1", 0))
        print("ready", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (found,) = psutil.Process(process.pid).net_connections(kind="inet")
        assert found.status == psutil.CONN_LISTEN
        process.communicate("")
