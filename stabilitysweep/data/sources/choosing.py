"""Which columns of a source are inputs, and which the target."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.listing import some
from stabilitysweep.data.sources.table import OWN_TARGET, Table
from stabilitysweep.errors import DataError

_SHOWN = 30


class Choice(NamedTuple):
    """Columns of a source.

    Attributes:
        inputs: names, in the source's order.
        target: the key of the target.
        categorical: those of the inputs that are categories although they are numbers.
    """

    inputs: tuple[str, ...]
    target: str
    categorical: frozenset[str]


def choose(table: Table, settings: DatasetSettings) -> Choice:
    """Choose the columns that the settings name.

    Raises:
        DataError: one of them is not there or cannot be used, or no input is left.
    """
    target = table.target
    if target not in table.columns:
        raise _unknown(table, "", target)
    known = [name for name in table.columns if name != target]
    listed: dict[str, set[str]] = {}
    for key in ("features", "exclude", "categorical"):
        listed[key] = _expand(table, key, getattr(settings, key) or ())
        if key != "exclude" and target in listed[key]:
            raise DataError(
                f"{table.origin}: {key}: expected columns that are inputs, got the target, "
                f"'{target}'. Leave it out."
            )
    wanted = set(known) if settings.features is None else listed["features"]
    inputs = tuple(name for name in known if name in wanted - listed["exclude"])
    if not inputs:
        raise DataError(
            f"{table.origin}: expected at least one feature beside the target, got none."
        )
    for name in (*inputs, target):
        if refusal := table.columns[name].refusal:
            raise DataError(_refused(table, name, refusal))
    return Choice(inputs, target, frozenset(listed["categorical"].intersection(inputs)))


def unknown(
    origin: str, key: str, name: str, names: list[str], word: str, others: Iterable[str] = ()
) -> DataError:
    """Return the error of a name that is not there: the nearest, and what there is."""
    lowered = {known.lower(): known for known in (*others, *names)}
    nearest = difflib.get_close_matches(name.lower(), lowered, n=1)
    return DataError(
        f"{origin}: {key}there is no {word} '{name}'."
        + (f" Did you mean '{lowered[nearest[0]]}'?" if nearest else "")
        + f" {word.capitalize()}s: {some(names, _SHOWN)}."
    )


def _expand(table: Table, key: str, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name in table.columns and name != OWN_TARGET:
            found.add(name)
        elif name in table.groups:
            found.update(table.groups[name])
        else:
            raise _unknown(table, f"{key}: ", name)
    return found


def _unknown(table: Table, key: str, name: str) -> DataError:
    names = [name for name in table.columns if name != OWN_TARGET]
    return unknown(table.origin, key, name, names, "column", [*table.groups])


def _refused(table: Table, name: str, refusal: str) -> str:
    if name == table.target:
        return (
            f"{table.origin}: expected numbers or texts in the target '{name}', got {refusal}. "
            "Choose another target, or convert the column."
        )
    return (
        f"{table.origin}: expected numbers, texts, dates or truth values in column '{name}', got "
        f"{refusal}. Leave it out with exclude: [{name}], or spread it over columns of numbers."
    )
