"""Where the slices of a result stop being stable: between rates of its grid, or closer ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.refinement import TOLERANCE
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import REFINED, is_begun
from stabilitysweep.recorded import refined_alike, with_alike
from stabilitysweep.result.stored import StoredTrials
from stabilitysweep.store import write_csv, write_parquet

if TYPE_CHECKING:
    from stabilitysweep.refining import RoundProgress


class BoundedTrials(StoredTrials):
    """The trials of a sweep, and those between the rates of its grid.

    Attributes:
        folder: the result folder.
    """

    @cached_property
    def boundaries(self) -> pd.DataFrame:
        """The largest stable learning rate of each setting of the other axes.

        It lies between two rates of the grid, or between two closer ones where `refine` has
        been. A slice whose models train the same as another's has the boundary of that. See
        `analysis.brackets.boundaries` for the columns.

        Raises:
            ResultError: the learning rate is no axis of numbers.
        """
        refined = self.refined
        if refined is not None:
            refined = refined_alike(refined, self.models, self.rate)
        trials = with_alike(self.trials, self.models)
        scattered = self.config.recorded is not None
        return boundaries(trials, self.axes, self.rate, refined, scattered=scattered)

    @property
    def refined(self) -> pd.DataFrame | None:
        """The trials that `refine` has added, a table like `trials`; None without any."""
        folder = self.folder / REFINED
        if not is_begun(folder):
            return None
        table = self._opened(folder).trials
        return None if table.empty else table

    def refine(
        self,
        tolerance: float = TOLERANCE,
        *,
        where: Mapping[str, Any] | None = None,
        workers: int | None = None,
        executor: str = "local",
        ray_address: str | None = None,
        observe: Callable[[RoundProgress], None] | None = None,
    ) -> Self:
        """Train learning rates between the last safe and the first failing one of each slice.

        All slices and all seeds are trained together, in rounds that cut every bracket into
        parts on a log scale, until its ends are within the tolerance; the lowest failure is
        followed. They are stored beside the grid, whose table they do not enter, and hold for
        the sweep's number of steps. What is there already is not trained again.

        Args:
            tolerance: failing / safe is to be at most 1 + tolerance; 0.0001 to 10.
            where: axes to hold at one value; only these slices are refined, or those that train
                the same.
            workers: processes, at least 1; None is one a core, or a CPU of the cluster.
            executor: `local`, or `ray` to train on a Ray cluster.
            ray_address: of that cluster, `auto` or HOST:PORT; None starts a Ray on this machine
                for each round.
            observe: called before each round and after every stack.

        Returns:
            The result with its new `boundaries`.

        Raises:
            UserError: a tolerance or number of workers that is out of range, or no Ray.
            ResultError: the learning rate is no axis of numbers, `where` names none of the
                axes, data or build have changed since the sweep, or the trials are judged by other
                thresholds than those stored.
            KeyboardInterrupt: passed on; the same call goes on where it stopped.
        """
        self.config.require_sweep(self.folder)
        if self.thresholds is not None:
            raise ResultError(
                f"{self.folder}: expected the stored outcomes to be refined, got those judged by "
                f"{self.thresholds}. Open the result without thresholds."
            )
        # What trains brings scikit-learn, and to read a result needs none.
        from stabilitysweep import execution, refining

        source = refining.Source(
            folder=self.folder,
            config=self.config,
            trials=self.trials,
            repeated=with_alike(self.trials, self.models),
            axes=self.axes,
            rate=self.rate,
            flags=self.provenance.get("flags", {}),
        )
        place = execution.Options(executor=executor, ray_address=ray_address)
        with execution.attached(place):
            refining.refine(
                source,
                lambda folder: self._opened(folder).trials,
                tolerance=tolerance,
                where=where,
                workers=workers,
                executor=executor,
                ray_address=ray_address,
                observe=observe,
            )
        done, folder = self._opened(self.folder), self.folder / REFINED
        if is_begun(folder):
            own = self._opened(folder).trials
            write_parquet(own, folder / "trials.parquet")
            write_csv(own, folder / "trials.csv")
            write_csv(done.boundaries, folder / "boundaries.csv")
        return done

    def _opened(self, folder: Path) -> Self:
        return type(self)(folder, self.thresholds)
