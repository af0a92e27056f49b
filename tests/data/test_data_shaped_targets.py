"""Targets keep the shapes that their arrays have, and take the form that a loss asks for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.blueprint import TargetFacts
from stabilitysweep.config import DatasetSettings, PreprocessingSettings, parse_config
from stabilitysweep.data import (
    PreparedData,
    PreparedSets,
    RawData,
    load,
    prepare,
    split_rows,
    target_facts,
)
from stabilitysweep.data.audit import audit
from stabilitysweep.data.described import describe
from stabilitysweep.data.targets import LOSSES, OWN_FORMS, encode_target
from stabilitysweep.errors import DataError

PLAIN = PreprocessingSettings()
CATEGORICAL = "categorical_crossentropy"

Call = Callable[..., RawData]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Load what an expression returns for y, beside x of 20 rows; `xy` is the whole instead."""

    def load_from(y: str = "", xy: str = "", **keys: Any) -> RawData:
        body = xy or f"np.arange(40.0).reshape(20, 2), {y}"
        text = f"import numpy as np\nn = np.arange(20)\ndef f():\n    return {body}\n"
        (tmp_path / "shaped_targets_module.py").write_text(text)
        return load(DatasetSettings(function="shaped_targets_module:f", **keys), tmp_path)

    return load_from


MAPS = "np.arange(240).reshape(20, 3, 4) * 0.5"
TWO = "{'a': n[:, None] * [1, 10], 'b': n / 2}"


@pytest.mark.parametrize(
    "y", ["n", "n[:, None]", "[[i] for i in range(20)]", "np.array(['u', 'v'] * 10)"]
)
def test_a_plain_column_is_none_with_a_shape(call: Call, y: str) -> None:
    raw = call(y)
    assert dict(raw.targets) == {}
    assert raw.target.shape == (20,)
    assert "targets" not in describe(raw)


def test_an_array_keeps_its_shape_and_its_first_column_stands_for_it(call: Call) -> None:
    raw = call(MAPS)
    assert list(raw.targets) == [""]
    np.testing.assert_array_equal(raw.targets[""], np.arange(240).reshape(20, 3, 4) * 0.5)
    np.testing.assert_array_equal(raw.target, np.arange(20) * 6)
    assert target_facts(raw) == TargetFacts(shapes=(("", (3, 4)),))
    assert describe(raw)["targets"] == {"": [3, 4]}
    assert not raw.targets[""].flags.writeable
    assert call("n[:, None, None]").targets[""].shape == (20, 1, 1)
    assert call("[[i, -i] for i in range(20)]").targets[""].shape == (20, 2)


def test_targets_by_name(call: Call) -> None:
    raw = call(TWO)
    assert {name: values.shape for name, values in raw.targets.items()} == {
        "a": (20, 2),
        "b": (20,),
    }
    np.testing.assert_array_equal(raw.target, np.arange(20))
    assert target_facts(raw) == TargetFacts(shapes=(("a", (2,)), ("b", ())))
    assert list(call("{'b': n / 2}").targets) == ["b"]


def test_a_table_may_hold_a_target_with_a_shape(call: Call) -> None:
    raw = call(xy="{'a': n, 'y': np.eye(4)[n % 4]}", target="y")
    assert (raw.feature_names, raw.target_name, raw.named) == (("a",), "y", True)
    np.testing.assert_array_equal(raw.targets[""], np.eye(4)[np.arange(20) % 4])
    frame = "__import__('pandas').DataFrame({'u': n, 'v': n / 2})"
    assert call(frame).targets[""].shape == (20, 2)


def test_every_value_counts_in_the_hash(call: Call) -> None:
    hashes = {
        call(y).content_hash
        for y in (
            "n",
            "n[:, None] * [1, 2]",
            "n[:, None] * [1, 3]",
            "{'a': n[:, None] * [1, 2]}",
            "{'b': n[:, None] * [1, 2]}",
            "(n[:, None] * [1, 2])[:, :, None]",
        )
    }
    assert len(hashes) == 6
    assert call(TWO).content_hash == call(TWO).content_hash


def test_rows_left_out_are_left_out_of_every_target(call: Call) -> None:
    raw = call(TWO, rows=7, sample_seed=3)
    np.testing.assert_array_equal(raw.targets["a"][:, 0], raw.target)
    np.testing.assert_array_equal(raw.targets["b"] * 2, raw.target)
    np.testing.assert_array_equal(raw.features[:, 0] / 2, raw.target)
    assert len(raw.targets["a"]) == 7
    gaps = "{'a': n, 'b': np.where(n[:, None] == [4, 9], np.nan, 1.0)}"
    with pytest.raises(DataError, match=r"'a' has no value in rows 4, 9") as caught:
        call(gaps, target="a")
    assert "missing_target: drop" in str(caught.value)
    raw = call(gaps, missing_target="drop")
    assert (len(raw.target), raw.without_target) == (18, 2)
    assert len(raw.targets["b"]) == 18
    assert not np.isnan(raw.targets["b"]).any()
    raw = call("{'a': n, 'b': n}", missing_target="drop", missing_values=["7"])
    assert 7 not in raw.targets["b"]
    assert raw.locate(7) == "row 8 (counted from 0)"


def test_rows_are_equal_only_if_all_their_targets_are(call: Call) -> None:
    body = "np.ones((20, 2)), np.stack([n * 0, n // 10], axis=1)"
    raw = call(xy=body, drop_duplicates=True)
    np.testing.assert_array_equal(raw.targets[""], [[0, 0], [0, 1]])


def test_own_validation_rows_have_targets_of_the_same_shapes(call: Call) -> None:
    both = "(np.ones((20, 2)), {}), (np.zeros((5, 2)), {})"
    raw = call(xy=both.format("n[:, None] * [1, 2]", "np.zeros((5, 2))"), rows=6)
    assert (raw.own_training_rows, raw.targets[""].shape) == (6, (11, 2))
    assert raw.targets[""][6:].tolist() == [[0, 0]] * 5
    for validation, got in (
        ("np.zeros((5, 3))", r"\(rows, 2\) and \(rows, 3\)"),
        ("np.zeros(5)", r"\(rows, 2\) and one value a row"),
        ("{'a': np.zeros((5, 2))}", r"\(rows, 2\) and \(rows, 2\) in 'a'"),
    ):
        with pytest.raises(DataError, match=f"same targets for training and.*{got}"):
            call(xy=both.format("n[:, None] * [1, 2]", validation))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("(n, n / 2)", r"a dict of arrays by the names.*got a tuple of 2\. Return such a dict"),
        ("[n, n[:, None]]", "got a list of 2"),
        ("np.ones((3, 2))", r"as many rows in each array, got 20 in x, 3 in y\."),
        ("{'a': n, 'b': n[1:]}", r"got 20 in x, 19 in y\['b'\]"),
        ("{'a': 3}", r"y\['a'\] of shape \[rows, \.\.\.\], got a single value"),
        ("3", "got a single value"),
        ("{}", "an empty dict"),
        ("np.ones((20, 0))", r"at least one value a row in y, got the shape \(20, 0\)"),
        ("np.array([['u', 'v']] * 20)", "expected numbers in y, got the dtype <U1"),
        ("{'a': ['u'] * 20}", r"expected numbers in y\['a'\].*Number the classes"),
        ("np.where(n[:, None] == [3, 5], np.inf, 1)", "the target is infinite in rows 3, 5"),
    ],
)
def test_what_is_no_target_is_refused(call: Call, y: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        call(y)
    assert str(caught.value).startswith("dataset function 'shaped_targets_module:f'")


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_loss_of_the_built_in_model_takes_one_value_a_row(call: Call, loss: str) -> None:
    for y, got in (
        ("np.ones((20, 2))", r"the shape \(20, 2\)"),
        (TWO, r"a dict of the shapes \(20, 2\) of 'a', \(20,\) of 'b'"),
    ):
        message = rf"expected y of shape \[rows\], one value a row, for {loss}, got {got}.*build\)"
        with pytest.raises(DataError, match=message):
            encode_target(call(y), loss)
    with pytest.raises(DataError, match="let the loss of your model"):
        encode_target(call(TWO), "numbers")


def test_classes_as_one_hot_rows(call: Call) -> None:
    raw = call("np.array(['u', 'w', 'v', 'w'] * 5)")
    target = encode_target(raw, CATEGORICAL)
    numbers = encode_target(raw, "sparse_categorical_crossentropy")
    assert (target.outputs, numbers.outputs) == (3, 3)
    np.testing.assert_array_equal(target.values, np.eye(3)[np.asarray(numbers.values)])
    assert np.asarray(target.values).dtype == np.float64
    given = encode_target(call("np.eye(4, dtype='uint8')[n % 4]"), CATEGORICAL)
    np.testing.assert_array_equal(given.values, np.eye(4)[np.arange(20) % 4])
    assert (given.outputs, np.asarray(given.values).dtype) == (4, np.float64)
    with pytest.raises(DataError, match=rf"{CATEGORICAL} needs classes.*got 0\.5"):
        encode_target(call("n / 2"), CATEGORICAL)
    for y in (MAPS, TWO):
        with pytest.raises(DataError, match=rf"{CATEGORICAL} takes classes: .*\[rows, classes\]"):
            encode_target(call(y), CATEGORICAL)


def test_numbers_are_a_column_as_it_is(call: Call) -> None:
    target = encode_target(call("n * 100"), "numbers")
    np.testing.assert_array_equal(target.values, np.arange(20.0)[:, None] * 100)
    assert np.asarray(target.values).dtype == np.float64
    with pytest.raises(DataError, match="numbers needs a target of numbers, got the text 'u'"):
        encode_target(call("np.array(['u', 'v'] * 10)"), "numbers")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ("np.ones((20, 2), 'float32')", np.float64),
        ("np.ones((20, 2), 'int64')", np.int32),
        ("np.ones((20, 2), 'uint8')", np.int32),
        ("np.ones((20, 2), bool)", np.int32),
        ("np.full((20, 2), 2**31)", np.float64),
        ("np.full((20, 2), -2**31)", np.int32),
        ("np.array([[1, None]] * 10 + [[1, 2]] * 10, object)", np.float64),
    ],
)
def test_given_targets_keep_what_they_are(call: Call, values: str, dtype: Any) -> None:
    target = encode_target(call(values, missing_target="drop"), "given")
    assert isinstance(target.values, np.ndarray)
    assert (target.values.dtype, target.outputs) == (dtype, 2)


def test_given_targets_by_name(call: Call) -> None:
    target = encode_target(call(TWO), "given")
    assert isinstance(target.values, dict)
    assert {name: array.dtype for name, array in target.values.items()} == {
        "a": np.int32,
        "b": np.float64,
    }
    assert target.outputs == 3
    with pytest.raises(DataError, match="a shape of its own, got one value a row"):
        encode_target(call("n"), "given")


@pytest.mark.parametrize(
    ("y", "facts"),
    [
        ("n % 3", TargetFacts(classes=3)),
        ("n * 1.0", TargetFacts(classes=20)),
        ("n / 2", TargetFacts()),
        ("np.array(['u', 'v'] * 10)", TargetFacts(classes=2, text=True)),
    ],
)
def test_facts_of_a_plain_column(call: Call, y: str, facts: TargetFacts) -> None:
    assert target_facts(call(y)) == facts


def prepared(raw: RawData, form: str, scaling: Any = None) -> PreparedData:
    settings = DatasetSettings(name="iris")
    sets = PreparedSets({"d": raw}, {"d": split_rows(raw, settings)})
    chosen = PreprocessingSettings(target_scaling=scaling)
    data = sets[sets.lay_out("d", chosen, form)]
    assert data.content_hash == prepare(raw, settings, chosen, form).content_hash
    return data


@pytest.mark.parametrize("form", sorted(OWN_FORMS))
def test_these_forms_are_never_scaled(call: Call, form: str) -> None:
    raw = call("n % 4 * 1.0" if form != "given" else MAPS)
    data = prepared(raw, form)
    rows = split_rows(raw, DatasetSettings(name="iris")).train
    np.testing.assert_array_equal(data.y_train, np.asarray(encode_target(raw, form).values)[rows])
    assert data.content_hash == prepared(raw, form, "none").content_hash
    with pytest.raises(DataError, match=r"of your own takes the target as it is\. Set it"):
        prepared(raw, form, "standard")


def test_prepared_targets_by_name(call: Call) -> None:
    raw = call(TWO)
    data = prepared(raw, "given")
    split = split_rows(raw, DatasetSettings(name="iris"))
    for name, values in raw.targets.items():
        np.testing.assert_array_equal(data.y_train[name], values[split.train])
        np.testing.assert_array_equal(data.y_validation[name], values[split.validation])
        with pytest.raises(ValueError, match="read-only"):
            data.y_train[name][0] = 1
    arrays = (data.x_train, data.x_validation, *data.y_train.values(), *data.y_validation.values())
    assert data.nbytes == sum(array.nbytes for array in arrays)
    assert pickle.loads(pickle.dumps(data)).content_hash == data.content_hash
    other = prepared(call("{'c': n[:, None] * [1, 10], 'b': n / 2}"), "given")
    assert other.content_hash != data.content_hash
    assert prepared(call(TWO.replace("n / 2", "n / 4")), "given").content_hash not in (
        data.content_hash,
        other.content_hash,
    )


def test_a_tensorflow_dataset_of_targets_by_name(call: Call) -> None:
    made = "__import__('tensorflow').data.Dataset.from_tensor_slices"
    body = f"{made}((np.ones((20, 2)), {{}}))"
    for tail in ("", ".batch(8)"):
        raw = call(xy=body.format("{'a': n[:, None] * [1, 10], 'b': n / 2}") + tail)
        np.testing.assert_array_equal(raw.targets["a"][:, 1], np.arange(20) * 10)
        np.testing.assert_array_equal(raw.targets["b"], np.arange(20) / 2)
    with pytest.raises(DataError, match="got a tuple of 2"):
        call(xy=body.format("(n, n)"))


def test_a_sweep_of_the_built_in_model_ends_with_one_message(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stabilitysweep.cli import main

    call("np.ones((20, 3))")
    config = tmp_path / "sweep.yaml"
    config.write_text(
        "name: sweep\ndataset: {function: 'shaped_targets_module:f'}\n"
        "training: {steps: 2, batch_size: 4}\ngrid: {learning_rate: [0.1]}\n"
    )
    for command in ("check", "run"):
        code = main([command, str(config)])
        captured = capsys.readouterr()
        assert code == 2
        assert "expected y of shape [rows], one value a row" in captured.err
        assert "(20, 3)" in captured.err
        assert "Traceback" not in captured.err


def codes_of(raw: RawData, model: dict[str, str], **training: str) -> set[str]:
    """What the audit finds in data for a sweep of a model."""
    config = parse_config(
        {
            "name": "sweep",
            "dataset": {"function": "shaped_targets_module:f"},
            "model": model,
            "training": {"steps": 2, "batch_size": 4, **training},
            "grid": {"learning_rate": [0.1]},
        }
    )
    (dataset,) = config.datasets
    return {finding.code for finding in audit(raw, split_rows(raw, dataset), dataset, config)}


@pytest.mark.parametrize(
    ("y", "model", "loss", "refused"),
    [
        ("np.ones((20, 2))", {"name": "mlp"}, {}, True),
        ("np.ones((20, 2))", {"build": "models:build"}, {}, False),
        ("np.ones((20, 2))", {"build": "models:build"}, {"loss": "mse"}, False),
        ("np.array(['u', 'v'] * 10)", {"name": "mlp"}, {}, True),
        ("np.array(['u', 'v'] * 10)", {"build": "models:build"}, {}, False),
        ("np.array(['u', 'v'] * 10)", {"build": "models:build"}, {"loss": "mse"}, True),
    ],
)
def test_the_audit_leaves_to_a_model_of_ones_own_what_its_target_is(
    call: Call, y: str, model: dict[str, str], loss: dict[str, str], refused: bool
) -> None:
    assert ("invalid_target" in codes_of(call(y), model, **loss)) == refused


@pytest.mark.parametrize(
    ("xy", "codes"),
    [
        ("np.ones((20, 2)), np.stack([n * 0, n], axis=1)", set()),
        ("np.ones((20, 2)), np.stack([n * 0, n // 2], axis=1)", {"duplicate_rows"}),
        ("np.stack([n, n % 7], axis=1), n", {"target_leak"}),
        ("np.stack([n, n % 7], axis=1), np.stack([n, n % 7], axis=1)", set()),
    ],
)
def test_the_audit_looks_at_every_target_of_a_row(call: Call, xy: str, codes: set[str]) -> None:
    found = codes_of(call(xy=xy), {"build": "models:build"})
    assert found & {"duplicate_rows", "target_leak"} == codes
