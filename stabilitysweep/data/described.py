"""A data set in a few plain values, for the record."""

from __future__ import annotations

from typing import Any

from stabilitysweep.data.raw import RawData


def describe(raw: RawData) -> dict[str, Any]:
    """Say where a data set comes from and what is in it, as plain values for JSON.

    Returns:
        `source`; `rows` and, where they are a sample, `drawn_from`; `columns`, the names of
        the inputs; `shape`, rows by inputs; `dtypes` by column as far as they are known;
        `target`, its name; `targets`, the shape of a row of each, where they have one of their
        own; `hash` of the content.
    """
    columns = [*raw.feature_names, *raw.category_names]
    shapes = {name: list(values.shape[1:]) for name, values in raw.targets.items()}
    return {
        "source": raw.source,
        "rows": len(raw.target),
        "drawn_from": raw.drawn_from,
        "columns": columns,
        "shape": [len(raw.target), len(columns)],
        "dtypes": dict(raw.dtypes),
        "target": raw.target_name,
        **({"targets": shapes} if shapes else {}),
        "hash": raw.content_hash,
    }
