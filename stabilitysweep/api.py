"""The Python interface: `run` a config, get its `Result`; `audit` its data beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep import execution
from stabilitysweep.config import SweepConfig, load_config, parse_config
from stabilitysweep.data import load, split_rows
from stabilitysweep.data.audit import audit as find_in_data
from stabilitysweep.data.finding_table import finding_table
from stabilitysweep.errors import UserError
from stabilitysweep.execution import Options, Plan
from stabilitysweep.result import Result, open_result
from stabilitysweep.runner import Progress
from stabilitysweep.types import Compiled

RESULTS = Path("results")
"""Where results land unless told otherwise, relative to the current folder."""


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
    options: Options | None = None,
) -> Plan:
    """Check everything a run needs and say what it would do; writes nothing.

    Raises:
        UserError: the config, its data or the result folder cannot be used.
    """
    checked = read_config(config)
    folder = Path(out) if out is not None else RESULTS / checked.name
    return execution.plan(checked, folder, options or Options())


def execute(plan: Plan, observe: Callable[[Progress], None] | None = None) -> Result:
    """Do what `plan` says, and write table, summary and figures.

    Args:
        plan: what to do.
        observe: called after every stack.

    Raises:
        ResultError: the folder cannot be written, or another run is using it.
        KeyboardInterrupt: passed on; the same plan made again goes on where it stopped.
    """
    # Drawing is slow to import, and this process has nothing to do while workers train. Python
    # ends a daemon thread where it stands, which aborts the process inside an extension's C++:
    # this one is waited for, also by a run that is interrupted.
    threading.Thread(target=import_module, args=("stabilitysweep.figures",)).start()
    execution.carry_out(plan, observe)
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
        UserError: an argument, the config, its data or the folder cannot be used; nothing
            was written.
    """
    if compiled not in set(Compiled):
        raise UserError(f"compiled: expected {' or '.join(Compiled)}, got {compiled!r}.")
    return execute(plan(config, out, Options(engine, workers, Compiled(compiled), fresh)))


def audit(config: str | Path | Mapping[str, Any] | SweepConfig) -> pd.DataFrame:
    """Find what in the data of a sweep can break its trainings; trains and writes nothing.

    A target that a loss or its scaling cannot take is a finding here, where `run` refuses it;
    one that is missing or infinite is refused by both.

    Args:
        config: path of a YAML file, a mapping with the same content, or a `SweepConfig`.

    Returns:
        One row a finding, the worst first of each data set: `label` of the data set,
        `severity` (critical, warning, note), `code` (see docs/audit.md), `column`, empty for
        what is no column's, `count`, `text`, and `remedy`, mostly a line for the config.

    Raises:
        UserError: the config or its data cannot be used.
    """
    checked = read_config(config)
    found: dict[str, list[dict[str, Any]]] = {}
    # Not `runner.load_sweep(checked).audit`: it lays out every trial, and so refuses the first
    # thing in the data that a trial cannot be made of, where all of them are findings here.
    for dataset in checked.datasets:
        raw = load(dataset, checked.base_folder)
        findings = find_in_data(raw, split_rows(raw, dataset), dataset, checked)
        found[dataset.label] = [finding.to_json() for finding in findings]
    return finding_table(found)
