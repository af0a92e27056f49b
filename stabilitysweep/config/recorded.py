"""The section `recorded`: a result that a search has left behind, not a sweep to run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictStr

from stabilitysweep.config.fields import Expected, Settings

_Text = Annotated[StrictStr, Field(min_length=1)]


class RecordedSettings(Settings):
    """Where recorded trials come from.

    A config with this section says what was searched. It cannot be run: `model.build` names the
    function or class that was searched, and its data were arguments of the search. In its grid
    every name is an `hp`, and null stands for one that was not active.

    Attributes:
        tuner: the class of the tuner.
        project: the name of its project.
        rate: the axis of the learning rate, None if there is none.
        exact: axes whose values are the lower ends of bins; the table has the values
            themselves in columns `exact_NAME`.
    """

    tuner: Annotated[_Text, Expected("the class of a tuner")]
    project: Annotated[_Text, Expected("the name of a project")]
    rate: Annotated[_Text | None, Expected("the name of an axis")] = None
    exact: Annotated[tuple[_Text, ...], Expected("a list of names of axes")] = ()

    def refusal(self, where: object) -> str:
        """Say why nothing can be trained.

        Args:
            where: the folder or config that was asked to.
        """
        return (
            f"{where}: expected a sweep, got a result that was recorded from a search "
            f"({self.tuner}, project {self.project!r}). Its trials cannot be trained again: "
            "their data and model are known to the program that searched. To map, compare and "
            "export them works; to train more, go on with that search, or write a config for "
            "the model (see docs/models.md)."
        )
