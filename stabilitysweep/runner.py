"""A sweep from its config to its record: the grid, minus what is stored, into the store.

Nothing is written before the config and its data have been found good.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from stabilitysweep.config import DatasetSettings, SweepConfig
from stabilitysweep.data import PreparedData, RawData, load, prepare
from stabilitysweep.errors import ResultError
from stabilitysweep.executors import Executor
from stabilitysweep.grid import Grid, Trial, difference
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.planning import Work, plan_work
from stabilitysweep.provenance import provenance
from stabilitysweep.store import Entry, SQLiteStore
from stabilitysweep.types import Compiled, Outcome

DATABASE = "sweep.db"
CONFIG = "config.yaml"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A config with its data loaded and its grid laid out.

    Attributes:
        config: what was asked for.
        grid: every trial of it.
        raw: the data sets, by label.
        data: prepared data by the key that `data_key` gives a trial.
    """

    config: SweepConfig
    grid: Grid
    raw: Mapping[str, RawData]
    data: Mapping[str, PreparedData]

    def data_hashes(self) -> dict[str, str]:
        """Return the content hash of each data set, by label."""
        return {label: raw.content_hash for label, raw in self.raw.items()}


@dataclass(slots=True)
class Progress:
    """How far a run is, handed to its observer after every stack.

    Attributes:
        total: trials to train in this run.
        done: of them, those stored.
        outcomes: their number by outcome.
        seconds: since the workers were started.
    """

    total: int
    done: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: float = 0.0


def load_sweep(config: SweepConfig) -> Sweep:
    """Load and prepare every data set of `config`, and lay out its grid.

    Raises:
        DataError: a data set that cannot be used.
        ConfigError: a combination that only the data rules out.
    """
    raw = {dataset.label: load(dataset, config.base_folder) for dataset in config.datasets}
    rows: dict[str, int] = {}

    def training_rows(dataset: DatasetSettings) -> int:
        if dataset.label not in rows:
            first = prepare(
                raw[dataset.label], dataset, config.preprocessing, config.values("loss")[0]
            )
            rows[dataset.label] = first.train_rows
        return rows[dataset.label]

    grid = Grid(config, training_rows)
    data: dict[str, PreparedData] = {}
    for trial in grid:
        key = data_key(trial)
        if key not in data:
            data[key] = prepare(
                raw[trial.dataset.label], trial.dataset, trial.preprocessing, trial.training.loss
            )
    return Sweep(config, grid, raw, data)


def data_key(trial: Trial) -> str:
    """Name the prepared data of a trial: data set, preprocessing and kind of target."""
    chosen = trial.preprocessing
    loss = trial.training.loss
    return "|".join(
        (
            trial.dataset.label,
            chosen.imputation,
            chosen.scaling,
            str(chosen.target_scaling),
            loss if trial.training.is_classification else "regression",
        )
    )


def missing_work(
    sweep: Sweep, stored: set[str], *, compiled: Compiled, engine: str, workers: int
) -> Work:
    """Plan the trials of a sweep that are not stored."""
    trials: dict[str, list[Trial]] = {}
    for trial in sweep.grid:
        if trial.trial_id not in stored:
            trials.setdefault(data_key(trial), []).append(trial)
    return plan_work(trials, sweep.data, compiled=compiled, engine=engine, workers=workers)


def stored_trials(sweep: Sweep, folder: Path) -> set[str]:
    """Return the ids of the trials that need no training; empty without a result there.

    Raises:
        ResultError: what is stored in `folder` means something else than `sweep`, or the
            folder holds something that is no result.
    """
    database = folder / DATABASE
    if not database.exists():
        if folder.is_dir() and any(entry.name != _LOCK for entry in folder.iterdir()):
            raise ResultError(
                f"{folder}: expected a result folder or none at all, got a folder that holds"
                f" other files and no {DATABASE}. Choose another with --out."
            )
        if folder.exists() and not folder.is_dir():
            raise ResultError(f"{folder}: expected a folder, got a file. Choose another with --out.")
        return set()
    with SQLiteStore(database, read_only=True) as store:
        _refuse_conflict(sweep, store, folder)
        return store.stored_ids(include_crashed=False)


def set_aside(folder: Path) -> Path | None:
    """Rename a result folder so that a fresh one can take its place; None if there is none."""
    if not folder.exists():
        return None
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    kept = folder.with_name(f"{folder.name}.{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = folder.with_name(f"{folder.name}.{stamp}-{number}")
    shutil.move(folder, kept)
    return kept


def train(
    sweep: Sweep,
    folder: Path,
    work: Work,
    executor: Executor,
    observe: Callable[[Progress], None],
    flags: Mapping[str, Any],
) -> Progress:
    """Train `work` and store it, a transaction a stack.

    Args:
        sweep: what the trials belong to.
        folder: the result folder, made if missing; locked against a second run meanwhile.
        work: from `missing_work`.
        executor: where to train.
        observe: called after every stack.
        flags: what the run was called with, for the provenance.

    Raises:
        ResultError: the folder cannot be written, or another run is using it.
        KeyboardInterrupt: passed on, after what was finished has been stored.
    """
    progress = Progress(total=work.trials)
    with _locked(folder), SQLiteStore(folder / DATABASE) as store:
        _refuse_conflict(sweep, store, folder)
        store.set_meta("thresholds", _thresholds())
        resolved = sweep.config.resolved()
        facts = provenance(sweep.data_hashes(), sweep.config.base_folder, flags)
        config_id = store.record_config(resolved, facts)
        _write_config(folder / CONFIG, resolved)
        started = time.monotonic()
        for done in executor.train(work.jobs, sweep.data):
            entries = [
                Entry(trial.axes, trial.seed, result)
                for trial, result in zip(done.stack.trials, done.results, strict=True)
            ]
            store.add(entries, config_id=config_id)
            progress.done += len(entries)
            progress.outcomes.update(result.outcome for result in done.results)
            progress.seconds = time.monotonic() - started
            observe(progress)
    return progress


def _refuse_conflict(sweep: Sweep, store: SQLiteStore, folder: Path) -> None:
    """Refuse a config under which the stored trials would mean something else."""
    stored = store.latest_config()
    if stored is None:
        return
    conflicts = difference(stored.resolved, sweep.config.resolved())
    before = stored.provenance.get("data", {})
    for label, content_hash in sweep.data_hashes().items():
        if label in before and before[label] != content_hash:
            conflicts.append(
                f"dataset {label}: its content has changed"
                f" (hash {before[label][:12]} -> {content_hash[:12]})"
            )
    if conflicts:
        lines = "\n".join(f"  {line}" for line in conflicts)
        raise ResultError(
            f"{folder}: expected a config that extends the trials stored there, got one that"
            f" changes what they mean:\n{lines}\n"
            "Give the sweep another 'name', choose another folder with --out, or start over"
            " with --fresh (the old folder is kept beside)."
        )


def _thresholds() -> dict[str, float]:
    thresholds = Thresholds()
    return {
        "stable_below": thresholds.stable_below,
        "diverged_above": thresholds.diverged_above,
    }


def _write_config(path: Path, resolved: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(yaml.safe_dump(dict(resolved), sort_keys=False), encoding="utf-8")
    os.replace(temporary, path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / _LOCK).open("w")
    except OSError as error:
        raise ResultError(
            f"{folder}: expected a folder that can be written, got: {error.strerror}."
            " Choose another with --out."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResultError(
                f"{folder}: another run is writing to this result. Wait for it to end, or"
                " choose another folder with --out."
            ) from error
        yield
