"""From readings to the first step at which something broke."""

from __future__ import annotations

from stabilitysweep.integrations.watching.readings import Found, Reading
from stabilitysweep.types import Onset, Stage

LAST_STREAK = 3
"""Steps skipped up to the end of a `fit` that count as an onset; fewer are nothing unusual."""


class FitVerdict:
    """Judges one `fit`, step after step.

    Attributes:
        onset: the first value that was not finite and that loss scaling did not catch.
        since: the first step at which it may have come up.
        iteration: the optimizer's count of steps after it.
        nan_step: the first step whose loss was NaN.
        onset_streak: steps in a row that were skipped, where that is the onset.
        skipped: how many steps were.
        verified: the last step after which the whole state was seen to be finite.
    """

    def __init__(self, patience: int) -> None:
        """Start with nothing found.

        Args:
            patience: steps in a row that loss scaling may skip.
        """
        self._patience = patience
        self._streak: list[Reading] = []
        self._previous: Reading | None = None
        self.onset: Onset | None = None
        self.since: int | None = None
        self.iteration: int | None = None
        self.nan_step: int | None = None
        self.onset_streak: int | None = None
        self.skipped = 0
        self.verified = 0

    def add(self, reading: Reading) -> None:
        """Judge one more step."""
        self.skipped += reading.skipped
        before, self._previous = self._previous, reading
        if reading.loss_is_nan and not reading.skipped and self.nan_step is None:
            self.nan_step = reading.step
        if self.onset is not None:
            return
        if reading.found is None:
            self._streak = []
        elif reading.found_before is not None:
            # The weights were broken when the step began, or by its own forward pass.
            own = reading.step - 1 <= self.verified
            self._set(reading.found_before, reading if own or before is None else before)
        elif reading.skipped:
            self._streak = [*self._streak, reading]
            if len(self._streak) >= self._patience:
                self._set_streak()
        else:
            self._set(reading.found, reading)

    def met(self, found: Found, since: int, step: int) -> None:
        """Take note of what a check of the state met, that came up in one of some steps."""
        if self.onset is None:
            self.onset, self.since = found.at(step), since
            if self._previous is not None and self._previous.step == step:
                self.iteration = self._previous.iteration

    def close(self) -> None:
        """Judge the steps that were skipped up to the end."""
        if self.onset is None and len(self._streak) >= LAST_STREAK and not self._settling:
            self._set_streak()

    @property
    def _settling(self) -> bool:
        """Whether a loss scale that starts high is still on its way down, as it does at first.

        Only gradients overflow for it: the loss is not scaled where it is looked at.
        """
        first, last = self._streak[0], self._streak[-1]
        return (
            first.step == 1
            and last.iteration == 0
            and last.loss_scale >= 1
            and all(r.found is not None and r.found.stage is not Stage.LOSS for r in self._streak)
        )

    def _set(self, found: Found, reading: Reading) -> None:
        self.onset, self.since = found.at(reading.step), reading.step
        self.iteration = reading.iteration

    def _set_streak(self) -> None:
        first = self._streak[0]
        assert first.found is not None, "loss scaling skips what is not finite"
        self._set(first.found, first)
        self.onset_streak = len(self._streak)
