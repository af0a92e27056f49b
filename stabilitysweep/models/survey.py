"""Finding out what a user's models are, cell by cell: which share a graph, and which weights.

Every model of the grid is built once. What its `hp` was asked decides which requests come to
the same model; its traced graph decides which models share a program; its initial weights
for one seed decide which share their weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.data.sources.user_functions import one_line
from stabilitysweep.errors import TrialError
from stabilitysweep.models.builder import precision_scope
from stabilitysweep.models.compiled import (
    compiled_part,
    inner_optimizer,
    is_keras_loss,
    metric_names,
    only_loss,
    target_form,
)
from stabilitysweep.models.description import describe_model, is_keras_type
from stabilitysweep.models.first_call import first_call
from stabilitysweep.models.fitting_target import check_output, example_target
from stabilitysweep.models.graph_digest import captured_variables, graph_digest, has_custom_gradient
from stabilitysweep.models.lifting import lifted_numbers
from stabilitysweep.models.recorder import recording
from stabilitysweep.models.stateless import run_model
from stabilitysweep.models.user_builds import Built, UserBuild

_SEED = 0
_ROWS = 2


def survey(requests: Sequence[Request], folders: Sequence[Path]) -> list[Blueprint]:
    """Build the models of all requests, all of one build function.

    Args:
        requests: at least one.
        folders: where to look for the module, beside the installed ones.

    Returns:
        A blueprint for each request, in their order; with an `error` for one whose model
        cannot be trained.
    """
    return list(surveyed(requests, folders))


def surveyed(requests: Sequence[Request], folders: Sequence[Path]) -> Iterator[Blueprint]:
    """Build the models of all requests, one when it is asked for; see `survey`."""
    try:
        build = UserBuild(requests[0].build, folders)
    except TrialError as error:
        yield from (Blueprint(request.build, error=str(error)) for request in requests)
        return
    with build:
        found = _Survey(build, tuple(map(str, folders)))
        for request in requests:
            yield found.blueprint(request)


class _Look(NamedTuple):
    """What calling and tracing a model shows: digest of its graph, and as in `Blueprint`."""

    graph: str
    alone: str
    metrics: tuple[str, ...]
    units: int
    layers: tuple[str, ...]


class _Survey:
    """The models of one build function."""

    def __init__(self, build: UserBuild, folders: tuple[str, ...]) -> None:
        self._build = build
        self._folders = folders
        self._looks: dict[str, _Look] = {}
        # By what was asked of `hp`, and by the values it had: requests that agree in all that
        # a function asks for give the same model.
        self._known: dict[tuple[Any, ...], dict[tuple[Any, ...], Blueprint]] = {}

    def blueprint(self, request: Request) -> Blueprint:
        values = dict(request.values)
        rest = (
            request.precision,
            request.blocks,
            request.named,
            request.target,
            dict(request.training).get("loss"),
        )
        for (names, *others), found in self._known.items():
            own = tuple(values.get(name) for name in names)
            if tuple(others) == rest and own in found:
                return found[own]
        blueprint, asked = self._new(request)
        known = self._known.setdefault((tuple(asked), *rest), {})
        known[tuple(values.get(name) for name in asked)] = blueprint
        return blueprint

    def _new(self, request: Request) -> tuple[Blueprint, list[str]]:
        try:
            with precision_scope(request.precision):
                built = self._build(request, _SEED)
                if not self._known:  # a second one beside it shows whether they share weights
                    self._build(request, _SEED)
                return self._described(request, built), [*built.hp.asked, *_overriding(built)]
        except TrialError as error:
            names = [name for name, _ in request.values]
            return Blueprint(request.build, values=request.values, error=str(error)), names
        except Exception as error:  # one model's trouble is not that of the others
            found = self._build.error(dict(request.values), self._build.in_words(error))
            names = [name for name, _ in request.values]
            return Blueprint(request.build, values=request.values, error=str(found)), names

    def _described(self, request: Request, built: Built) -> Blueprint:
        model = built.model
        facts = request.target
        training = dict(request.training)
        weights = _digest_of_weights(model)
        form = target_form(model, facts) if built.own else str(training["loss"])
        look = self._look(request, built, form)
        part = compiled_part(model) if built.own else None
        given = dict(request.values)
        known = {name: value for name, value in built.hp.asked.items() if name in given}
        settings: dict[str, Any] = {} if part is None else dict(part.training)
        if part is not None and _overriding(built) and "learning_rate" in request.given:
            settings["learning_rate"] = given["learning_rate"]
        elif part is not None:
            settings["learning_rate"] = _as_written(
                settings["learning_rate"], built.hp.asked.values()
            )
        program = hashlib.blake2b(digest_size=8)
        bounds = _constraints(model)
        own_optimizer = part is not None and not is_keras_type(inner_optimizer(model))
        texts = (
            look.graph,
            request.precision,
            part.numbers if part else "",
            # An optimizer of the user's may do anything with what it was told.
            repr(sorted(known.items())) if own_optimizer else "",
            bounds,
            _metrics_in_words(model),
            # What a trial's onset is named by.
            repr((look.layers, [variable.path for variable in model.variables])),
        )
        for text in texts:
            program.update(f"{len(text)}:{text}".encode())
        return Blueprint(
            build=request.build,
            folders=self._folders,
            precision=request.precision,
            blocks=request.blocks,
            named=request.named,
            facts=facts,
            values=tuple(sorted(known.items())),
            defaults=tuple(sorted(built.hp.defaults.items())),
            program=program.hexdigest(),
            weights=weights,
            numbers=tuple(number.value for number in lifted_numbers(model)),
            training=tuple(sorted(settings.items())),
            compiled=built.own,
            optimizer=part.optimizer if part else "",
            update=part.update if part else "",
            scheduled=part.scheduled if part else False,
            loss=part.loss if part else form,
            target=form,
            metrics=look.metrics if part else (),
            whole=built.binding.whole,
            parameters=int(sum(np.prod(v.shape) for v in model.trainable_variables)),
            units=look.units,
            layers=look.layers,
            alone=look.alone or (_UNCOMPILED_BOUNDS if bounds and part is None else ""),
        )

    def _look(self, request: Request, built: Built, form: str) -> _Look:
        """Call and trace a model, unless one was that is the same but for its numbers."""
        text = describe_model(built.model)
        shapes = [(block.start, block.stop, block.shape) for block in request.blocks]
        key = f"{request.precision} {form} {shapes} {built.own} {text}"
        if text and key in self._looks:
            return self._looks[key]
        found = self._new_look(request, built, form)
        if text:
            self._looks[key] = found
        return found

    def _new_look(self, request: Request, built: Built, form: str) -> _Look:
        model, facts = built.model, request.target

        def accept(predictions: Any) -> None:
            if not built.own or is_keras_loss(only_loss(model)):
                check_output(predictions, form, facts)

        try:
            with recording(model) as record:
                first_call(built, form, facts, accept)
        except (Exception, SystemExit) as error:
            raise self._build.error(
                built.hp.asked,
                str(error) if type(error) is ValueError else self._build.in_words(error),
            ) from error
        graph, alone = _traced(built, form, request)
        return _Look(
            graph=graph,
            alone=alone,
            metrics=tuple(metric_names(model)),
            units=sum(int(np.prod(output.shape[1:])) for output in record.outputs),
            layers=tuple(record.names),
        )


def _overriding(built: Built) -> list[str]:
    """The setting of the config that a compiled model takes without asking for it."""
    overrides = (
        built.own
        and "learning_rate" not in built.hp.asked
        and isinstance(inner_optimizer(built.model)._learning_rate, keras.Variable)
    )
    return ["learning_rate"] if overrides else []


_UNCOMPILED_BOUNDS = "a weight has a constraint: compile the model to have it stacked"


def _constraints(model: keras.Model) -> str:
    """The constraints on the weights, in words; empty if there are none."""
    bound = [
        (variable.path, type(variable.constraint).__qualname__, _config_of(variable.constraint))
        for variable in model.trainable_variables
        if variable.constraint is not None
    ]
    return json.dumps(bound, default=str) if bound else ""


def _metrics_in_words(model: keras.Model) -> str:
    """The metrics a model was compiled with, and what they were told."""
    compiled = model._compile_metrics
    given = [getattr(compiled, name, None) for name in ("_user_metrics", "_user_weighted_metrics")]
    return json.dumps(given, default=_config_of)


def _config_of(part: Any) -> str:
    """Class and config of a part of Keras or of the user's; a function by its name."""
    kind = f"{type(part).__module__}.{type(part).__qualname__}"
    name = getattr(part, "__qualname__", "")
    config = part.get_config() if hasattr(part, "get_config") else ""
    return f"{kind} {name} {config}"


def _as_written(rate: float, values: Iterable[Any]) -> float:
    """A learning rate as it was asked for: Keras keeps it in float32, 0.1 as 0.10000000149."""
    same = [value for value in values if type(value) is float and np.float32(value) == rate]
    return float(same[0]) if same else rate


def _digest_of_weights(model: keras.Model) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for variable in model.variables:
        value = variable.numpy()
        digest.update(f"{variable.path}{value.dtype}{value.shape}".encode() + value.tobytes())
    return digest.hexdigest()


def _traced(built: Built, form: str, request: Request) -> tuple[str, str]:
    """Digest of the traced graph, and why it cannot be stacked, if it cannot.

    The gradient follows from the forward pass, but where that says otherwise.
    """
    concrete, alone = _concrete(built, form, request, with_gradient=False)
    if concrete is not None and has_custom_gradient(concrete):
        concrete, alone = _concrete(built, form, request, with_gradient=True)
    return ("" if concrete is None else graph_digest(concrete)), alone


def _concrete(
    built: Built, form: str, request: Request, *, with_gradient: bool
) -> tuple[Any | None, str]:
    model = built.model
    lifted = lifted_numbers(model)
    floatx = keras.config.floatx()

    def both(weights: Any, others: Any, numbers: Any, rows: Any, targets: Any) -> Any:
        def run(training: bool) -> Any:
            return run_model(
                model,
                built.binding,
                lifted,
                weights,
                others,
                numbers,
                rows,
                targets,
                training=training,
            )

        with tf.GradientTape() as tape:
            tape.watch(weights)
            first = run(training=True)
        second = run(training=False)
        found = [first.loss, first.others, second.loss, second.predictions]
        if with_gradient:
            gradients = tape.gradient(
                first.loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            found.append([tf.convert_to_tensor(gradient) for gradient in gradients])
        return found

    example = example_target(form, request.target, _ROWS)
    try:
        concrete = tf.function(both, autograph=False).get_concrete_function(
            [tf.TensorSpec(v.shape, v.dtype) for v in model.trainable_variables],
            [tf.TensorSpec(v.shape, v.dtype) for v in model.non_trainable_variables],
            tf.TensorSpec([len(lifted)], floatx),
            tf.TensorSpec([None, built.binding.columns], floatx),
            tf.nest.map_structure(lambda a: tf.TensorSpec([None, *a.shape[1:]], a.dtype), example),
        )
    except Exception as error:
        text = one_line(str(error))[:300]
        return None, f"it cannot be traced as a function of its weights: {text}"
    held = captured_variables(concrete)
    alone = f"it reads {held[0]}, which is no variable of the model" if held else ""
    return concrete, alone
