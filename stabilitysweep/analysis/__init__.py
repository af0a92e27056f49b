"""From the trials table to maps and summaries: arrays and tables in, records out.

Nothing here draws, trains, or touches a file.
"""

from stabilitysweep.analysis.axes import Axis, grid_order, value_label
from stabilitysweep.analysis.boundary import STATUSES, Boundary, BoundaryStatus
from stabilitysweep.analysis.caption import caption, curves_caption
from stabilitysweep.analysis.causes import candidates, explained_rows, explanations
from stabilitysweep.analysis.cells import CAUSES, LEARNING
from stabilitysweep.analysis.curves import Curves, curves
from stabilitysweep.analysis.explained import AxisShare, ShareKind, explained
from stabilitysweep.analysis.explanation import Explanation, Remedy
from stabilitysweep.analysis.map_record import CellValue, StabilityMap
from stabilitysweep.analysis.maps import stability_map
from stabilitysweep.analysis.rejudged import recomputed_outcomes
from stabilitysweep.analysis.remedies import remedies
from stabilitysweep.analysis.representatives import (
    Representative,
    nearest_failed,
    representatives,
)
from stabilitysweep.analysis.sensitivity import joined, sensitivity
from stabilitysweep.analysis.summary import EarliestOnset, RateLimit, Summary, summary
from stabilitysweep.analysis.table import OUTCOMES, RATE
from stabilitysweep.analysis.twins import zeros_beside_twin

__all__ = [
    "CAUSES",
    "LEARNING",
    "OUTCOMES",
    "RATE",
    "STATUSES",
    "Axis",
    "AxisShare",
    "Boundary",
    "BoundaryStatus",
    "CellValue",
    "Curves",
    "EarliestOnset",
    "Explanation",
    "RateLimit",
    "Remedy",
    "Representative",
    "ShareKind",
    "StabilityMap",
    "Summary",
    "candidates",
    "caption",
    "curves",
    "curves_caption",
    "explained",
    "explained_rows",
    "explanations",
    "grid_order",
    "joined",
    "nearest_failed",
    "recomputed_outcomes",
    "remedies",
    "representatives",
    "sensitivity",
    "stability_map",
    "summary",
    "value_label",
    "zeros_beside_twin",
]
