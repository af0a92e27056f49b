"""Looking at some steps of one trial, in the stacked engine's own graph.

Notation: P trials in the stack, copies of one another: the first is looked at. K tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.half_products import flat_call, widen_half_products
from stabilitysweep.engines.inspection import Heads, Tensors, look_at_predictions, rows_of_step
from stabilitysweep.engines.program_graph import Inputs, ProgramGraph
from stabilitysweep.engines.stack_state import Reading, Settings, State
from stabilitysweep.engines.step_probes import floating
from stabilitysweep.numerics.moments import Moment, Quantity, TensorStats
from stabilitysweep.types import Compiled


class Inspector:
    """Looks at the steps of one program."""

    def __init__(self, graph: ProgramGraph) -> None:
        """Keep the graph; what looks at it is traced when it is first used."""
        self._graph = graph
        self._heads = Heads()
        self._look: Callable[..., tf.Tensor] | None = None

    def moments(self, inputs: Inputs, first: int, last: int, predictions: bool) -> list[Moment]:
        """Train the stack and look at steps; see `Engine.inspect`."""
        graph = self._graph
        state = graph.initial_state(inputs)
        if first > 1:
            state, _ = graph.advance(inputs, state, 0, first - 1)
        moments: list[Moment] = []
        step = first - 1
        while step < last and bool(state.active[0]):
            batch = inputs.orders[int(inputs.seed_index[0]), step]
            targets = tf.nest.map_structure(lambda values, rows=batch: values[rows], inputs.y)
            table = self._statistics(state, inputs.settings, inputs.x[batch], targets)
            state, readings = graph.advance(inputs, state, step, step + 1)
            step += 1
            reading = Reading(*readings[0, :, 0])
            moments.append(
                Moment(
                    step=step,
                    loss=float(reading.loss),
                    loss_scale=float(reading.loss_scale),
                    skipped=bool(reading.skipped),
                    tensors=self._read(table, inputs),
                )
            )
        if predictions and len(inputs.x_validation):
            moments.append(self._predictions(inputs, state, step))
        return moments

    def _statistics(
        self, state: State, settings: Settings, x: NDArray[Any], y: Any
    ) -> NDArray[np.float64]:
        trials = state.active.shape[0]
        batch, targets = tf.nest.map_structure(
            lambda values: tf.constant(np.stack([values] * trials)), (x, y)
        )
        arguments = (state, settings, batch, targets)
        if self._look is None:
            program = self._graph.program
            function = tf.function(
                self._trace, autograph=False, jit_compile=program.compiled is Compiled.XLA
            )
            if program.compiled is Compiled.XLA:
                self._look = lambda *flat: function(*tf.nest.pack_sequence_as(arguments, flat))
            else:
                concrete = function.get_concrete_function(*arguments)
                half = program.precision in ("float16", "mixed_float16")
                self._look = widen_half_products(concrete) if half else flat_call(concrete)
        table: NDArray[np.float64] = self._look(*tf.nest.flatten(arguments)).numpy()
        return table

    def _trace(self, state: State, settings: Settings, x: tf.Tensor, y: Any) -> tf.Tensor:
        graph, step = self._graph, self._graph.step
        computed = step.compute(state, settings, step.constants(state, settings), x, y)
        unpack = step.packing.unpack
        paths = [variable.path for variable in graph.model.trainable_variables]
        if step.own_slots is not None:
            flat = (tensor for (tensor,) in computed.slots)
            named = list(zip(step.own_slots, flat, strict=True))
        else:
            slots = zip(*(unpack(slot) for slot in computed.slots), strict=True)
            named = [
                (f"{path}/{name}", tensor)
                for path, tensors in zip(paths, slots, strict=bool(step.slot_names))
                for name, tensor in zip(step.slot_names, tensors, strict=True)
            ]
        own = Tensors(
            batch=x,
            activations=list(zip(step.layers, computed.run.activations, strict=True)),
            loss=computed.run.loss,
            gradients=unpack(computed.gradients),
            slots=named,
            before=unpack(state.weights),
            after=unpack(computed.weights),
            held=floating(computed.run.others),
        )
        rows = rows_of_step(graph.model, own)
        return self._heads.measure([row._replace(value=row.value[0]) for row in rows])

    def _read(self, table: NDArray[np.float64], inputs: Inputs) -> tuple[TensorStats, ...]:
        found = self._heads.read(table)
        optimizer = self._graph.program.optimizer
        if optimizer in ("sgd", "rmsprop") and not float(inputs.settings.momentum[0]):
            # The graph has this slot for other trials' sake.
            return tuple(
                stats
                for stats in found
                if stats.quantity is not Quantity.OPTIMIZER
                or not stats.tensor.endswith("/momentum")
            )
        return found

    def _predictions(self, inputs: Inputs, state: State, step: int) -> Moment:
        graph = self._graph
        weights = [weight[0] for weight in graph.step.packing.unpack(state.weights)]
        others = [variable[0] for variable in state.others]
        tensors = look_at_predictions(graph.subject, weights, others, inputs.x_validation)
        return Moment(step, None, 1.0, skipped=False, tensors=tensors)
