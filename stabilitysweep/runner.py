"""A sweep from its config to its record: the grid, minus what is stored, into the store.

Nothing is written before the config and its data have been found good.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from stabilitysweep import folder as folders
from stabilitysweep.building import (
    Survey,
    build_models,
    changed_build,
    model_digests,
    models_in_words,
)
from stabilitysweep.config import DatasetSettings, SweepConfig, parse_config
from stabilitysweep.costs import Costs
from stabilitysweep.data import (
    Finding,
    PreparedSets,
    RawData,
    Split,
    data_key,
    load,
    split_rows,
)
from stabilitysweep.data.audit import audit
from stabilitysweep.data.described import describe
from stabilitysweep.errors import ResultError
from stabilitysweep.executors import Executor, StackDone, survey_apart
from stabilitysweep.extension import difference
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.lineup import lineup
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.planning import Work, plan_work
from stabilitysweep.provenance import provenance
from stabilitysweep.store import (
    BUILD,
    COMPILED,
    DIGESTS,
    VERDICTS,
    ConfigRecord,
    Entry,
    SQLiteStore,
    run_noted,
)
from stabilitysweep.types import Compiled, Outcome, TrialResult, Verdict

_DIGESTS_SECONDS = 1.0


@dataclass(frozen=True)
class Sweep:
    """A config with its data loaded and its grid laid out.

    Attributes:
        config: what was asked for.
        grid: every trial of it.
        raw: the data sets, by label.
        splits: their rows, trained on and held out, by label.
        data: prepared data by the key that `key_of` gives a trial.
        failed: trials whose model cannot be built, each with the reason.
        firsts: of a user's build, a trial of every cell, drawn.
        models: of a user's build, what its models are; see `building.models_in_words`.
    """

    config: SweepConfig
    grid: Grid
    raw: Mapping[str, RawData]
    splits: Mapping[str, Split]
    data: PreparedSets
    failed: Mapping[str, str] = field(default_factory=dict)
    firsts: Sequence[Trial] = ()
    models: Mapping[str, Any] | None = None

    @property
    def training_rows(self) -> dict[str, int]:
        """The number of training rows of each data set, by label."""
        return {label: len(split.train) for label, split in self.splits.items()}

    @cached_property
    def audit(self) -> dict[str, tuple[Finding, ...]]:
        """What in each data set can break a training of this sweep, by label; the worst first."""
        return {
            dataset.label: audit(
                self.raw[dataset.label], self.splits[dataset.label], dataset, self.config
            )
            for dataset in self.config.datasets
        }

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
        verdicts: on programs of users' models whose trials cannot be trained in stacks.
    """

    total: int
    done: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: float = 0.0
    verdicts: list[Verdict] = field(default_factory=list)


def load_sweep(config: SweepConfig, survey: Survey = survey_apart) -> Sweep:
    """Load and prepare every data set of `config`, lay out its grid and build its user's models.

    Args:
        config: what to sweep.
        survey: builds the models, where the config has a `build`.

    Raises:
        DataError: a data set that cannot be used.
        ConfigError: a combination that only the data rules out.
        ResultError: the config is that of a recorded search.
    """
    config.require_sweep(f"the config {config.name!r}")
    raw = {dataset.label: load(dataset, config.base_folder) for dataset in config.datasets}
    splits = {dataset.label: split_rows(raw[dataset.label], dataset) for dataset in config.datasets}
    data = PreparedSets(raw, splits)

    def rows(dataset: DatasetSettings) -> int:
        return len(splits[dataset.label].train)

    grid = Grid(config, rows)
    if config.model.build is not None:
        asked = (grid[number] for number in range(0, len(grid), len(config.seeds)))
        grid = Grid(config, rows, build_models(config, asked, raw, data, survey))
    failed: dict[str, str] = {}
    firsts, _ = lineup(grid).first_of_kinds()
    for trial in firsts:  # all of a kind need the same data
        if trial.blueprint is not None and trial.blueprint.error:
            continue
        data.lay_out(trial.dataset.label, trial.preprocessing, trial.target_form, _whole(trial))
    if config.model.build is None:
        return Sweep(config, grid, raw, splits, data)
    seeds = len(config.seeds)
    for cell, trial in enumerate(firsts):
        if trial.blueprint is not None and trial.blueprint.error:
            own = grid[cell * seeds : (cell + 1) * seeds]
            failed |= {each.trial_id: trial.blueprint.error for each in own}
    models = models_in_words(config, firsts, list(failed), grid.alike)
    return Sweep(config, grid, raw, splits, data, failed, firsts, models)


def key_of(trial: Trial) -> str:
    """Return the key of the prepared data that a trial is trained on."""
    return data_key(trial.dataset.label, trial.preprocessing, trial.target_form, _whole(trial))


def _whole(trial: Trial) -> frozenset[str]:
    """The inputs that a user's model takes as whole numbers."""
    return frozenset() if trial.blueprint is None else frozenset(trial.blueprint.whole)


def missing_work(
    sweep: Sweep,
    stored: set[str],
    *,
    compiled: Compiled,
    engine: str,
    workers: int,
    verdicts: Mapping[str, Verdict] | None = None,
    choices: Mapping[str, Compiled] | None = None,
    costs: Costs | None = None,
) -> Work:
    """Plan the trials of a sweep that are not stored.

    Args:
        sweep: what the trials belong to.
        stored: ids of those that are.
        compiled: plain graph or XLA.
        engine: `stacked` or `fit`.
        workers: number of processes.
        verdicts: on programs of users' models that earlier runs have compared, by digest.
        choices: what is compiled otherwise, see `plan_work`.
        costs: what training takes, see `plan_work`.
    """
    return plan_work(
        lineup(sweep.grid, stored | sweep.failed.keys() if sweep.failed else stored),
        key_of,
        sweep.data.shapes,
        compiled=compiled,
        engine=engine,
        workers=workers,
        verdicts=verdicts or {},
        choices=choices,
        costs=costs,
    )


def stored_verdicts(folder: Path) -> dict[str, Verdict]:
    """Return what earlier runs into a folder have found out of users' models, by digest."""
    if not folders.holds_record(folder) or not folders.is_begun(folder):
        return {}
    with SQLiteStore(folder / folders.DATABASE, read_only=True) as store:
        found = store.meta().get(VERDICTS, {})
    return {digest: Verdict(digest, **verdict) for digest, verdict in found.items()}


def stored_trials(sweep: Sweep, folder: Path) -> set[str]:
    """Return the ids of the trials that need no training; empty without a result there.

    Raises:
        ResultError: what is stored in `folder` means something else than `sweep`, or the
            folder holds something that is no result.
    """
    if not folders.holds_record(folder) or not folders.is_begun(folder):
        return set()
    with SQLiteStore(folder / folders.DATABASE, read_only=True) as store:
        _refuse_conflict(sweep, store, folder)
        return store.stored_ids(include_crashed=False)


def train(
    sweep: Sweep,
    folder: Path,
    work: Work,
    executor: Executor,
    observe: Callable[[Progress], None],
    flags: Mapping[str, Any],
    timed: Callable[[StackDone], None] = lambda done: None,
) -> Progress:
    """Train `work` and store it, a transaction a stack.

    Args:
        sweep: what the trials belong to.
        folder: the result folder, made if missing; locked against a second run meanwhile.
        work: from `missing_work`.
        executor: where to train.
        observe: called after every stack.
        flags: what the run was called with, for the provenance.
        timed: called with every stack that was trained.

    Raises:
        ResultError: the folder cannot be written, or another run is using it.
        KeyboardInterrupt: passed on, after what was finished has been stored.
    """
    progress = Progress(total=work.trials + len(sweep.failed))
    resolved = sweep.config.resolved()
    with folders.locked(folder), SQLiteStore(folder / folders.DATABASE) as store:
        # Again, now that the folder is ours: another run may have been here meanwhile.
        _refuse_conflict(sweep, store, folder)
        store.set_meta("thresholds", asdict(Thresholds()))
        facts = provenance(
            sweep.data_hashes(),
            sweep.training_rows,
            sweep.config.base_folder,
            flags,
            data_sets={label: describe(raw) for label, raw in sweep.raw.items()},
            audit={
                label: [finding.to_json() for finding in found]
                for label, found in sweep.audit.items()
            },
        )
        facts |= _of_models(sweep, store)
        latest = store.latest_config()
        if (
            latest is None
            or work.jobs
            or latest.resolved != resolved
            or latest.provenance.get("models") != facts.get("models")
        ):
            # Otherwise the rows are those of an earlier run, and so is their provenance.
            store.record_config(resolved, facts)
        # Before any trial of them is: those that come later are compiled in the same way.
        store.set_meta(COMPILED, work.choices() | store.meta().get(COMPILED, {}))
        text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
        folders.write_text(folder / folders.CONFIG, text)
        started = time.monotonic()
        crashed = list(_crashed(sweep))
        if crashed:
            store.add(crashed)
            progress.done += len(crashed)
            progress.outcomes[Outcome.CRASHED] += len(crashed)
            observe(progress)
        # Closed at once when anything interrupts us, so that no worker trains on.
        with (
            run_noted(store, lambda: progress.done - len(crashed)),
            _digests_kept(sweep, store) as keep,
            closing(executor.train(work.jobs, sweep.data)) as finished,
        ):
            for done in finished:
                entries = [
                    Entry(trial.axes, trial.seed, result)
                    for trial, result in zip(done.stack.trials, done.results, strict=True)
                ]
                store.add(entries)
                timed(done)
                keep(zip(done.stack.trials, done.results, strict=True))
                if done.verdicts:
                    known = store.meta().get(VERDICTS, {})
                    # One process may have seen the engines part where another's trial did not.
                    new = [v for v in done.verdicts if known.get(v.program, _AGREED)["agrees"]]
                    store.set_meta(VERDICTS, known | _plain(new))
                    progress.verdicts += [v for v in new if not v.agrees]
                progress.done += len(entries)
                progress.outcomes.update(result.outcome for result in done.results)
                progress.seconds = time.monotonic() - started
                observe(progress)
    return progress


_AGREED = {"agrees": True}


def _of_models(sweep: Sweep, store: SQLiteStore) -> dict[str, Any]:
    """What a record says of users' models, and of the trials stored beside those of the grid."""
    if sweep.models is None:
        return {}
    rows = store.table([])
    # A model that cannot be built is told of by the run that tried it last.
    stored = set(rows.loc[rows["engine"] != BUILD, "trial_id"])
    beside = len(stored.difference(trial.trial_id for trial in sweep.grid))
    return {"models": {**sweep.models, "beside": beside}}


@contextmanager
def _digests_kept(
    sweep: Sweep, store: SQLiteStore
) -> Iterator[Callable[[Iterable[tuple[Trial, TrialResult]]], None]]:
    """Keep which models were trained, for `changed_build`: written now and then, and at the end."""
    if sweep.models is None:
        yield lambda finished: None
        return
    known: dict[str, str] = dict(store.meta().get(DIGESTS, {}))
    written, at = len(known), time.monotonic()

    def keep(finished: Iterable[tuple[Trial, TrialResult]]) -> None:
        nonlocal written, at
        measured = (trial for trial, result in finished if result.outcome is not Outcome.CRASHED)
        known.update(model_digests(sweep.config, measured))
        if len(known) > written and time.monotonic() - at > _DIGESTS_SECONDS:
            store.set_meta(DIGESTS, known)
            written, at = len(known), time.monotonic()

    try:
        yield keep
    finally:
        if len(known) > written:
            store.set_meta(DIGESTS, known)


def _crashed(sweep: Sweep) -> Iterator[Entry]:
    """What is stored of the trials whose model cannot be built."""
    for trial in sweep.grid if sweep.failed else ():
        reason = sweep.failed.get(trial.trial_id)
        if reason is not None:
            result = TrialResult(trial.trial_id, Outcome.CRASHED, BUILD, message=reason)
            yield Entry(trial.axes, trial.seed, result)


def _plain(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    return {v.program: {"agrees": v.agrees, "text": v.text} for v in verdicts}


def changed_data(sweep: Sweep, records: Iterable[ConfigRecord]) -> list[str]:
    """Say which data sets of a sweep are not those that a record was made of, one line each.

    Args:
        sweep: its data as they are now.
        records: the configs stored, oldest first.
    """
    before: dict[str, str] = {}
    rows: dict[str, int] = {}
    columns: dict[str, list[str]] = {}
    for record in records:  # a data set may have been left out of the latest run
        before |= record.provenance.get("data", {})
        rows |= record.provenance.get("training_rows", {})
        described = record.provenance.get("data_sets", {})
        columns |= {label: entry["columns"] for label, entry in described.items()}
    lines: list[str] = []
    for label, content_hash in sweep.data_hashes().items():
        if label not in before or before[label] == content_hash:
            continue
        parts = [f"hash {before[label][:12]} -> {content_hash[:12]}"]
        now = sweep.training_rows.get(label)
        if rows.get(label) != now:
            parts.append(f"training rows {rows.get(label)} -> {now}")
        names = describe(sweep.raw[label])["columns"]
        earlier = columns.get(label, names)
        for word, left, right in (("without", earlier, names), ("with", names, earlier)):
            gone = [name for name in left if name not in right]
            if gone:
                parts.append(f"now {word} column{'s' * (len(gone) > 1)} {', '.join(gone)}")
        lines.append(f"dataset {label}: its content has changed ({', '.join(parts)})")
    return lines


def _refuse_conflict(sweep: Sweep, store: SQLiteStore, folder: Path) -> None:
    """Refuse a config under which the stored trials would mean something else."""
    stored = store.latest_config()
    if stored is not None:
        parse_config(stored.resolved).require_sweep(folder)
    if stored is None or store.count() == store.count(Outcome.CRASHED):
        return  # nothing was measured that could change its meaning
    conflicts = difference(stored.resolved, sweep.config.resolved())
    conflicts += changed_data(sweep, store.configs())
    conflicts += changed_build(sweep.config, sweep.firsts, store.meta().get(DIGESTS, {}))
    if conflicts:
        lines = "\n".join(f"  {line}" for line in conflicts)
        raise ResultError(
            f"{folder}: expected a config that extends the trials stored there, got one that"
            f" changes what they mean:\n{lines}\n"
            "Give the sweep another 'name', choose another folder with --out, or start over"
            " with --fresh (the old folder is kept beside)."
        )
