"""A user's function: found, or told where it was looked for; its errors in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabilitysweep.data.sources.user_functions import attribute_of, in_words, module_of, one_line
from stabilitysweep.data.sources.user_modules import importing_from
from stabilitysweep.errors import DataError, StabilitySweepError, TrialError

ERRORS = [DataError, TrialError]
TEXT = "def build(hp):\n    return inner(hp)\n\ndef inner(hp):\n    raise KeyError('a')\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine_.py").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", r"^asked: there is no module 'mine'\. Looked for it in .*There is 'mine_'\."),
        ("broken_", r"^asked: the module 'broken_' cannot be imported: SystemExit: 1, in .*:1\."),
    ],
)
def test_a_module_that_is_not_there_or_fails(
    mine: Path, kind: type[StabilitySweepError], name: str, message: str
) -> None:
    (mine / "broken_.py").write_text("raise SystemExit(1)\n")
    with importing_from([mine], name), pytest.raises(kind, match=message):
        module_of("asked", name, [mine], kind)


@pytest.mark.parametrize("kind", ERRORS)
def test_a_name_that_is_not_there_has_a_nearest(
    mine: Path, kind: type[StabilitySweepError]
) -> None:
    with importing_from([mine], "mine_"):
        module = module_of("asked", "mine_", [mine], kind)
        assert attribute_of("asked", module, "build", kind)
        with pytest.raises(kind, match=r"'biuld' in .*Did you mean 'build'\? It has: build, inner"):
            attribute_of("asked", module, "biuld", kind)


def test_an_error_names_the_last_line_of_the_users(mine: Path) -> None:
    with importing_from([mine], "mine_"):
        module = module_of("asked", "mine_", [mine], DataError)
        with pytest.raises(KeyError) as caught:
            module.build(None)
    assert in_words(caught.value, [mine]) == f"KeyError: 'a', in {mine / 'mine_.py'}:5"
    assert in_words(caught.value, []) == "KeyError: 'a'"
    assert in_words(caught.value, [], module) == f"KeyError: 'a', in {mine / 'mine_.py'}:5"


def test_what_keras_says_is_one_line_without_colours() -> None:
    text = (
        "Exception encountered when calling L.call().\n\n\x1b[1mno training\x1b[0m\n\n"
        "Arguments received by L.call():\n  • x=tf.Tensor(shape=(2, 4))\n  • training=True"
    )
    assert one_line(text) == "Exception encountered when calling L.call(). no training"
    assert len(one_line("word " * 1000)) == 400
