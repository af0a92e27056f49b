"""Files and texts that are no config before any key is looked at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stabilitysweep.config import load_config
from stabilitysweep.errors import ConfigError

LinesOf = Callable[[Any], list[str]]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: [1", 1, "expected ',' or ']'"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed here"),
        ("a:\n\t- 1", 2, "cannot start any token"),
        ("a: &x [*x]", 1, "nested without end"),
        ("a: 1\nb: \x07", 2, "character #x0007"),
        ("a: 1\n---\nb: 1", 2, "another document"),
        ("[" * 20_000, 1, "nested without end"),
    ],
)
def test_text_that_is_not_yaml(lines_of: LinesOf, text: str, line: int, reason: str) -> None:
    (message,) = lines_of(text)
    assert message.startswith(f"sweep.yaml:{line}: expected a config in YAML, got text that is not")
    assert reason in message


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "got nothing"),
        ("# nothing but a comment", "got nothing"),
        ("- 1", "got a list"),
        ("just words", "got 'just words'"),
        ("5", "got 5"),
    ],
)
def test_yaml_that_is_no_mapping(lines_of: LinesOf, text: str, got: str) -> None:
    (message,) = lines_of(text)
    assert message.startswith("sweep.yaml:1: expected a mapping with keys out of name, dataset")
    assert got in message


@pytest.mark.parametrize("tag", ["!mine", "!!python/object/apply:os.getcwd"])
def test_tags_are_refused_and_nothing_is_run(lines_of: LinesOf, tag: str) -> None:
    for value in ("x", "[]", "{}"):
        (message,) = lines_of(f"dataset: {tag} {value}")
        assert "dataset: expected plain YAML, got the tag" in message


def test_a_short_text_that_stands_for_an_endless_one(lines_of: LinesOf) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (message,) = lines_of("\n".join(levels))
    assert "expected at most 200,000 values, got more" in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    large = tmp_path / "large.yaml"
    large.write_text("#" * 1_000_001)
    for path, got in [
        (tmp_path / "missing.yaml", "no such file"),
        (tmp_path, "a folder"),
        (binary, "not text in UTF-8"),
        (large, "a file of 1,000,001 bytes"),
        (Path("nul\0l"), "no such file"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=got) as caught:
            load_config(path)
        assert str(caught.value).startswith(f"{path}: expected a config in YAML, got ")


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfdataset: wine\r\ngrid:\r\n  l1: [0]\r\n")
    assert load_config(file).name == "windows"
    file.write_bytes(b"\xef\xbb\xbfdataset: wine\r\ngrid:\r\n  l1: [x]\r\n")
    with pytest.raises(ConfigError, match=r"windows.yaml:3: grid.l1\[0\]: "):
        load_config(file)


def test_a_file_whose_name_cannot_be_that_of_a_sweep(tmp_path: Path) -> None:
    file = tmp_path / "my sweep.yaml"
    file.write_text("dataset: wine\ngrid: {l1: [0]}\n")
    with pytest.raises(ConfigError, match="got 'my sweep'; the name of the file cannot be used"):
        load_config(file)
    file.write_text("name: mine\ndataset: wine\ngrid: {l1: [0]}\n")
    assert load_config(file).name == "mine"
