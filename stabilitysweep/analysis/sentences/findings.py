"""Findings put together: how many, those of one kind, and what mends all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import yaml

from stabilitysweep.analysis.wording import counted
from stabilitysweep.data.finding import Finding, Severity, setting

_JOINED = {"exclude", "missing_values"}
_FILLS_ALL = ("median", "most_frequent")  # either fills categories by the most frequent


def tally(severities: Iterable[str]) -> str:
    """Findings by severity, the worst first: `1 critical, 2 warnings`; `nothing` if none."""
    counts = Counter(severities)
    words = {Severity.CRITICAL: "critical", Severity.WARNING: "", Severity.NOTE: ""}
    parts = [
        counted(counts[severity], severity.value, plural)
        for severity, plural in words.items()
        if counts[severity]
    ]
    return ", ".join(parts) or "nothing"


def grouped(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    """Findings of the same severity and code, that stand one after another."""
    for _, group in groupby(findings, key=lambda finding: (finding.severity, finding.code)):
        yield list(group)


def merged(remedies: Sequence[str]) -> str | None:
    """One remedy that mends all of several columns; None where there is no such."""
    different = list(dict.fromkeys(remedies))
    if len(different) == 1:
        return different[0]
    try:
        parsed = [yaml.safe_load(remedy) for remedy in different]
    except yaml.YAMLError:
        return None
    merged = parsed[0]
    for other in parsed[1:]:
        merged = _both(merged, other)
    if not isinstance(merged, dict) or not all(isinstance(one, dict) for one in merged.values()):
        return None
    return "\n".join(setting(section, **settings) for section, settings in merged.items())


def _both(one: Any, other: Any, key: str = "") -> Any:
    """What does as much as both; None where nothing does."""
    if one == other:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        shared = {name: _both(one[name], other[name], name) for name in one if name in other}
        # A section is lost as a whole: a part of a remedy mends nothing.
        return None if None in shared.values() else {**one, **other, **shared}
    if isinstance(one, list) and isinstance(other, list):
        if key in _JOINED:  # what is left out or missing
            return [*one, *(item for item in other if item not in one)]
        return [item for item in one if item in other] or None  # features, or values of an axis
    if key == "imputation" and {one, other} == set(_FILLS_ALL):
        return _FILLS_ALL[0]
    return None
