"""What a page says of decisions: picks, long runs, the audit of the data, comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.picks import Recommendation
from stabilitysweep.analysis.sentences import comparison as said
from stabilitysweep.analysis.sentences.findings import grouped, merged, tally
from stabilitysweep.analysis.sentences.picks import facts, headline, rows
from stabilitysweep.analysis.sentences.survival import interval, when
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.analysis.wording import counted, number, settings
from stabilitysweep.config import DATASET
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.errors import ResultError
from stabilitysweep.longruns import LongRuns
from stabilitysweep.report.commands import command
from stabilitysweep.report.sections import Fact
from stabilitysweep.result import Result
from stabilitysweep.result.compared import title_of

_SHOWN_COLUMNS = 8
_MOST_CELLS = 40
_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be copied, such as a config.

    Attributes:
        title: what it is.
        file: what a file with it is to be called.
        text: itself.
    """

    title: str
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Picks:
    """Safe settings with their evidence, or why there are none.

    Attributes:
        headline: how many there are; or why there are none.
        table: a column a pick; None without any.
        facts: what the evidence rests on.
        advice: what to change, where there are none.
        notes: what else must be known.
        configs: a config a pick; or the one to run next.
    """

    headline: str
    table: TextTable | None
    facts: tuple[Fact, ...]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    configs: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The long runs of one budget.

    Attributes:
        headline: how many cells had no failure.
        table: a row a cell.
        reasons: why runs failed.
        command: what shows them.
    """

    headline: str
    table: TextTable
    reasons: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Found:
    """Something the audit found.

    Attributes:
        severity: critical, warning or note.
        code: its kind.
        columns: in which columns.
        text: what it is, in the first of them.
        remedy: what mends it; may be empty.
    """

    severity: str
    code: str
    columns: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit of one data set."""

    label: str
    tally: str
    findings: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, or why there is none.

    Attributes:
        title: what is compared; or the reason.
        facts: what there is to say.
        tables: with their titles.
    """

    title: str
    facts: tuple[Fact, ...]
    tables: tuple[tuple[str, TextTable], ...]

    def to_json(self) -> dict[str, Any]:
        """The same in short, for what draws."""
        return {"title": self.title, "facts": [[fact.label, fact.text] for fact in self.facts]}


def picks_of(found: Recommendation, name: str, *, recorded: bool) -> Picks:
    """Picks with their evidence.

    Args:
        found: what was found.
        name: of the sweep.
        recorded: whether it is a search, whose picks are trials rather than configs.
    """
    if not found.picks:
        reason = str(found.reason)
        following: tuple[Text, ...] = ()
        if found.next_config is not None:
            following = (Text("The config to run next", f"{name}-next.yaml", found.next_config),)
        return Picks(
            headline=reason[:1].upper() + reason[1:],
            table=None,
            facts=(),
            advice=tuple(each.text for each in found.advice),
            notes=found.notes,
            configs=following,
        )
    heads = ("", *(f"pick {place}" for place in range(1, len(found.picks) + 1)))
    cells = tuple((label.strip(), *map(show, found.picks)) for label, show in rows(found))
    kind = "as a trial of the search" if recorded else "as a config"
    return Picks(
        headline=headline(found),
        table=TextTable(heads, cells, text=1),
        facts=tuple(Fact(label, text) for label, text in facts(found)),
        advice=(),
        notes=found.notes,
        configs=tuple(
            Text(f"Pick {place} {kind}", f"{name}-pick{place}.yaml", text)
            for place, text in enumerate(found.configs, 1)
        ),
    )


def confirmed(result: Result) -> Iterator[Confirmed]:
    """The long runs that a result holds, the shortest first."""
    for each in result.long_runs:
        held = sum(runs.runs > 0 and not runs.failures for runs in each.cells)
        head = f"Over {each.budget}, with fresh seeds: {held} of {counted(len(each.cells), 'cell')}"
        head += " without a failure"
        if each.missing:
            head += f"; {counted(each.missing, 'run')} not made yet"
        yield Confirmed(
            headline=f"{head}.",
            table=_survivals(each),
            reasons=tuple(_reasons(each)),
            command=command("show", each.folder),
        )


def _survivals(found: LongRuns) -> TextTable:
    shown = found.cells[:_MOST_CELLS]
    names = list(dict.fromkeys(name for runs in shown for name in runs.settings))
    crashed = any(runs.crashed for runs in shown)
    heads = (*names, "survived", "95 % interval", "failed at step", "validation loss")
    table = []
    for runs in shown:
        row = [value_label(runs.settings[name]) if name in runs.settings else "" for name in names]
        row += [f"{runs.survived} of {runs.runs}", interval(runs), when(runs)]
        row.append(number(runs.val_loss))
        row += [f"{runs.crashed:,}"] * crashed
        table.append(tuple(row))
    heads += ("crashed",) * crashed
    return TextTable(heads, tuple(table), len(names), max(len(found.cells) - _MOST_CELLS, 0))


def _reasons(found: LongRuns) -> Iterator[str]:
    """Of each cell with failures, its causes with the first sentence of each."""
    for runs in found.cells[:_MOST_CELLS]:
        seen: dict[str, str] = {}
        for run in runs.failures:
            text = run.cause_text or f"{run.outcome}, and nothing speaks for a cause"
            seen.setdefault(run.cause or "unknown", f"seed {run.seed}: {text}")
        for cause, text in list(seen.items())[:_SENTENCES]:
            yield f"{settings(runs.settings)}: {counted(runs.causes[cause], 'run')} {cause}; {text}"


def audited(result: Result) -> Iterator[Audited]:
    """What the audit found in each data set, the worst first."""
    table = result.audit
    labels = dict.fromkeys([*result.provenance.get("audit", {}), *table["label"]])
    for label in labels:
        own = table.loc[table["label"] == label].drop(columns="label")
        findings = [_finding(row) for row in own.to_dict(orient="records")]
        found = tuple(_found(group) for group in grouped(findings))
        yield Audited(str(label), tally(finding.severity for finding in findings), found)


def _finding(row: dict[Any, Any]) -> Finding:
    return Finding(**{**row, "severity": Severity(row["severity"]), "count": int(row["count"])})


def _found(group: Sequence[Finding]) -> Found:
    first = group[0]
    names = [finding.column for finding in group if finding.column]
    shown = ", ".join(names[:_SHOWN_COLUMNS])
    more = len(names) - _SHOWN_COLUMNS
    remedy = merged([finding.remedy for finding in group])
    return Found(
        severity=str(first.severity),
        code=first.code,
        columns=shown + (f" and {more:,} more" if more > 0 else ""),
        text=(f"{names[0]}: " if len(names) > 1 else "") + first.text,
        remedy=first.remedy if remedy is None else remedy,
    )


def compared(results: Sequence[Result]) -> Compared | None:
    """Compare several results, or the data sets of one; None where there is nothing to compare."""
    first, *others = results
    if not others and len(first.axes.get(DATASET, ())) < 2:
        return None
    try:
        found = first.compare(*others)
    except ResultError as error:
        return Compared(f"There is no comparison: {error}", (), ())
    facts = [Fact("axes", said.axes_of(found))]
    if found.unshared:
        facts.append(Fact("not shared", "\n".join(map(str, found.unshared))))
    if found.differences:
        limits = "\n".join(map(str, found.differences))
        facts.append(Fact("differing", f"{limits}\n(which limits what this comparison says)"))
    lacking = said.incomplete(found)
    if lacking is not None:
        facts.append(Fact("incomplete", lacking))
    facts += [
        Fact("most fragile", said.most_fragile(found)),
        Fact("safe in all", said.safe_in_all(found)),
    ]
    tables = [
        ("What is compared", said.members(found)),
        ("Cells by where they are stable", said.agreement(found)),
        ("Every two", said.pairs(found)),
    ]
    safe = said.slices(found)
    if safe is not None:
        tables.append(("Safe in all, slice by slice", safe))
    return Compared(title_of(found, results), tuple(facts), tuple(tables))
