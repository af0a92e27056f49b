"""The audit: what in a data set will break a training, and what to put in the config.

    audit          everything found, the worst first
    choices        what the sweep does with the data, which decides how bad a finding is
    numbers        a column of numbers measured in one pass; number_findings judges it
    spread         what scaling learns of it; ranges: how large it becomes, filled and scaled
    categories     columns of categories
    comparisons    columns beside each other: scales, copies, the target among the inputs
    rows           the split, repeated rows, batches
    targets        the target beside the losses of the sweep

Thresholds are named where they are used, with their reason; docs/audit.md lists them.
"""

from __future__ import annotations

from stabilitysweep.data.audit.collect import audit

__all__ = ["audit"]
