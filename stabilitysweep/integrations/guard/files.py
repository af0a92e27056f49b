"""The files of a report: never in place of those of another `fit`."""

from __future__ import annotations

import itertools
from pathlib import Path

from stabilitysweep.folder import make_folder, write_text
from stabilitysweep.integrations.guard.records import GuardReport
from stabilitysweep.integrations.guard.view import report_text
from stabilitysweep.store import write_json


def claimed(folder: Path) -> Path:
    """Make the folder, and find a name in it for the report of one `fit`.

    Returns:
        The text file, `report.txt` or `report-2.txt` and so on: the first that is not there.
    """
    make_folder(folder)
    for number in itertools.count(1):
        text = folder / ("report.txt" if number == 1 else f"report-{number}.txt")
        if text.exists():
            continue
        try:
            text.with_suffix(".json").open("x").close()  # another process may write there too
        except FileExistsError:
            continue
        return text
    raise AssertionError("numbers do not end")


def write_report(report: GuardReport, text: Path) -> None:
    """Write both files, in place of those written before of the same `fit`."""
    data = text.with_suffix(".json")
    write_text(text, report_text(report, data=data.name))
    write_json(report.to_json(), data)
