"""The traces of many trials, unpacked when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from stabilitysweep.store.encoding import decode_trace, require_trace
from stabilitysweep.types import Trace


class PackedTraces(Mapping[str, Trace]):
    """Traces by trial id, as small as they are stored: a million would fill the memory.

    One is unpacked each time it is asked for.
    """

    def __init__(
        self,
        packed: Mapping[str, bytes],
        decoding: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        """Take over blobs.

        Args:
            packed: blobs of `encode_trace`, by trial id.
            decoding: given what is read, turns what reading it raises into a `ResultError`.

        Raises:
            ResultError: a blob that is no trace.
        """
        self._packed, self._decoding = packed, decoding
        with decoding("a trace"):
            for blob in packed.values():
                require_trace(blob)

    def __getitem__(self, trial_id: str) -> Trace:
        """The trace of a trial.

        Raises:
            KeyError: the trial is not stored, or has no trace.
            ResultError: the trace is damaged.
        """
        blob = self._packed[trial_id]
        with self._decoding(f"the trace of trial {trial_id}"):
            trace = decode_trace(blob)
            assert trace is not None
            return trace

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)
