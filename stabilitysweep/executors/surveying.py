"""Users' models built in processes of their own: what the driver needs to know of them.

A build may end the process that calls it, by a segmentation fault or `os._exit`. The models that
came before are kept, the one that did it has no model, and another process goes on with the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stabilitysweep.blueprint import Blueprint, Request
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors.apart import ProcessDeathError, each_apart, for_each_at_once
from stabilitysweep.executors.worker import start_engine

_REQUESTS_A_PROCESS = 40
"""Models for which another process is worth its start."""

_LOST = 3
"""After how many models in a row that end their process the last of all is tried: if it does so as
well, the others between are not tried any more."""

_HOW_TO_SEE = "Call the build by itself to see why."


def survey_apart(
    requests: Sequence[Request], folders: Sequence[Path], processes: int = 1
) -> list[Blueprint]:
    """Build the models of all requests; see `models.survey`.

    Args:
        requests: of one build function.
        folders: where to look for its module, absolute.
        processes: how many there may be at once.

    Returns:
        As the survey does; one that ends the process that builds it has an `error` as well.

    Raises:
        StabilitySweepError: no process can be started, or every model ends the one it is built in.
    """
    count = max(1, min(processes, len(requests) // _REQUESTS_A_PROCESS))
    size = -(-len(requests) // count) if requests else 1
    parts = [list(requests[start : start + size]) for start in range(0, len(requests), size)]
    surveys = [_Survey(part, folders) for part in parts]
    for_each_at_once(_Survey.carry_out, surveys)
    found = [blueprint for survey in surveys for blueprint in survey.blueprints()]
    if found and not any(survey.came_through for survey in surveys):
        raise StabilitySweepError(f"no model can be built. {found[0].error}")
    return found


class _Survey:
    """Some requests and what has come of them, by their place.

    Attributes:
        came_through: whether any model has come, be it one that cannot be trained.
    """

    def __init__(self, requests: Sequence[Request], folders: Sequence[Path]) -> None:
        self.came_through = False
        self._requests = requests
        self._folders = list(folders)
        self._found: dict[int, Blueprint] = {}
        self._left = list(range(len(requests)))
        self._first = 0  # of those that a process was given
        self._suspect: int | None = None
        self._in_a_row = 0  # models that ended their process

    def blueprints(self) -> list[Blueprint]:
        return [self._found[place] for place in range(len(self._requests))]

    def carry_out(self) -> None:
        while self._left:
            try:
                self._try()
            except ProcessDeathError as died:
                self._blame(died)

    def _try(self) -> None:
        """Build what is left in a fresh process, as far as that gets."""
        self._first = self._left[0]
        wanted = [self._requests[place] for place in self._left]
        answers = each_apart(_survey, wanted, self._folders)
        try:
            next(answers)
        except ProcessDeathError as died:  # before it came to the user's code
            raise StabilitySweepError(str(died)) from died
        for blueprint in answers:
            self._found[self._left.pop(0)] = blueprint
            self.came_through = True
            self._in_a_row = 0

    def _blame(self, died: ProcessDeathError) -> None:
        """Give up the model at which a process died, once it is clear that it is the reason."""
        place = self._left[0]
        # What was built before it may have had its part in that; SIGKILL may come from outside.
        if place != self._suspect and (place != self._first or died.killed):
            self._suspect = place
            return
        self._give_up([self._left.pop(0)], f"the process that builds it ended {died.words}")
        self._in_a_row += 1
        if self._in_a_row == _LOST:
            self._left = self._left[-1:] + self._left[:-1]
        elif self._in_a_row > _LOST:
            tried = f"at each of {self._in_a_row} others that were tried"
            self._give_up(self._left, f"not built, for its process ended {died.words}, {tried}")
            self._left = []

    def _give_up(self, places: Sequence[int], reason: str) -> None:
        for place in places:
            request = self._requests[place]
            shown = ", ".join(f"{name} {value}" for name, value in request.values)
            beside = f" with {shown}" if shown else ""
            self._found[place] = Blueprint(
                request.build,
                values=request.values,
                error=f"model.build '{request.build}'{beside}: {reason}. {_HOW_TO_SEE}",
            )


def _survey(requests: list[Request], folders: list[Path]) -> Iterator[Blueprint | None]:
    start_engine("stacked")  # the policy, threads and silence of a worker
    from stabilitysweep.models.survey import surveyed

    yield None  # what follows calls the user's code
    yield from surveyed(requests, folders)
