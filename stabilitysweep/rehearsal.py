"""Stacks tried out before a run: how long it may take, and which programs XLA pays for.

A few steps of a program's first stack, whose learning rates are its lowest, are trained in as many
processes as will train later, since processes slow each other down; nothing of it is stored. Two
things are asked, each only where the answer is not known yet and is worth the time:

- What do stacks take that the formula alone is known of? Asked of the costliest program of each
  model and precision where a run seems to be long.
- Is a program faster under XLA? It compiles longer, for each batch size anew, and every process
  that will train has to try it. So it is asked of programs that occupy all of them for a minute,
  the costliest first, for as long as a share of the run; and answered by yes only where it is
  faster by a clear margin and its compiling is repaid several times. Left out are programs whose
  numbers it changes: half precision, and whatever draws random numbers in a step, seen by its
  first steps.

What was measured of the second is kept, so that the choice is the same tomorrow, and decides by
its median. It is measured anew after some weeks, and, a few times, where it was not clear: within
the noise of the bar, or on both sides of it in different processes. So what an hour was like in
which the machine had other things to do does not count for long. A result keeps its own choice.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from stabilitysweep import folder as folders
from stabilitysweep import pace
from stabilitysweep.costs import Costs, Shape, formula, tried
from stabilitysweep.data import DataShape, PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors import Training, call_apart
from stabilitysweep.executors.apart import for_each_at_once
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.models import programs
from stabilitysweep.models.programs import family
from stabilitysweep.planning import Part, Work
from stabilitysweep.store import COMPILED, SQLiteStore
from stabilitysweep.types import Compiled

LONG_SECONDS = 30.0
"""From here on a run of users' models is expected to be long by the formula, which knows little of
them: a rehearsal of ten is worth it."""

VERY_LONG_SECONDS = 300.0
"""The same of models of ours, for which the formula was made."""

_MOST_SHARE = 0.1
_LEAST_SECONDS = 8.0
"""A rehearsal of durations goes on for a tenth of what is expected, and for so long at least; what
it comes to then is finished."""

XLA_SECONDS = 60.0
"""From here on a program is worth being tried under XLA: seconds, by the formula, for which it
occupies all workers. They try it all at once, for seconds, and each may come to compile it."""

_XLA_SHARE = 0.25
"""Trying programs under XLA takes at most so much of the time that the run is expected to take.
What is left over stays in the graph; a later run of it begins with what is known by then."""

_FASTER = 0.85
"""XLA is taken if a step takes at most so much of one in the graph: what is less is noise."""

_NOISE = 0.05
"""So near to that bar the next measurement may be on its other side."""

_REPAID = 3.0
"""XLA is taken if it saves so many times what its compiling costs."""

_SHARE = 0.9
"""What of a stack is trained on average: the rest ends early, where all of its trials broke."""

_SURE = ("float32", "float64")
"""Precisions that XLA rounds as the graph does. In halves it keeps results of fused operations in
float32, where the graph rounds each."""


_NO_GAIN = [1.0, 1.0, 1.0, 1.0]
"""In place of what was measured, where XLA is out of the question: it computes something else."""

_TRIED_STEPS = 20
"""About how many steps of a stack are trained to time it, tracing aside."""

_COMPARING_SECONDS = 4.0
"""What it takes to compare both ways of compiling a small program beyond tracing it in each: XLA's
compiling, and the steps that are timed in turns."""

Announce = Callable[[int, float], None]
"""Told before programs are tried out: how many, and how many seconds that may take."""


class Trying(NamedTuple):
    """A stack to try out.

    Attributes:
        part: what it stands for.
        training: its first stack.
        xla: the same trials under XLA, if that is asked.
    """

    part: Part
    training: Training
    xla: Stack | None = None


def stored_choices(folder: Path) -> tuple[dict[str, Compiled], Compiled | None]:
    """Return how the programs of a result, and of that which it follows, are compiled.

    Args:
        folder: of the result; a follow-up lies in the folder of what it follows, or one deeper.

    Returns:
        What was chosen by family; and how every other is, None where that is still to be chosen.
    """
    found: dict[str, Compiled] = {}
    others: Compiled | None = None
    for place in (folder, *folder.absolute().parents[:2]):
        if not (place / folders.DATABASE).is_file() or not folders.is_begun(place):
            continue
        with SQLiteStore(place / folders.DATABASE, read_only=True) as store:
            own = store.meta().get(COMPILED, {})
            said = [
                record.provenance.get("flags", {}).get("compiled") for record in store.configs()
            ]
        found = {name: Compiled(how) for name, how in own.items()} | found
        fixed = [Compiled(how) for how in said if how in set(Compiled)]
        others = others or (fixed[-1] if fixed else None)
    return found, others


def decided(
    work: Work,
    chosen: Mapping[str, Compiled],
    shapes: Mapping[str, DataShape],
    data: Mapping[str, PreparedData],
    *,
    workers: int,
    announce: Announce | None = None,
) -> dict[str, Compiled]:
    """Choose how programs are compiled.

    Args:
        work: planned in the plain graph, where nothing was chosen before.
        chosen: what was, by family; it stays.
        shapes: of the prepared data, by key.
        data: that data.
        workers: processes that will train.
        announce: told before anything is tried out.

    Returns:
        Of every family in the work how it is compiled.
    """
    found = {family(part.shape.program): Compiled.GRAPH for part in work.parts} | dict(chosen)
    costly: dict[str, list[Part]] = {}
    for part in work.parts:
        name = family(part.shape.program)
        if name not in chosen and _may_be_xla(part):
            costly.setdefault(name, []).append(part)
    seconds = {name: sum(map(_formula, parts)) for name, parts in costly.items()}
    worth = [name for name in seconds if seconds[name] >= XLA_SECONDS * workers]
    costly = {name: costly[name] for name in sorted(worth, key=lambda name: -seconds[name])}
    known = pace.settled()
    most = {name: max(parts, key=_formula) for name, parts in costly.items()}
    unknown: list[Part] = []
    costs, limit = Costs(), _XLA_SHARE * work.seconds
    for part in most.values():
        if _is_open(known.get(_kind(part), ())):
            more = [*unknown, part]
            unknown = more if _seconds(more, costs, ways=2) <= limit else unknown
    if unknown:
        if announce is not None:
            announce(len(unknown), _seconds(unknown, costs, ways=2))
        new = _try_ways([_under_xla(part, shapes) for part in unknown], data, workers)
        pace.settle(new)
        known = {**known, **{kind: [*known.get(kind, ()), rows] for kind, rows in new.items()}}
    for name, parts in costly.items():
        rows = [row for time in known.get(_kind(most[name]), ()) for row in time]
        if not rows or _NO_GAIN in rows:
            continue
        ratio, graph, compiling = median(_ratios(rows)), _median(rows, 0), _median(rows, 2)
        steps = sum(part.trials * part.shape.steps for part in parts)
        # A program for each batch size, and each worker may come to compile it.
        compiled = len({part.shape.batch_size for part in parts}) + workers - 1
        saved = steps * graph * (1.0 - ratio)
        if ratio <= _FASTER and saved >= _REPAID * compiling * compiled:
            found[name] = Compiled.XLA
    return found


def timed(
    work: Work,
    data: Mapping[str, PreparedData],
    costs: Costs,
    *,
    workers: int,
    announce: Announce | None = None,
) -> bool:
    """Try out stacks of a long run of which only the formula is known, and learn from them.

    Args:
        work: as planned.
        data: the prepared data, by key.
        costs: what it was planned with.
        workers: processes that will train.
        announce: told before anything is tried out.

    Returns:
        Whether anything was learnt.
    """
    groups: dict[str, list[Part]] = {}
    for part in work.parts:
        # XLA compiles for one number of steps: a few of them cost as much as all.
        graph = part.shape.program.compiled is Compiled.GRAPH
        if graph and part.shape.engine != "fit" and not costs.measured(part.shape):
            groups.setdefault(part.shape.kinds()[2], []).append(part)
    unknown = {
        kind: sum(_formula(part) + costs.first(part.shape) for part in parts)
        for kind, parts in groups.items()
    }
    if sum(unknown.values()) < VERY_LONG_SECONDS * workers:
        ours = [kind for kind in groups if groups[kind][0].shape.program.user is None]
        for kind in ours:
            del groups[kind], unknown[kind]
    if sum(unknown.values()) < LONG_SECONDS * workers:
        return False
    order = sorted(groups, key=lambda kind: -unknown[kind])
    tryings = [_trying(max(groups[kind], key=_formula)) for kind in order]
    limit = max(_LEAST_SECONDS, _MOST_SHARE * sum(unknown.values()) / workers)
    if announce is not None:
        whole = _seconds([trying.part for trying in tryings], costs)
        announce(len(tryings), min(whole, costs.start + limit))
    found: list[tuple[str, float]] = []
    for trying, said in zip(tryings, _apart(_time, tryings, data, workers, limit), strict=True):
        said = [answer for answer in said if answer is not None]
        if said:
            shape, trials = trying.part.shape, len(trying.training.stack.trials)
            first, seconds = _median(said, 0), _median(said, 1)
            if any(own < 0 for _, own in said):  # a mark, no time: see `Timing`
                seconds = -1.0
            found += tried(shape, trials, first, seconds * _SHARE)
    pace.learn(found)
    return bool(found)


def _may_be_xla(part: Part) -> bool:
    program = part.shape.program
    draws = program.user is None and program.model.dropout > 0
    return part.shape.engine != "fit" and program.precision in _SURE and not draws


def _formula(part: Part) -> float:
    return formula(part.shape, part.trials)


def _is_open(times: Sequence[pace.Rows]) -> bool:
    """Whether both ways of compiling are to be measured, or once more: not often, if unclear."""
    ratios = [ratio for rows in times for ratio in _ratios(rows)]
    below = bool(ratios) and max(ratios) <= _FASTER - _NOISE
    above = bool(ratios) and min(ratios) >= _FASTER + _NOISE
    return not (below or above) and len(times) < pace.TIMES


def _ratios(rows: pace.Rows) -> list[float]:
    """The time of a step under XLA by that in the graph, by process."""
    return [xla / graph for graph, xla, *_ in rows]


def _seconds(parts: Sequence[Part], costs: Costs, ways: int = 1) -> float:
    """How long it may take a process to try a stack of each part out, compiled in so many ways."""
    tracing = sum(costs.first(part.shape) for part in parts)
    steps = sum(formula(part.shape, part.places) / part.shape.steps for part in parts)
    comparing = _COMPARING_SECONDS * len(parts) * (ways - 1)
    return costs.start + ways * (tracing + _TRIED_STEPS * steps) + comparing


def _kind(part: Part) -> str:
    """Under which the two ways of compiling a program are kept."""
    return f"steps {family(part.shape.program)} batch {part.shape.batch_size} of {part.places}"


def _trying(part: Part) -> Trying:
    return Trying(part, part.first())


def _under_xla(part: Part, shapes: Mapping[str, DataShape]) -> Trying:
    """A stack of the part in both ways; under XLA the trials that share the first one's program."""
    key, stack = part.first()
    groups = programs.group(stack.trials, shapes[key], Compiled.XLA)
    program, trials = max(groups.items(), key=lambda item: len(item[1]))
    own = tuple(trials)
    graph = Stack(stack.program, own, stack.places)
    return Trying(part, Training(key, graph), Stack(program, own, stack.places))


def _try_ways(
    tryings: Sequence[Trying], data: Mapping[str, PreparedData], workers: int
) -> dict[str, pace.Rows]:
    """Measure both ways of compiling, for `pace.settle`."""
    found: dict[str, pace.Rows] = {}
    for trying, answers in zip(
        tryings, _apart(_compare_ways, tryings, data, workers, float("inf")), strict=True
    ):
        if not answers:  # the processes died: that may have had nothing to do with it
            continue
        rows: list[Sequence[float]] = []
        if None not in answers:
            rows = [_NO_GAIN]
            if all(agree for *_, agree in answers):
                rows = [numbers for *numbers, _ in answers]
                _learn_xla(trying, first=_median(rows, 3), step=_median(rows, 1))
        found[_kind(trying.part)] = rows
    return found


def _median(rows: pace.Rows, column: int) -> float:
    return median(row[column] for row in rows)


def _learn_xla(trying: Trying, *, first: float, step: float) -> None:
    """Remember what a program takes under XLA, for the case that it is taken."""
    if trying.xla is None:
        return
    shape, trials = Shape.of(trying.xla, trying.part.shape.engine), len(trying.xla.trials)
    own = shape._replace(verify=trying.part.shape.verify)
    pace.learn(tried(own, trials, first, step * trials * shape.steps * _SHARE))


def _apart(
    function: Callable[..., list[Any]],
    tryings: Sequence[Trying],
    data: Mapping[str, PreparedData],
    workers: int,
    limit: float,
) -> list[list[Any]]:
    """Try stacks out in processes of their own, all at once; what each says of each stack.

    Each process has another order, and begins with no other stack once the limit is over. What
    raised is None, and of a process that died there is nothing.
    """
    size = len(tryings)
    needed = {trying.training.data: data[trying.training.data] for trying in tryings}
    orders = [[(start + place) % size for place in range(size)] for start in range(workers)]

    def one(order: Sequence[int]) -> list[Any]:
        stacks = [(tryings[place].training, tryings[place].xla) for place in order]
        # What ends a process here, a run will meet again, and say so.
        with contextlib.suppress(StabilitySweepError, OSError):
            answers: list[Any] = call_apart(function, stacks, needed, limit)
            return answers
        return []

    found: list[list[Any]] = [[] for _ in tryings]
    for order, said in zip(orders, for_each_at_once(one, orders), strict=True):
        for place, answer in zip(order, said, strict=False):
            found[place].append(answer)
    return found


_Stacks = Sequence[tuple[Training, Stack | None]]


def _time(stacks: _Stacks, data: Mapping[str, PreparedData], limit: float) -> list[Any]:
    """Time stacks in this process; see `engines.timing.time_stack`."""
    engine: Any = start_engine("stacked")
    from stabilitysweep.engines.timing import time_stack

    return _each(lambda key, stack, _: time_stack(engine, stack, data[key]), stacks, limit)


def _compare_ways(stacks: _Stacks, data: Mapping[str, PreparedData], limit: float) -> list[Any]:
    """Time both ways of compiling in this process; see `engines.timing.time_ways`."""
    engine: Any = start_engine("stacked")
    from stabilitysweep.engines.timing import time_ways

    return _each(lambda key, stack, xla: time_ways(engine, stack, xla, data[key]), stacks, limit)


def _each(function: Callable[..., Any], stacks: _Stacks, limit: float) -> list[Any]:
    """Call a function for each stack until the limit is over; None where it raised."""
    begun = time.monotonic()
    answers: list[Any] = []
    for (key, stack), xla in stacks:
        if answers and time.monotonic() - begun > limit:
            break
        try:
            # Plain: to read the answer, the caller must not have to import TensorFlow.
            answers.append(tuple(function(key, stack, xla)))
        except Exception:  # a run will meet it again, and say so
            traceback.print_exc()
            answers.append(None)
    return answers
