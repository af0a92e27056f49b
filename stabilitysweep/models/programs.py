"""Which hyperparameters change the training graph, and which are numbers fed to it.

Trials share a program when their graphs are the same: learning rate, L1/L2 strength,
momentum, weight decay, clipnorm, schedule, warm-up and seed are numbers the graph takes as
input; so are the batch size and the number of steps outside XLA. Everything else shapes it.

A strength of zero switches its term off. Trials with and without the term can share a graph
because each term is guarded so that zero removes it exactly (see `engines.optimizers` and
`engines.penalties`): the plain graph then gives the same bits as a graph without the term.
XLA fuses differently once the term is there, so under XLA zero and non-zero part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import ModelSettings
from stabilitysweep.data import DataShape
from stabilitysweep.grid import Trial
from stabilitysweep.types import Compiled


@dataclass(frozen=True, slots=True)
class Terms:
    """The optional terms of a graph: present where any of its trials has them.

    The last, `schedule`, is a learning rate that changes from step to step.
    """

    l1: bool = False
    l2: bool = False
    momentum: bool = False
    weight_decay: bool = False
    clipnorm: bool = False
    schedule: bool = False

    def __or__(self, other: Terms) -> Terms:
        """Return the terms of either."""
        return Terms(
            self.l1 or other.l1,
            self.l2 or other.l2,
            self.momentum or other.momentum,
            self.weight_decay or other.weight_decay,
            self.clipnorm or other.clipnorm,
            self.schedule or other.schedule,
        )


FED: Mapping[str, Callable[[Any], Hashable]] = MappingProxyType(
    {
        "learning_rate": lambda rate: None,
        "decay_rate": lambda rate: None,
        "l1": lambda strength: strength > 0,
        "l2": lambda strength: strength > 0,
        "momentum": lambda momentum: momentum > 0,
        "weight_decay": lambda decay: None if decay is None else decay > 0,
        "clipnorm": lambda norm: norm is None,
        "warmup_steps": lambda steps: steps > 0,
        "schedule": lambda schedule: schedule != "constant",
    }
)
"""The settings of the built-in model that are numbers fed to the graph, each with what of a value
decides on a term: two that are the same in that can share a program, on the same data."""


@dataclass(frozen=True, slots=True)
class UserProgram:
    """What shapes the graph of a user's model.

    Attributes:
        digest: of the graph; see `models.survey`.
        template: the model that the graph is traced from; any that has this digest will do.
    """

    digest: str
    template: Blueprint = field(compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """All that shapes a training graph.

    Attributes:
        model: the model section, its L1 and L2 strengths set to 0, and without `hp` values.
        features: input columns.
        outputs: units of the head.
        precision: the dtype policy.
        loss: the loss by its short name.
        optimizer: the optimizer; `adamw` is `adam` with weight decay, `keras` is the one of a
            user's model.
        nesterov: Nesterov's form of momentum.
        terms: the optional terms.
        compiled: plain graph or XLA.
        batch_size: 0 in the plain graph, where it is a number like others; the rows a
            step under XLA, which compiles for fixed shapes.
        user: of a user's model; None for the built-in one.
    """

    model: ModelSettings
    features: int
    outputs: int
    precision: str
    loss: str
    optimizer: str
    nesterov: bool
    terms: Terms
    compiled: Compiled
    batch_size: int
    user: UserProgram | None = None


def verdict_key(program: Program) -> str:
    """Name what the engines are compared on: a user's graph, and how its weights are updated."""
    digest = "" if program.user is None else program.user.digest
    parts = (digest, program.optimizer, program.nesterov, program.precision, program.compiled.value)
    return " ".join(map(str, parts))


def family(program: Program) -> str:
    """Name the programs that are one but for what the grid around their trials decides.

    Left out are the terms, which others of the grid may need, how it is compiled, and what that
    decides. The name is the same in every process.
    """
    parts = (
        program.model.model_dump(mode="json"),
        program.features,
        program.outputs,
        program.precision,
        program.loss,
        program.optimizer,
        program.nesterov,
        "" if program.user is None else program.user.digest,
    )
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def terms_of(trial: Trial) -> Terms:
    """Return the optional terms that `trial` itself needs."""
    training = trial.training
    return Terms(
        l1=trial.model.l1 > 0,
        l2=trial.model.l2 > 0,
        momentum=training.momentum > 0,
        weight_decay=bool(training.weight_decay),
        clipnorm=training.clipnorm is not None,
        schedule=training.schedule != "constant"
        or training.warmup_steps > 0
        or (trial.blueprint is not None and trial.blueprint.scheduled),
    )


def group(
    trials: Iterable[Trial], shape: DataShape, compiled: Compiled
) -> dict[Program, list[Trial]]:
    """Sort trials on data of one shape into programs, in the order they first appear.

    Args:
        trials: their batch sizes are resolved numbers.
        shape: of the data they train on.
        compiled: plain graph or XLA.
    """
    groups: dict[Program, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(_program(trial, shape, compiled), []).append(trial)
    if compiled is Compiled.XLA:
        return groups
    shared: dict[Program, list[Trial]] = {}
    for program, members in groups.items():
        terms = Terms()
        for member in members:
            terms |= terms_of(member)
        shared[replace(program, terms=terms)] = members
    return shared


def _program(trial: Trial, shape: DataShape, compiled: Compiled) -> Program:
    blueprint = trial.blueprint
    if blueprint is not None:
        # Its regularizers' numbers are fed to the graph; without them it is another graph.
        return replace(
            _of_settings(trial, shape, compiled),
            model=ModelSettings(build=blueprint.build),
            loss=blueprint.target,
            optimizer=blueprint.update or _update(trial.training.optimizer),
            user=UserProgram(blueprint.program, blueprint),
        )
    return _of_settings(trial, shape, compiled)


def _update(optimizer: str) -> str:
    return "adam" if optimizer == "adamw" else optimizer


def _of_settings(trial: Trial, shape: DataShape, compiled: Compiled) -> Program:
    training = trial.training
    xla = compiled is Compiled.XLA
    return Program(
        model=trial.model.model_copy(update={"l1": 0.0, "l2": 0.0}),
        features=shape.features,
        outputs=shape.outputs,
        precision=training.precision,
        loss=training.loss,
        optimizer=_update(training.optimizer),
        nesterov=training.nesterov,
        # Under XLA a table of learning rates costs nothing: schedules share a program there too.
        terms=replace(terms_of(trial), schedule=True) if xla else Terms(),
        compiled=compiled,
        batch_size=int(training.batch_size) if xla else 0,
    )
