"""The command `recommend`: safe settings with their evidence, or what to change and the config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis import value_label
from stabilitysweep.analysis.advice import Change
from stabilitysweep.analysis.picks import Recommendation
from stabilitysweep.analysis.sentences.picks import facts, headline, rows
from stabilitysweep.cli.exporting import print_json
from stabilitysweep.cli.layout import columns, fields, warning
from stabilitysweep.cli.options import opened_result
from stabilitysweep.cli.terminal import command, console, emit, note
from stabilitysweep.errors import UserError
from stabilitysweep.folder import make_folder, write_text

NEXT = "next.yaml"
"""The config to run next, in the first result's folder."""

_LABELS = len("best anywhere")
_BESIDE = 4
"""Picks that a terminal of 80 has room for beside each other."""


def recommend_settings(
    folders: Sequence[str],
    *,
    margin: float | None,
    metric: str | None,
    count: int | None,
    where: dict[str, str],
    pick: int | None,
    out: str | None,
    yaml: bool,
    json: bool,
    thresholds: tuple[float | None, float | None],
) -> None:
    """Find safe settings and print them; write a config where it is asked for, or is next.

    Args:
        folders: the results.
        margin: see `Result.recommend`; None is its default.
        metric: see there.
        count: see there; None is its default, or as many as `pick` asks for.
        where: see there.
        pick: the pick whose config is shown; None is the first.
        out: the file for the config; None is none, or `next.yaml` without a safe cell.
        yaml: print nothing but the config.
        json: print JSON.
        thresholds: to judge by, see `opened_result`.

    Raises:
        UserError: a result, an argument or a file that cannot be used.
    """
    if yaml and json:
        raise UserError("--yaml, --json: expected one of the two, got both.")
    opened = [opened_result(folder, *thresholds) for folder in folders]
    shown = pick or 1
    found = opened[0].recommend(
        *opened[1:],
        margin=2.0 if margin is None else margin,
        metric=metric,
        count=max(count or 3, shown),
        where=where,
    )
    if found.picks and shown > len(found.picks):
        raise UserError(
            f"--pick: expected at most {len(found.picks)}, since there are no more safe cells, "
            f"got {shown}."
        )
    config = found.configs[shown - 1] if found.picks else found.next_config
    file = _written(config, out, opened[0].folder, picked=bool(found.picks))
    if json:
        print_json({**found.to_json(), "written": None if file is None else str(file)})
        return
    if yaml and not found.picks:
        note(f"warning: {found.reason}")
    screen = console()
    searched = opened[0].config.recorded is not None
    title = f"pick {shown} as a config" if found.picks else "the config to run next"
    if searched:
        title = f"pick {shown} as a trial of the search"
    if not yaml:
        emit(screen, picks_view(found) if found.picks else nothing_view(found))
        if config is not None:
            emit(screen, Group("", Text(title, style="bold")))
    # A line of a config stays one line, however narrow the terminal is: it is to be pasted.
    for line in (config or "").splitlines():
        screen.print(Text(line), soft_wrap=True)
    if not yaml:
        again = ["recommend", *folders]
        again += [] if metric is None else ["--metric", metric]
        again += [word for axis, value in where.items() for word in ("--where", f"{axis}={value}")]
        confirm = ["confirm", folders[0]]
        if found.picks and (where or len(folders) > 1):  # its own picks would be others
            held = found.picks[shown - 1].axes.items()
            confirm += [w for axis, value in held for w in ("--where", _held(axis, value))]
        else:
            confirm += [] if margin is None else ["--margin", f"{margin:g}"]
            confirm += [] if metric is None else ["--metric", metric]
            # Those withdrawn are among its picks, too; their runs are stored.
            confirm += ["--until", str(len(found.picks))] if found.withdrawn else []
        steps = list(_next(found, folders[0], again, confirm, file))
        if searched:  # what trains is refused
            write = [] if file is not None else [command(*again, "--yaml", "--out", "pick.yaml")]
            steps = write if found.picks else [command("show", folders[0])]
        labelled = zip(("next", *[""] * len(steps)), steps, strict=False)
        emit(screen, Group("", fields(list(labelled), _LABELS)) if steps else Group())


def _written(config: str | None, out: str | None, folder: Path, *, picked: bool) -> Path | None:
    """Write the config, where it belongs into a file, and say which."""
    if config is None or (picked and out is None):
        return None
    file = folder / NEXT if out is None else Path(out)
    if out is not None and file.is_dir():
        raise UserError(f"--out: expected a file, got a folder: {file}")
    make_folder(file.parent)
    write_text(file, config)
    return file


def picks_view(found: Recommendation) -> RenderableType:
    """The picks, and what speaks for them.

    Args:
        found: with at least one pick.
    """
    parts: list[RenderableType] = [Text(headline(found), style="bold"), "", *_table(found)]
    return Group(*parts, fields(list(facts(found)), _LABELS), *_warnings(found))


def nothing_view(found: Recommendation) -> RenderableType:
    """Why there is no pick, and what to change.

    Args:
        found: without a pick.
    """
    reason = str(found.reason)
    parts: list[RenderableType] = [Text(reason[:1].upper() + reason[1:], style="bold")]
    if found.advice:
        labels = ("change", *[""] * len(found.advice))
        rows = zip(labels, (advice.text for advice in found.advice), strict=False)
        parts += ["", fields(list(rows), _LABELS)]
    return Group(*parts, *_warnings(found))


def _warnings(found: Recommendation) -> list[RenderableType]:
    return ["", *(warning(text) for text in found.notes)] if found.notes else []


def _table(found: Recommendation) -> Iterator[RenderableType]:
    """A column a pick, so that any number of axes has room; a few picks beside each other."""
    for start in range(0, len(found.picks), _BESIDE):
        picks = found.picks[start : start + _BESIDE]
        heads = ["", *(f"pick {start + place}" for place in range(1, len(picks) + 1))]
        shown = [[label, *map(show, picks)] for label, show in rows(found)]
        yield columns(heads, shown, text=1, unbroken=1)
        yield ""


def _next(
    found: Recommendation,
    folder: str,
    again: Sequence[str],
    confirm: Sequence[str],
    file: Path | None,
) -> Iterator[str]:
    """The commands that are next; `again` are the words of this one, `confirm` of that one."""
    if file is not None:
        yield command("run", file)
    if found.picks:
        if file is None:
            yield command(*again, "--yaml", "--out", "pick.yaml")
        bracketed = (own for pick in found.picks for own in pick.per_dataset)
        if found.margin and not all(own.open_ended or own.refined for own in bracketed):
            yield command("refine", folder)
        yield command(*confirm)
    for advice in found.advice:
        if advice.change is Change.REFINE:
            yield command("refine", folder)
        if advice.change is Change.MARGIN:
            yield command(*again, "--margin", f"{advice.values[0]:g}")
    told = any(each.change in (Change.REFINE, Change.MARGIN) for each in found.advice)
    if not found.picks and file is None and not told:  # as where all crashed: it says why
        yield command("show", folder)


def _held(axis: str, value: object) -> str:
    return f"{axis}={value_label(value)}"
