"""TensorFlow's notices are kept off stderr; all else that a user's module writes is passed on."""

from __future__ import annotations

import os
import sys

import pytest

from stabilitysweep.data.sources.chatter import is_chatter, without_chatter

NOTICES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795616185.662487    2576 port.cc:153] oneDNN custom operations are on.",
    "W0000 00:00:1795616185.6 2576 cpu_feature_guard.cc:227] This TensorFlow binary is optimized",
    "To enable the following instructions: AVX2 AVX512F, in other operations, rebuild",
    "2026-11-25 14:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations",
    "E0000 00:00:1795616185.66 2576 cuda_dnn.cc:8310] Unable to register cuDNN factory",
)
WORDS = (
    "WARNING: 3 rows dropped",
    "I read 300 rows",
    "2026-11-25 14:00:00: I am done",
    "E0000: no such file",
    "",
)


@pytest.mark.parametrize("line", NOTICES)
def test_a_notice_is_known(line: str) -> None:
    assert is_chatter(line.encode())


@pytest.mark.parametrize("line", WORDS)
def test_words_of_the_user_are_no_notice(line: str) -> None:
    assert not is_chatter(line.encode())


def test_what_is_written_to_the_descriptor_is_sifted_and_stays_in_order(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_chatter():
        for notice, word in zip(NOTICES, WORDS, strict=False):
            os.write(2, f"{notice}\n{word}\n".encode())
        os.write(2, b"50 %\r100 %\rno end of line")
    os.write(2, b" and after\n")
    expected = "".join(f"{word}\n" for word in WORDS)
    assert capfd.readouterr().err == f"{expected}50 %\r100 %\rno end of line and after\n"


def test_lines_that_come_in_pieces_are_whole_lines(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        for piece in ("I0000 00:0", "0:1795616185.662487 2576 port", ".cc:153] on.\nmi", "ne\n"):
            os.write(2, piece.encode())
    assert capfd.readouterr().err == "mine\n"


def test_stderr_is_itself_again_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    before = os.fstat(2)

    def fail() -> None:
        os.write(2, b"I0000 00:00:1795616185.662487 2576 port.cc:153] on.\n")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), without_chatter():
        fail()
    assert os.path.samestat(os.fstat(2), before)
    assert capfd.readouterr().err == ""


def test_what_python_holds_back_comes_out_on_its_own_side(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_chatter():
        print("inside", file=sys.stderr)
    print("outside", file=sys.stderr)
    assert capfd.readouterr().err == "inside\noutside\n"


def test_no_descriptor_is_left_open() -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    with without_chatter():
        pass
    before = opened()
    for _ in range(20):
        with without_chatter():
            os.write(2, b"")
    assert opened() == before
