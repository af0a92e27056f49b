"""Connecting to Ray: what is wrong is said at once, and what is started here listens here alone."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
from fake_engines import result, start
from ray_on_loopback import REASON

from stabilitysweep import api
from stabilitysweep.config import parse_config
from stabilitysweep.errors import UserError
from stabilitysweep.execution import Options
from stabilitysweep.executors import RayExecutor, local, memory, ray_cluster
from stabilitysweep.runner import load_sweep, missing_work
from stabilitysweep.types import Compiled

CONTENT = {
    "name": "ray",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 2, "batch_size": 4},
    "grid": {"learning_rate": [0.01, 0.1]},
}
PROMPT = 15.0
"""Seconds; Ray itself takes minutes. Most of it is for a machine that has other things to do."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and no address of a Ray in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


@pytest.fixture
def chatty() -> Iterator[int]:
    """The port of a server of another kind, which answers at once."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def refused(**options: Any) -> str:
    """The message with which a run is refused, before anything is loaded or written."""
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        api.plan(
            {**CONTENT, "dataset": {"path": "not/read.csv", "target": "y"}},
            None,
            Options(**options),
        )
    assert time.monotonic() - began < PROMPT
    return str(caught.value)


def test_where_nothing_listens_is_said_and_how_to_start_a_ray(here: Path) -> None:
    pytest.importorskip("ray", reason=REASON)
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there meanwhile
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        message = refused(executor="ray", ray_address=address)
    assert message.startswith(f"ray_address: expected a Ray at {address}, got: Connection refused.")
    assert "ray start --head" in message
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("here")
def test_what_listens_but_is_no_ray_is_told_from_one(chatty: int) -> None:
    pytest.importorskip("ray", reason=REASON)
    message = refused(executor="ray", ray_address=f"127.0.0.1:{chatty}")
    assert "something else that listens there" in message


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "address", ["", "6379", "127.0.0.1:", ":6379", "127.0.0.1:port", "a:0", "a:65536", "ray://a:1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray", reason=REASON)
    message = refused(executor="ray", ray_address=address)
    assert message == (
        f"ray_address: expected auto or HOST:PORT, as 127.0.0.1:6379, got {address!r}."
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_host_that_no_name_can_be_is_refused(host: str) -> None:
    pytest.importorskip("ray", reason=REASON)
    message = refused(executor="ray", ray_address=f"{host}:1")
    assert message.startswith(f"ray_address: expected a Ray at {host}:1, got: ")


def test_an_address_in_the_environment_is_that_of_auto(
    here: Path, chatty: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason=REASON)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{chatty}")
    assert "something else" in refused(executor="ray", ray_address="auto")
    monkeypatch.setenv("RAY_ADDRESS", "ray://a:1")
    assert refused(executor="ray", ray_address="auto").startswith("RAY_ADDRESS (for 'auto'): ")
    for nothing in ("auto", ""):
        monkeypatch.setenv("RAY_ADDRESS", nothing)
        message = refused(executor="ray", ray_address="auto")
        assert "expected a Ray on this machine for 'auto', got none" in message


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("address", [None, "auto", "127.0.0.1:6379"])
def test_without_the_extra_a_run_says_what_to_install(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name)
    )
    message = refused(executor="ray", ray_address=address)
    assert "pip install 'stabilitysweep[ray]'" in message
    assert "'local'" in message


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("given", "workers"), [(None, 3), (5, 5)])
def test_a_ray_that_the_user_has_started_is_planned_for_as_it_is(
    given: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CPUs count and its machines' memory, not those of this machine."""
    ray = ModuleType("ray")
    ray.__spec__ = ModuleSpec("ray", None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    address = SimpleNamespace(gcs_address="10.0.0.1:6379")
    for name, answer in (
        ("is_initialized", True),
        ("get_runtime_context", address),
        ("cluster_resources", {"CPU": 3.0}),
    ):
        monkeypatch.setattr(ray, name, lambda answer=answer: answer, raising=False)
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    monkeypatch.setattr(local, "available_cores", lambda: [0])
    grid = {"depth": [1, 2, 3, 4, 5]}
    plan = api.plan({**CONTENT, "grid": grid}, None, Options(executor="ray", workers=given))
    assert plan.workers == workers
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    if given is None:
        plan = api.plan({**CONTENT, "grid": grid}, None, Options(executor="ray"))
        assert plan.workers == 1
    else:
        with pytest.raises(UserError, match="as many as fit into memory"):
            api.plan({**CONTENT, "grid": grid}, None, Options(executor="ray", workers=given))


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UserError, match="executor: expected local or ray, got 'dask'"):
        Options(executor="dask")
    with pytest.raises(UserError, match="ray_address: expected none for the executor 'local'"):
        Options(ray_address="auto")


def test_the_command_line_refuses_with_exit_code_2(here: Path) -> None:
    pytest.importorskip("ray", reason=REASON)
    (here / "ray.yaml").write_text("name: ray\ndataset: {name: diabetes}\ngrid: {l2: [0]}\n")
    words = ["run", "ray.yaml", "--executor", "ray", "--ray-address", "127.0.0.1:1"]
    done = subprocess.run(
        [sys.executable, "-m", "stabilitysweep", *words],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ray_address: expected a Ray at 127.0.0.1:1, got: ")
    assert len(done.stderr.splitlines()) == 1


def test_nobody_imports_ray_who_has_not_asked_for_it() -> None:
    code = "import sys, stabilitysweep.cli, stabilitysweep.api; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_while_ray_starts_and_ends(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    ray = pytest.importorskip("ray", reason=REASON)
    done: list[str] = []

    def interrupted(what: str) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        done.append(what)

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, stop)
    request.addfinalizer(lambda: signal.signal(number, before))
    monkeypatch.setattr(ray, "init", lambda **options: interrupted("started"))
    monkeypatch.setattr(ray, "shutdown", lambda: interrupted("ended"))
    with pytest.raises(KeyboardInterrupt), ray_cluster.connected(None):
        pytest.fail("it went on")
    assert done == ["started", "ended"]
    assert signal.getsignal(number) is stop


def test_a_ray_of_our_own_listens_on_loopback_alone_and_is_gone_afterwards(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Ray's C++ reads of tokens first holds for the process: the clusters of other tests have
    # none.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    pytest.importorskip("ray", reason=REASON)
    mode = os.environ.get("RAY_AUTH_MODE")
    sweep = load_sweep(parse_config(CONTENT))
    work = missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="fit", workers=1)
    before, handler = set(children()), signal.getsignal(signal.SIGTERM)
    taken = [what_the_system_does_at(number) for number in (signal.SIGTERM, signal.SIGSEGV)]
    finished = RayExecutor(1, "echo", None, start).train(work.jobs, sweep.data)
    done = [next(finished)]
    ours = set(children()) - before
    assert any("raylet" in each.name() for each in ours)
    addresses = {
        connection.laddr.ip
        for each in (*ours, psutil.Process())
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
    # Ray's own handlers would end the process in words of theirs, C++'s while Ray starts already.
    assert signal.getsignal(signal.SIGTERM) is handler
    assert [what_the_system_does_at(number) for number in (signal.SIGTERM, signal.SIGSEGV)] == taken
    done += finished
    gone, alive = psutil.wait_procs(ours, timeout=20)
    assert not alive, [each.name() for each in alive]
    assert gone
    assert [found for one in done for found in one.results] == [
        result(trial.trial_id, sweep.data[key], "echo")
        for job in work.jobs
        for key, stack in job.trainings
        for trial in stack.trials
    ]
    assert capfd.readouterr() == ("", "")
    assert os.environ.get("RAY_AUTH_MODE") == mode


def what_the_system_does_at(number: int) -> bytes:
    """The handler of a signal, whoever has set it: what `struct sigaction` begins with."""
    kept = ctypes.create_string_buffer(512)
    assert ctypes.CDLL(None).sigaction(number, None, kept) == 0
    return kept.raw[: ctypes.sizeof(ctypes.c_void_p)]


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
