"""A sweep planned and carried out: what is missing from a result folder is trained into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stabilitysweep import folder as folders
from stabilitysweep import pace, rehearsal, runner
from stabilitysweep.config import SweepConfig
from stabilitysweep.costs import Costs, Measured
from stabilitysweep.errors import UserError
from stabilitysweep.executors import Executor, LocalExecutor, RayExecutor
from stabilitysweep.executors.local import default_workers
from stabilitysweep.executors.memory import fitting_workers, require_memory
from stabilitysweep.executors.processor import available_cores
from stabilitysweep.executors.ray_cluster import cluster_cores, connected, is_connected, require_ray
from stabilitysweep.planning import Work
from stabilitysweep.runner import Progress, Sweep
from stabilitysweep.types import Compiled

ENGINES = ("stacked", "fit")
EXECUTORS = ("local", "ray")
COMPILED = ("auto", *(how.value for how in Compiled))
"""How graphs may be compiled: the last two are those of `Compiled`."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a sweep; none of it changes which trials there are.

    Attributes:
        engine: `stacked`, or `fit` for the yardstick.
        workers: processes, at least 1; None is one a core, if there is memory for them; on a Ray
            cluster one for each of its CPUs.
        compiled: plain graph or XLA; None chooses for each program, see `rehearsal`.
        fresh: set an existing result aside and start over.
        executor: `local`, processes on this machine, or `ray`.
        ray_address: of the Ray cluster, `auto` or HOST:PORT; None takes the one that this process
            is connected to, and otherwise starts a Ray on this machine.

    Raises:
        UserError: an unknown engine or executor, less than one worker, or an address of a
            cluster that is not to be used.
    """

    engine: str = "stacked"
    workers: int | None = None
    compiled: Compiled | None = None
    fresh: bool = False
    executor: str = "local"
    ray_address: str | None = None

    def __post_init__(self) -> None:
        """Check what no type can."""
        if self.engine not in ENGINES:
            raise UserError(f"engine: expected {' or '.join(ENGINES)}, got {self.engine!r}.")
        if self.executor not in EXECUTORS:
            raise UserError(f"executor: expected {' or '.join(EXECUTORS)}, got {self.executor!r}.")
        if self.ray_address is not None and self.executor != "ray":
            raise UserError(
                f"ray_address: expected none for the executor {self.executor!r}, got "
                f"{self.ray_address!r}. Give the executor 'ray' beside it."
            )
        if self.workers is not None and self.workers < 1:
            raise UserError(
                f"workers: expected at least 1, or none given for one a core, got {self.workers}."
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        sweep: config, data and grid.
        folder: where the result is or will be.
        options: how to run it.
        work: the trials that are missing, as jobs.
        workers: number of processes that will have something to do.
    """

    sweep: Sweep
    folder: Path
    options: Options
    work: Work
    workers: int

    @property
    def seconds(self) -> float:
        """The seconds that training is expected to take, start-up included."""
        return self.work.seconds

    @property
    def stored(self) -> int:
        """Number of the sweep's trials that need no training any more."""
        return len(self.sweep.grid) - self.work.trials - len(self.sweep.failed)

    @property
    def nothing_built(self) -> bool:
        """Whether not a single model of the sweep can be built."""
        return bool(self.sweep.failed) and len(self.sweep.failed) == len(self.sweep.grid)


def plan(
    config: SweepConfig,
    folder: Path,
    options: Options,
    announce: rehearsal.Announce | None = None,
) -> Plan:
    """Check everything a run needs and say what it would do; stores nothing.

    Stacks may be tried out for some steps, see `rehearsal`; what they take is kept in the cache.

    Args:
        config: what to sweep.
        folder: where the result is or will be.
        options: how to run it.
        announce: told before programs are tried out, how many and how long that may take.

    Raises:
        UserError: the config, its data or the result folder cannot be used, there is no memory
            for so many workers, or no Ray where one was to be.
    """
    # Before any data is loaded: what is no result, or cannot be written, is refused.
    folders.holds_record(folder)
    folders.require_writable(folder)
    workers = _workers(options)
    sweep = runner.load_sweep(config)
    work, workers = _work(sweep, folder, options, workers, announce)
    return Plan(sweep, folder, options, work, min(workers, work.stacks))


def carry_out(plan: Plan, observe: Callable[[Progress], None] | None = None) -> None:
    """Train what `plan` says is missing, into the record of its folder.

    Args:
        plan: what to do.
        observe: called after every stack.

    Raises:
        ResultError: the folder cannot be written, or another run is using it.
        KeyboardInterrupt: passed on; the same plan made again goes on where it stopped.
    """
    options = plan.options
    if options.fresh:
        folders.set_aside(plan.folder)
    measured = Measured(options.engine)
    try:
        runner.train(
            plan.sweep,
            plan.folder,
            plan.work,
            _executor(plan),
            observe or (lambda progress: None),
            {
                "engine": options.engine,
                "compiled": "auto" if options.compiled is None else options.compiled.value,
                "workers": options.workers,
                "executor": options.executor,
            },
            measured.add,
        )
    finally:
        # More workers than cores slow each other down; those of a cluster are other machines.
        if options.executor == "local" and plan.workers <= len(available_cores()):
            pace.learn(measured.found())


@contextmanager
def attached(options: Options) -> Iterator[None]:
    """Stay connected to the Ray cluster of some options, if they name one, until the end.

    Otherwise each plan, and each carrying out, connects for itself.

    Raises:
        UserError: Ray is not installed, there is none at the address, or it does not let us in.
    """
    if options.ray_address is None:
        yield
        return
    with connected(options.ray_address):
        yield


def _executor(plan: Plan) -> Executor:
    options = plan.options
    if options.executor == "ray":
        # A cluster may come to have more than it has now.
        count = options.workers if _on_a_cluster(options) else plan.workers
        return RayExecutor(count, options.engine, options.ray_address)
    return LocalExecutor(plan.workers, options.engine)


def _work(
    sweep: Sweep,
    folder: Path,
    options: Options,
    workers: int,
    announce: rehearsal.Announce | None,
) -> tuple[Work, int]:
    """What is missing, each program compiled as it was before, or is best, or as is asked.

    Returns:
        The work, and how many workers may be at it: no more than there is memory for.
    """
    local = options.executor == "local"
    stored = set() if options.fresh else runner.stored_trials(sweep, folder)
    verdicts = {} if options.fresh else runner.stored_verdicts(folder)
    choices, compiled = ({}, None) if options.fresh else rehearsal.stored_choices(folder)
    if options.compiled is not None:
        choices, compiled = {}, options.compiled

    def at_once() -> int:
        return min(workers, len(available_cores())) if local else workers

    def planned() -> Work:
        return runner.missing_work(
            sweep,
            stored,
            compiled=compiled or Compiled.GRAPH,
            engine=options.engine,
            workers=at_once(),
            verdicts=verdicts,
            choices=choices,
            costs=Costs(),
        )

    work = planned()
    # Stacks that are tried out need the memory that they will need later.
    fitting = _fitting(work, workers, options)
    if fitting < workers:
        workers = fitting
        work = planned()
    if not local or options.engine != "stacked":
        return work, workers
    if compiled is None:
        found = rehearsal.decided(
            work, choices, sweep.data.shapes, sweep.data, workers=at_once(), announce=announce
        )
        if any(found[name] is not choices.get(name, Compiled.GRAPH) for name in found):
            choices = found
            work = planned()
            workers = _fitting(work, workers, options)  # stacks under XLA may be larger
    if rehearsal.timed(work, sweep.data, Costs(), workers=at_once(), announce=announce):
        work = planned()
    return work, workers


def _fitting(work: Work, workers: int, options: Options) -> int:
    """How many of so many workers there is memory for.

    Raises:
        UserError: not for all of them, where that number was asked for.
    """
    if _on_a_cluster(options):
        return workers
    if options.workers is None:
        workers = min(workers, fitting_workers(work.stack_bytes) or workers)
    require_memory(min(workers, work.stacks), work.stack_bytes)
    return workers


def _on_a_cluster(options: Options) -> bool:
    """Whether training takes place on a Ray that is there, whose machines are not this one's."""
    return options.executor == "ray" and (options.ray_address is not None or is_connected())


def _workers(options: Options) -> int:
    """The number of processes there would be, were there enough to do."""
    if options.executor == "ray":
        require_ray()
        if _on_a_cluster(options):
            with connected(options.ray_address):
                return options.workers or cluster_cores()
    return options.workers or default_workers()


def how_compiled(said: object) -> Compiled | None:
    """Read how graphs are compiled, as options and records say it; what is none chooses.

    Args:
        said: one of `COMPILED`, for instance.
    """
    return Compiled(str(said)) if said in set(Compiled) else None
