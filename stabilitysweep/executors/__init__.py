"""Where stacks are trained: in worker processes on this machine."""

from stabilitysweep.executors.apart import call_apart
from stabilitysweep.executors.base import Executor, Job, StackDone, Training
from stabilitysweep.executors.local import LocalExecutor
from stabilitysweep.executors.surveying import survey_apart

__all__ = [
    "Executor",
    "Job",
    "LocalExecutor",
    "StackDone",
    "Training",
    "call_apart",
    "survey_apart",
]
