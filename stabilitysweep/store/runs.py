"""How long each run took, noted in the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stabilitysweep.store.base import RUNS, Store
from stabilitysweep.store.schema import now


@contextmanager
def run_noted(store: Store, trained: Callable[[], int]) -> Iterator[None]:
    """Note when a run began, how long it took and how many trials it trained.

    So is one that is interrupted; one that trained nothing is not.

    Args:
        store: the record.
        trained: says how many trials there are by now.
    """
    began, started = now(), time.monotonic()
    try:
        yield
    finally:
        if number := trained():
            seconds = round(time.monotonic() - started, 1)
            noted = {"started": began, "seconds": seconds, "trials": number}
            store.set_meta(RUNS, [*store.meta().get(RUNS, []), noted])
