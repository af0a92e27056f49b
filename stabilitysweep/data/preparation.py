"""The prepared data of a sweep: laid out at once, made when asked for, kept while there is room.

A grid may have preprocessing as its axes. Each distinct preprocessing of a data set is learnt
once; what it gives is the size of the data itself, so not all of it is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.data.imputation import Imputer
from stabilitysweep.data.prepared import DataShape, PreparedData
from stabilitysweep.data.preprocess import Inputs, assemble, scale_target
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.split import Split
from stabilitysweep.data.targets import SCALED_LOSSES, encode_target

_KEPT_BYTES = 2**28
"""How much prepared data is kept beside the one asked for last."""

_Sides = tuple[NDArray[Any], NDArray[Any]]
"""Of the training rows, and of the validation rows."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    label: str
    inputs: Inputs
    target: _Sides
    outputs: int


def data_key(label: str, preprocessing: PreprocessingSettings, loss: str) -> str:
    """Name prepared data: trials with equal keys train on the same.

    Args:
        label: of the data set.
        preprocessing: settings without effect beside the others do not count.
        loss: those that take the target in one form are one.
    """
    form = "regression" if loss in SCALED_LOSSES else loss
    return "|".join((_inputs_key(label, preprocessing), str(preprocessing.target_scaling), form))


def _inputs_key(label: str, preprocessing: PreprocessingSettings) -> str:
    parts = [_imputer_key(label, preprocessing)]
    if preprocessing.missing_indicator:
        parts.append("indicator")
    return "|".join(
        (*parts, preprocessing.scaling, preprocessing.encoding, preprocessing.unknown_categories)
    )


def _imputer_key(label: str, preprocessing: PreprocessingSettings) -> str:
    parts = [label, preprocessing.imputation]
    if preprocessing.imputation == "constant":
        parts.append(repr(preprocessing.fill_value))
    if preprocessing.imputation == "knn":
        parts.append(str(preprocessing.neighbors))
    return "|".join(parts)


class PreparedSets(Mapping[str, PreparedData]):
    """Prepared data by its key; see `data_key`.

    Attributes:
        shapes: the shape of each, known without preparing it.
    """

    def __init__(self, raw: Mapping[str, RawData], splits: Mapping[str, Split]) -> None:
        """Begin with nothing laid out.

        Args:
            raw: the data sets, by label.
            splits: the rows of each side, by label.
        """
        self.shapes: dict[str, DataShape] = {}
        self._raw = raw
        self._splits = splits
        self._recipes: dict[str, _Recipe] = {}
        self._inputs: dict[str, Inputs] = {}
        self._imputers: dict[str, Imputer] = {}
        self._targets: dict[tuple[str, str | None, str], tuple[_Sides, int]] = {}
        self._kept: OrderedDict[str, PreparedData] = OrderedDict()

    def lay_out(self, label: str, preprocessing: PreprocessingSettings, loss: str) -> str:
        """Make prepared data known, unless it is, and return its key.

        Raises:
            DataError: it cannot be prepared.
        """
        key = data_key(label, preprocessing, loss)
        if key in self._recipes:
            return key
        target, outputs = self._target(label, preprocessing.target_scaling, loss)
        shared = _inputs_key(label, preprocessing)
        if shared not in self._inputs:
            self._inputs[shared] = self._lay_out_inputs(label, preprocessing)
        inputs = self._inputs[shared]
        self._recipes[key] = _Recipe(label, inputs, target, outputs)
        self.shapes[key] = DataShape(len(inputs.names), outputs)
        return key

    def _lay_out_inputs(self, label: str, preprocessing: PreprocessingSettings) -> Inputs:
        raw, split = self._raw[label], self._splits[label]
        key = _imputer_key(label, preprocessing)
        if key not in self._imputers:
            self._imputers[key] = Imputer(raw, split, preprocessing)
        return Inputs(raw, split, preprocessing, self._imputers[key])

    def _target(self, label: str, scaling: str | None, loss: str) -> tuple[_Sides, int]:
        """The target of both sides, and the outputs it needs; shared by all inputs."""
        key = (label, scaling, loss)
        if key not in self._targets:
            raw = self._raw[label]
            target = encode_target(raw, loss)
            scaled = scale_target(raw, target, self._splits[label], scaling, loss)
            self._targets[key] = scaled, target.outputs
        return self._targets[key]

    def __getitem__(self, key: str) -> PreparedData:
        """The prepared data of a key that was laid out."""
        recipe = self._recipes[key]
        if key not in self._kept:
            self._kept[key] = self._prepare(recipe)
        self._kept.move_to_end(key)
        others = sum(data.nbytes for data in self._kept.values()) - self._kept[key].nbytes
        while others > _KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            others -= dropped.nbytes
        return self._kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)

    def _prepare(self, recipe: _Recipe) -> PreparedData:
        same = (
            (data.x_train, data.x_validation)
            for key, data in self._kept.items()
            if self._recipes[key].inputs is recipe.inputs
        )
        features = next(same, None) or recipe.inputs.transform()
        raw = self._raw[recipe.label]
        return assemble(raw, recipe.inputs, features, recipe.target, recipe.outputs)
