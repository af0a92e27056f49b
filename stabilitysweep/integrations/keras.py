"""For trainings by Keras' own `fit`: `StabilityGuard`, a callback that watches a long run."""

from stabilitysweep.integrations.guard import (
    GuardReport,
    GuardWarning,
    NonFiniteError,
    StabilityGuard,
    StabilityWarning,
)

__all__ = ["GuardReport", "GuardWarning", "NonFiniteError", "StabilityGuard", "StabilityWarning"]
