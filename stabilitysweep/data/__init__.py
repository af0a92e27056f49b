"""Data sets: loading, preparing for training, and the order of the batches."""

from stabilitysweep.data.batches import batch_order
from stabilitysweep.data.prepare import PreparedData, prepare
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.sources import load

__all__ = ["PreparedData", "RawData", "batch_order", "load", "prepare"]
