"""From a stored trial to its diagnosis: found in its grid, trained again, explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stabilitysweep.analysis import nearest_failed, remedies, representatives
from stabilitysweep.building import changed_build
from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.diagnosis.records import Diagnosis, Replay
from stabilitysweep.engines.base import Stack
from stabilitysweep.errors import ResultError
from stabilitysweep.executors import call_apart
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.folder import DATABASE
from stabilitysweep.grid import Trial
from stabilitysweep.models import programs
from stabilitysweep.planning import places
from stabilitysweep.result import Result, open_result
from stabilitysweep.runner import Sweep, changed_data, key_of, load_sweep
from stabilitysweep.store import DIGESTS, ConfigRecord, SQLiteStore
from stabilitysweep.types import Compiled, Outcome, TrialResult

STEPS = 6
"""Steps looked at, up to the onset."""

_Wanted = tuple[TrialResult, Stack, str]
"""A stored trial, the stack of it alone, and the key of its prepared data."""


def diagnose(
    result: Result | str | Path, trial: str | Sequence[str] | None = None, steps: int = STEPS
) -> list[Diagnosis]:
    """Train failed trials again from their seeds, and look at the steps in which they broke.

    The replay uses the program, the stack size and the compilation the trial ran with, in a
    process of its own.

    Args:
        result: a result, or its folder.
        trial: the id of a trial that failed, or its beginning, or several of them; None picks
            representative ones: one for each cause, the earliest onset, the one nearest to
            the boundary.
        steps: how many steps to look at, up to the onset or the end, at least 1.

    Returns:
        A diagnosis for each trial, in their order; none if nothing failed and no trial was
        asked for.

    Raises:
        ResultError: no such trial, one that did not fail, or a result whose data has changed.
        DataError: the data cannot be loaded any more.
        StabilitySweepError: the replay could not be run.
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    opened = result if isinstance(result, Result) else open_result(result)
    opened.config.require_sweep(opened.folder)
    picked = _picked(opened, trial)
    if not picked:
        return []
    found = _Finder(opened).find([opened.trial(trial_id).result for trial_id in picked])
    data = {key: prepared for _, _, key, prepared in found}
    wanted = [(stored, stack, key) for stored, stack, key, _ in found]
    replays: list[Replay] = call_apart(_replay_all, wanted, data, steps)
    return [
        _diagnosis(opened, stored, replayed, reason)
        for (stored, _, _), replayed, reason in zip(wanted, replays, picked.values(), strict=True)
    ]


def _picked(result: Result, trial: str | Sequence[str] | None) -> dict[str, str | None]:
    """Return the ids of the trials to diagnose, each with the reason why it was picked."""
    if trial is None:
        return {
            pick.trial_id: pick.reason
            for pick in representatives(result.trials, result.axes, result.rate)
        }
    asked = [trial] if isinstance(trial, str) else trial
    return dict.fromkeys(_failed(result, prefix) for prefix in asked)


def _failed(result: Result, trial: str) -> str:
    """Return the id of a trial that failed.

    Raises:
        ResultError: it did not fail; the nearest that did is named.
    """
    stored = result.trial(trial).result
    if stored.outcome is Outcome.CRASHED:
        raise ResultError(
            f"trial {stored.trial_id} could not be run, so there is no training to look at: "
            f"{stored.message or 'no reason was recorded'}"
        )
    if result.explain(stored.trial_id) is None:
        nearest = nearest_failed(result.trials, result.axes, stored.trial_id)
        raise ResultError(
            f"trial {stored.trial_id} did not fail: it is {stored.outcome}. "
            + ("No trial of this result failed." if nearest is None else _offer(result, nearest))
        )
    return stored.trial_id


def _offer(result: Result, nearest: str) -> str:
    failed = result.trial(nearest).result
    settings = ", ".join(f"{name}={value}" for name, value in result.settings(nearest).items())
    return f"The nearest trial that did: {nearest} ({settings}), {failed.outcome}."


def _diagnosis(
    result: Result, stored: TrialResult, replayed: Replay, reason: str | None
) -> Diagnosis:
    explanation = result.explain(stored.trial_id)
    assert explanation is not None, "only failed trials are picked"
    return Diagnosis(
        stored=stored,
        settings=result.settings(stored.trial_id),
        fixed=result.fixed,
        explanation=explanation,
        replay=replayed,
        remedies=tuple(remedies(result.trials, result.axes, stored.trial_id, rate=result.rate)),
        picked=reason,
    )


def _replay_all(
    wanted: Sequence[_Wanted], data: Mapping[str, PreparedData], steps: int
) -> list[Replay]:
    """Replay trials in this process, those of one program one after another."""
    # TensorFlow is imported by the engines' start, with the settings that a worker has.
    engines = {name: start_engine(name) for name in sorted({s.engine for s, _, _ in wanted})}
    from stabilitysweep.diagnosis.replay import replay

    order = sorted(range(len(wanted)), key=lambda place: repr(wanted[place][1].program))
    done = {}
    for place in order:
        stored, stack, key = wanted[place]
        done[place] = replay(engines[stored.engine], stored, stack, data[key], steps)
    return [done[place] for place in range(len(wanted))]


class _Finder:
    """Finds stored trials in the grids of the configs they were trained under."""

    def __init__(self, result: Result) -> None:
        self._folder = result.folder
        with SQLiteStore(result.folder / DATABASE, read_only=True) as store:
            self._records = store.configs()
            self._digests = store.meta().get(DIGESTS, {})

    def find(
        self, stored: Sequence[TrialResult]
    ) -> list[tuple[TrialResult, Stack, str, PreparedData]]:
        """Return for each trial what it is trained with again.

        Raises:
            ResultError: its data has changed since, or this version lays out another grid.
        """
        missing = {result.trial_id: result for result in stored}
        found: dict[str, tuple[TrialResult, Stack, str, PreparedData]] = {}
        for record in reversed(self._records):  # the latest config has most of them
            if not missing:
                break
            sweep = self._sweep(record)
            for trial, program_of in _located(sweep, missing):
                own = missing.pop(trial.trial_id)
                key = key_of(trial)
                found[trial.trial_id] = own, program_of, key, sweep.data[key]
        if missing:
            raise ResultError(
                f"{self._folder}: expected the stored trials in the grid of a config recorded "
                f"there; {', '.join(missing)} is in none. Was it trained by another version?"
            )
        return [found[result.trial_id] for result in stored]

    def _sweep(self, record: ConfigRecord) -> Sweep:
        config = parse_config(
            record.resolved,
            source=str(self._folder / DATABASE),
            base_folder=record.provenance.get("base_folder", "."),
        )
        sweep = load_sweep(config)
        changed = changed_data(sweep, self._records)
        changed += changed_build(config, sweep.firsts, self._digests)
        if changed:
            lines = "\n".join(f"  {line}" for line in changed)
            raise ResultError(
                f"{self._folder}: expected what its trials were trained on, which has changed "
                f"since:\n{lines}\n"
                "A replay would show another training. Put the old back, or run the sweep again "
                "with --fresh (the old folder is kept beside)."
            )
        return sweep


def _located(sweep: Sweep, wanted: Mapping[str, TrialResult]) -> Iterator[tuple[Trial, Stack]]:
    """Find trials in a grid, each with the stack of it alone, of the size it was trained in."""
    members: dict[tuple[str, Compiled], list[Trial]] = {}
    found: list[tuple[Trial, tuple[str, Compiled]]] = []
    compiled = {result.compiled or Compiled.GRAPH for result in wanted.values()}
    for trial in sweep.grid:
        if trial.trial_id in sweep.failed:
            continue
        for kind in compiled:
            members.setdefault((key_of(trial), kind), []).append(trial)
        stored = wanted.get(trial.trial_id)
        if stored is not None:
            found.append((trial, (key_of(trial), stored.compiled or Compiled.GRAPH)))
    for key in {key for _, key in found}:
        groups = programs.group(members[key], sweep.data.shapes[key[0]], key[1])
        own = {trial.trial_id: trial for trial, its in found if its == key}
        for program, sharing in groups.items():
            for trial in sharing:
                if trial.trial_id in own:
                    size = places(program, int(trial.training.batch_size))
                    yield trial, Stack(program, (trial,), size)
