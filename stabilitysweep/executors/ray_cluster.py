"""This process' connection to Ray: found, checked, opened, closed.

Ray tries for minutes to reach what is not there, and says so in its own words many times over. So
an address is looked at first, and what is wrong with it is said at once. A Ray that is started here
listens on 127.0.0.1 alone, without a dashboard.

Signals wait while it starts and ends: interrupted in between, it may end this process by SIGSEGV,
or leave processes of its own for a minute.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stabilitysweep.errors import StabilitySweepError, UserError
from stabilitysweep.executors.process import put_off

_PROBE_SECONDS = 5.0
_CONNECT_SECONDS = 3
"""How long Ray may try to be let in by something that looks like Ray."""
_WAITING = "RAY_gcs_server_port_wait_time_s"
_AUTH_MODE = "RAY_AUTH_MODE"
_ADDRESS = "RAY_ADDRESS"
_NO_FAILURE_HANDLER = "RAY_DISABLE_FAILURE_SIGNAL_HANDLER"

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

# The first bytes of HTTP/2 (RFC 9113, 3.4): a preface, and a SETTINGS frame without a setting. A
# server answers with a SETTINGS frame of its own, whose type is the fourth byte.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEAD = 9
_SETTINGS = 4

_HOW_TO_START = (
    "Start one with 'ray start --head' on the first machine and 'ray start --address=HOST:PORT' on "
    "the others, or leave --ray-address away to start one for this run (docs/cluster.md)."
)


def require_ray() -> None:
    """Check that Ray is installed, without importing it.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "executor: expected Ray to be installed for 'ray', but it is not. Install it with "
            "pip install 'stabilitysweep[ray]', or use the executor 'local'."
        )


@contextmanager
def connected(address: str | None, cores: int = 1) -> Iterator[Any]:
    """Connect to Ray, and let go of it at the end; a connection that is there is used as it is.

    Args:
        address: `auto`, or HOST:PORT; None starts a Ray on this machine.
        cores: how many CPUs that one has.

    Yields:
        The module `ray`.

    Raises:
        UserError: Ray is not installed, there is none at the address, or it does not let us in.
        StabilitySweepError: none can be started here.
    """
    require_ray()
    import ray

    if ray.is_initialized():
        _require_same(ray.get_runtime_context().gcs_address, address)
        yield ray
        return
    mode = os.environ.get(_AUTH_MODE)
    try:
        if address is None:
            _start(ray, cores)
        else:
            _attach(ray, address)
        with _silent():
            yield ray
    finally:
        with put_off():
            ray.shutdown()
        if mode is None:  # Ray sets it where it finds or makes a token: the next may want none
            os.environ.pop(_AUTH_MODE, None)


def is_connected() -> bool:
    """Return whether this process is connected to a Ray already; imports nothing."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def cluster_cores() -> int:
    """Return how many CPUs the cluster has that this process is connected to.

    Raises:
        UserError: none, so that nothing would ever be trained.
    """
    import ray

    cores = int(ray.cluster_resources().get("CPU", 0))
    if not cores:
        raise UserError(
            "ray_address: expected a Ray cluster with CPUs, got one that has none. Start a node "
            "with some, or say with --workers how many it is going to provide."
        )
    return cores


def _start(ray: Any, cores: int) -> None:
    try:
        with put_off(), _signals_as_before(), _on_loopback(), _mute():
            ray.init(
                address="local",
                num_cpus=cores,
                num_gpus=0,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                logging_level="error",
                log_to_driver=False,
            )
    except Exception as error:  # Ray raises that itself where a machine is slow to start it
        raise StabilitySweepError(
            f"expected to start Ray on this machine, got: {_first_line(error)}. Use the executor "
            "'local', which needs none, or start Ray yourself and give its --ray-address."
        ) from error


def _attach(ray: Any, address: str) -> None:
    found = _resolved(address)
    host, _, port = found.rpartition(":")
    _require_ray_at(host, int(port), address)
    loopback = host.strip("[]") in _LOOPBACK
    # By `auto` Ray looks for the token of a cluster of this machine; by HOST:PORT it waits to be
    # told that there is one.
    asked = "auto" if address == "auto" else found
    try:
        with put_off(), _signals_as_before(), _on_loopback(loopback), _patience(), _mute():
            ray.init(address=asked, logging_level="error", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reasons = _first_line(error)
        if error.__cause__ is not None:  # a traceback of Ray's, in its text
            reasons += f" ({_last_line(error.__cause__)})"
        raise UserError(
            f"ray_address: expected a Ray that lets this process in, got {address}, where: "
            f"{reasons}. This machine has to be a node of the cluster (ray start --address={found})"
            ", with the same versions of Ray and Python; where the cluster asks for a token, set "
            "RAY_AUTH_MODE=token."
        ) from error


def _resolved(address: str) -> str:
    """The address as HOST:PORT."""
    source = "ray_address"
    if address == "auto":
        from ray._private.services import get_ray_address_from_environment

        given = os.environ.get(_ADDRESS, "")
        try:
            named = given not in ("", "auto", "local")  # these name none
            found = given if named else get_ray_address_from_environment("auto", None)
        except ConnectionError:
            found = None
        if not found:
            raise UserError(
                "ray_address: expected a Ray on this machine for 'auto', got none. " + _HOW_TO_START
            )
        address, source = str(found), f"{_ADDRESS} (for 'auto')" if named else source
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(
            f"{source}: expected auto or HOST:PORT, as 127.0.0.1:6379, got {address!r}."
        )
    return address


def _require_ray_at(host: str, port: int, address: str) -> None:
    """Check that something which may be Ray listens.

    Raises:
        UserError: it does not.
    """
    try:
        with socket.create_connection((host.strip("[]"), port), _PROBE_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return  # it expects a greeting of another kind
            connection.sendall(_HELLO)
            answer = connection.recv(_FRAME_HEAD, socket.MSG_WAITALL)
    except (OSError, UnicodeError) as error:  # the latter where no host can be called so
        raise UserError(
            f"ray_address: expected a Ray at {address}, got: "
            f"{getattr(error, 'strerror', None) or error}. " + _HOW_TO_START
        ) from error
    if len(answer) < _FRAME_HEAD or answer[3] != _SETTINGS:
        raise UserError(
            f"ray_address: expected a Ray at {address}, got something else that listens there. "
            "Give the port of 'ray start --head', by default 6379, not that of the dashboard."
        )


def _require_same(current: str, address: str | None) -> None:
    if address in (None, "auto") or _resolved(str(address)) == current:
        return
    raise UserError(
        f"ray_address: expected {current}, to which this process is connected already, got "
        f"{address}. Call ray.shutdown() first, or leave the address away to use that one."
    )


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """Leave SIGTERM to whom it belongs while Ray starts.

    Ray takes it with two handlers of its own: one of Python's, which ends the process with an exit
    code of Ray's, and one of C++, which prints a stack and ends the process as well.
    """
    from ray._private import ray_constants, utils

    set_handler = utils.set_sigterm_handler
    disabled = getattr(ray_constants, _NO_FAILURE_HANDLER, False)
    utils.set_sigterm_handler = lambda handler: None
    setattr(ray_constants, _NO_FAILURE_HANDLER, True)
    try:
        yield
    finally:
        utils.set_sigterm_handler = set_handler
        setattr(ray_constants, _NO_FAILURE_HANDLER, disabled)


@contextmanager
def _on_loopback(loopback: bool = True) -> Iterator[None]:
    """Let Ray take 127.0.0.1 for what it is.

    On Linux it replaces it by the address that this machine has for others, on which it listens,
    or at which it looks for a Ray that does not listen there.
    """
    if not loopback:
        yield
        return
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _patience() -> Iterator[None]:
    """Let Ray try for seconds, not minutes, to be let in."""
    given = _WAITING in os.environ
    os.environ.setdefault(_WAITING, str(_CONNECT_SECONDS))
    try:
        yield
    finally:
        if not given:
            del os.environ[_WAITING]


@contextmanager
def _mute() -> Iterator[None]:
    """Keep Ray from saying what goes wrong in words of its own; we do, in ours.

    Its C++ writes them to file descriptor 2, whatever Python's logging is told.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray from printing what happens to nodes and tasks between our lines, or in our JSON."""
    from ray._private import worker

    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = True


def _first_line(error: BaseException) -> str:
    return _lines(error)[0]


def _last_line(error: BaseException) -> str:
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]
