"""Inputs keep the shapes that their arrays have: blocks of columns."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.blueprint import Block
from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import PreparedSets, RawData, data_key, load, prepare, split_rows

ONE_HOT = PreprocessingSettings()
ORDINAL = PreprocessingSettings(encoding="ordinal", scaling="minmax")
SOURCES = """
import numpy as np
def images(): return np.arange(480.0).reshape(20, 4, 3, 2) % 7, np.arange(20) % 3
def tokens(): return np.arange(60).reshape(20, 3) % 5, np.arange(20.0)
def one(): return np.arange(20.0), np.arange(20.0)
def named():
    return {"ids": np.arange(60).reshape(20, 3) % 5, "a": np.linspace(0, 1, 20),
            "word": np.array(["u", "v"] * 10)}, np.arange(20) % 2
def flat(): return np.arange(40.0).reshape(20, 2), np.arange(20.0)[:, None]
def frame():
    import pandas as pd
    return pd.DataFrame({"whole": np.arange(20), "flag": np.arange(20) % 3 == 1,
                         "gap": pd.array([1, None] * 10, dtype="Int64"),
                         "part": np.linspace(0, 1, 20), "c": ["p", "q"] * 10,
                         "y": np.arange(20.0)})
def table(): return {"image": np.ones((20, 2, 2)), "one": np.ones((20, 1)), "y": np.arange(20.0)}
def texts(): return np.array([["1", "u"]] * 20, dtype=object), np.arange(20.0)
def masked(): return np.ma.array([[1, 2]] * 20, mask=[[0, 1]] * 20), np.arange(20.0)
def datasets(batched):
    import tensorflow as tf
    found = tf.data.Dataset.from_tensor_slices((np.ones((20, 4, 3)), np.eye(5)[np.arange(20) % 5]))
    return found.batch(8) if batched else found
"""

Call = Callable[..., RawData]


def settings_of(name: str, **keys: Any) -> DatasetSettings:
    return DatasetSettings(function=f"shaped_inputs_module:{name}", **keys)


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Load from one of the functions above."""

    def load_from(name: str, **keys: Any) -> RawData:
        (tmp_path / "shaped_inputs_module.py").write_text(SOURCES)
        return load(settings_of(name, **keys), tmp_path)

    return load_from


def sets_of(raw: RawData) -> PreparedSets:
    return PreparedSets({"d": raw}, {"d": split_rows(raw, DatasetSettings(name="iris"))})


@pytest.mark.parametrize(
    ("name", "raw_hash", "loss", "keys"),
    [
        (
            "images",
            "bbc13f21c3af8f18662a37d252cdc697",
            "sparse_categorical_crossentropy",
            ("dc7c1358ca55010a32290b6a03facf55", "a1bd61b890688057d356e2763b756f0e"),
        ),
        (
            "named",
            "a3e35d182bb545ed055ee14987db4e02",
            "binary_crossentropy",
            ("b2a76c5941e8919c7f0b45a2b134a123", "360202d9433263bbb6fd6f5de16cd5e1"),
        ),
        (
            "flat",
            "1ace91258123cb116cb18c8ced0abf3b",
            "mse",
            ("76293c1794144e8dd5b2bced73e95e7c", "ec08c6617d6bc00b56b186e87ec5a917"),
        ),
    ],
)
def test_what_is_stored_of_data_goes_on_to_be_theirs(
    call: Call, name: str, raw_hash: str, loss: str, keys: tuple[str, str]
) -> None:
    """These digests are in results that were made when columns had no shapes."""
    raw = call(name)
    assert raw.content_hash == raw_hash
    for preprocessing, digest in zip((ONE_HOT, ORDINAL), keys, strict=True):
        assert prepare(raw, settings_of(name), preprocessing, loss).content_hash == digest
    assert data_key("d", ORDINAL, "mae") == "d|none|minmax|ordinal|encode|None|regression"
    assert data_key("d", ONE_HOT, "poisson") == "d|none|standard|one_hot|encode|None|poisson"


@pytest.mark.parametrize(
    ("name", "keys", "blocks", "named"),
    [
        ("images", {}, [Block("x", 0, 24, (4, 3, 2))], False),
        ("tokens", {}, [Block("x", 0, 3, (3,), whole=True)], False),
        ("one", {}, [Block("x", 0, 1, ())], False),
        ("flat", {}, [Block("x", 0, 2, (2,))], False),
        ("named", {}, [Block("ids", 0, 3, (3,), whole=True), Block("a", 3, 4, ())], True),
        ("masked", {}, [Block("x", 0, 2, (2,), whole=True)], False),
        (
            "table",
            {"target": "y"},
            [Block("image", 0, 4, (2, 2)), Block("one", 4, 5, (1,))],
            True,
        ),
        (
            "frame",
            {"target": "y"},
            [
                Block("whole", 0, 1, (), whole=True),
                Block("flag", 1, 2, (), whole=True),
                Block("gap", 2, 3, (), whole=True),
                Block("part", 3, 4, ()),
            ],
            True,
        ),
    ],
)
def test_blocks_are_the_arrays_of_the_source(
    call: Call, name: str, keys: dict[str, Any], blocks: list[Block], named: bool
) -> None:
    raw = call(name, **keys)
    assert list(raw.blocks) == blocks
    assert raw.named is named
    sample = call(name, rows=10, drop_duplicates=True, **keys)
    assert sample.blocks == raw.blocks


def test_an_array_is_put_together_again(call: Call) -> None:
    data = prepare(
        call("images"), settings_of("images"), PreprocessingSettings(scaling="none"), "mse"
    )
    (block,) = data.blocks
    rows = data.x_train[:, block.start : block.stop].reshape(-1, *block.shape)
    images = np.arange(480.0).reshape(20, 4, 3, 2) % 7
    split = split_rows(call("images"), settings_of("images"))
    np.testing.assert_array_equal(rows, images[split.train])


def test_what_is_left_of_an_array_are_columns(call: Call) -> None:
    raw = call("tokens", exclude=["x1"])
    assert raw.blocks == (Block("x0", 0, 1, (), whole=True), Block("x2", 1, 2, (), whole=True))
    raw = call("named", categorical=["ids_0"])
    assert [block.name for block in raw.blocks] == ["ids_1", "ids_2", "a"]
    assert [block.shape for block in raw.blocks] == [(), (), ()]
    raw = call("texts")
    assert (raw.blocks, raw.category_names) == ((), ("x0", "x1"))


def test_an_array_is_left_out_or_chosen_by_its_name(call: Call) -> None:
    assert call("named", exclude=["ids"]).blocks == (Block("a", 0, 1, ()),)
    assert call("named", features=["ids"]).blocks == (Block("ids", 0, 3, (3,), whole=True),)


def test_categories_and_indicators_follow_the_numbers(tmp_path: Path) -> None:
    lines = [f"{n},{'' if n % 5 == 0 else n / 2},{'uvw'[n % 3]},{n % 2}" for n in range(20)]
    (tmp_path / "table.csv").write_text("\n".join(["whole,part,kind,y", *lines]))
    settings = DatasetSettings(path="table.csv", target="y", label="d")
    raw = load(settings, tmp_path)
    numbers = (Block("whole", 0, 1, (), whole=True), Block("part", 1, 2, ()))
    assert (raw.blocks, raw.named) == (numbers, False)
    indicated = PreprocessingSettings(missing_indicator=True, imputation="mean")
    sets = sets_of(raw)
    for encoding, kind in (
        ("one_hot", Block("kind", 2, 5, (3,))),
        ("ordinal", Block("kind", 2, 3, (), whole=True)),
    ):
        chosen = indicated.model_copy(update={"encoding": encoding})
        last = Block("part is missing", kind.stop, kind.stop + 1, ())
        assert sets.blocks_of("d", chosen) == (*numbers, kind, last)
        key = sets.lay_out("d", chosen, "mse")
        assert sets.blocks[key] == sets[key].blocks == (*numbers, kind, last)
        assert sets.shapes[key].features == last.stop


def test_blocks_are_known_without_a_target_that_fits(call: Call) -> None:
    sets = sets_of(call("images"))
    assert sets.blocks_of("d", ONE_HOT) == (Block("x", 0, 24, (4, 3, 2)),)
    assert len(sets) == 0


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "maxabs", "log1p"])
def test_whole_numbers_that_a_model_takes_are_not_scaled(call: Call, scaling: Any) -> None:
    raw = call("named")
    sets = sets_of(raw)
    chosen = PreprocessingSettings(scaling=scaling, encoding="ordinal")
    plain = sets[sets.lay_out("d", chosen, "mse")]
    key = sets.lay_out("d", chosen, "mse", frozenset({"ids", "word"}))
    whole = sets[key]
    train = split_rows(raw, DatasetSettings(name="iris")).train
    np.testing.assert_array_equal(whole.x_train[:, :3], raw.features[train, :3])
    np.testing.assert_array_equal(whole.x_train[:, 4], raw.categories[train, 0] + 1)
    np.testing.assert_array_equal(whole.x_train[:, 3], plain.x_train[:, 3])
    assert not np.array_equal(whole.x_train[:, :3], plain.x_train[:, :3])
    assert whole.blocks == plain.blocks
    held_out = split_rows(raw, DatasetSettings(name="iris")).validation
    np.testing.assert_array_equal(whole.x_validation[:, :3], raw.features[held_out, :3])
    both = prepare(raw, DatasetSettings(name="iris"), chosen, "mse", frozenset({"ids", "word"}))
    assert both.content_hash == whole.content_hash


def test_gaps_in_whole_numbers_are_filled_and_infinity_stays() -> None:
    features = np.column_stack([np.arange(20.0), np.arange(20.0)])
    features[3, 0], features[4, 0] = np.nan, np.inf
    raw = RawData(features, np.arange(20.0), ("a", "b"), "d", "made")
    settings = PreprocessingSettings(imputation="constant", fill_value=7.0)
    dataset = DatasetSettings(name="iris", validation_fraction=0.0)
    data = prepare(raw, dataset, settings, "mse", frozenset({"a"}))
    np.testing.assert_array_equal(data.x_train[:5, 0], [0, 1, 2, 7, np.inf])
    assert abs(data.x_train[:, 1].mean()) < 1e-12


def test_equal_keys_mean_equal_data() -> None:
    names = [frozenset(), frozenset("a"), frozenset("ab"), frozenset({"a', 'b"})]
    assert len({data_key("d", ONE_HOT, "mse", whole) for whole in names}) == len(names)
    forms = ["mse", "poisson", "numbers", "given", "categorical_crossentropy"]
    assert len({data_key("d", ONE_HOT, form) for form in forms}) == len(forms)


def test_the_columns_of_an_npz_file_are_its_arrays(tmp_path: Path) -> None:
    arrays = {"x": np.ones((9, 2, 3), np.uint8), "a": np.ones(9), "none": np.ones((9, 0))}
    np.savez(tmp_path / "data.npz", y=np.arange(9), **arrays)
    raw = load(DatasetSettings(path="data.npz", target="y"), tmp_path)
    assert raw.blocks == (Block("x", 0, 6, (2, 3), whole=True), Block("a", 6, 7, ()))
    assert not raw.named
    part = load(DatasetSettings(path="data.npz", target="y", exclude=["x_0_0"]), tmp_path)
    assert [block.name for block in part.blocks[:2]] == ["x_0_1", "x_0_2"]


def test_named_data_sets_have_blocks_too(tmp_path: Path) -> None:
    made = load(DatasetSettings(name="make_friedman1", options={"n_features": 6}), tmp_path)
    assert made.blocks == (Block("x", 0, 6, (6,)),)
    iris = load(DatasetSettings(name="iris"), tmp_path)
    assert [block.shape for block in iris.blocks] == [()] * 4


@pytest.mark.parametrize("batched", [False, True])
def test_a_tensorflow_dataset_keeps_its_shapes(call: Call, batched: bool) -> None:
    raw = call("datasets", options={"batched": batched})
    assert raw.blocks == (Block("x", 0, 12, (4, 3)),)
    np.testing.assert_array_equal(raw.targets[""], np.eye(5)[np.arange(20) % 5])


def test_prepared_data_goes_to_another_process_with_its_blocks(call: Call) -> None:
    data = prepare(call("named"), settings_of("named"), ONE_HOT, "mse")
    there = pickle.loads(pickle.dumps(data))
    assert (there.blocks, there.named) == (data.blocks, True)
    assert there.content_hash == data.content_hash
