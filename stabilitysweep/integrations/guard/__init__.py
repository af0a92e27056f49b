"""A Keras callback that watches a long run: it stops, restores, reports and warns."""

from stabilitysweep.integrations.guard.callback import StabilityGuard
from stabilitysweep.integrations.guard.records import (
    GuardReport,
    GuardWarning,
    NonFiniteError,
    StabilityWarning,
)

__all__ = ["GuardReport", "GuardWarning", "NonFiniteError", "StabilityGuard", "StabilityWarning"]
