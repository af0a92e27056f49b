"""A Ray of several nodes on this machine, on 127.0.0.1, as a test wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def ray_nodes(*cpus: int) -> Iterator[Any]:
    """Start nodes with so many CPUs each, the head first; yield the `Cluster`.

    Its address is `.address`; `.worker_nodes` are the nodes but the head.
    """
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'stabilitysweep[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of our tests
        # A token of the user's, or of a Ray started by another test, is none of this cluster.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        from ray._private import ray_constants
        from ray.cluster_utils import Cluster

        # Nodes take 127.0.0.1 for what it is, and listen nowhere else.
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        cluster = Cluster()
        try:
            for number in cpus:
                cluster.add_node(
                    num_cpus=number, node_ip_address="127.0.0.1", include_dashboard=False
                )
            yield cluster
        finally:
            cluster.shutdown()
