"""Picks with what speaks for them, in texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.picks import BestAnywhere, Evidence, Pick, Recommendation
from stabilitysweep.analysis.wording import counted, number, settings

_AS_FACTOR = 10.0
"""Above it a cost in percent would be hard to read."""


def headline(found: Recommendation) -> str:
    """How many picks there are, of how many cells, and what they are ranked by."""
    direction = "highest" if found.higher_is_better else "lowest"
    text = (
        f"{counted(len(found.picks), 'pick')} of {counted(found.safe, 'safe cell')} "
        f"(of {found.cells:,}), {direction} {found.metric} first"
    )
    if len(found.datasets) > 1:
        text += f"; safe in all of {', '.join(found.datasets)}"
    return text


def rows(found: Recommendation) -> Iterator[tuple[str, Callable[[Pick], str]]]:
    """What is said of every pick: a label, and what makes the text of a pick."""
    for axis in found.picks[0].axes:
        yield axis, lambda pick, axis=axis: value_label(pick.axes[axis])  # type: ignore[misc]
    several = len(found.datasets) > 1
    if not several:
        yield found.metric, lambda pick: number(pick.score)
    yield "cost of safety", lambda pick: _cost(pick.safety_cost)
    for place, name in enumerate(found.datasets) if several else ():
        yield f"  {name}: {found.metric}", _of(place, lambda own: number(own.score))
        yield "    cost", _of(place, lambda own: _cost(own.cost))
        if found.margin:
            yield "    stable up to", _of(place, lambda own: number(own.safe))
    if found.margin:
        yield "stable up to", lambda pick: number(pick.safe)
        yield "fails at", lambda pick: "-" if pick.open_ended else number(pick.failing)
        yield "margin", _margin
        yield "  in decades", lambda pick: f"{pick.margin_decades or 0:.2f}"
    yield (
        "headroom, bits",
        lambda pick: "-" if pick.headroom_bits is None else f"{pick.headroom_bits:.1f}",
    )


def facts(found: Recommendation) -> Iterator[tuple[str, str]]:
    """The best cell anywhere, and what the evidence of the picks rests on."""
    best: dict[str, BestAnywhere] = {}
    for pick in found.picks:
        for own in pick.per_dataset:
            best[own.dataset] = own.best_anywhere
    label = "best anywhere"
    for name, cell in best.items():
        where = settings({axis: value for axis, value in cell.axes.items() if axis != "dataset"})
        of = f"{name}: " if len(best) > 1 else ""
        yield label, f"{of}{found.metric} {number(cell.score)} at {where}\n{_standing(cell)}"
        label = ""
    first = found.picks[0]
    seeds, steps = min(p.seeds for p in found.picks), _steps(first)
    held = f"{counted(seeds, 'seed')} a cell{steps}"
    if found.margin:
        held += (
            f"; every trial is stable from the learning rate of a pick to {found.margin:g} times it"
            f" ({', '.join(f'{pick.trials:,}' for pick in found.picks)} trials)"
        )
    yield "evidence", held


def _of(place: int, show: Callable[[Evidence], str]) -> Callable[[Pick], str]:
    return lambda pick: show(pick.per_dataset[place])


def _steps(pick: Pick) -> str:
    return "" if pick.steps is None else f", {counted(pick.steps, 'step')}"


def _standing(cell: BestAnywhere) -> str:
    """How many seeds of a cell are stable, and where the boundary is."""
    held = f"{cell.stable} of {counted(cell.trials, 'seed')} stable"
    if cell.margin is None:
        return held
    if cell.margin < 1 - 1e-9:
        return f"{held}; above the boundary: some learning rate below it fails"
    if cell.margin < 1 + 1e-9:
        return f"{held}; the last learning rate before the boundary"
    return f"{held}; the boundary is at {cell.margin:.3g} times its learning rate or more"


def _margin(pick: Pick) -> str:
    more = " or more" if pick.open_ended else ""
    return f"x {10 ** (pick.margin_decades or 0):.3g}{more}"


def _cost(cost: float) -> str:
    """A relative cost in percent; of a best that is 0 it cannot be said."""
    if cost == float("inf"):
        return "-"
    if cost >= _AS_FACTOR:
        return f"{cost:,.0f} times"
    return "none" if cost == 0 else f"{100 * cost:.2g} %" if cost < 0.1 else f"{100 * cost:.0f} %"
