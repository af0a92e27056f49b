"""A result folder opened for reading."""

from stabilitysweep.result.pictures import KINDS
from stabilitysweep.result.result import Result, open_result

__all__ = ["KINDS", "Result", "open_result"]
