"""A result as one page: interactive, self-contained, and read without this package."""

from stabilitysweep.report.page import write_report

__all__ = ["write_report"]
