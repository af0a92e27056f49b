"""The command line: it parses, calls, prints, and turns what happened into an exit code.

0 done; 1 some trials crashed; 2 the user's input is wrong, with one message on stderr;
130 or 143 interrupted. Any other exception is a bug of ours, and shows its traceback.

Commands import what they need when they are called: `--help` and a bad config are answered
at once, and only workers ever import TensorFlow.
"""

from stabilitysweep.cli.entry import main

__all__ = ["main"]
