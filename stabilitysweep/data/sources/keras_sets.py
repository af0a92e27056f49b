"""Keras' own data sets, through Keras' own loader: it downloads what it has not got."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.table import ArrayTable, Shaped, matrix_columns, shortened
from stabilitysweep.errors import DataError

_GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_TORONTO = "https://www.cs.toronto.edu/~kriz/"
FILES: dict[str, dict[str, str]] = {
    "keras.datasets.boston_housing": {
        "datasets/boston_housing.npz": _GOOGLE + "boston_housing.npz"
    },
    "keras.datasets.california_housing": {
        "datasets/california_housing.npz": _GOOGLE + "california_housing.npz"
    },
    "keras.datasets.cifar10": {
        "datasets/cifar-10-batches-py-target_archive": _TORONTO + "cifar-10-python.tar.gz"
    },
    "keras.datasets.cifar100": {
        "datasets/cifar-100-python-target_archive": _TORONTO + "cifar-100-python.tar.gz"
    },
    "keras.datasets.fashion_mnist": {
        f"datasets/fashion-mnist/{name}": _GOOGLE + name
        for name in (
            "train-labels-idx1-ubyte.gz",
            "train-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
        )
    },
    "keras.datasets.mnist": {"datasets/mnist.npz": _GOOGLE + "mnist.npz"},
}
"""Of each data set the files its loader looks for in Keras' home, and where it gets them."""


def keras_tables(name: str) -> tuple[ArrayTable, ArrayTable]:
    """Load a data set: its training rows, and its test rows.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    try:
        train, test = _loader(name)()
    # Keras raises a bare Exception where it cannot download.
    except Exception as error:
        raise DataError(_refusal(name, error)) from error
    return _table(name, *train), _table(name, *test)


def keras_home() -> Path:
    """The folder in which Keras' loader keeps its files."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = Path.home()
        home = str((user if os.access(user, os.W_OK) else Path("/tmp")) / ".keras")
    folder = Path(home).expanduser()
    # Where it may not write, Keras goes elsewhere.
    return folder if os.access(folder, os.W_OK) or not folder.exists() else Path("/tmp/.keras")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native code writes off the terminal: TensorFlow greets before it has a level."""
    with open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _loader(name: str) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # as in the workers; others may not be there
    with _quiet():
        import keras

    def load() -> Any:
        talkative = keras.config.is_interactive_logging_enabled()
        keras.config.disable_interactive_logging()
        try:
            # Its progress bar is no part of what a sweep prints.
            with contextlib.redirect_stdout(io.StringIO()):
                return importlib.import_module(name).load_data()
        finally:
            if talkative:
                keras.config.enable_interactive_logging()

    return load


def _table(name: str, features: Array, target: Array) -> ArrayTable:
    stem = "pixel_" if features.ndim > 2 else "x"
    columns = matrix_columns(stem, features, joint="")
    table = ArrayTable(f"dataset '{name}'", columns, np.asarray(target).reshape(-1))
    whole = features.dtype.kind in "iub"
    table.shaped = (Shaped("x", features.shape[1:], tuple(columns), whole),)
    return table


def _refusal(name: str, error: Exception) -> str:
    home = keras_home()
    missing = {file: url for file, url in FILES[name].items() if not (home / file).is_file()}
    if not missing:
        return (
            f"dataset '{name}': Keras cannot read it from {home / 'datasets'}: "
            f"{shortened(str(error))}. Remove its files there, to have them downloaded anew."
        )
    lines = "".join(f"\n  {home / file}\n    from {url}" for file, url in missing.items())
    count = "a file is" if len(missing) == 1 else f"{len(missing)} files are"
    return (
        f"dataset '{name}': {count} missing, and Keras cannot download: "
        f"{shortened(str(error))}. Put there, under these names:{lines}"
    )
