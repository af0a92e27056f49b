"""What a process of ours prints: kept in a file without a name, which nobody need clear away."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from multiprocessing.reduction import DupFd
from typing import IO, Any

from stabilitysweep.errors import UserError

_TAIL_BYTES = 2**16
_CHATTER = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl")
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Log:
    """A temporary file without a name, which the system drops with the last process that has it.

    However the processes end, together by `kill -9` as well, nothing of it stays behind.
    It can be handed to a process that is being started by `spawn`, and to no other.
    """

    def __init__(self) -> None:
        """Open an empty one.

        Raises:
            UserError: there is no room for it.
            OSError: this process has too many files open.
        """
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  see `close`
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                raise
            raise UserError(
                f"expected a place for temporary files, got: {error.strerror or error}. Make room, "
                "or name another folder with the environment variable TMPDIR."
            ) from error

    def __getstate__(self) -> Any:
        return DupFd(self._file.fileno())

    def __setstate__(self, inherited: Any) -> None:
        self._file = open(inherited.detach(), "rb+", buffering=0)  # noqa: SIM115

    def take_output(self) -> None:
        """Send file descriptors 1 and 2 of this process here, for C++ code as well as Python's."""
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.dup2(self._file.fileno(), number)
        self._file.close()

    def last_line(self) -> str:
        """Return the last line that says something; TensorFlow's chatter does not."""
        try:
            size = os.fstat(self._file.fileno()).st_size
            # Not by seeking: processes that write share the position.
            tail = os.pread(self._file.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        except OSError:
            return ""
        lines = tail.decode("utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not _CHATTER.match(line)]
        return said[-1] if said else ""

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
