"""Agreement of both engines on users' models: those of `configs/` and of `tests/architectures`.

As in `agreement.py`, a trial is *clear* when `model.fit` gives it one outcome at its learning rate,
at that rate over 1.05 and at that rate times 1.05. The bars: the same outcome in every clear trial,
the onset at the same step or the next in 95 % of the clear non-finite ones. A trial in which the
engines differ in anything is trained again by `model.fit` with every initial weight moved to the
next number up, and down, of the type it computes in: so much do its verdicts depend on rounding.

    python tests/benchmarks/user_agreement.py --output docs/agreement-users.md
    python tests/benchmarks/user_agreement.py --only cnn --trials 4
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from comparison import Comparison, bars_met, verdict
from shared import ARCHITECTURES, REPOSITORY, described, positive, table

from stabilitysweep import runner
from stabilitysweep.config import parse_config
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.runner import Sweep
from stabilitysweep.types import Outcome, TrialResult, Verdict

NEIGHBOUR = 1.05
EXAMPLES = {
    "cnn": "learning_rate",
    "lstm": "learning_rate",
    "transformer": "learning_rate",
    "tabular": "learning_rate",
    "getting_started": "lr",
}
"""The axis of the learning rate of each."""

ZOO = {
    "convolutions": "images",
    "masked_words": "sentences",
    "dropped_sequence": "sequences",
    "variational": "columns",
    "masked_both_ways": "sentences",
    "noisy_sequence": "sequences",
    "plain_recurrent": "sequences",
    "summed": "sequences",
    "causal_attention": "sequences",
    "normalizations": "images",
    "two_and_two": "pairs",
    "subclassed": "columns",
    "averaged": "columns",
    "accumulated": "columns",
    "scaled_loss": "columns",
    "unscaled_loss": "columns",
    "optimizers": "columns",
    "dropped": "columns",
    "in_python": "columns",
    "untracked": "columns",
    "unseeded": "columns",
}
"""The data of each."""

_RATES = (-4.0, 4.0)  # exponents of ten
_RATES_A_GRAPH = 2


class Model(NamedTuple):
    """What was found of one model.

    Attributes:
        name: of the config, or of the build.
        found: its trials.
        settings: of each trial, in words.
        verdicts: of the comparison before the first stack, one a program.
        alone: why its trials are not stacked, where that is seen when it is built.
    """

    name: str
    found: list[Comparison]
    settings: list[str]
    verdicts: list[Verdict]
    alone: str


def config_of(name: str) -> tuple[dict[str, Any], Path, str]:
    """Return the config of a model as a mapping, its folder, and its axis of learning rates."""
    if name in EXAMPLES:
        folder = REPOSITORY / "configs"
        config = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        return config, folder, EXAMPLES[name]
    config = {
        "name": name,
        "dataset": {"function": f"zoo_data:{ZOO[name]}"},
        "preprocessing": {"scaling": "none", "target_scaling": "none"},
        "model": {"build": f"zoo:{name}"},
        "training": {"steps": 30, "batch_size": 8},
        "grid": {"learning_rate": []},
        "seeds": 2,
    }
    if name == "optimizers":
        sys.path.insert(0, str(ARCHITECTURES))
        import zoo

        config["grid"]["update"] = list(zoo.OPTIMIZERS)
    return config, ARCHITECTURES, "learning_rate"


def draw(name: str, trials: int) -> list[Sweep]:
    """Lay out at least so many trials with their neighbours: a few graphs, two rates in each."""
    from user_sweeps import survey_here

    random = np.random.default_rng(sum(map(ord, name)))
    config, folder, axis = config_of(name)
    axes = dict(config["grid"])
    rates = axes.pop(axis)
    limits = _RATES
    if isinstance(rates, dict):
        limits = (np.log10(float(rates["from"])), np.log10(float(rates["to"])) + 1)
    sweeps = []
    turns = {other: random.permutation(len(values)) for other, values in axes.items()}
    for place in range(-(-trials // _RATES_A_GRAPH)):
        fixed = {
            other: [values[turns[other][place % len(values)]]] for other, values in axes.items()
        }
        middle = (limits[0] + limits[1]) / 2
        drawn = [
            float(10 ** random.uniform(*ends))
            for ends in ((limits[0], middle), (middle, limits[1]))
        ]
        near = [rate * factor for rate in drawn for factor in (1 / NEIGHBOUR, 1.0, NEIGHBOUR)]
        whole = {**config, "grid": {**fixed, axis: near}, "seeds": int(random.integers(1, 3))}
        sweeps.append(runner.load_sweep(parse_config(whole, base_folder=folder), survey_here))
    return sweeps


def measure(name: str, trials: int) -> Model:
    """Train some trials of a model by both engines, in this process."""
    from user_sweeps import stacks_of, train

    stacked, fit = start_engine("stacked"), start_engine("fit")
    model = Model(name, [], [], [], "")
    for sweep in draw(name, trials):
        last = max(trial.seed for trial in sweep.grid)
        others = {trial.trial_id for trial in sweep.grid if trial.seed != last}
        own = sorted(
            (trial for trial in sweep.grid if trial.seed == last),
            key=lambda trial: (trial.training.learning_rate, *map(str, trial.axes.values())),
        )
        own.sort(key=lambda trial: float(trial.axes[config_of(name)[2]]))
        triples = [own[place : place + 3] for place in range(0, len(own), 3)]
        beside = {trial.trial_id for below, _, above in triples for trial in (below, above)}
        ours = train(stacked, sweep, without=others | beside)
        theirs = train(fit, sweep, without=others)
        alone = {stack.alone for _, stack in stacks_of(sweep)} - {""}
        model = model._replace(alone=model.alone or " ".join(alone))
        for triple in triples:
            below, at, above = (theirs[trial.trial_id] for trial in triple)
            one = Comparison(triple[1], below, at, above, ours[triple[1].trial_id])
            if one.differences:
                rest = {trial.trial_id for trial in sweep.grid} - {one.trial.trial_id}
                one.up = nudged(sweep, rest, np.inf)
                one.down = nudged(sweep, rest, -np.inf)
            model.found.append(one)
            axes = ", ".join(f"{key} {_shown(value)}" for key, value in triple[1].axes.items())
            model.settings.append(f"{axes}, seed {last}")
    model.verdicts.extend(stacked.verdicts)
    print(f"{name}: {len(model.found)} trials", file=sys.stderr, flush=True)
    return model


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def nudged(sweep: Sweep, rest: set[str], towards: float) -> TrialResult:
    """Train one trial by `model.fit` from weights at the next numbers that it computes in."""
    from user_sweeps import train

    from stabilitysweep.engines.subject import UserModels

    class Nudged(UserModels):
        def build(self, *arguments: Any) -> Any:
            built = super().build(*arguments)
            for variable in built.model.trainable_variables:
                weight = variable.numpy()
                if built.model.compute_dtype == "float16":
                    # The next float32 would mostly be the same number there.
                    weight = weight.astype(np.float16)
                variable.assign(np.nextafter(weight, weight.dtype.type(towards)))
            return built

    engine = start_engine("fit")
    engine._users = Nudged()
    (result,) = train(engine, sweep, without=rest).values()
    return result


def _counts(name: str, found: Sequence[Comparison], way: str) -> list[Any]:
    clear = [one for one in found if one.clear]
    onsets = [one for one in clear if one.both_nonfinite]
    apart = [
        one.engines_apart
        for one in found
        if one.fit.outcome == one.stacked.outcome == Outcome.STABLE
        and one.trial.training.precision == "float32"
    ]
    return [
        name,
        way,
        len(found),
        len(clear),
        sum(one.fit.outcome == one.stacked.outcome for one in clear),
        len(onsets),
        sum(one.steps_apart == 0 for one in onsets),
        sum(one.steps_apart <= 1 for one in onsets),
        f"{max(apart):.1e}" if apart else "-",
    ]


def _way(model: Model) -> str:
    engines = {one.stacked.engine for one in model.found}
    return {"stacked": "stack", "fit": "fit"}.get("".join(engines), "both")


def _reason(one: Comparison) -> str:
    """Whether rounding accounts for a disagreement, as far as `model.fit` itself tells."""
    moved = [verdict(result) for result in (one.up, one.down)]
    if any(other != verdict(one.fit) for other in moved):
        return "rounding: `model.fit` itself differs with the last bit of its weights"
    return "not rounding of the weights"


def page(models: Sequence[Model], options: argparse.Namespace, seconds: float) -> str:
    """Return the whole page as markdown."""
    found = [one for model in models for one in model.found]
    clear = [one for one in found if one.clear]
    onsets = [one for one in clear if one.both_nonfinite]
    same = sum(one.fit.outcome == one.stacked.outcome for one in clear)
    near = sum(one.steps_apart <= 1 for one in onsets)
    header = ["model", "trained in", "trials", "clear", "same outcome", "clear non-finite"]
    header += ["same step", "within a step", "final loss apart"]
    rows = [_counts(model.name, model.found, _way(model)) for model in models]
    rows.append(_counts("all", found, ""))
    apart = [
        [
            f"{model.name}, {settings}",
            "yes" if one.clear else "no",
            ", ".join(one.differences),
            *(verdict(result) for result in (one.stacked, one.fit, one.up, one.down)),
            _reason(one),
        ]
        for model in models
        for one, settings in zip(model.found, model.settings, strict=True)
        if one.differences
    ]
    names = ["trial", "clear", "differs in", "stacked", "fit", "fit, up", "fit, down", "reason"]
    refused = [
        f"- `{model.name}`: {text}"
        for model in models
        for text in dict.fromkeys(
            [*filter(None, [model.alone]), *(v.text for v in model.verdicts if not v.agrees)]
        )
    ]
    only = f" --only {' '.join(options.only)}" if options.only else ""
    return f"""# Agreement of both engines on users' models

Written by `tests/benchmarks/user_agreement.py`; run it again rather than edit this page.

The five examples of `configs/` and the models of `tests/architectures/zoo.py`, at learning rates
from harmless to absurd. A trial is *clear* when the fit engine has one outcome at its learning
rate, at that rate over 1.05 and at that rate times 1.05.

- clear trials with the same outcome in both engines: **{same} of {len(clear)}** (bar: all)
- clear non-finite trials whose onset is the same step or the next: **{near} of {len(onsets)}** \
(bar: 95 %)
- these two bars: **{"met" if bars_met(found) else "not met"}**

## By model

"Trained in" says whether the stacked engine trains the model in stacks, or has handed it to
`model.fit`; the last column is the largest relative difference of the final losses of stable
float32 trials.

{table(header, rows, text=2)}

## Not stacked, and why

{chr(10).join(refused) or "None."}

## Every disagreement

A row for each trial in which outcome, onset (step, stage, tensor, kind), first NaN, skipped steps
or steps run differ in any way, clear or not. "Up" and "down" are the fit engine's own verdicts with
every initial weight moved to the next number.

{table(names, apart, text=len(names)) if apart else "None."}

## How it was run

    python tests/benchmarks/user_agreement.py --trials {options.trials}{only} \
--output docs/agreement-users.md

{described()}
- {seconds / 60:.0f} min
"""


def main() -> int:
    """Compare, write the page, and say whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=positive, default=10, help="of each example (10)")
    parser.add_argument("--workers", type=positive, default=2, help="processes (2)")
    parser.add_argument("--only", nargs="+", choices=[*EXAMPLES, *ZOO], help="these models alone")
    parser.add_argument("--output", type=Path, help="the page to write; printed if not given")
    options = parser.parse_args()
    started = time.monotonic()
    names = options.only or [*EXAMPLES, *ZOO]
    counts = [options.trials if name in EXAMPLES else min(options.trials, 4) for name in names]
    pool = ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"))
    models: list[Model] = []
    text = ""
    with pool:
        for model in pool.map(measure, names, counts):
            models.append(model)
            text = page(models, options, time.monotonic() - started)
            if options.output is not None:  # after each model, so that one may stop it
                options.output.write_text(text, encoding="utf-8")
    if options.output is None:
        print(text)
    return 0 if bars_met([one for model in models for one in model.found]) else 1


if __name__ == "__main__":
    sys.exit(main())
