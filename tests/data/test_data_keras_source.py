"""Loading: Keras' data sets, without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import DatasetSettings
from stabilitysweep.config.names import KERAS_DATASETS
from stabilitysweep.data import load
from stabilitysweep.data.sources.keras_sets import FILES, keras_home
from stabilitysweep.errors import DataError


def _loader(name: str) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return getattr(keras.datasets, name.rpartition(".")[2])


def test_the_table_of_files_is_what_the_loaders_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    asked: dict[str, str] = {}

    def retrieve(url: str, file: str, _: Any) -> None:
        asked[Path(file).relative_to(tmp_path).as_posix()] = url
        if "fashion" not in file:
            raise OSError("no network in tests")
        Path(file).touch()

    monkeypatch.setattr(file_utils, "urlretrieve", retrieve)
    for name in KERAS_DATASETS:
        asked.clear()
        with pytest.raises((OSError, EOFError, ValueError)):
            _loader(name).load_data()
        assert FILES[name] == asked, name


@pytest.mark.parametrize("name", KERAS_DATASETS)
def test_without_a_network_the_missing_files_are_named(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.utils import file_utils

    def fail(*_: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DataError, match="missing, and Keras cannot download: no network") as caught:
        load(DatasetSettings(name=name), Path())
    for file, url in FILES[name].items():
        assert f"{tmp_path / file}\n    from {url}" in str(caught.value)


def test_the_home_is_that_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_home() == tmp_path
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_home() == tmp_path / ".keras"


def test_its_test_rows_are_held_out_and_its_images_are_columns(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)

    def load_data() -> Any:
        print("Downloading data")
        images = generator.integers(0, 256, (5, 2, 2, 3)).astype(np.uint8)
        labels = generator.integers(0, 10, (5, 1)).astype(np.uint8)
        return (images[:3], labels[:3]), (images[3:], labels[3:])

    monkeypatch.setattr(_loader("keras.datasets.cifar10"), "load_data", load_data)
    raw = load(DatasetSettings(name="keras.datasets.cifar10"), Path())
    assert capfd.readouterr().out == ""
    assert raw.own_training_rows == 3
    assert raw.features.shape == (5, 12)
    assert raw.features.dtype == np.float64
    assert raw.feature_names[:4] == ("pixel_0_0_0", "pixel_0_0_1", "pixel_0_0_2", "pixel_0_1_0")
    assert raw.target.shape == (5,)
    assert raw.dtypes["pixel_0_0_0"] == "uint8"
    assert raw.source == "Keras: keras.datasets.cifar10"
    sampled = load(DatasetSettings(name="keras.datasets.cifar10", rows=2), Path())
    assert sampled.own_training_rows == 2


def test_real_files_in_their_place_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "validate_file", lambda *_, **__: True)
    (tmp_path / "datasets").mkdir()
    x, y = np.zeros((4, 3, 2), np.uint8), np.array([1, 0, 1, 0])
    np.savez(tmp_path / "datasets/mnist.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    raw = load(DatasetSettings(name="keras.datasets.mnist"), Path())
    assert raw.own_training_rows == 4
    assert raw.feature_names[-1] == "pixel_2_1"
