"""The four kinds of stable oracle, one for each way of KerasTuner's to propose values."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner import oracles
from keras_tuner.engine import trial as trials

from stabilitysweep.integrations.keras_tuner.stable_oracle import StableOracle

_REFUSED_OPTIMA = 3
"""Of one trial; then the best of random candidates is taken: each takes up to a few seconds."""

_CANDIDATES = 200
_MOST_PESSIMISTIC = 300
"""Refused optima that the Gaussian process is told of; the oldest go first."""

_RUNNING, _STOPPED = trials.TrialStatus.RUNNING, trials.TrialStatus.STOPPED


class StableRandomSearch(StableOracle, oracles.RandomSearchOracle, of=oracles.RandomSearchOracle):
    """Draws again."""


class StableHyperband(StableOracle, oracles.HyperbandOracle, of=oracles.HyperbandOracle):
    """Draws the trials of a bracket's first round again; later rounds repeat them.

    A trial of before the map that it does not allow keeps its place in a later round, but is not
    trained on.
    """

    _brackets: list[dict[str, Any]]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return values that are allowed."""
        self._look()
        while True:
            response: dict[str, Any] = super().populate_space(trial_id)
            values = response.get("values")
            repeated = values is not None and "tuner/trial_id" in values
            if values is None or not repeated or self._check.allows(values):
                return response
            for info in (info for b in self._brackets for own in b["rounds"] for info in own):
                if info["id"] == trial_id:
                    info["id"] = info["past_id"]


class StableGridSearch(StableOracle, oracles.GridSearchOracle, of=oracles.GridSearchOracle):
    """Goes on to the next combination that is allowed.

    What was tried already is part of the state: KerasTuner forgets it.
    """

    _ordered_ids: Any
    _populate_next: list[str]
    _refused: set[str]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next allowed combination."""
        self._look()
        first = not self.start_order
        response: dict[str, Any] = super().populate_space(trial_id)
        if first and not self._is_allowed(response["values"]):
            values = self._get_next_combination(response["values"])
            response = {"status": _STOPPED if values is None else _RUNNING, "values": values}
            if values is None:
                self._ordered_ids = type(self._ordered_ids)()
                self._populate_next = []
                self._warn("no combination of the grid is allowed")
        return response

    def _get_next_combination(self, values: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = super()._get_next_combination(values)
        while found is not None and not self._is_allowed(found):
            found = super()._get_next_combination(found)
        return found

    def _is_allowed(self, values: dict[str, Any]) -> bool:
        """Whether a combination is allowed; a refused one counts once, however often met."""
        verdict = self._check.verdict(values)
        if not verdict.allowed:
            key = self._compute_values_hash(values)
            if key not in self._refused:
                self._refused.add(key)
                self._check.counts[verdict.reason] += 1
        return verdict.allowed

    def _own_state(self) -> dict[str, Any]:
        order = self._ordered_ids
        return {
            **super()._own_state(),
            "refused": sorted(self._refused),
            "populate_next": list(self._populate_next),
            "ordered": {
                "memory": list(order._memory),
                "next": [[key, value] for key, value in order._next_index.items()],
                "last": order._last_index,
            },
        }

    def _take_over(self, own: Mapping[str, Any] | None) -> None:
        super()._take_over(own)
        self._refused = set((own or {}).get("refused", ()))
        if own is not None and "ordered" in own:
            order = type(self._ordered_ids)()
            order._memory = list(own["ordered"]["memory"])
            order._data_to_index = {data: place for place, data in enumerate(order._memory)}
            order._next_index.update(dict(own["ordered"]["next"]))
            order._last_index = own["ordered"]["last"]
            self._ordered_ids, self._populate_next = order, list(own["populate_next"])
        elif self.start_order and not self._ordered_ids._memory:
            # Of a search without a map: where each trial belongs follows from its values.
            def compare(one: str, other: str) -> int:
                values = (self.trials[each].hyperparameters.values for each in (one, other))
                return int(self._compare(*values))

            for trial_id in sorted(self.start_order, key=functools.cmp_to_key(compare)):
                self._ordered_ids.insert(trial_id)
            self._populate_next = list(self.start_order)


class StableBayesianOptimization(
    StableOracle, oracles.BayesianOptimizationOracle, of=oracles.BayesianOptimizationOracle
):
    """Tells the Gaussian process that a refused optimum was as bad as the worst trial; asks anew.

    After a few refusals it takes, of random values that are allowed, those that the acquisition
    function likes best.
    """

    _pessimistic: list[dict[str, Any]]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return values that are allowed."""
        self._look()
        for _ in range(_REFUSED_OPTIMA):
            response: dict[str, Any] = super().populate_space(trial_id)
            values = response.get("values")
            if values is None or self._check.allows(values):
                return response
            self._pessimistic = [*self._pessimistic, values][-_MOST_PESSIMISTIC:]
        best = self._best_of_random()
        return {"status": _STOPPED if best is None else _RUNNING, "values": best}

    def _best_of_random(self) -> dict[str, Any] | None:
        candidates: list[dict[str, Any]] = []
        while len(candidates) < _CANDIDATES and (values := self._drawn(counted=False)) is not None:
            candidates.append(values)
        if not candidates:
            return None
        vectors, _ = self._vectors_of(dict.fromkeys(range(len(candidates)), 0.0), candidates)
        mean, deviation = self.gpr.predict(vectors, return_std=True)
        return candidates[int(np.argmin(mean.ravel() - self.beta * deviation.ravel()))]

    def _vectorize_trials(self) -> tuple[Any, Any]:
        finite = [
            trial.score
            for trial in self.trials.values()
            if trial.status == trials.TrialStatus.COMPLETED and np.isfinite(trial.score)
        ]
        if not self._pessimistic or not finite:
            return super()._vectorize_trials()  # type: ignore[no-any-return]
        worst = min(finite) if self.objective.direction == "max" else max(finite)
        beside = dict.fromkeys(range(len(self._pessimistic)), float(worst))
        return self._vectors_of(beside, self._pessimistic, self.trials)

    def _vectors_of(
        self,
        scores: Mapping[int, float],
        values: Sequence[dict[str, Any]],
        others: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Any]:
        """Values as KerasTuner has them in vectors, as though they were finished trials."""
        own, every = self.trials, dict(others or {})
        for place, score in scores.items():
            space = self.hyperparameters.copy()
            space.values = dict(values[place])
            name = f"refused {place}"
            every[name] = trials.Trial(space, name, trials.TrialStatus.COMPLETED)
            every[name].score = score
        self.trials = every
        try:
            return super()._vectorize_trials()  # type: ignore[no-any-return]
        finally:
            self.trials = own

    def _own_state(self) -> dict[str, Any]:
        kind, keys, *rest = self._random_state.get_state()
        return {
            **super()._own_state(),
            "pessimistic": self._pessimistic,
            # KerasTuner begins it anew, so that a resumed search would not go on as it was.
            "random_state": [kind, [int(key) for key in keys], *rest],
        }

    def _take_over(self, own: Mapping[str, Any] | None) -> None:
        super()._take_over(own)
        self._pessimistic = list((own or {}).get("pessimistic", ()))
        if own is not None and "random_state" in own:
            kind, keys, *rest = own["random_state"]
            self._random_state.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
