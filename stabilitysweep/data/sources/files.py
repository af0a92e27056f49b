"""Find the file that a config names, and read it as what its ending says."""

from __future__ import annotations

import difflib
from pathlib import Path

from stabilitysweep.config import DatasetSettings
from stabilitysweep.config.names import FILE_ENDINGS
from stabilitysweep.data.sources.csv_file import CsvTable
from stabilitysweep.data.sources.npz_file import npz_table
from stabilitysweep.data.sources.parquet_file import ParquetTable
from stabilitysweep.data.sources.table import Table
from stabilitysweep.errors import DataError

# What cannot be read, and how pandas (or numpy) makes a file of it that can.
_WITH_PANDAS = "pandas.read_{}('{}').to_csv('data.csv', index=False)"
_OTHER_FORMATS = {
    ".xlsx": _WITH_PANDAS.format("excel", "{name}"),
    ".xls": _WITH_PANDAS.format("excel", "{name}"),
    ".ods": _WITH_PANDAS.format("excel", "{name}"),
    ".json": _WITH_PANDAS.format("json", "{name}"),
    ".jsonl": "pandas.read_json('{name}', lines=True).to_csv('data.csv', index=False)",
    ".feather": "pandas.read_feather('{name}').to_parquet('data.parquet')",
    ".arrow": "pandas.read_feather('{name}').to_parquet('data.parquet')",
    ".orc": "pandas.read_orc('{name}').to_parquet('data.parquet')",
    ".h5": "pandas.read_hdf('{name}').to_parquet('data.parquet')",
    ".hdf5": "pandas.read_hdf('{name}').to_parquet('data.parquet')",
    ".dta": _WITH_PANDAS.format("stata", "{name}"),
    ".sas7bdat": _WITH_PANDAS.format("sas", "{name}"),
    ".sav": _WITH_PANDAS.format("spss", "{name}"),
    ".npy": "numpy.savez('data.npz', x=numpy.load('{name}'), y=...)",
    ".mat": "numpy.savez('data.npz', **arrays) after scipy.io.loadmat('{name}')",
    ".pkl": "pandas.read_pickle('{name}').to_parquet('data.parquet'), if you trust the file",
    ".pickle": "pandas.read_pickle('{name}').to_parquet('data.parquet'), if you trust the file",
    ".tfrecord": "a function that returns a tf.data.Dataset, named under function",
    ".sqlite": "pandas.read_sql(...).to_parquet('data.parquet')",
    ".db": "pandas.read_sql(...).to_parquet('data.parquet')",
}


def file_table(settings: DatasetSettings, path: str, base_folder: Path) -> Table:
    """Open a file of data.

    Args:
        settings: how it is read, and its target.
        path: as the user wrote it.
        base_folder: what a relative path is relative to.

    Raises:
        DataError: it is not there, or is not what its ending says.
    """
    file = _locate(path, base_folder)
    ending = file.suffix.lower()
    if ending in (".parquet", ".pq"):
        return ParquetTable(file, str(settings.target))
    return npz_table(file, settings) if ending == ".npz" else CsvTable(file, settings)


def format_name(path: str) -> str:
    """What a file is called after its ending: CSV, Parquet or NPZ."""
    ending = Path(path).suffix.lower()
    return {".parquet": "Parquet", ".pq": "Parquet", ".npz": "NPZ"}.get(ending, "CSV")


def _locate(path: str, base_folder: Path) -> Path:
    file = base_folder / Path(path).expanduser()
    if file.is_dir():
        raise DataError(f"dataset: expected a file, got a folder: {file}")
    if not file.is_file():
        message = f"dataset: there is no file '{path}'. Looked for {file.absolute()}"
        message += "" if Path(path).is_absolute() else " (paths are relative to the config)"
        beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        nearest = difflib.get_close_matches(file.name, sorted(beside), n=1)
        raise DataError(message + "." + (f" There is '{nearest[0]}'." if nearest else ""))
    remedy = _OTHER_FORMATS.get(file.suffix.lower())
    if remedy is not None:
        readable = ", ".join(ending for ending in FILE_ENDINGS if ending.count(".") == 1)
        raise DataError(
            f"dataset: expected a file ending in {readable} (or compressed text), got "
            f"{file.name}. Convert it: {remedy.format(name=file.name)}."
        )
    return file
