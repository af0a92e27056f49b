"""A measured quantity is no set of classes, even where it is written in whole numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import load, prepare
from stabilitysweep.errors import DataError


def test_diabetes_progression_is_refused_by_a_loss_over_classes() -> None:
    settings = DatasetSettings(name="diabetes")
    with pytest.raises(DataError, match="214 classes in 442 rows"):
        prepare(
            load(settings, Path()),
            settings,
            PreprocessingSettings(),
            "sparse_categorical_crossentropy",
        )
