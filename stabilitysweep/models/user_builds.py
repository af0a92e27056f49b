"""A user's own `build(hp)`: found, called, and its model made ready for training.

Notation: B rows, D input columns.
"""

from __future__ import annotations

import inspect
import random
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import keras
import keras_tuner
import numpy as np

from stabilitysweep.blueprint import Request, Value
from stabilitysweep.data.sources.user_functions import (
    attribute_of,
    in_words,
    module_of,
    one_line,
    place_of,
)
from stabilitysweep.data.sources.user_modules import importing_from
from stabilitysweep.errors import TrialError
from stabilitysweep.models.binding import Binding
from stabilitysweep.models.hyperparameters import GivenHyperParameters
from stabilitysweep.models.losses import build_loss


class Built(NamedTuple):
    """A user's model, with its variables made and a loss to train it by.

    Attributes:
        model: compiled, by its user or for the loss of the config.
        hp: what the function asked for.
        binding: from the flat inputs [B, D] to what the model takes.
        own: whether the user compiled it.
    """

    model: keras.Model
    hp: GivenHyperParameters
    binding: Binding
    own: bool


class UserBuild:
    """The function behind `module:function`, loaded anew and kept open until `close`."""

    def __init__(self, path: str, folders: Sequence[Path]) -> None:
        """Import the module.

        Args:
            path: `module:function`, or a HyperModel, its class or an instance.
            folders: where to look for the module, beside the installed ones.

        Raises:
            TrialError: there is no such module or function.
        """
        self.path = path
        self._folders = list(folders)
        self._stack = ExitStack()
        # Of the models built so far that are still there: each trainable variable by its id.
        self._seen: dict[int, weakref.ref[Any]] = {}
        weakref.finalize(self, self._stack.close)  # before Python takes itself apart
        module, _, name = path.partition(":")
        self._stack.enter_context(importing_from(self._folders, module))
        try:
            self._build = self._found(module, name)
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Forget the module."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, request: Request, seed: int | None) -> Built:
        """Build the model of a request, with the initial weights of `seed`.

        The weights are those that Keras' own initializers draw after
        `keras.utils.set_random_seed(seed)`. To be called inside the request's
        `precision_scope`.

        Args:
            request: what to build.
            seed: of the weights. None, where neither they nor the names of layers matter, seeds
                Python and NumPy alone and leaves the graphs of this process as they are: to seed
                TensorFlow, or to clear Keras' session, has each optimized anew when it next runs.

        Raises:
            TrialError: the function fails, or what it returns cannot be trained on the data.
        """
        policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
        if seed is not None:
            # Layer names begin anew: they are the same in every process. Without collecting
            # garbage, which takes longer than building a model. The policy would go with them.
            keras.backend.clear_session(free_memory=False)
            keras.config.set_dtype_policy(policy)
            keras.utils.set_random_seed(seed)
        else:
            random.seed(0)
            np.random.seed(0)
        hp = GivenHyperParameters(dict(request.values))
        try:
            model = self._build(hp)
        except (Exception, SystemExit) as error:
            own = {name: v for name, v in request.values if name not in request.given}
            raise self.error(hp.asked or own, self.in_words(error)) from error
        set_by_it = keras.config.dtype_policy().name
        if set_by_it != policy.name:
            keras.config.set_dtype_policy(policy)
            raise self.error(
                hp.asked,
                f"it sets Keras' dtype policy to {set_by_it}: expected a build that leaves it as "
                "it is. Put `precision` into the config, under training or as an axis of the grid",
            )
        if keras.config.floatx() != floatx:
            found = keras.config.floatx()
            keras.config.set_floatx(floatx)
            raise self.error(
                hp.asked,
                f"it sets Keras' floatx to {found}: expected a build that leaves it as it is. Put "
                "`precision` into the config, under training or as an axis of the grid",
            )
        return self._ready(model, hp, request)

    def declare(self, hp: Any) -> Any:
        """Build a model to see what the function asks of `hp`, its values as they may be.

        Raises:
            TrialError: the function fails.
        """
        try:
            return self._build(hp)
        except (Exception, SystemExit) as error:
            raise self.error(hp.values, self.in_words(error)) from error

    def _ready(self, model: Any, hp: GivenHyperParameters, request: Request) -> Built:
        if not isinstance(model, keras.Model):
            got = "None: is a `return` missing?" if model is None else type(model).__name__
            raise self.error(hp.asked, f"expected a Keras model, got {got}")
        if type(model).train_step is not keras.Model.train_step:
            raise self.error(
                hp.asked,
                f"{type(model).__name__} overrides `train_step`: expected a model that Keras' own "
                "step trains. Put the loss into `compute_loss` or `add_loss`",
            )
        try:
            binding = Binding(request.blocks, request.named, model)
            if not model.built or not model.variables:
                model(binding(np.zeros((2, binding.columns), keras.config.floatx())))
        except (Exception, SystemExit) as error:
            raise self.error(
                hp.asked, f"the model does not take the data: {self.in_words(error)}"
            ) from error
        if not model.trainable_variables:
            raise self.error(hp.asked, "the model has no trainable weights: nothing to train")
        self._refuse_shared(model, hp)
        own = model.compiled
        if not own:
            training = dict(request.training)
            model.compile(optimizer="sgd", loss=build_loss(str(training["loss"])))
        return Built(model, hp, binding, own)

    def _refuse_shared(self, model: keras.Model, hp: GivenHyperParameters) -> None:
        """Refuse a model with weights of another one: trials would train each other's."""
        self._seen = {key: ref for key, ref in self._seen.items() if ref() is not None}
        for variable in model.trainable_variables:
            seen = self._seen.get(id(variable))
            shared = seen is not None and seen() is variable
            if shared:
                raise self.error(
                    hp.asked,
                    f"its weight '{variable.path}' is also one of a model that was built before: "
                    "expected every model to have weights of its own. Make all layers inside the "
                    "build",
                )
        self._seen |= {id(v): weakref.ref(v) for v in model.trainable_variables}

    def _found(self, name: str, attribute: str) -> Callable[[Any], Any]:
        origin = f"model.build '{self.path}'"
        module = module_of(origin, name, self._folders, TrialError)
        found = attribute_of(origin, module, attribute, TrialError)
        if inspect.isclass(found) and issubclass(found, keras_tuner.HyperModel):
            try:
                found = found()
            except Exception as error:
                raise TrialError(
                    f"model.build '{self.path}': the HyperModel cannot be made without arguments: "
                    f"{self.in_words(error)}. Name an instance of it, or a function."
                ) from error
        build = found.build if isinstance(found, keras_tuner.HyperModel) else found
        if not callable(build):
            raise TrialError(
                f"model.build '{self.path}': expected a function of `hp` or a "
                f"keras_tuner.HyperModel, got {type(found).__name__} in {place_of(module)}."
            )
        self._check_arguments(build)
        return build  # type: ignore[no-any-return]

    def _check_arguments(self, build: Callable[..., Any]) -> None:
        try:
            signature = inspect.signature(build)
        except (TypeError, ValueError):
            return  # written in C: the call will tell
        try:
            signature.bind(None)
        except TypeError as error:
            raise TrialError(
                f"model.build '{self.path}': expected a function that takes `hp` alone, got "
                f"{self.path.partition(':')[2]}{signature}: {error}. Give the others defaults, or "
                "ask `hp` for them."
            ) from error

    def error(self, values: Mapping[str, Value], cause: str) -> TrialError:
        """Return the error of a model that cannot be trained: function, values and cause."""
        shown = ", ".join(f"{name} {value}" for name, value in values.items())
        beside = f" with {shown}" if shown else ""
        text = one_line(cause).rstrip(".")
        end = "" if text.endswith("?") else "."
        return TrialError(f"model.build '{self.path}'{beside}: {text}{end}")

    def in_words(self, error: BaseException) -> str:
        """Type, message, and the line of the user's code that an error came from."""
        return in_words(error, self._folders)
