"""Where data comes from: a file, a function, or a data set with a name."""

from __future__ import annotations

from pathlib import Path

from stabilitysweep.config import DatasetSettings
from stabilitysweep.config.names import KERAS_DATASETS
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.sources.files import file_table, format_name
from stabilitysweep.data.sources.functions import function_tables
from stabilitysweep.data.sources.ingesting import ingest
from stabilitysweep.data.sources.keras_sets import keras_tables
from stabilitysweep.data.sources.scikit_sets import scikit_learn_table
from stabilitysweep.data.sources.table import Table


def load(settings: DatasetSettings, base_folder: Path) -> RawData:
    """Load the data set that the settings name.

    Args:
        settings: which data, and how it is read (the config has checked that the keys fit
            together, and that a name is known).
        base_folder: what a relative `path` is relative to, and where a module is looked for:
            the config's folder.

    Returns:
        The data as it is, with N >= 1 rows and D + C >= 1 columns.

    Raises:
        DataError: an option, file or column that is not there, or content that cannot be
            used.
    """
    table, held_out, source = _open(settings, base_folder)
    return ingest(table, held_out, settings, source)


def _open(settings: DatasetSettings, base_folder: Path) -> tuple[Table, Table | None, str]:
    if settings.path is not None:
        table = file_table(settings, settings.path, base_folder)
        source = f"{format_name(settings.path)} file {settings.path}, target '{settings.target}'"
        if settings.validation_path is None:
            return table, None, source
        held_out = file_table(settings, settings.validation_path, base_folder)
        return table, held_out, f"{source}, validation rows from {settings.validation_path}"
    if settings.function is not None:
        return (*function_tables(settings, base_folder), f"function {settings.function}")
    name = str(settings.name)
    if name in KERAS_DATASETS:
        return (*keras_tables(name), f"Keras: {name}")
    return scikit_learn_table(name, settings.options), None, f"scikit-learn: {name}"
