"""A compiled Keras model, watched from inside its own training step.

Callbacks see neither the loss of a batch nor gradients. `Watching` puts probes into the train
function of a model for one `fit`, and takes them out again; the callbacks on top of it read
what they saw:

    watching = Watching(model, every=10)
    watching.attach()            # in on_train_begin
    watching.begin_batch()       # in on_train_batch_begin
    watching.collect()           # in on_train_batch_end: the readings of the steps since
    watching.detach()            # in on_train_end

Works in the graph, under XLA and eagerly, for any `train_step` that gives its gradients to
the optimizer's `apply`.
"""

from stabilitysweep.integrations.watching.readings import Found, Reading
from stabilitysweep.integrations.watching.state import StateWatch
from stabilitysweep.integrations.watching.step import is_due
from stabilitysweep.integrations.watching.watching import Watching, require_tensorflow

__all__ = ["Found", "Reading", "StateWatch", "Watching", "is_due", "require_tensorflow"]
