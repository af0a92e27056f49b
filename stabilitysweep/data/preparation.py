"""The prepared data of a sweep: laid out at once, made when asked for, kept while there is room.

A grid may have preprocessing as its axes. Each distinct preprocessing of a data set is learnt
once; what it gives is the size of the data itself, so not all of it is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stabilitysweep.blueprint import Block
from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.data.imputation import Imputer
from stabilitysweep.data.prepared import DataShape, PreparedData
from stabilitysweep.data.preprocess import Inputs, assemble, scale_target
from stabilitysweep.data.raw import RawData, Targets
from stabilitysweep.data.split import Split
from stabilitysweep.data.targets import SCALED_LOSSES, encode_target

_KEPT_BYTES = 2**28
"""How much prepared data is kept beside the one asked for last."""

_Sides = tuple[Targets, Targets]
"""Of the training rows, and of the validation rows."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    label: str
    inputs: Inputs
    target: _Sides
    outputs: int


def data_key(
    label: str,
    preprocessing: PreprocessingSettings,
    loss: str,
    whole: frozenset[str] = frozenset(),
) -> str:
    """Name prepared data: trials with equal keys train on the same.

    Args:
        label: of the data set.
        preprocessing: settings without effect beside the others do not count.
        loss: the loss, or the form of the target; those that take it in one form are one.
        whole: names of blocks of the inputs that are not scaled.
    """
    form = "regression" if loss in SCALED_LOSSES else loss
    inputs = _inputs_key(label, preprocessing, whole)
    return "|".join((inputs, str(preprocessing.target_scaling), form))


def _inputs_key(
    label: str, preprocessing: PreprocessingSettings, whole: frozenset[str] = frozenset()
) -> str:
    parts = [_imputer_key(label, preprocessing)]
    if preprocessing.missing_indicator:
        parts.append("indicator")
    if whole:
        parts.append(f"whole {sorted(whole)}")
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
        blocks: of the inputs of each, known as early.
    """

    def __init__(self, raw: Mapping[str, RawData], splits: Mapping[str, Split]) -> None:
        """Begin with nothing laid out.

        Args:
            raw: the data sets, by label.
            splits: the rows of each side, by label.
        """
        self.shapes: dict[str, DataShape] = {}
        self.blocks: dict[str, tuple[Block, ...]] = {}
        self._raw = raw
        self._splits = splits
        self._recipes: dict[str, _Recipe] = {}
        self._inputs: dict[str, Inputs] = {}
        self._imputers: dict[str, Imputer] = {}
        self._targets: dict[tuple[str, str | None, str], tuple[_Sides, int]] = {}
        self._kept: OrderedDict[str, PreparedData] = OrderedDict()

    def lay_out(
        self,
        label: str,
        preprocessing: PreprocessingSettings,
        loss: str,
        whole: frozenset[str] = frozenset(),
    ) -> str:
        """Make prepared data known, unless it is, and return its key.

        Args:
            label: of the data set.
            preprocessing: how to impute, encode and scale.
            loss: the loss, or another form of the target; see `encode_target`.
            whole: names of blocks of the inputs that are not scaled.

        Raises:
            DataError: it cannot be prepared.
        """
        key = data_key(label, preprocessing, loss, whole)
        if key in self._recipes:
            return key
        target, outputs = self._target(label, preprocessing.target_scaling, loss)
        inputs = self._inputs_of(label, preprocessing, whole)
        self._recipes[key] = _Recipe(label, inputs, target, outputs)
        self.shapes[key] = DataShape(len(inputs.names), outputs)
        self.blocks[key] = inputs.blocks
        return key

    def blocks_of(self, label: str, preprocessing: PreprocessingSettings) -> tuple[Block, ...]:
        """Return the blocks of the inputs, which depend neither on the target nor on `whole`.

        Raises:
            DataError: the inputs cannot be prepared.
        """
        return self._inputs_of(label, preprocessing, frozenset()).blocks

    def _inputs_of(
        self, label: str, preprocessing: PreprocessingSettings, whole: frozenset[str]
    ) -> Inputs:
        """The inputs, laid out once for all targets."""
        key = _inputs_key(label, preprocessing, whole)
        if key not in self._inputs:
            raw, split = self._raw[label], self._splits[label]
            shared = _imputer_key(label, preprocessing)
            if shared not in self._imputers:
                self._imputers[shared] = Imputer(raw, split, preprocessing)
            imputer = self._imputers[shared]
            self._inputs[key] = Inputs(raw, split, preprocessing, imputer, whole)
        return self._inputs[key]

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
