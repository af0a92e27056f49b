"""Findings as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from stabilitysweep.data.finding import Finding


def finding_table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Put the findings of several data sets into one table.

    Args:
        found: of each data set, by label, its findings as `Finding.to_json` gives them.

    Returns:
        One row a finding: `label`, `severity`, `code`, `column`, `count`, `text`, `remedy`.
    """
    names = ["label", *(field.name for field in fields(Finding))]
    rows = [
        {"label": label, **finding} for label, findings in found.items() for finding in findings
    ]
    table = pd.DataFrame(rows, columns=names)
    texts = [name for name in names if name != "count"]
    # Also without any row, and plain text whatever pandas makes of enums.
    return table.astype(dict.fromkeys(texts, object) | {"count": "int64"})
