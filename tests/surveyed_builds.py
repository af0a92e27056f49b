"""Sweeps of a user's build whose models are made up: nothing is imported, built or trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inline_executor import InlineExecutor

from stabilitysweep import runner
from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.config import parse_config
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.models.programs import verdict_key
from stabilitysweep.result import Result, open_result
from stabilitysweep.runner import Progress, Sweep
from stabilitysweep.types import Compiled, Verdict

BUILD = "no_such_module:build"
CONFIG: dict[str, Any] = {
    "name": "built",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "model": {"build": BUILD},
    "training": {"steps": 5, "batch_size": 4},
    "grid": {"layers": [1, 2], "units": [8, 16], "lr": [0.01, 0.1, 1]},
    "seeds": 2,
}
DEFAULTS: dict[str, Any] = {"layers": 1, "units": 8, "lr": 0.01, "dropout": 0.0, "extra": 0} | {
    "kind": "a",
    "flag": False,
}


@dataclass
class Survey:
    """Stands for a build that stacks `layers`, asks for `units` where there are two of them.

    Attributes:
        text: of the function, as it were: with another one it builds other models.
        broken: layers with which it raises.
        alone: why it cannot be stacked.
        compiled: whether it compiles its models, with `lr`.
        asked: `hp` that it asks for beside.
    """

    text: str = ""
    broken: tuple[int, ...] = ()
    alone: str = ""
    compiled: bool = True
    asked: tuple[str, ...] = ("lr", "dropout")

    def __call__(
        self, requests: Sequence[Request], folders: Sequence[Path], processes: int
    ) -> list[Blueprint]:
        return [self.blueprint(request) for request in requests]

    def blueprint(self, request: Request) -> Blueprint:
        given = dict(request.values)
        known = DEFAULTS | given
        if known["layers"] in self.broken:
            return Blueprint(
                request.build,
                values=request.values,
                error=f"model.build '{BUILD}' with layers {known['layers']}: ValueError: too deep.",
            )
        asked = {"layers", *self.asked} | ({"units"} if known["layers"] > 1 else set())
        values = {name: known[name] for name in sorted(asked)}
        shape = {name: value for name, value in values.items() if name not in ("lr", "dropout")}
        digest = hashlib.blake2b(json.dumps([self.text, shape]).encode(), digest_size=8)
        return Blueprint(
            build=request.build,
            precision=request.precision,
            blocks=request.blocks,
            facts=request.target,
            values=tuple((name, value) for name, value in values.items() if name in given),
            defaults=tuple((name, value) for name, value in values.items() if name not in given),
            program=digest.hexdigest(),
            weights=digest.hexdigest(),
            numbers=(values.get("dropout", 0.0),),
            training=(("learning_rate", float(values["lr"])), ("optimizer", "adam"))
            if self.compiled and "lr" in values
            else (),
            compiled=self.compiled,
            optimizer="Adam" if self.compiled else "",
            update="adam",
            loss="mean_absolute_error" if self.compiled else "mse",
            target="mae" if self.compiled else "mse",
            metrics=("mse",) if self.compiled else (),
            parameters=10,
            units=10,
            layers=("dense",),
            alone=self.alone,
        )


class VerdictExecutor(InlineExecutor):
    """Finds out that no program can be stacked."""

    def train(self, jobs: Sequence[Job], data: Mapping[str, Any]) -> Any:
        for done in super().train(jobs, data):
            text = "layer 'dense': loss of step 1 is 1 in a stack, 2 in `fit`"
            verdict = Verdict(verdict_key(done.stack.program), False, text)
            yield StackDone(done.stack, done.results, (verdict,) if done.stack.verify else ())


def with_grid(config: Mapping[str, Any] = CONFIG, **axes: Any) -> dict[str, Any]:
    return {**config, "grid": {**config["grid"], **axes}}


def surveyed(content: Mapping[str, Any], survey: Survey | None = None) -> Sweep:
    return runner.load_sweep(parse_config(content), survey or Survey())


def run_surveyed(
    folder: Path,
    content: Mapping[str, Any] = CONFIG,
    survey: Survey | None = None,
    executor: InlineExecutor | None = None,
) -> Progress:
    """Run what is missing of a sweep without building or training anything."""
    sweep = surveyed(content, survey)
    work = runner.missing_work(
        sweep,
        runner.stored_trials(sweep, folder),
        compiled=Compiled.GRAPH,
        engine="stacked",
        workers=1,
        verdicts=runner.stored_verdicts(folder),
    )
    flags = {"engine": "inline", "compiled": "graph", "workers": 1}
    used = executor or InlineExecutor()
    return runner.train(sweep, folder, work, used, lambda _: None, flags)


def result_of(
    folder: Path, content: Mapping[str, Any] = CONFIG, survey: Survey | None = None
) -> Result:
    run_surveyed(folder, content, survey)
    return open_result(folder)
