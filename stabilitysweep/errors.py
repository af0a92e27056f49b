"""The exception tree.

    StabilitySweepError
    ├── UserError            what the user gave cannot be used       exit code 2
    │   ├── ConfigError      the YAML config: syntax, keys, values
    │   ├── DataError        the data set: file, columns, values
    │   └── ResultError      the result folder or what is asked of it
    └── TrialError           one trial could not be run: stored as `crashed`

A message says what was expected, what came, and how to mend it. It is written
for the terminal: the command line prints it as it is, without a traceback.
"""

from __future__ import annotations


class StabilitySweepError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(StabilitySweepError):
    """Input that cannot be used; the message is the whole of what is printed."""


class ConfigError(UserError):
    """A config that is not YAML, or holds a key or value that is not allowed."""


class DataError(UserError):
    """A data set that is missing, unreadable, or does not fit the loss."""


class ResultError(UserError):
    """A result folder that is missing, foreign, in conflict, or lacks what was asked."""


class TrialError(StabilitySweepError):
    """A trial that could not be run; its row says `crashed` and holds the message."""
