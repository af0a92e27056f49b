"""A Ray of several nodes on this machine, on 127.0.0.1, as a test wants it.

And engines for its workers, which import this module by its name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_engines import SUSPECT, FakeEngine

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.types import TrialResult

REASON = "Ray is an extra: pip install 'stabilitysweep[ray]'"


@contextmanager
def ray_nodes(*cpus: int) -> Iterator[Any]:
    """Start nodes with so many CPUs each, the head first; yield the `Cluster`.

    Its address is `.address`; `.worker_nodes` are the nodes but the head.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of our tests
        # A token of the user's, or of a Ray that another test started, is none of this cluster.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        pytest.importorskip("ray", reason=REASON)  # some of it is read when it is imported
        from ray._private import ray_constants
        from ray.cluster_utils import Cluster

        # Nodes take 127.0.0.1 for what it is, and listen nowhere else.
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        cluster = Cluster()
        try:
            for number in cpus:
                add_node(cluster, number)
            yield cluster
        finally:
            cluster.shutdown()


def add_node(cluster: Any, cpus: int) -> Any:
    """Start one more node, on 127.0.0.1."""
    return cluster.add_node(num_cpus=cpus, node_ip_address="127.0.0.1", include_dashboard=False)


class HeldEngine(FakeEngine):
    """Notes in its file `begun` when it begins a stack; stands still while its folder has `hold`.

    Those that stand still leave a file `held-…` each.
    """

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        folder, trial_id = Path(self.path), stack.trials[0].trial_id
        with open(folder / "begun", "a") as begun:
            begun.write(f"{trial_id}\n")
        time.sleep(0.1)
        while (folder / "hold").exists():
            (folder / f"held-{trial_id}").touch()
            time.sleep(0.05)
        return super().run(stack, data)


class ParentsBane(FakeEngine):
    """Ends the process that keeps its own, at the learning rate at which engines misbehave."""

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        if any(trial.training.learning_rate == SUSPECT for trial in stack.trials):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().run(stack, data)


def start_held(name: str) -> Engine:
    """Make the engine of a worker."""
    return HeldEngine(name)


def start_bane(name: str) -> Engine:
    """Make the engine of a worker."""
    return ParentsBane(name)
