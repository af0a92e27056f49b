"""Where stacks are trained: in worker processes on this machine, or on a Ray cluster."""

from stabilitysweep.executors.apart import call_apart
from stabilitysweep.executors.base import Executor, Job, StackDone, Training
from stabilitysweep.executors.local import LocalExecutor
from stabilitysweep.executors.ray_executor import RayExecutor
from stabilitysweep.executors.surveying import survey_apart

__all__ = [
    "Executor",
    "Job",
    "LocalExecutor",
    "RayExecutor",
    "StackDone",
    "Training",
    "call_apart",
    "survey_apart",
]
