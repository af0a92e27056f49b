"""The page put together: payload, sections, scripts and styles in one file of HTML."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

from stabilitysweep import __version__
from stabilitysweep.analysis.picks import Recommendation
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.errors import ResultError, UserError
from stabilitysweep.folder import REPORT, make_folder, write_text
from stabilitysweep.recorded import subject
from stabilitysweep.report.choices import (
    Audited,
    Confirmed,
    Picks,
    audited,
    compared,
    confirmed,
    picks_of,
)
from stabilitysweep.report.commands import Purpose, commands_of, file_of, reproduced
from stabilitysweep.report.payload import VERSION, result_payload
from stabilitysweep.report.sections import (
    Fact,
    Failures,
    failures_of,
    outcomes_of,
    provenance_of,
    swept,
    verdict_of,
    warnings_of,
)
from stabilitysweep.report.shown import Shown, shown
from stabilitysweep.result import Result, open_result

BUDGET = 14_000_000
"""Bytes that a page is to stay under, as long as curves are what it can do without."""

_SUFFIXES = (".html", ".htm")
_LONGEST_NAME = 100
_ESCAPED = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def write_report(
    result: Result | str | Path, *others: Result | str | Path, out: str | Path | None = None
) -> Path:
    """Write a result, or several beside each other, as one page of HTML.

    The page holds all that it shows: it loads nothing, and sends nothing.

    Args:
        result: a result or its folder.
        others: results to put beside it.
        out: the file; None is `report.html` in the folder of the result. With others beside it,
            or with trials judged by other thresholds than those stored, its name says so.

    Returns:
        The file.

    Raises:
        ResultError: a folder is no result or has no trial yet, one is given twice, or the file
            cannot be written.
    """
    opened = [each if isinstance(each, Result) else open_result(each) for each in (result, *others)]
    path = opened[0].folder / _file_name(opened) if out is None else Path(out)
    if os.path.isdir(path):  # `Path.is_dir` raises where a name is too long
        raise ResultError(f"{path}: expected a file to write the page to, got a folder.")
    if path.suffix.lower() not in _SUFFIXES:  # nor anything of a result's own
        raise ResultError(f"{path}: expected a file to write the page to that ends in .html.")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise ResultError(f"{path}: expected a file to write the page to, got something else.")
    text = page(opened)
    make_folder(path.parent)
    write_text(path, text)
    return path


def page(results: Sequence[Result]) -> str:
    """Return the page of results as HTML.

    Raises:
        ResultError: one has no trial yet, or one is given twice.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    _check(results)
    plotly, script, style = get_plotlyjs(), _assets(".js"), _assets(".css")
    labels = _labels(results)
    found = [_recommended(each) for each in results]
    parts = [shown(each, own.picks) for each, own in zip(results, found, strict=True)]
    views = [_view(*each) for each in zip(results, labels, found, parts, strict=True)]
    comparison = compared(results)
    environment = Environment(
        loader=PackageLoader("stabilitysweep.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [plotly, script]
    content = {
        "title": labels[0] if len(labels) == 1 else f"{len(labels)} results beside each other",
        "policy": _policy(scripts),
        "style": style,
        "scripts": scripts,
        "views": views,
        "compared": comparison,
        "version": __version__,
    }
    template = environment.get_template("page.html.j2")

    def rendered(payload: str) -> str:
        return template.render(content, payload=payload, fresh=count(1).__next__)

    room = BUDGET - len(rendered("").encode())
    payload = {
        "version": VERSION,
        "results": [
            result_payload(each, label, own.picks, room / len(results), part)
            for each, label, own, part in zip(results, labels, found, parts, strict=True)
        ],
        "overlap": None if comparison is None else comparison.to_json(),
    }
    return rendered(strict_json(payload))


@dataclass(frozen=True, slots=True)
class View:
    """What a page says of one result."""

    label: str
    folder: str
    verdict: str
    warnings: tuple[str, ...]
    swept: tuple[Fact, ...]
    outcomes: TextTable
    failures: Failures
    picks: Picks
    confirmed: tuple[Confirmed, ...]
    audited: tuple[Audited, ...]
    provenance: tuple[Fact, ...]
    commands: tuple[Purpose, ...]
    config: str | None
    config_file: str


def _view(result: Result, label: str, found: Recommendation, part: Shown) -> View:
    return View(
        label=label,
        folder=str(result.folder),
        verdict=verdict_of(result),
        warnings=(*warnings_of(result), *filter(None, [part.left_out])),
        swept=tuple(swept(result)),
        outcomes=outcomes_of(result),
        failures=failures_of(result),
        picks=picks_of(found, result.config.name, recorded=result.config.recorded is not None),
        confirmed=tuple(confirmed(result)),
        audited=tuple(audited(result)),
        provenance=tuple(provenance_of(result)),
        commands=tuple(commands_of(result, bool(found.picks))),
        config=reproduced(result),
        config_file=file_of(result),
    )


def _file_name(results: Sequence[Result]) -> str:
    """Another name than that of the page that a run writes, where it shows something else."""
    first, *others = results
    name = Path(REPORT).stem
    if others:
        beside = "_".join(re.sub(r"[^\w.=-]+", "-", each.folder.resolve().name) for each in others)
        name += f"_with_{_cut(beside)}"
    if first.thresholds is not None:
        judged = asdict(first.thresholds).values()
        name += "_judged_" + "_".join(f"{value:g}" for value in judged)
    return f"{name}{Path(REPORT).suffix}"


def _cut(name: str) -> str:
    """A part of a file's name, cut by its bytes: that is what file systems count."""
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")


def strict_json(value: Any) -> str:
    """Return JSON that can stand in a page: without NaN, and nothing in it ends a script.

    Raises:
        ValueError: a NaN or an infinity.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for sign, escaped in _ESCAPED.items():
        text = text.replace(sign, escaped)
    return text


def _policy(scripts: Sequence[str]) -> str:
    """What the page may do: run these very scripts, and load nothing."""
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _assets(ending: str) -> str:
    """The files of this ending, one after another in the order of their names."""
    folder = files("stabilitysweep.report") / "assets"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(ending)), key=_name)
    return "\n".join(each.read_text(encoding="utf-8") for each in found)


def _name(entry: Any) -> str:
    return str(entry.name)


def _check(results: Sequence[Result]) -> None:
    seen: dict[Path, Path] = {}
    for result in results:
        if result.trials.empty:
            raise ResultError(
                f"{result.folder}: expected a result with trials, got one without any. Run the "
                "sweep first."
            )
        place = result.folder.resolve()
        if place in seen:
            raise ResultError(f"expected different results, got {result.folder} twice.")
        seen[place] = result.folder


def _labels(results: Sequence[Result]) -> list[str]:
    """What each is called: its name and data, and its folder where that is no name."""
    own = [subject(result.config) for result in results]
    if len(set(own)) == len(own):
        return own
    return [f"{name}: {result.folder}" for name, result in zip(own, results, strict=True)]


def _recommended(result: Result) -> Recommendation:
    try:
        return result.recommend()
    except UserError as error:
        return Recommendation((), "", False, None, (), 0, 0, 0, 0, {}, reason=str(error))
