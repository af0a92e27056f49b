"""Oracles of KerasTuner that never propose what a map shows to be unstable.

A `StableOracle` is an oracle of the kind it was given, in that one's state: nothing of KerasTuner's
is done again here, only what it proposes is looked at before a trial of it starts.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import keras_tuner
from keras_tuner.engine import trial as trials

from stabilitysweep.analysis.region import OffMap
from stabilitysweep.errors import ResultError
from stabilitysweep.integrations.keras_tuner.map_check import MapCheck
from stabilitysweep.result import Result, open_result
from stabilitysweep.result.narrowed import region_of

PATIENCE = 1000
"""So many random proposals in a row may be turned away before a search stops."""

_STATE = "stable"
_STOPPED = trials.TrialStatus.STOPPED

_KINDS: dict[type, Any] = {}

Results = Result | str | Path | Sequence[Result | str | Path]


class StableOracle(keras_tuner.Oracle):
    """An oracle of KerasTuner that turns away what a map does not show to be safe.

    `StableOracle(oracle, result)` is made from an oracle of RandomSearch, BayesianOptimization,
    GridSearch or Hyperband, takes its state over, and is to be used in its stead: it is an oracle
    of that kind too. Hyperparameters are looked up on the map by their names.

    Attributes:
        turned_away: how many proposals were turned away, by reason: `unstable`, `near` (within
            the margin), `between` (safe and unstable values), `beyond` (the measured range, or an
            unknown category), `unmeasured`.
        notes: hyperparameters that are no axis of the map, and axes that are not searched.
    """

    def __new__(cls, oracle: Any = None, *args: Any, **settings: Any) -> Self:
        """Choose the kind by that of the oracle given."""
        if cls is not StableOracle:
            return object.__new__(cls)
        if isinstance(oracle, StableOracle):
            raise ResultError(
                "expected an oracle of KerasTuner's own, got one that is stable. To change its "
                "settings, make the tuner anew (with overwrite=False it goes on with its trials), "
                "and give them to keep_stable."
            )
        kind = _KINDS.get(type(oracle))
        if kind is None:
            expected = ", ".join(sorted(known.__name__ for known in _KINDS))
            raise ResultError(
                f"expected one of KerasTuner's own oracles ({expected}), got "
                f"{type(oracle).__name__}: how another one proposes values is not known."
            )
        made: Self = object.__new__(kind)
        return made

    def __init_subclass__(cls, of: type, **more: Any) -> None:
        """Make the kind for the oracles `of` KerasTuner known."""
        super().__init_subclass__(**more)
        _KINDS[of] = cls

    def __init__(
        self,
        oracle: Any,
        result: Results,
        *,
        names: Mapping[str, str] | None = None,
        where: Mapping[str, Any] | None = None,
        margin: float = 1.0,
        off_map: OffMap = "refuse",
        patience: int = PATIENCE,
    ) -> None:
        """Take an oracle over.

        Args:
            oracle: of KerasTuner's own; not to be used by itself any more.
            result: a result or its folder; several that differ in their data are a list, and
                then what is allowed is safe in all of them, as with several data sets in one.
            names: the axis that a hyperparameter is, where it is called otherwise.
            where: axes to hold at one value; those that the search does not vary. Without it such
                an axis counts as unsafe if it is unsafe at any of its values, and so does one
                whose hyperparameter is not active, unless the map has a null there.
            margin: factor in learning rate to keep from the boundary, at least 1.
            off_map: what becomes of values that the map does not decide on. `refuse`: a value
                between two measured ones is allowed if all measured around it are safe, and
                nothing beyond; `nearest`: the nearest measured cell decides; `allow`: turned away
                is only what is known to be unstable.
            patience: random proposals in a row that may be turned away before the search stops,
                at least 1.

        Raises:
            ResultError: an oracle of another kind, a result that cannot be opened, an axis or
                value there is none of, a number out of range, or a map on which nothing is
                allowed.
        """
        if isinstance(patience, bool) or not (isinstance(patience, int) and patience >= 1):
            raise ResultError(f"patience: expected a whole number of at least 1, got {patience!r}.")
        region = region_of(_opened(result), where, margin=margin, off_map=off_map)
        check = MapCheck(region, names or {})
        self.trials: dict[str, Any]
        self.__dict__.update(vars(oracle))
        self._display.oracle = self
        self._check, self._patience = check, patience
        self._looked_at: tuple[tuple[str, str], ...] | None = None
        self._exhausted_at: tuple[tuple[str, str], ...] | None = None
        self._is_told = False
        self._take_over(self._kept_state())

    @property
    def turned_away(self) -> dict[str, int]:
        """Proposals turned away, by reason."""
        return {str(reason): count for reason, count in self._check.counts.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of the search beside the map."""
        return tuple(self._check.notes())

    def report(self) -> str:
        """Say in a line how many trials there are, and how many proposals were turned away."""
        return f"StableOracle: {len(self.trials):,} trials started, {self._check.in_words()}"

    def create_trial(self, tuner_id: str) -> Any:
        """Create the next trial; at the end of the search the report is printed if verbose."""
        trial = super().create_trial(tuner_id)
        if trial.status != _STOPPED:
            self._is_told = False
        elif not self._is_told:
            self._is_told = True
            if self.verbose:
                print(self.report())
        return trial

    def get_state(self) -> dict[str, Any]:
        """Return the state of the oracle, with the counts."""
        return {**super().get_state(), _STATE: self._own_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up a state, of a search with or without a map."""
        super().set_state(state)
        self._take_over(state.get(_STATE))

    def _own_state(self) -> dict[str, Any]:
        return {"turned_away": self.turned_away}

    def _take_over(self, own: Mapping[str, Any] | None) -> None:
        """Take up what `_own_state` returned; None for the state of an oracle without a map."""
        # Reloaded trials come in any order, which the sums of a Gaussian process depend on.
        known = [trial_id for trial_id in self.start_order if trial_id in self.trials]
        self.trials = {trial_id: self.trials[trial_id] for trial_id in known} | self.trials
        counts = (own or {}).get("turned_away", {})
        for reason in self._check.counts:
            self._check.counts[reason] = int(counts.get(str(reason), 0))

    def _kept_state(self) -> Mapping[str, Any] | None:
        """What was stored of a search that the oracle has been reloaded from; None if nothing."""
        if not self.start_order or not getattr(self, "_project_name", None):
            return None
        file = Path(self._get_oracle_fname())
        if not file.is_file():
            return None
        found: Mapping[str, Any] | None = json.loads(file.read_text("utf-8")).get(_STATE)
        return found

    def _look(self) -> None:
        """Find the hyperparameters on the map, again when there are new ones."""
        space = tuple(
            (hp.name, repr([condition.get_config() for condition in hp.conditions]))
            for hp in self.hyperparameters.space
        )
        if space == self._looked_at:
            return
        before = self.notes if self._looked_at is not None else ()
        self._check.look(self.hyperparameters.space)
        self._looked_at = space
        if self.verbose:
            for note in self.notes:
                if note not in before:
                    print(f"StableOracle: {note}")

    def _random_values(self) -> dict[str, Any] | None:
        return self._drawn(counted=True)

    def _drawn(self, *, counted: bool) -> dict[str, Any] | None:
        """Random values that are allowed and new; None if there are none left to be found."""
        self._look()
        if self._exhausted_at == self._looked_at:
            return None
        allows = self._check.allows if counted else lambda own: self._check.verdict(own).allowed
        for _ in range(self._patience):
            values: dict[str, Any] | None = super()._random_values()
            if values is None or allows(values):
                return values
        self._exhausted_at = self._looked_at
        self._warn(f"{self._patience:,} random proposals in a row were turned away")
        return None

    def _warn(self, why: str) -> None:
        warnings.warn(
            f"The search stops: {why}. {self.report()}. Search in what is allowed "
            "(result.hyperparameters()), or see the settings off_map, where and margin.",
            stacklevel=2,
        )


def keep_stable(tuner: Any, result: Results, **settings: Any) -> StableOracle:
    """Give a tuner, new or reloaded, an oracle that never starts what is known to be unstable.

    Args:
        tuner: of KerasTuner, with one of its own four oracles.
        result: see `StableOracle`.
        settings: see there.

    Returns:
        The tuner's oracle from now on.

    Raises:
        ResultError: see there.
    """
    oracle = getattr(tuner, "oracle", None)
    if not isinstance(oracle, keras_tuner.Oracle):
        raise ResultError(f"expected a tuner of KerasTuner, got {type(tuner).__name__}.")
    stable = StableOracle(oracle, result, **settings)
    if stable.hyperparameters.space:
        stable._look()
    tuner.oracle = stable
    return stable


def _opened(result: Results) -> list[Result]:
    several = [result] if isinstance(result, Result | str | Path) else list(result)
    if not several:
        raise ResultError("expected a result, or several; got an empty list.")
    return [each if isinstance(each, Result) else open_result(each) for each in several]
