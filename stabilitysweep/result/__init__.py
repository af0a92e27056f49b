"""A result folder opened for reading."""

from stabilitysweep.result.result import KINDS, Result, open_result

__all__ = ["KINDS", "Result", "open_result"]
