"""A sweep planned and carried out: what is missing from a result folder is trained into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stabilitysweep import folder as folders
from stabilitysweep import pace, runner
from stabilitysweep.config import SweepConfig
from stabilitysweep.errors import UserError
from stabilitysweep.executors import Executor, LocalExecutor, RayExecutor
from stabilitysweep.executors.local import default_workers
from stabilitysweep.executors.memory import require_memory
from stabilitysweep.executors.ray_cluster import cluster_cores, connected, is_connected, require_ray
from stabilitysweep.planning import Work
from stabilitysweep.runner import Progress, Sweep
from stabilitysweep.types import Compiled

ENGINES = ("stacked", "fit")
EXECUTORS = ("local", "ray")


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a sweep; none of it changes which trials there are.

    Attributes:
        engine: `stacked`, or `fit` for the yardstick.
        workers: processes, at least 1; None is one a core, if there is memory for them; on a Ray
            cluster one for each of its CPUs.
        compiled: plain graph or XLA.
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
    compiled: Compiled = Compiled.GRAPH
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
        seconds: that training is expected to take, start-up included: what `work` says, by
            what earlier runs on this machine took.
    """

    sweep: Sweep
    folder: Path
    options: Options
    work: Work
    workers: int
    seconds: float

    @property
    def stored(self) -> int:
        """Number of the sweep's trials that need no training any more."""
        return len(self.sweep.grid) - self.work.trials - len(self.sweep.failed)

    @property
    def nothing_built(self) -> bool:
        """Whether not a single model of the sweep can be built."""
        return bool(self.sweep.failed) and len(self.sweep.failed) == len(self.sweep.grid)


def plan(config: SweepConfig, folder: Path, options: Options) -> Plan:
    """Check everything a run needs and say what it would do; writes nothing.

    Args:
        config: what to sweep.
        folder: where the result is or will be.
        options: how to run it.

    Raises:
        UserError: the config, its data or the result folder cannot be used, there is no memory
            for so many workers, or no Ray where one was to be.
    """
    # Before any data is loaded: what is no result, or cannot be written, is refused.
    folders.holds_record(folder)
    folders.require_writable(folder)
    workers = _workers(options)
    sweep = runner.load_sweep(config)
    work = runner.missing_work(
        sweep,
        set() if options.fresh else runner.stored_trials(sweep, folder),
        compiled=options.compiled,
        engine=options.engine,
        workers=workers,
        verdicts={} if options.fresh else runner.stored_verdicts(folder),
    )
    seconds = work.seconds * (
        pace.factor(_kind(config, options)) if options.executor == "local" else 1.0
    )
    planned = Plan(sweep, folder, options, work, min(workers, work.stacks), seconds)
    if not _on_a_cluster(options):
        require_memory(planned.workers)
    return planned


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
    progress = runner.train(
        plan.sweep,
        plan.folder,
        plan.work,
        _executor(options),
        observe or (lambda progress: None),
        {
            "engine": options.engine,
            "compiled": options.compiled.value,
            "workers": options.workers,
            "executor": options.executor,
        },
    )
    if options.executor == "local":
        pace.learn(_kind(plan.sweep.config, options), plan.work.seconds, progress.seconds)


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


def _executor(options: Options) -> Executor:
    if options.executor == "ray":
        return RayExecutor(options.workers, options.engine, options.ray_address)
    return LocalExecutor(options.workers, options.engine)


def _kind(config: SweepConfig, options: Options) -> str:
    """What runs have in common that take alike: models, engine, compiler, workers."""
    models = config.model.build or config.model.name
    workers = "" if options.workers is None else f", {options.workers} workers"
    return f"{models}, {options.engine}, {options.compiled.value}{workers}"


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
