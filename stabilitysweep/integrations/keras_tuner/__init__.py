"""KerasTuner searches: see docs/search.md."""

from stabilitysweep.integrations.keras_tuner import stable_kinds as _stable_kinds
from stabilitysweep.integrations.keras_tuner.stable_oracle import StableOracle, keep_stable

__all__ = ["StableOracle", "keep_stable"]

del _stable_kinds  # imported for what it makes known
