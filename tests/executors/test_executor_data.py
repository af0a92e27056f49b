"""Which prepared data a worker is given, keeps, and lets go of."""

from __future__ import annotations

from collections import OrderedDict, deque
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors import process
from stabilitysweep.executors.process import WorkerProcess
from stabilitysweep.executors.schedule import Task
from stabilitysweep.executors.worker import Assignment, data_of


class Pipe:
    """Keeps what is sent through it."""

    def __init__(self) -> None:
        self.sent: list[Assignment] = []

    def send(self, assignment: Assignment) -> None:
        self.sent.append(assignment)


def data(rows: int) -> PreparedData:
    x, y = np.ones((rows, 1)), np.ones((rows, 1))
    return PreparedData(x, y, x[:0], y[:0], 1, ("a",), "data")


STACK = cast("Stack", SimpleNamespace(program=None))
SETS = {key: data(rows) for key, rows in (("a", 10), ("b", 20), ("c", 30), ("d", 40))}


def sent_for(keys: str, monkeypatch: pytest.MonkeyPatch, kept: int) -> list[Assignment]:
    """What a worker is sent when it is given tasks on data of these keys, one after another."""
    monkeypatch.setattr(process, "_KEPT_BYTES", kept)
    worker = WorkerProcess.__new__(WorkerProcess)  # no process is started
    pipe = Pipe()
    worker.held, worker.fitted, worker.programs, worker._latest = deque(), 0, 0, None
    worker._known, worker._connection = OrderedDict(), cast("Any", pipe)
    for number, key in enumerate(keys):
        worker.give(Task(number, key, STACK), SETS)
    return pipe.sent


def test_data_is_sent_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sent_for("aabbcab", monkeypatch, kept=10**6)
    assert [one.data is not None for one in sent] == [True, False, True, False, True, False, False]
    assert all(one.forget == () for one in sent)


def test_the_longest_unused_is_let_go_of_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sent_for("abcab", monkeypatch, kept=SETS["b"].nbytes)
    assert [one.forget for one in sent] == [(), (), ("a",), ("b", "c"), ()]
    assert all(one.data is SETS[one.key] for one in sent)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(keys=st.text("abcd", max_size=20), kept=st.integers(0, 2_000))
def test_a_worker_always_has_its_data_and_never_more_than_it_may(keys: str, kept: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        sent = sent_for(keys, monkeypatch, kept)
    known: dict[str, PreparedData] = {}
    for key, assignment in zip(keys, sent, strict=True):
        assert data_of(assignment, known) is SETS[key]
        assert sum(own.nbytes for name, own in known.items() if name != key) <= kept
