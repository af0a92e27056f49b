"""Loading: functions of the user's, by `module:function`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.data.raw import MISSING_CODE
from stabilitysweep.errors import DataError

Call = Callable[..., RawData]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Load from a function `f`, given the text of its module."""

    def load_from(text: str, **keys: Any) -> RawData:
        (tmp_path / "own_module.py").write_text("import numpy as np\n" + text)
        return load(DatasetSettings(function="own_module:f", **keys), tmp_path)

    return load_from


def test_two_arrays(call: Call) -> None:
    raw = call("def f(n=3): return np.arange(2 * n).reshape(n, 2), np.arange(n)")
    assert raw.feature_names == ("x0", "x1")
    np.testing.assert_array_equal(raw.features, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(raw.target, [0, 1, 2])
    assert raw.label == "f"
    assert raw.source.startswith("function own_")
    assert raw.locate(1) == "row 1 (counted from 0)"


def test_options_are_arguments(call: Call) -> None:
    raw = call(
        "def f(n, *, scale=1): return np.ones((n, 1)) * scale, np.zeros(n)", options={"n": 2}
    )
    assert raw.features.tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        ("[[1, 2], [3, 4]], [0, 1]", ("x0", "x1")),
        ("[[1, 2], [3, 4]], [[0], [1]]", ("x0", "x1")),
        ("[1, 2], [0, 1]", ("x0",)),
        ("np.zeros((2, 2, 1)), [0, 1]", ("x_0_0", "x_1_0")),
        ("{'a': [1, 2], 'b': np.zeros((2, 2))}, [0, 1]", ("a", "b_0", "b_1")),
        ("np.array([[True], [False]]), [True, False]", ("x0",)),
    ],
)
def test_what_x_and_y_may_be(call: Call, returned: str, names: tuple[str, ...]) -> None:
    raw = call(f"def f(): return {returned}")
    assert raw.feature_names == names
    assert raw.target.shape == (2,)
    assert raw.own_training_rows is None


def test_own_validation_rows_of_another_shape_are_refused(call: Call) -> None:
    """Arrays have no names by which a column too many could be told."""
    with pytest.raises(DataError, match=r"same columns.*shape \(4, 2\).*validation rows.*\(3, 5\)"):
        call("def f(): return (np.ones((4, 2)), np.ones(4)), (np.ones((3, 5)), np.ones(3))")


def test_own_validation_rows(call: Call) -> None:
    raw = call("def f(): return (np.zeros((3, 2)), [0, 1, 0]), (np.ones((2, 2)), [1, 1])")
    assert raw.own_training_rows == 3
    assert raw.features[:, 0].tolist() == [0, 0, 0, 1, 1]
    assert raw.locate(4) == "row 1 (counted from 0) of the validation rows"


FRAME = """
import pandas as pd
def frame():
    return pd.DataFrame({
        "a": [1, 2], "c": ["u", None], "i": pd.array([1, None], dtype="Int64"),
        "g": pd.Categorical(["q", "r"]), "t": pd.to_datetime(["1970-01-02", None]),
        7: [0.5, np.nan], "y": [0.0, 1.0],
    }, index=[5, 5])
"""


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ("def f(): return frame()", {"target": "y"}),
        ("def f(): return frame().drop(columns='y'), frame()['y']", {}),
    ],
)
def test_a_frame(call: Call, body: str, keys: dict[str, Any]) -> None:
    raw = call(FRAME + body, **keys)
    assert raw.feature_names == ("a", "i", "t", "7")
    nan = np.nan
    np.testing.assert_array_equal(raw.features, [[1, 1, 1, 0.5], [2, nan, nan, nan]])
    assert raw.category_names == ("c", "g")
    assert raw.levels == (("u",), ("q", "r"))
    assert raw.categories.tolist() == [[0, 0], [MISSING_CODE, 1]]
    assert raw.target_name == "y"
    assert raw.target.tolist() == [0, 1]


def test_a_dict_of_columns(call: Call) -> None:
    text = "def f(): return {'a': np.arange(3), 'c': ['p', None, 'q'], 'y': ['s', 't', 's']}"
    raw = call(text, target="y")
    assert raw.feature_names == ("a",)
    assert raw.levels == (("p", "q"),)
    assert raw.target.tolist() == ["s", "t", "s"]
    assert call(text, target="y", exclude=["c"], rows=2).features.shape == (2, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def f(): return np.zeros((3, 2)), np.zeros(2)", "3 in x0, 2 in the target"),
        ("def f(): return np.zeros((0, 2)), []", r"at least one row.*\(0, 2\)"),
        ("def f(): return np.zeros((3, 0)), np.zeros(3)", r"one column in x.*\(3, 0\)"),
        ("def f(): return 3, [1]", "got a single value"),
        ("def f(): return None", r"expected \(x, y\).*got NoneType"),
        ("def f(): return 1, 2, 3", "got tuple of 3"),
        ("def f(): return [[1, 2], [3]], [0, 1]", "expected an array in x"),
        ("def f(): return np.zeros((2, 1), complex), [0, 1]", "column 'x0', got complex128"),
        ("def f(): return {'a': [1, 'x'], 'y': [0, 1]}, [1, 2]", None),
        ("def f(): return np.zeros((2, 1)), [0, np.nan]", "the target has no value in row 1"),
        ("def f(): return np.zeros((2, 1)), [0, np.inf]", "the target is infinite in row 1"),
        ("def f(): return {'a': [1]}", "returns a table: expected the name.*one of: a"),
        ("def f(): raise KeyError('no such thing')", r"KeyError: 'no such thing', in .*own_.*py:2"),
        ("def f():\n  return g()\ndef g():\n  return 1 / 0", r"ZeroDivisionError.*\.py:5"),
        ("def f(): raise SystemExit(3)", "SystemExit: 3"),
        ("def f(n): return n", r"options: missing a required argument: 'n'\. It takes: n"),
        ("f = 3", "expected a function, got 'f' of type int"),
        ("def ff(): pass", r"there is no 'f' in .*Did you mean 'ff'\? It has: ff"),
        ("import no_such_module_", r"cannot be imported: ModuleNotFoundError.*own_.*py:2"),
        ("def f(:", r"cannot be imported: SyntaxError.*own_.*py:2"),
        ("1 / 0", r"cannot be imported: ZeroDivisionError.*own_.*py:2"),
    ],
)
def test_what_goes_wrong_is_said_in_one_message(call: Call, body: str, message: str | None) -> None:
    if message is None:  # numpy makes texts of a mixture
        assert call(body).levels == (("1", "x"),)
        return
    with pytest.raises(DataError, match=message) as caught:
        call(body)
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_options_name_the_nearest(call: Call) -> None:
    with pytest.raises(DataError, match=r"'smaples'\. Did you mean 'samples'\? It takes: samples"):
        call("def f(samples=3): return samples", options={"smaples": 4})


MASKED = """
def f():
    n = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    d = np.ma.array(["1970-01-02", "1970-01-03", "1970-01-04"], mask=[0, 0, 1], dtype="M8[D]")
    t = np.ma.array([True, False, True], mask=[1, 0, 0])
    c = np.ma.array(["u", "v", "w"], mask=[0, 1, 0])
    whole = np.ma.array([4, 5, 6])
    return {"n": n, "d": d, "t": t, "c": c, "whole": whole, "y": np.arange(3)}
"""


def test_what_is_masked_is_missing(call: Call) -> None:
    raw = call(MASKED, target="y")
    nan = np.nan
    assert raw.feature_names == ("n", "d", "t", "whole")
    np.testing.assert_array_equal(raw.features, [[1, 1, nan, 4], [nan, 2, 0, 5], [3, nan, 1, 6]])
    assert raw.categories.tolist() == [[0], [MISSING_CODE], [1]]
    assert raw.levels == (("u", "w"),)
    assert raw.dtypes["whole"] == "int64"
    matrix = call("def f(): return np.ma.array([[1.0, 2], [3, 4]], mask=[[0, 1], [0, 0]]), [0, 1]")
    np.testing.assert_array_equal(matrix.features, [[1, nan], [3, 4]])


@pytest.mark.parametrize("values", ["[1, 2, 3]", "['p', 'q', 'p']"])
def test_a_masked_target_is_a_missing_one(call: Call, values: str) -> None:
    text = f"def f(): return np.zeros((3, 1)), np.ma.array({values}, mask=[0, 0, 1])"
    with pytest.raises(DataError, match="the target has no value in row 2"):
        call(text)
    raw = call(text, missing_target="drop")
    assert (len(raw.target), raw.without_target) == (2, 1)


@pytest.mark.parametrize(
    "returned",
    [
        "{'a': np.zeros((4, 2)), 'a_0': np.zeros(4)}, np.zeros(4)",
        "{'a_0': pd.Series(np.zeros(4)), 'a': np.zeros((4, 2))}, np.zeros(4)",
        "{'a': np.zeros((4, 2)), 'a_1': pd.Series(np.zeros(4))}, np.zeros(4)",
    ],
)
def test_columns_that_get_one_name_are_refused(call: Call, returned: str) -> None:
    with pytest.raises(DataError, match=r"different names of columns, got a.* from a.*Rename one"):
        call(f"import pandas as pd\ndef f(): return {returned}")


def test_the_type_of_an_input_is_not_that_of_a_target_of_its_name(call: Call) -> None:
    frame = "pd.DataFrame({'a': np.arange(3, dtype='uint8')})"
    raw = call(f"import pandas as pd\ndef f(): return {frame}, pd.Series([0.5, 1, 2], name='a')")
    assert raw.target_name == "a"
    assert raw.dtypes == {"a": "uint8"}


def test_objects_of_mixed_kinds_are_refused(call: Call) -> None:
    text = "def f(): return {'a': np.array([1, 'x'], object), 'y': [0, 1]}"
    with pytest.raises(DataError, match="column 'a', got a mixture of int, str"):
        call(text, target="y")


def test_a_module_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_houses.py").touch()
    (tmp_path / "configs").mkdir()
    with pytest.raises(DataError, match=r"no module 'my_house'\..*There is 'my_houses'") as caught:
        load(DatasetSettings(function="my_house:f"), tmp_path / "configs")
    assert f"Looked for it in {tmp_path}, {tmp_path / 'configs'} and" in str(caught.value)
    with pytest.raises(DataError, match=r"no module 'os\.no_such'"):
        load(DatasetSettings(function="os.no_such:f"), tmp_path)


def test_the_configs_parent_is_looked_in(tmp_path: Path) -> None:
    (tmp_path / "beside_the_configs.py").write_text("def f(): return [[1]], [2]\n")
    raw = load(DatasetSettings(function="beside_the_configs:f"), tmp_path / "configs")
    assert raw.features == [[1]]


DATASETS = """
def f(kind):
    import tensorflow as tf
    x, y = np.arange(12, dtype="float32").reshape(6, 2), np.arange(6)
    slices = tf.data.Dataset.from_tensor_slices
    named = {"x0": x[:, 0], "word": ["u", "v", "u", "v", "u", "v"]}
    whole = slices((x, y))
    return {
        "rows": lambda: whole,
        "batches": lambda: whole.batch(4),
        "even batches": lambda: whole.batch(3, drop_remainder=True),
        "one label in an array": lambda: slices((x, y[:, None])),
        "batches of such": lambda: slices((x, y[:, None])).batch(4),
        "unknown number": lambda: whole.filter(lambda _, label: label > -1),
        "tensors": lambda: (tf.constant(x), tf.constant(y)),
        "named": lambda: slices((named, y)),
        "named batches": lambda: slices((named, y)).batch(4),
        "pair": lambda: (whole, whole.take(2)),
        "endless": lambda: whole.repeat(),
        "none": lambda: whole.take(0),
        "no label": lambda: slices(x),
    }[kind]()
"""


@pytest.mark.slow
def test_tensorflow_datasets(call: Call) -> None:
    def kind(name: str) -> RawData:
        return call(DATASETS, options={"kind": name})

    plain = kind("rows")
    np.testing.assert_array_equal(plain.features, np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(plain.target, np.arange(6))
    assert plain.dtypes == {"x0": "float32", "x1": "float32"}
    same = ["batches", "even batches", "one label in an array", "batches of such"]
    for name in [*same, "unknown number", "tensors"]:
        assert kind(name).content_hash == plain.content_hash, name
    assert kind("named").levels == (("u", "v"),)
    assert kind("named").content_hash == kind("named batches").content_hash
    assert kind("pair").own_training_rows == 6
    for name, message in {
        "endless": r"one that repeats for ever\. Add \.take\(n\)",
        "none": "expected rows, got a tf.data.Dataset of none",
        "no label": r"expected a tf.data.Dataset of \(x, y\), got one of TensorSpec",
    }.items():
        with pytest.raises(DataError, match=message):
            kind(name)


def test_notices_of_tensorflow_while_the_module_is_imported_stay_off_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notice = "I0000 00:00:1795616185.662487    2576 port.cc:153] oneDNN custom operations are on."
    (tmp_path / "noisy_.py").write_text(
        f"import os, sys\nos.write(2, b'{notice}\\n')\nprint('mine', file=sys.stderr)\n"
        f"level = os.environ['TF_CPP_MIN_LOG_LEVEL']\n"
        f"def f():\n    os.write(2, b'{notice}\\nmine too\\n')\n"
        "    return [[float(level)], [2.0], [3.0]], [1.0, 2.0, 3.0]\n"
    )
    load(DatasetSettings(function="noisy_:f"), tmp_path)
    assert capfd.readouterr().err == "mine\nmine too\n"
