"""Hyperparameter stability sweeps for Keras: where training is safe, and where it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stabilitysweep.analysis.comparison import Comparison
    from stabilitysweep.analysis.picks import Pick, Recommendation
    from stabilitysweep.api import audit, compare, run
    from stabilitysweep.config import SweepConfig, load_config
    from stabilitysweep.diagnosing import diagnose
    from stabilitysweep.diagnosis.records import Diagnosis
    from stabilitysweep.errors import (
        ConfigError,
        DataError,
        ResultError,
        StabilitySweepError,
        UserError,
    )
    from stabilitysweep.integrations.keras import StabilityGuard
    from stabilitysweep.numerics.outcomes import Thresholds
    from stabilitysweep.report import write_report
    from stabilitysweep.result import Result, open_result

__version__ = "0.1.0"

_HOME = {
    "Comparison": "analysis.comparison",
    "ConfigError": "errors",
    "DataError": "errors",
    "Diagnosis": "diagnosis.records",
    "Pick": "analysis.picks",
    "Recommendation": "analysis.picks",
    "Result": "result",
    "ResultError": "errors",
    "StabilityGuard": "integrations.keras",
    "StabilitySweepError": "errors",
    "SweepConfig": "config",
    "Thresholds": "numerics.outcomes",
    "UserError": "errors",
    "audit": "api",
    "compare": "api",
    "diagnose": "diagnosing",
    "load_config": "config",
    "open_result": "result",
    "run": "api",
    "write_report": "report",
}

__all__ = [
    "Comparison",
    "ConfigError",
    "DataError",
    "Diagnosis",
    "Pick",
    "Recommendation",
    "Result",
    "ResultError",
    "StabilityGuard",
    "StabilitySweepError",
    "SweepConfig",
    "Thresholds",
    "UserError",
    "__version__",
    "audit",
    "compare",
    "diagnose",
    "load_config",
    "open_result",
    "run",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `--help` answers at once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
