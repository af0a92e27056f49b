"""What the audit found: grouped by severity, one entry a code, the remedy below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from stabilitysweep.analysis.sentences.findings import grouped, merged, tally
from stabilitysweep.cli.layout import fields
from stabilitysweep.cli.words import counted
from stabilitysweep.data import Finding, Severity

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "cyan"}
_SHOWN_COLUMNS = 5
_LONGEST_NAME = 40


Audit = Mapping[str, Sequence[Finding]]


def whole_audit(audit: Audit, *, every: bool = False) -> Iterator[RenderableType]:
    """Everything that was found, for `check`.

    Args:
        audit: the findings of each data set, by label, the worst first.
        every: whether each column has its own entry, or each code.
    """
    apart = True  # but for lines that only say that nothing was found
    for label, findings in audit.items():
        if findings or apart:
            yield ""
        yield _head(label, findings)
        yield from _entries(findings, every=every)
        apart = bool(findings)
    if not every and any(len(group) > 1 for found in audit.values() for group in grouped(found)):
        yield Text("(check --all names every column)", style="dim")


def brief_audit(audit: Audit) -> Iterator[RenderableType]:
    """What may break a run, printed before it; notes are only counted."""
    for label, findings in audit.items():
        bad = [finding for finding in findings if finding.severity is not Severity.NOTE]
        if bad:
            yield ""
            yield _head(label, findings)
            yield from _entries(bad, every=False)
        notes = len(findings) - len(bad)
        if notes:
            shows = "shows it" if notes == 1 else "shows them"
            yield Text(f"{_printable(label)}: {counted(notes, 'note')}: check {shows}", "dim")


def _head(label: str, findings: Sequence[Finding]) -> Text:
    if not findings:
        return Text(f"audit of {_printable(label)}: nothing found", "dim")
    found = tally(finding.severity for finding in findings)
    return Text(f"audit of {_printable(label)}: {found}", "bold")


def _entries(findings: Sequence[Finding], *, every: bool) -> Iterator[RenderableType]:
    groups = [[finding] for finding in findings] if every else list(grouped(findings))
    before: Severity | None = None
    for group in groups:
        severity = group[0].severity
        label = Text(severity.value, _STYLES[severity]) if severity is not before else Text("")
        before = severity
        yield fields([(label, _entry(group))])


def _entry(group: Sequence[Finding]) -> Text:
    """One entry: the code with its columns, the text of the worst, and what mends all."""
    first = group[0]
    names = [_short(finding.column) for finding in group if finding.column]
    head = Text(first.code, "bold")
    if names:
        shown = ", ".join(names[:_SHOWN_COLUMNS])
        more = len(names) - _SHOWN_COLUMNS
        head.append(f": {shown}" + (f" and {more:,} more" if more > 0 else ""), "not bold")
    of_one = f"{names[0]}: " if len(names) > 1 else ""
    lines = [head, Text(of_one + _printable(first.text))]
    remedy = merged([finding.remedy for finding in group])
    shown = first.remedy if remedy is None else remedy
    lines += [Text(f"  {_printable(line)}", "green") for line in shown.splitlines()]
    if remedy is None:
        whose = f" mends {names[0]}" if names and first.remedy else ""
        lines.append(Text(f"  (this{whose}; check --all has what mends the others)", "dim"))
    return Text("\n").join(lines)


def _short(name: str) -> str:
    name = _printable(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _printable(text: str) -> str:
    """A text of the data without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )
