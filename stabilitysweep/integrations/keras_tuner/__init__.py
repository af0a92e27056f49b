"""KerasTuner searches: see docs/search.md."""

from stabilitysweep.integrations.keras_tuner import stable_kinds as _stable_kinds
from stabilitysweep.integrations.keras_tuner.recording import Recording, record
from stabilitysweep.integrations.keras_tuner.stable_oracle import StableOracle, keep_stable

__all__ = ["Recording", "StableOracle", "keep_stable", "record"]

del _stable_kinds  # imported for what it makes known
