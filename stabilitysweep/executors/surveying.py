"""Users' models built in processes of their own: what the driver needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.executors.apart import call_apart
from stabilitysweep.executors.worker import start_engine

_REQUESTS_A_PROCESS = 40
"""Models for which another process is worth its start."""


def survey_apart(
    requests: Sequence[Request], folders: Sequence[Path], processes: int = 1
) -> list[Blueprint]:
    """Build the models of all requests; see `models.survey`.

    Args:
        requests: of one build function.
        folders: where to look for its module, absolute.
        processes: how many there may be at once.

    Raises:
        StabilitySweepError: a process died over it.
    """
    count = max(1, min(processes, len(requests) // _REQUESTS_A_PROCESS))
    size = -(-len(requests) // count) if requests else 1
    parts = [list(requests[start : start + size]) for start in range(0, len(requests), size)]
    if len(parts) == 1:  # so that Ctrl-C is heard at once
        return call_apart(_survey, parts[0], list(folders))  # type: ignore[no-any-return]
    with ThreadPoolExecutor(max(len(parts), 1)) as pool:
        found = pool.map(lambda part: call_apart(_survey, part, list(folders)), parts)
        return [blueprint for part in found for blueprint in part]


def _survey(requests: list[Request], folders: list[Path]) -> list[Blueprint]:
    start_engine("stacked")  # the policy, threads and silence of a worker
    from stabilitysweep.models.survey import survey

    return survey(requests, folders)
