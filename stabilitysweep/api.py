"""The Python interface: `run` a config, get its `Result`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stabilitysweep import runner
from stabilitysweep.config import SweepConfig, load_config, parse_config
from stabilitysweep.executors import LocalExecutor
from stabilitysweep.executors.local import available_cores
from stabilitysweep.planning import Work
from stabilitysweep.result import Result, open_result
from stabilitysweep.runner import Progress, Sweep
from stabilitysweep.types import Compiled

RESULTS = Path("results")
"""Where results land unless told otherwise, relative to the current folder."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a sweep; none of it changes what a trial means.

    Attributes:
        engine: `stacked`, or `fit` for the yardstick.
        workers: processes; None is one a core.
        compiled: plain graph or XLA.
        fresh: set an existing result aside and start over.
    """

    engine: str = "stacked"
    workers: int | None = None
    compiled: Compiled = Compiled.GRAPH
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        sweep: config, data and grid.
        folder: where the result is or will be.
        work: the trials that are missing, as jobs.
        stored: number of the sweep's trials that are there already.
    """

    sweep: Sweep
    folder: Path
    work: Work
    stored: int


def read_config(config: str | Path | Mapping[str, Any] | SweepConfig) -> SweepConfig:
    """Return a checked config from a YAML file's path, a mapping, or as it is.

    Raises:
        ConfigError: it is not a valid config.
    """
    if isinstance(config, SweepConfig):
        return config
    if isinstance(config, Mapping):
        return parse_config(config)
    return load_config(config)


def plan(
    config: str | Path | Mapping[str, Any] | SweepConfig,
    out: str | Path | None = None,
    options: Options = Options(),  # noqa: B008  (frozen, so it may be shared)
) -> Plan:
    """Check everything a run needs and say what it would do; writes nothing.

    Raises:
        UserError: the config, its data or the result folder cannot be used.
    """
    checked = read_config(config)
    folder = Path(out) if out is not None else RESULTS / checked.name
    sweep = runner.load_sweep(checked)
    stored = set() if options.fresh else runner.stored_trials(sweep, folder)
    work = runner.missing_work(
        sweep,
        stored,
        compiled=options.compiled,
        engine=options.engine,
        workers=options.workers or len(available_cores()),
    )
    return Plan(sweep, folder, work, len(sweep.grid) - work.trials)


def execute(
    plan: Plan,
    options: Options = Options(),  # noqa: B008
    observe: Callable[[Progress], None] | None = None,
) -> Result:
    """Do what `plan` says, and write table, summary and figures.

    Raises:
        ResultError: the folder cannot be written.
        KeyboardInterrupt: passed on; the same call again goes on where it stopped.
    """
    if options.fresh:
        runner.set_aside(plan.folder)
    runner.train(
        plan.sweep,
        plan.folder,
        plan.work,
        LocalExecutor(options.workers, options.engine),
        observe or (lambda progress: None),
        {"engine": options.engine, "compiled": options.compiled.value, "workers": options.workers},
    )
    result = open_result(plan.folder)
    result.save()
    return result


def run(
    config: str | Path | Mapping[str, Any] | SweepConfig,
    out: str | Path | None = None,
    *,
    engine: str = "stacked",
    workers: int | None = None,
    compiled: str = "graph",
    fresh: bool = False,
) -> Result:
    """Train every trial of a sweep that is not stored yet.

    Workers are started by `spawn`: a script that calls this needs the usual
    `if __name__ == "__main__":` around the call.

    Args:
        config: path of a YAML file, a mapping with the same content, or a `SweepConfig`.
        out: the result folder; `results/NAME` if None.
        engine: `stacked`, or `fit` to train one by one with `model.fit`.
        workers: processes, at least 1; None is one a core.
        compiled: `graph` or `xla`.
        fresh: set an existing result aside and start over.

    Returns:
        The result, with `.trials`, a DataFrame of one row a trial.

    Raises:
        UserError: config, data or folder cannot be used; nothing was written.
    """
    options = Options(engine, workers, Compiled(compiled), fresh)
    return execute(plan(config, out, options), options)
