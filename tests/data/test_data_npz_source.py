"""Loading: NPZ files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.errors import DataError

ARRAYS: dict[str, Any] = {
    "x": np.arange(6.0).reshape(3, 2),
    "image": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
    "word": np.array(["b", "", "a"]),
    "v": np.array([1, np.nan, 3], np.float32),
    "y": np.array([1, 0, 1]),
}


def read(folder: Path, arrays: dict[str, Any] | None = None, **keys: Any) -> RawData:
    if arrays is not None:
        np.savez(folder / "data.npz", **arrays)
    return load(DatasetSettings(**{"path": "data.npz", "target": "y", **keys}), folder)


def test_arrays_of_any_rank_are_columns(tmp_path: Path) -> None:
    raw = read(tmp_path, ARRAYS)
    images = ("image_0_0", "image_0_1", "image_1_0", "image_1_1")
    assert raw.feature_names == ("x_0", "x_1", *images, "v")
    together = np.column_stack([ARRAYS["x"], ARRAYS["image"].reshape(3, 4), ARRAYS["v"]])
    np.testing.assert_array_equal(raw.features, together)
    assert raw.category_names == ("word",)
    assert raw.levels == (("a", "b"),)
    np.testing.assert_array_equal(raw.target, ARRAYS["y"])
    assert raw.dtypes["image_1_1"] == "uint8"
    assert raw.source == "NPZ file data.npz, target 'y'"


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"features": ["x"]}, ("x_0", "x_1")),
        ({"features": ["x_1", "v"]}, ("x_1", "v")),
        ({"exclude": ["image", "word", "x_0"]}, ("x_1", "v")),
        (
            {"features": ["image"], "exclude": ["image_0_0", "image_1_1"]},
            ("image_0_1", "image_1_0"),
        ),
    ],
)
def test_a_name_stands_for_an_array_or_a_column_of_it(
    tmp_path: Path, keys: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert read(tmp_path, ARRAYS, **keys).feature_names == names


def test_all_columns_of_an_array_can_be_categories(tmp_path: Path) -> None:
    raw = read(tmp_path, ARRAYS, features=["x"], categorical=["x"])
    assert raw.category_names == ("x_0", "x_1")
    assert raw.levels == (("0", "2", "4"), ("1", "3", "5"))


def test_a_target_may_be_a_column_of_width_one_or_text(tmp_path: Path) -> None:
    assert read(tmp_path, ARRAYS | {"y": np.ones((3, 1))}).target.shape == (3,)
    assert read(tmp_path, ARRAYS | {"y": np.array(["p", "q", "p"])}).target.tolist() == [*"pqp"]


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    arrays = ARRAYS | {"trap": np.array([Trap()] * 3, object)}
    with pytest.raises(DataError, match=r"array 'trap', got Python objects.*exclude: \[trap\]"):
        read(tmp_path, arrays)
    assert read(tmp_path, exclude=["trap"]).columns == 8
    assert read(tmp_path, features=["v"]).columns == 1
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("change", "keys", "message"),
    [
        ({}, {"target": "z"}, "there is no array 'z'. Arrays: x, image"),
        ({}, {"target": "wrod"}, "Did you mean 'word'"),
        ({}, {"target": "x"}, r"one value a row in the target 'x', got an array of shape \(3, 2\)"),
        ({}, {"features": ["q"]}, "features: there is no array 'q'"),
        ({}, {"features": ["x_7"]}, "features: there is no column 'x_7'. Did you mean 'x_"),
        ({"k": np.zeros(2)}, {}, r"3 rows in the array 'k'.*got the shape \(2,\).*exclude: \[k\]"),
        ({"k": np.array(5)}, {}, r"array 'k'.*got the shape \(\)"),
        ({"k": np.zeros(3, complex)}, {}, "column 'k', got complex128"),
        ({"x_0": np.zeros(3)}, {}, "different names of columns.*Rename"),
        ({"y": np.array([1.0, np.nan, 2])}, {}, "target 'y' has no value in row 1"),
        ({name: array[:0] for name, array in ARRAYS.items()}, {}, "expected rows, got none"),
    ],
)
def test_what_cannot_be_used(
    tmp_path: Path, change: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, ARRAYS | change, **keys)
    assert str(tmp_path / "data.npz") in str(caught.value)


def test_a_damaged_file_is_one_message(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **ARRAYS)
    content = (tmp_path / "data.npz").read_bytes()
    damaged = bytearray(content)
    damaged[60:200] = bytes(140)
    for broken in (content[:-30], content[:100], b"", b"abc", bytes(damaged)):
        (tmp_path / "data.npz").write_bytes(broken)
        with pytest.raises(DataError, match=r"data\.npz: not an NPZ file, or damaged"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("flag_bits", 1, r"cannot be unpacked: .*encrypted.*Write them with numpy\.savez"),
        ("compress_type", 99, r"cannot be unpacked: .*compression method.*numpy\.savez"),
    ],
)
def test_an_archive_that_python_cannot_unpack_is_one_message(
    tmp_path: Path, field: str, value: int, message: str
) -> None:
    np.savez(tmp_path / "data.npz", **ARRAYS)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    # Both places where a zip file says so of a member: above its data, and in the index.
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(magic)
        while place >= 0:
            content[place + flags + (2 if field == "compress_type" else 0)] |= value
            place = content.find(magic, place + 1)
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path)
