"""What is printed, from data made by hand: words, plan, progress, summary and trial."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from stabilitysweep import api
from stabilitysweep.analysis import (
    AxisShare,
    BoundaryStatus,
    EarliestOnset,
    Explanation,
    RateLimit,
    ShareKind,
    Summary,
)
from stabilitysweep.analysis.sentences.limits import rate_limit, rate_limits
from stabilitysweep.cli import words
from stabilitysweep.cli.plan_view import brief, whole
from stabilitysweep.cli.progress import Pace, bar, line, reporting
from stabilitysweep.cli.summary_view import overview
from stabilitysweep.cli.trial_view import trial_view
from stabilitysweep.execution import Options
from stabilitysweep.runner import Progress
from stabilitysweep.store import Entry
from stabilitysweep.types import Cause, Compiled, Kind, Onset, Outcome, Stage, Trace, TrialResult

CONFIG: dict[str, Any] = {
    "name": "views",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 5},
    "grid": {
        "precision": ["float32", "mixed_float16", "float16"],
        "batch_size": [8, 32, "full"],
        "learning_rate": {"from": 1e-4, "to": 10, "num": 25, "scale": "log"},
    },
    "seeds": 3,
}


def printed(content: RenderableType, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, markup=False)
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def make_summary(**changes: Any) -> Summary:
    values: dict[str, Any] = {
        "outcomes": {
            Outcome.STABLE: 15_000,
            Outcome.STALLED: 200,
            Outcome.DIVERGED: 0,
            Outcome.NONFINITE: 9_000,
            Outcome.CRASHED: 3,
        },
        "trials": 24_203,
        "wanted": 24_300,
        "missing": 97,
        "cells": 8_100,
        "cells_measured": 8_000,
        "share_stable": 0.6,
        "earliest_onset": EarliestOnset(
            1, "ab12" * 4, "gradient", "dense/kernel", "+inf", {"depth": 8, "learning_rate": 10.0}
        ),
        "stable_rate": RateLimit(0.01, BoundaryStatus.FOUND),
        "stable_rate_by": {
            "precision": {
                "float32": RateLimit(0.2069138, BoundaryStatus.FOUND),
                "float16": RateLimit(None, BoundaryStatus.ALL_FAIL),
            }
        },
        "causes": {"learning_rate_too_high": 7_500, "float16_overflow": 1_500},
        "explained": (
            AxisShare("learning_rate", 0.1, ShareKind.AT_OR_BELOW, 0.81, 7_290, 9_000),
            AxisShare("depth", 1, ShareKind.AT_OR_BELOW, 0.3, 2_700, 9_000, last=True),
            AxisShare("precision", "float16", ShareKind.ALONE, 0.12, 1_080, 9_000),
            AxisShare("l2", 0.01, ShareKind.AT_OR_ABOVE, 0.05, 450, 9_000),
            AxisShare("batch_size", 128, ShareKind.AT_OR_ABOVE, 0.02, 180, 9_000),
        ),
    }
    return Summary(**(values | changes))


def make_result(**changes: Any) -> TrialResult:
    steps = np.array([1, 2, 3, 4], np.int32)
    curve = np.array([1.0, 1e3, np.inf, np.nan], np.float32)
    values: dict[str, Any] = {
        "trial_id": "ab12" * 4,
        "outcome": Outcome.NONFINITE,
        "engine": "stacked",
        "compiled": Compiled.GRAPH,
        "onset": Onset(3, Stage.LOSS, "loss", Kind.POSITIVE_INFINITY),
        "nan_step": 4,
        "initial_loss": 1.25,
        "final_loss": math.nan,
        "best_loss": 1.0,
        "val_loss": None,
        "metrics": {"mae": 0.5},
        "skipped_steps": 2,
        "final_loss_scale": 8192.0,
        "max_abs_activation": 3.5,
        "max_grad_norm": 123456.0,
        "max_weight_norm": 2.0,
        "steps_run": 4,
        "trace": Trace(steps, curve, curve, curve, curve, np.ones(4, np.float32)),
    }
    return TrialResult(**(values | changes))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (8.26, "8.3 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.7, "1 h 0 min"),
        (4320, "1 h 12 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds"),
        (9, "about 10 seconds"),
        (57, "about 55 seconds"),
        (58, "about 1 minute"),
        (92, "about 2 minutes"),
        (1_000, "about 15 minutes"),
        (3_500, "about 1 hour"),
        (9_000, "about 2.5 hours"),
        (80_000, "about 22 hours"),
        (200_000, "about 2 days"),
    ],
)
def test_expected_times(seconds: float, text: str) -> None:
    assert words.about(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole_", "text"),
    [
        (0, 10, "0.0 %"),
        (10, 10, "100.0 %"),
        (1, 3, "33.3 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (0, 0, ""),
    ],
)
def test_shares(part: int, whole_: int, text: str) -> None:
    assert words.share(part, whole_) == text


def test_numbers_and_settings() -> None:
    assert words.number(None) == "-"
    assert words.number(math.nan) == "nan"
    assert words.number(-math.inf) == "-inf"
    assert words.number(123_456.0) == "1.235e5"
    assert words.counted(1, "trial") == "1 trial"
    assert words.counted(24_300, "trial") == "24,300 trials"
    assert words.settings({"depth": 2, "clipnorm": None, "lr": 1e-5}) == (
        "depth=2, clipnorm=none, lr=1e-5"
    )
    assert words.speed(1234.5) == "1,234 trials/s"
    assert words.speed(3.21) == "3.2 trials/s"
    assert words.speed(0.02) == "1.2 trials/min"


def test_onsets_in_words() -> None:
    assert words.onset(3, "activation", "dense", "nan") == "step 3: activation dense became NaN"
    assert words.onset(1_000, "loss", "loss", "-inf") == "step 1,000: loss became -Inf"
    assert "data hold NaN in column bmi" in words.onset(0, "input", "bmi", "nan")


def test_the_brief_plan_fits_a_narrow_terminal() -> None:
    plan = api.plan(CONFIG, out="somewhere/else", options=Options(workers=2))
    out = printed(brief(plan))
    assert "450 = 3 precision x 3 batch_size x 25 learning_rate x 3 seeds" in out
    assert "225 that mean the same" in " ".join(out.split())
    assert "450 in 3 programs" in out
    # What is expected depends on what this machine has trained before.
    assert re.search(r"by 2 workers: (a few|about \d+) seconds", out)
    assert "somewhere/else" in out
    for width in (80, 40):
        assert max(map(len, printed(brief(plan), width).splitlines())) <= width


def test_the_whole_plan_lists_every_axis() -> None:
    plan = api.plan(CONFIG, options=Options(workers=1))
    out = printed(whole(plan, "views.yaml", None))
    assert "float32, mixed_float16, float16" in out
    assert "0.0001, 0.000162, 0.000261, ..., 10" in out
    assert "2  8, 16" in out
    assert "run views.yaml" in out
    assert "no column" not in out
    fresh = api.plan(CONFIG, options=Options(fresh=True))
    assert "an old result is kept beside" in printed(brief(fresh))


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.rate() is None
    assert pace.seconds_left(100, 5.0) is None
    pace.add(10.0, 20)
    assert pace.rate() == pytest.approx(2.0)
    assert pace.seconds_left(100, 10.0) == pytest.approx(40.0)
    assert pace.seconds_left(100, 15.0) == pytest.approx(35.0)
    assert pace.seconds_left(100, 99.0) == 0.0
    for second in range(11, 80):
        pace.add(float(second), 20 + 10 * (second - 10))
    assert pace.rate() == pytest.approx(10.0)


def test_progress_as_a_line_and_as_a_bar() -> None:
    outcomes = Counter({Outcome.NONFINITE: 3, Outcome.STABLE: 117})
    assert line(120, 360, outcomes, 45.2, 5.3) == (
        "120/360 trials; 45 trials/s; 5.3 s left; 117 stable, 3 nonfinite"
    )
    live = printed(bar(120, 360, outcomes, 2.0, 45.2, 5.3), 60)
    assert "120/360 trials" in live
    assert "5.3 s left" in live
    assert "117 stable, 3 nonfinite" in live
    assert max(map(len, live.splitlines())) <= 60
    assert "workers start, and compile" in printed(bar(0, 360, Counter(), 2.0, None, None))
    assert "writing the files" in printed(bar(360, 360, outcomes, 2.0, 45.2, 0.0))


def test_plain_lines_come_every_ten_seconds_without_control_characters() -> None:
    file = io.StringIO()
    console = Console(file=file, width=1000, force_terminal=False, markup=False)
    with reporting(console, 100) as observe:
        for done in range(1, 101):
            observe(Progress(100, done, Counter({Outcome.STABLE: done}), seconds=done / 4))
    lines = file.getvalue().splitlines()
    assert [text.split(" ")[0] for text in lines] == ["40/100", "80/100"]
    assert all(text.isprintable() for text in lines)


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind() -> None:
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, markup=False)
    with reporting(console, 2) as observe:
        observe(Progress(2, 1, Counter({Outcome.STABLE: 1}), 1.0))
    assert "1/2 trials" in file.getvalue()
    assert "\x1b[?25h" in file.getvalue()  # the cursor is back
    with reporting(console, 0) as observe:
        observe(Progress(0))


def test_the_summary_says_what_matters() -> None:
    crash = Entry(
        {}, 0, make_result(outcome=Outcome.CRASHED, message="ValueError: no [bold] layer")
    )
    text = printed(overview(make_summary(), crash))
    for part in (
        "stable       15,000   62.0 %",
        "diverged          0    0.0 %",
        "crashed           3  < 0.1 %",
        "not run yet      97",
        "step 1: gradient dense/kernel became +Inf",
        "depth=8, learning_rate=10",
        "float32: learning rate 0.207",
        "float16: no learning rate: trials fail at the lowest",
        "all: learning rate 0.01",
        "learning_rate_too_high   7,500             83.3 %",
        "float16_overflow         1,500             16.7 %",
        "explained by    81 % of failures vanish at learning rate 0.1 and below",
        "3 trials could not be run",
        "ValueError: no [bold] layer",
    ):
        assert part in text, text
    unwrapped = printed(overview(make_summary(), crash), 200)
    assert "12 % of failures are in float16 alone: none of their twins at another" in unwrapped
    assert "l2 0.01 and above" in unwrapped
    assert "batch size" not in unwrapped  # four sentences are enough
    for width in (80, 40):
        narrow = printed(overview(make_summary(), crash), width)
        assert max(map(len, narrow.splitlines())) <= width


def test_a_summary_without_failures_or_learning_rates_is_short() -> None:
    plain = make_summary(
        outcomes=dict.fromkeys(Outcome, 0) | {Outcome.STABLE: 5},
        earliest_onset=None,
        stable_rate=None,
        stable_rate_by={},
        causes={},
        explained=(),
    )
    text = printed(overview(plain, None))
    assert "cause" not in text
    assert "explained" not in text
    assert "onset" not in text
    assert "learning rate" not in text
    assert "crashed" in text


def test_every_boundary_status_has_its_words() -> None:
    found = {status: rate_limit(RateLimit(0.5, status)) for status in BoundaryStatus}
    assert len(set(found.values())) == len(BoundaryStatus)
    assert "highest tried" in found[BoundaryStatus.NO_FAILURE]
    one = make_summary(
        stable_rate_by={"precision": {"float32": RateLimit(1.0, BoundaryStatus.FOUND)}}
    )
    assert next(iter(rate_limits(one))) == "float32: learning rate 1"
    assert len(list(rate_limits(one))) == 2
    unknown = RateLimit(None, BoundaryStatus.UNMEASURED)
    early = make_summary(stable_rate=unknown, stable_rate_by={"precision": {"float32": unknown}})
    assert list(rate_limits(early)) == []
    none = make_summary(stable_rate_by={})
    assert next(iter(rate_limits(none))) == "learning rate 0.01"


def test_learning_rates_are_told_apart_by_the_axes_on_which_they_differ() -> None:
    low, high = (RateLimit(value, BoundaryStatus.FOUND) for value in (0.01, 1.0))
    by = {
        "scaling": {"none": low, "standard": high},
        "activation": {"relu": low, "tanh": low},
    }
    assert list(rate_limits(make_summary(stable_rate_by=by)))[:-1] == [
        "scaling none: learning rate 0.01",
        "scaling standard: learning rate 1",
        "all: learning rate 0.01",
    ]


def test_a_trial_shows_its_onset_and_numbers() -> None:
    text = printed(trial_view(make_result(), {"depth": 2, "seed": 1}, width=80))
    for part in (
        "nonfinite at step 3",
        "depth=2, seed=1",
        "step 3: loss became +Inf",
        "of the loss at step 4",
        "initial 1.25, final nan, best batch 1, validation -",
        "mae 0.5",
        "gradient norm 1.235e5",
        "8192 at the end, 2 steps skipped",
        "4 steps by the stacked engine, graph",
        "<- onset",
    ):
        assert part in text, text
    assert max(map(len, text.splitlines())) <= 80


def test_a_trial_shows_its_cause() -> None:
    assert "cause" not in printed(trial_view(make_result(), {}, width=80))
    stored = make_result(cause="unknown")
    assert "cause       unknown  " in printed(trial_view(stored, {}, width=80))
    why = Explanation(Cause.FLOAT16_OVERFLOW, "The loss passed 65504.")
    text = printed(trial_view(stored, {}, width=80, explanation=why), 100)
    assert "cause       float16_overflow: The loss passed 65504." in text
    assert "unknown" not in text


def test_a_stable_trial_and_one_that_never_ran() -> None:
    stable = make_result(outcome=Outcome.STABLE, onset=None, nan_step=None)
    assert "stable after 4 steps" in printed(trial_view(stable, {}, width=80))
    crashed = make_result(
        outcome=Outcome.CRASHED, onset=None, trace=None, steps_run=0, message="out of memory"
    )
    text = printed(trial_view(crashed, {}, width=80))
    assert "out of memory" in text
    assert "no step was run" in text


def test_ascii_terminals_get_ascii() -> None:
    assert printed(trial_view(make_result(), {}, width=80, ascii_only=True)).isascii()


def test_folders_are_shown_as_they_were_given(tmp_path: Path) -> None:
    plan = api.plan(CONFIG, out=tmp_path / "deep" / "folder")
    assert str(tmp_path / "deep" / "folder") in printed(brief(plan), 500)
