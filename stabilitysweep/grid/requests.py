"""What a user's build is asked for on behalf of a trial."""

from __future__ import annotations

from collections.abc import Sequence

from stabilitysweep.blueprint import Block, Request, TargetFacts
from stabilitysweep.config import SweepConfig
from stabilitysweep.grid.trial import Trial

_NEVER_ASKED = frozenset({"steps", "epochs", "metrics"})
"""Settings of training that say nothing of a model."""


def request_of(
    trial: Trial,
    config: SweepConfig,
    blocks: Sequence[Block],
    named: bool,
    target: TargetFacts,
) -> Request:
    """Return the request for the model of a trial.

    Args:
        trial: of a grid whose config has a `model.build`.
        config: that config: the settings of training that it gives are values of `hp` as
            well, resolved as those of the trial. One given as null is None. An `hp` of the
            same name, which the build has asked for already, goes before it.
        blocks: of the inputs, as the trial's preprocessing leaves them.
        named: whether the source gives its inputs by name.
        target: what the output has to fit.

    Raises:
        ValueError: the trial is one of the built-in model.
    """
    if trial.model.build is None:
        raise ValueError(f"trial {trial.trial_id} has the built-in model, which is not requested")
    training = dict(trial.training)
    given = sorted(config.given - _NEVER_ASKED)
    values = {name: training[name] for name in given} | dict(trial.model.hp)
    return Request(
        build=trial.model.build,
        values=tuple(sorted(values.items())),
        given=tuple(given),
        training=tuple(sorted(training.items())),
        precision=trial.training.precision,
        blocks=tuple(blocks),
        named=named,
        target=target,
    )
