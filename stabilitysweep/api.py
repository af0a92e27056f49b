"""The Python interface: `run` a config, get its `Result`; `audit` its data beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep import execution
from stabilitysweep.analysis.comparison import Comparison
from stabilitysweep.config import SweepConfig, load_config, parse_config
from stabilitysweep.data import load, split_rows
from stabilitysweep.data.audit import audit as find_in_data
from stabilitysweep.data.finding_table import finding_table
from stabilitysweep.errors import ResultError, UserError
from stabilitysweep.execution import COMPILED, Options, Plan, attached, how_compiled
from stabilitysweep.report import write_report
from stabilitysweep.result import Result, open_result
from stabilitysweep.result.compared import title_of, write_comparison
from stabilitysweep.runner import Progress

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
    announce: Callable[[int, float], None] | None = None,
) -> Plan:
    """Check everything a run needs and say what it would do; stores nothing.

    Of a long run stacks may be tried out for some steps (`docs/speed.md`).

    Args:
        config: path of a YAML file, a mapping with the same content, or a `SweepConfig`.
        out: the result folder; `results/NAME` if None.
        options: how to run it.
        announce: told before programs are tried out, how many and how many seconds that may take.

    Raises:
        UserError: the config, its data or the result folder cannot be used.
    """
    checked = read_config(config)
    folder = Path(out) if out is not None else RESULTS / checked.name
    return execution.plan(checked, folder, options or Options(), announce)


def execute(plan: Plan, observe: Callable[[Progress], None] | None = None) -> Result:
    """Do what `plan` says, and write table, summary, figures and the page.

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
    if not result.trials.empty:
        write_report(result)
    return result


def run(
    config: str | Path | Mapping[str, Any] | SweepConfig,
    out: str | Path | None = None,
    *,
    engine: str = "stacked",
    workers: int | None = None,
    compiled: str = "auto",
    fresh: bool = False,
    executor: str = "local",
    ray_address: str | None = None,
) -> Result:
    """Train every trial of a sweep that is not stored yet.

    Workers are started by `spawn`: a script that calls this needs the usual
    `if __name__ == "__main__":` around the call.

    Args:
        config: path of a YAML file, a mapping with the same content, or a `SweepConfig`.
        out: the result folder; `results/NAME` if None.
        engine: `stacked`, or `fit` to train one by one with `model.fit`.
        workers: processes, at least 1; None is one a core, or a CPU of the cluster.
        compiled: `graph`, `xla`, or `auto`: the graph, but for programs that keep all workers
            busy for a minute and are measured to be faster under XLA, see docs/speed.md.
        fresh: set an existing result aside and start over.
        executor: `local`, or `ray` to train on a Ray cluster, see docs/cluster.md.
        ray_address: of that cluster, `auto` or HOST:PORT; None starts a Ray on this machine for
            this call, or takes the one that this process is connected to.

    Returns:
        The result, with `.trials`, a DataFrame of one row a trial.

    Raises:
        UserError: an argument, the config, its data or the folder cannot be used; nothing
            was written.
    """
    if compiled not in COMPILED:
        raise UserError(f"compiled: expected {', '.join(COMPILED)}, got {compiled!r}.")
    options = Options(engine, workers, how_compiled(compiled), fresh, executor, ray_address)
    with attached(options):
        return execute(plan(config, out, options))


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
    checked.require_sweep(f"the config {checked.name!r}")
    found: dict[str, list[dict[str, Any]]] = {}
    # Not `runner.load_sweep(checked).audit`: it lays out every trial, and so refuses the first
    # thing in the data that a trial cannot be made of, where all of them are findings here.
    for dataset in checked.datasets:
        raw = load(dataset, checked.base_folder)
        findings = find_in_data(raw, split_rows(raw, dataset), dataset, checked)
        found[dataset.label] = [finding.to_json() for finding in findings]
    return finding_table(found)


def compare(
    *results: Result | str | Path,
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    x: str | None = None,
    y: str | None = None,
    rows: str | None = None,
) -> Comparison:
    """Put results, or the data sets of one, beside each other on the axes they share.

    Args:
        results: results or their folders. One result is taken apart along its data sets; of
            several, so are those that have the data set as an axis where others have not.
        by: another axis to take them apart along.
        where: axes to hold at one value, such as `{"precision": "float16"}`.
        out: a folder to write the figure (PNG and SVG), the table (CSV) and the JSON into; None
            writes nothing.
        x: horizontal axis of the figure; a sensible one if None, as are the others.
        y: vertical axis of the figure.
        rows: axis of its rows of panels; what has no place is pooled over.

    Returns:
        Where all are stable (`agreement`, `to_frame()`), how much the stable regions overlap
        (`overlaps`), how far the boundaries lie apart (`shifts`), which breaks first
        (`most_fragile`), what is safe in all (`safe_slices()`), and what limits the comparison
        (`unshared`, `differences`). `to_json()` has all of it.

    Raises:
        ResultError: a folder is no result, one is given twice, there is nothing to compare,
            there is no axis in common, or the files cannot be written.
    """
    opened = [each if isinstance(each, Result) else open_result(each) for each in results]
    if not opened:
        raise ResultError("expected results to compare, got none.")
    found = opened[0].compare(*opened[1:], by=by, where=where)
    if out is not None:
        title = title_of(found, opened)
        write_comparison(found, Path(out), title, x=x, y=y, rows=rows, where=where)
    return found
