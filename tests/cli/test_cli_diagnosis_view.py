"""What a diagnosis looks like on a terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from diagnoses import STORED, diagnosis, moment, stats
from rich.console import Console, RenderableType

from stabilitysweep.cli.diagnosis_view import diagnoses_view, diagnosis_view
from stabilitysweep.diagnosis.records import Moment, Quantity, Replay
from stabilitysweep.figures.magnitudes import magnitudes
from stabilitysweep.types import Outcome


def printed(view: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(view)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_cause_comes_first_and_then_what_helps() -> None:
    lines = printed(diagnosis_view(diagnosis()))
    assert lines[0] == "trial 2b4126c6f896ed2b: nonfinite at step 3"
    assert lines[2] == "cause       learning_rate_too_high: The loss grew 9-fold a step."
    assert lines[3] == "instead     at learning rate 0.1 instead of 0.3 all 3 seeds are stable"
    assert lines[4] == "onset       step 3: activation hidden_2 became +Inf"
    text = "\n".join(lines)
    assert "first NaN   of the loss at step 4" in text
    assert "replay      same outcome, onset step, stage and tensor as stored" in text
    assert "warning" not in text


def test_steps_are_columns_and_tensors_are_rows() -> None:
    lines = printed(diagnosis_view(diagnosis()))
    start = lines.index("largest magnitude by step") + 1
    assert lines[start].split() == ["tensor", "1", "2*", "3"]
    within = [line for line in lines[start + 1 : start + 8] if line.startswith("  ")]
    rows = {line.split()[0]: line.split()[1:] for line in within}
    assert rows["hidden_1"] == ["1e2", "1e3", "1e4"]
    assert rows["hidden_2"] == ["1e3", "1e4", "Inf", "<-", "first"]
    assert rows["loss"] == ["5", "5", "NaN"]
    assert "* skipped by loss scaling" in lines


def test_the_last_step_is_shown_in_full() -> None:
    lines = printed(diagnosis_view(diagnosis()))
    start = lines.index("step 3: loss 15")
    assert lines[start + 1].split() == [
        "tensor", "largest", "mean", "zeros", "NaN", "Inf", "entries",
    ]  # fmt: skip
    (bad,) = [line for line in lines[start:] if "<- first" in line]
    assert bad.split() == ["hidden_2", "1e5", "5e4", "25%", "3", "8", "<-", "first"]


def test_a_tensor_without_a_finite_entry_has_no_magnitude() -> None:
    lines = printed(diagnosis_view(diagnosis([moment(3, depth=3, bad=2)])))
    (full,) = [line for line in lines[lines.index("step 3: loss 15") :] if "hidden_3 " in line]
    assert full.split() == ["hidden_3", "-", "-", "25%", "8", "8"]


def test_a_deep_network_is_cut_but_never_where_it_breaks() -> None:
    moments = [moment(2, depth=64), moment(3, depth=64, bad=30)]
    lines = printed(diagnosis_view(diagnosis(moments)))
    assert len(lines) < 120
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert {"hidden_1", "hidden_29", "hidden_30", "hidden_31", "hidden_64"} <= set(names)
    assert "hidden_20" not in names
    assert "  ... 25 more" in lines
    whole = printed(diagnosis_view(diagnosis(moments), whole=True))
    assert sum("hidden_20" in line for line in whole) == 12


def test_what_broke_in_an_earlier_skipped_step_is_kept() -> None:
    moments = [moment(2, depth=64, bad=40, skipped=True), moment(3, depth=64, bad=10)]
    names = [line.split()[0] for line in printed(diagnosis_view(diagnosis(moments)))[10:] if line]
    assert {"hidden_10", "hidden_40"} <= set(names)


def test_many_steps_do_not_break_the_table() -> None:
    lines = printed(diagnosis_view(diagnosis([moment(step) for step in range(101, 121)])))
    assert max(map(len, lines)) <= 80
    heads = lines[lines.index("largest magnitude by step") + 1].split()
    assert heads == ["tensor", *map(str, range(113, 121))]
    assert "12 earlier steps: see --json or the figure" in lines


def test_without_an_onset_a_skipped_last_step_is_no_first_failure() -> None:
    stored = replace(STORED, onset=None, outcome=Outcome.DIVERGED)
    moments = (moment(2), moment(3, bad=2, skipped=True))
    found = diagnosis(stored=stored, replay=Replay(stored, moments, ()))
    assert "<- first" not in "\n".join(printed(diagnosis_view(found)))
    assert magnitudes(moments, (Quantity.ACTIVATION,), failed=False).first is None


def test_several_fit_a_terminal_of_ascii() -> None:
    text = "\n".join(printed(diagnoses_view([diagnosis(), diagnosis()]), width=1_000))
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 200


def test_a_replay_that_differs_says_so() -> None:
    line = "nan step: stored 4, replayed 5"
    text = "\n".join(printed(diagnosis_view(diagnosis(differences=[line])), width=200))
    assert "warning: the replay is not what is stored" in text
    assert f"warning: {line}" in text
    assert "same outcome" not in text


def test_input_and_predictions_have_tables_of_their_own() -> None:
    column = stats(Quantity.INPUT, "bmi", 3, nans=2)
    lines = printed(diagnosis_view(diagnosis([Moment(0, None, 1.0, False, (column,))])))
    assert "input: columns that are not finite" in lines
    assert "largest magnitude by step" not in lines
    output = stats(Quantity.PREDICTION, "output", 3, nans=2)
    lines = printed(diagnosis_view(diagnosis([moment(9), Moment(9, None, 1.0, False, (output,))])))
    assert "predictions on the validation rows after step 9" in lines


def test_no_remedy_and_no_moment_are_said_and_not_shown() -> None:
    lines = printed(diagnosis_view(diagnosis([], remedies=())))
    assert "instead     no cell of the sweep in which it does not happen" in lines
    assert "largest magnitude by step" not in lines


def test_several_begin_with_a_table() -> None:
    picked = diagnosis(picked="the earliest onset")
    lines = printed(diagnoses_view([picked, diagnosis()], figures=[[Path("a.png")], []]))
    assert lines[0].split() == ["trial", "cause", "outcome", "picked", "as"]
    assert lines[1].endswith("learning_rate_too_high  nonfinite at step 3  the earliest")
    assert sum(line.startswith("trial 2b4126c6f896ed2b") for line in lines) == 2
    assert "figure      a.png" in lines


def test_as_json_it_is_plain() -> None:
    found = diagnosis(picked="the earliest onset").to_json()
    again = json.loads(json.dumps(found))
    assert again["trial_id"] == STORED.trial_id
    assert again["onset"] == {
        "step": 3,
        "stage": "activation",
        "tensor": "hidden_2",
        "kind": "+inf",
    }
    assert again["reproduced"] is True
    assert again["remedies"][0]["changes"] == {"learning_rate": [0.3, 0.1]}
    assert again["steps"][2]["tensors"][2]["infs"] == 3
