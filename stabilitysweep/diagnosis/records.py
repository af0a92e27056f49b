"""What a diagnosis is made of; nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stabilitysweep.analysis import Explanation, Remedy
from stabilitysweep.numerics.moments import Moment, Quantity, TensorStats
from stabilitysweep.types import TrialResult

__all__ = ["Diagnosis", "Moment", "Quantity", "Replay", "TensorStats", "moment_to_json"]


@dataclass(frozen=True, slots=True)
class Replay:
    """A trial trained once more.

    Attributes:
        result: what the replay measured.
        moments: the last steps up to the onset, or to the end without one; increasing.
        differences: in what it differs from the stored trial, one line each; empty where it
            reproduces it.
    """

    result: TrialResult
    moments: tuple[Moment, ...]
    differences: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether outcome, onset and first NaN are those stored."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a trial failed, with the evidence.

    Attributes:
        stored: the trial as it is stored.
        settings: its value on each axis, and its seed.
        fixed: the settings that all trials of the sweep share.
        explanation: the cause and a sentence.
        replay: the last steps, layer by layer.
        remedies: the nearest cells in which it does not happen, nearest first.
        picked: why it was picked, where no trial was asked for.
    """

    stored: TrialResult
    settings: Mapping[str, Any]
    fixed: Mapping[str, Any]
    explanation: Explanation
    replay: Replay
    remedies: tuple[Remedy, ...]
    picked: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain dicts, lists, texts and numbers; some may be NaN or Inf."""
        stored, explained, replayed = self.stored, self.explanation, self.replay
        return {
            "trial_id": stored.trial_id,
            "picked": self.picked,
            "settings": dict(self.settings),
            "fixed": dict(self.fixed),
            "outcome": stored.outcome.value,
            "onset": None if stored.onset is None else asdict(stored.onset),
            "nan_step": stored.nan_step,
            "cause": explained.cause.value,
            "cause_text": explained.sentence,
            "remedies": [
                {
                    "changes": {name: list(change) for name, change in remedy.changes.items()},
                    "seeds": remedy.seeds,
                    "steps_away": remedy.steps_away,
                    "text": str(remedy),
                }
                for remedy in self.remedies
            ],
            "reproduced": replayed.reproduced,
            "differences": list(replayed.differences),
            "replayed_onset": None
            if replayed.result.onset is None
            else asdict(replayed.result.onset),
            "steps": [moment_to_json(moment) for moment in replayed.moments],
        }


def moment_to_json(moment: Moment) -> dict[str, Any]:
    """Return a moment as plain dicts, lists, texts and numbers; some may be NaN or Inf."""
    bad = moment.first_bad()
    first = None if bad is None else {"quantity": bad.quantity.value, "tensor": bad.tensor}
    return {**asdict(moment), "first_bad": first}
