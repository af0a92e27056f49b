"""A search's hyperparameters held against a map: what is allowed, and what was turned away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_tuner.engine import hyperparameters as kinds

from stabilitysweep.analysis.axes import Axis, find_axis
from stabilitysweep.analysis.region import Region, Verdict
from stabilitysweep.analysis.slice_bounds import Reason
from stabilitysweep.errors import ResultError

_OF_THE_TUNER = "tuner/"
"""What Hyperband adds to the values of a trial is called so."""

_SPARSE = 0.75
"""A map with a smaller share of its settings measured has holes wherever one looks."""


class MapCheck:
    """Says of the values of a trial whether the map allows them, and counts.

    Attributes:
        region: the map.
        counts: proposals turned away, by reason; every reason there is.
        mapped: name of each hyperparameter of the search that is an axis, to the axis.
        unmapped: the hyperparameters that are no axis: the map was measured at their defaults.
        unsearched: the axes that are no hyperparameter and not held: all their values count.
        at_times: the hyperparameters that are not active in every trial.
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
        self.at_times: tuple[str, ...] = ()
        self._names = dict(names)
        self._space: tuple[Any, ...] = ()
        self._misnamed: tuple[str, ...] = ()
        if not region.allows_any(frozenset(region.axes)):
            raise ResultError(self._nothing_allowed())

    def look(self, space: Iterable[Any]) -> None:
        """Take up the hyperparameters of a search, of one name several in different scopes.

        Raises:
            ResultError: two stand for the same axis, one varies what is held, or no values are
                allowed at all.
        """
        self._space = tuple(hp for hp in space if not hp.name.startswith(_OF_THE_TUNER))
        names = list(dict.fromkeys(hp.name for hp in self._space))
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
        self._require_held(found)
        self.mapped = found
        self.unmapped = tuple(name for name in names if name not in found)
        self.unsearched = tuple(axis for axis in self.region.axes if axis not in found.values())
        always = {hp.name for hp in self._space if not hp.conditions}
        self.at_times = tuple(name for name in found if name not in always)
        self._misnamed = tuple(name for name in self._names if name not in names)
        if not self.region.allows_any(frozenset(found.values())):
            raise ResultError(self._nothing_allowed())

    def verdict(self, values: Mapping[str, Any]) -> Verdict:
        """Say whether the map allows the values of a trial.

        A hyperparameter that is not active in it is looked up at the null of its axis, which is
        where a recorded search has what was not active; without one all values of the axis count.
        """
        found = {axis: values[n] for n, axis in self.mapped.items() if n in values}
        for name in self.at_times:
            if name in values and not self._is_active(name, values):
                del found[self.mapped[name]]
            axis = self.mapped[name]
            if axis not in found and self._has_null(axis):
                found[axis] = None
        return self.region.verdict(found)

    def _is_active(self, name: str, values: Mapping[str, Any]) -> bool:
        return any(
            all(condition.is_active(values) for condition in hp.conditions)
            for hp in self._space
            if hp.name == name
        )

    def _has_null(self, axis: str) -> bool:
        known = self.region.axes.get(axis)
        return known is not None and known.index_of(None) is not None

    def _require_held(self, mapped: Mapping[str, str]) -> None:
        """Refuse to hold what the search varies."""
        for hp in self._space:
            axis = mapped.get(hp.name)
            if axis not in self.region.held:
                continue
            held = self.region.held[axis]
            values = [hp.value] if isinstance(hp, kinds.Fixed) else list(hp.values)
            if any(Axis(axis, (held,), numeric=False).index_of(own) is None for own in values):
                named = hp.name if hp.name == axis else f"{hp.name} ({axis})"
                raise ResultError(
                    f"where: expected axes that the search does not vary, got {axis} = {held!r}, "
                    f"and the search has the hyperparameter {named}. Leave it out of where, or "
                    "fix it in the search."
                )

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
        nowhere = [name for name in self.at_times if not self._has_null(self.mapped[name])]
        if nowhere:
            found.append(
                f"not always active: {', '.join(nowhere)} (where one is not, allowed is what is "
                "safe at all of its values: the map has no null for it)"
            )
        if self._misnamed:
            found.append(
                f"names: no hyperparameter of the search is called {', '.join(self._misnamed)} "
                "so far"
            )
        return found

    def in_words(self) -> str:
        """How many proposals were turned away, and why."""
        total = sum(self.counts.values())
        parts = [f"{count:,} {reason.words}" for reason, count in self.counts.items() if count]
        said = f"{total:,} proposal{'s' * (total != 1)} turned away"
        return f"{said} ({', '.join(parts)})" if parts else said

    def _nothing_allowed(self) -> str:
        region, others = self.region, self.unsearched
        text = (
            f"expected a map with settings that are allowed (axes {', '.join(region.axes)}; "
            f"off_map {region.off_map!r}, margin {region.margin:g}); "
        )
        measured, slices = region.measured()
        sparse = measured < _SPARSE * slices
        if self._space and others:
            shared = ", ".join(self.mapped)
            text += (
                f"of these axes, the search has {shared}, and"
                if shared
                else ("the search has none of these axes as a hyperparameter, and")
            )
            text += f" nothing is safe at every value of the others ({', '.join(others)})."
            axis = others[0]
            value = region.axes[axis].values[0]
            text += (
                f" Hold them at what you search with, as in where={{{axis!r}: {value!r}}}, or say "
                "with names={hyperparameter: axis} what they are called. A hyperparameter that "
                "is asked for in some trials only is unknown until one is: ask for it in every "
                "build, under hp.conditional_scope, and it is looked up where it is active."
            )
        else:
            text += "there are none."
        if sparse:
            text += (
                f" The map is sparse: of {slices:,} settings of the axes but the learning rate "
                f"{measured:,} were measured. A recorded search as a map needs few axes: "
                "record(tuner, out=..., axes=[...])."
            )
        return text
