"""The command `diagnose`: replay, print, draw."""

from __future__ import annotations

from pathlib import Path

from stabilitysweep.cli.diagnosis_view import diagnoses_view, nothing_failed
from stabilitysweep.cli.exporting import print_json
from stabilitysweep.cli.terminal import console, emit, note
from stabilitysweep.diagnosing import diagnose
from stabilitysweep.diagnosis.records import Diagnosis
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import FIGURES, in_words, make_folder
from stabilitysweep.result import Result, open_result


def diagnose_trials(
    folder: str, trial: str | None, *, steps: int, whole: bool, json: bool, figure: bool
) -> None:
    """Diagnose one trial, or representative ones, and print what was found.

    Args:
        folder: the result.
        trial: its id or the beginning of it; None picks.
        steps: how many to look at.
        whole: print every tensor.
        json: print JSON: an object for one trial that was asked for, otherwise a list.
        figure: draw as well.

    Raises:
        ResultError: see `diagnosing.diagnose`. Figures that cannot be written are only
            warned of.
    """
    result = open_result(folder)
    found = diagnose(result, trial, steps)
    drawn: list[tuple[Path, ...]] = []
    for each in found:
        try:
            drawn.append(_draw(result, each) if figure else ())
        except ResultError as error:  # no reason to keep back what was found
            note(f"warning: {error}")
            drawn.append(())
            figure = False
    if json:
        print_json(found[0].to_json() if trial is not None else [each.to_json() for each in found])
        return
    screen = console()
    if not found:
        emit(screen, nothing_failed(len(result.trials)))
        return
    emit(screen, diagnoses_view(found, whole=whole, figures=drawn))


def _draw(result: Result, diagnosis: Diagnosis) -> tuple[Path, ...]:
    """Draw the magnitudes, where there are any; return the files."""
    from stabilitysweep import figures  # slow to import, and not wanted by all

    trial_id = diagnosis.stored.trial_id
    title = f"{result.config.name}: trial {trial_id}, {diagnosis.explanation.cause.value}"
    drawn = figures.draw_diagnosis(diagnosis, title)
    if drawn is None:
        return ()
    target = result.folder / FIGURES
    make_folder(target)
    try:
        return figures.save(drawn, target, f"diagnosis_{trial_id}")
    except OSError as error:
        raise ResultError(f"{target}: the figure cannot be written: {in_words(error)}.") from error
