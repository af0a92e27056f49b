"""A search's hyperparameters held against a map: what is allowed, and what was turned away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stabilitysweep.analysis.axes import find_axis
from stabilitysweep.analysis.region import Region, Verdict
from stabilitysweep.analysis.slice_bounds import Reason
from stabilitysweep.errors import ResultError

_OF_THE_TUNER = "tuner/"
"""What Hyperband adds to the values of a trial is called so."""


class Guard:
    """Says of the values of a trial whether the map allows them, and counts.

    Attributes:
        region: the map.
        counts: proposals turned away, by reason; every reason there is.
        mapped: name of each hyperparameter of the search that is an axis, to the axis.
        unmapped: the hyperparameters that are no axis: the map was measured at their defaults.
        unsearched: the axes that are no hyperparameter and not held: all their values count.
    """

    def __init__(self, region: Region, names: Mapping[str, str]) -> None:
        """Take the names of hyperparameters that are called otherwise than their axis.

        Raises:
            ResultError: one of them stands for no axis of the map, or two for the same.
        """
        for name, axis in names.items():
            if axis not in region.held:
                find_axis(region.axes, axis, f"names, of {name!r}")
        if len(set(names.values())) < len(names):
            raise ResultError(
                f"names: expected a different axis for each hyperparameter, got {dict(names)}."
            )
        self.region = region
        self.counts: dict[Reason, int] = {reason: 0 for reason in Reason if reason != Reason.SAFE}
        self.mapped: dict[str, str] = {}
        self.unmapped: tuple[str, ...] = ()
        self.unsearched: tuple[str, ...] = tuple(region.axes)
        self._names = dict(names)

    def look(self, space: Iterable[str]) -> None:
        """Take up the names of the hyperparameters of a search.

        Raises:
            ResultError: two stand for the same axis, or no values are allowed at all.
        """
        names = list(dict.fromkeys(name for name in space if not name.startswith(_OF_THE_TUNER)))
        axes = {*self.region.axes, *self.region.held}
        found: dict[str, str] = {}
        for name in names:
            axis = self._names.get(name, name)
            if axis not in axes:
                continue
            if axis in found.values():
                other = next(known for known, own in found.items() if own == axis)
                raise ResultError(
                    f"expected one hyperparameter for the axis {axis}, got {other} and {name}. "
                    "Say with names={hyperparameter: axis} which it is."
                )
            found[name] = axis
        self.mapped = found
        self.unmapped = tuple(name for name in names if name not in found)
        self.unsearched = tuple(axis for axis in self.region.axes if axis not in found.values())
        if not self.region.allows_any(frozenset(found.values())):
            raise ResultError(self._nothing_allowed(names))

    def verdict(self, values: Mapping[str, Any]) -> Verdict:
        """Say whether the map allows the values of a trial."""
        mapped = self.mapped
        return self.region.verdict({axis: values[n] for n, axis in mapped.items() if n in values})

    def allows(self, values: Mapping[str, Any]) -> bool:
        """Whether the map allows the values of a proposal; one that it does not is counted."""
        verdict = self.verdict(values)
        if not verdict.allowed:
            self.counts[verdict.reason] += 1
        return verdict.allowed

    def notes(self) -> list[str]:
        """What must be known of a search beside the map."""
        found = []
        if self.unmapped:
            found.append(
                f"no axis of the map: {', '.join(self.unmapped)} (it was measured at their "
                "defaults; names={hyperparameter: axis} if one is called otherwise there)"
            )
        if self.unsearched:
            found.append(
                f"not searched: {', '.join(self.unsearched)} (allowed is what is safe at all of "
                "their values; where={axis: value} holds one)"
            )
        return found

    def in_words(self) -> str:
        """How many proposals were turned away, and why."""
        total = sum(self.counts.values())
        parts = [f"{count:,} {reason.words}" for reason, count in self.counts.items() if count]
        said = f"{total:,} proposal{'s' * (total != 1)} turned away"
        return f"{said} ({', '.join(parts)})" if parts else said

    def _nothing_allowed(self, names: Iterable[str]) -> str:
        region = self.region
        shared = [name for name in names if name in self.mapped]
        found = (
            f"of these axes, the search has {', '.join(shared)}"
            if shared
            else ("the search has none of these axes as a hyperparameter")
        )
        text = (
            f"expected a map with settings that are allowed (axes {', '.join(region.axes)}; "
            f"off_map {region.off_map!r}, margin {region.margin:g}); {found}, and nothing is safe "
            f"at every value of the others ({', '.join(self.unsearched) or 'none'})."
        )
        if self.unsearched:
            axis = self.unsearched[0]
            value = region.axes[axis].values[0]
            text += f" Hold them at what you search with, as in where={{{axis!r}: {value!r}}}"
            text += ", or say with names={hyperparameter: axis} what they are called."
        return text
