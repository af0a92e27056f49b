"""What an audit finds: one thing in the data that can break a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import yaml


class Severity(StrEnum):
    """How bad a finding is for the sweep at hand, the worst first.

    Attributes:
        CRITICAL: some trials fail for it: NaN or Inf reaches a layer, or a loss cannot be taken.
        WARNING: it makes training fragile, or its measure misleading.
        NOTE: worth knowing; the settings of the sweep deal with it, or it does no harm alone.
    """

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a data set.

    Attributes:
        severity: for the sweep at hand: what all its trials repair is a note.
        code: the kind of thing, such as `missing_values`; listed in docs/audit.md.
        column: the column's name; empty for what is no column's.
        count: how many values, rows, categories or columns.
        text: one sentence with the numbers, without the column's name.
        remedy: what to put in the config to mend it, or what else to do; may be empty.
    """

    severity: Severity
    code: str
    column: str
    count: int
    text: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def setting(section: str, **values: Any) -> str:
    """A line of YAML for the config: `dataset: {exclude: [id]}`; names are quoted as needed."""
    flow = yaml.safe_dump(
        values, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return f"{section}: {flow.strip()}"
