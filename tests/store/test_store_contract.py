"""What every store does. Another store joins by a line in `STORES`."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.errors import ResultError
from stabilitysweep.store import Entry, SQLiteStore, Store
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage

from .strategies import AXIS_VALUE, LAW, TEXT, content, entries, results, trial

Opener = Callable[[Path], Store]
STORES: dict[str, Opener] = {"sqlite": lambda folder: SQLiteStore(folder / "sweep.db")}


@pytest.fixture(params=STORES, scope="module")
def opener(request: pytest.FixtureRequest) -> Opener:
    return STORES[request.param]


@pytest.fixture
def store(opener: Opener, tmp_path: Path) -> Iterator[Store]:
    with opener(tmp_path) as opened:
        opened.record_config({"name": "first"}, {"version": "1"})
        yield opened


@pytest.fixture(scope="module")
def fresh(opener: Opener, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """A new store for each example of a law."""

    def make() -> Store:
        made = opener(tmp_path_factory.mktemp("store"))
        made.record_config({}, {})
        return made

    return make


def unique(found: list[Entry]) -> list[Entry]:
    return list({entry.result.trial_id: entry for entry in found}.values())


TRIALS = st.lists(entries(), max_size=6).map(unique)


def everything(store: Store) -> dict[str, Any]:
    ids = store.stored_ids(include_crashed=True)
    return {trial_id: content(store.result(trial_id)) for trial_id in ids}


# --- adding


@LAW
@given(trials=TRIALS)
def test_a_trial_is_read_back_as_it_was_added(
    fresh: Callable[[], Store], trials: list[Entry]
) -> None:
    with fresh() as store:
        assert store.add(trials) == len(trials)
        assert everything(store) == {entry.result.trial_id: content(entry) for entry in trials}


@settings(LAW, max_examples=25)
@given(trials=TRIALS, data=st.data())
def test_twice_is_once_and_order_is_irrelevant(
    fresh: Callable[[], Store], trials: list[Entry], data: st.DataObject
) -> None:
    again = data.draw(st.permutations(trials + trials))
    cut = data.draw(st.integers(0, len(again)))
    with fresh() as once, fresh() as often:
        once.add(trials)
        often.add(again[:cut])
        often.add(again[cut:])
        assert everything(often) == everything(once)
        pd.testing.assert_frame_equal(often.table([]), once.table([]))


@settings(LAW, max_examples=25)
@given(
    crashed=results(st.just("aa"), st.just(Outcome.CRASHED)),
    measured=results(st.just("aa"), st.sampled_from([Outcome.STABLE, Outcome.NONFINITE])),
    crash_first=st.booleans(),
)
def test_a_measurement_stands_over_a_crash_in_any_order(
    fresh: Callable[[], Store], crashed: Any, measured: Any, crash_first: bool
) -> None:
    pair = [Entry({}, 0, crashed), Entry({}, 0, measured)]
    with fresh() as store:
        for entry in pair if crash_first else reversed(pair):
            store.add([entry])
        assert everything(store) == {"aa": content(pair[1])}


def test_a_measurement_is_never_replaced(store: Store) -> None:
    assert store.add([trial(final_loss=1.0)]) == 1
    assert store.add([trial(final_loss=2.0)]) == 0
    assert store.result("aa").result.final_loss == 1.0


def test_a_retry_that_crashes_too_leaves_its_own_message(store: Store) -> None:
    store.add([trial(outcome=Outcome.CRASHED, message="out of memory")])
    assert store.add([trial(outcome=Outcome.CRASHED, message="no such layer")]) == 1
    assert store.result("aa").result.message == "no such layer"


def test_adding_is_all_or_nothing(store: Store) -> None:
    good, bad = trial("aa"), trial("bb", axes={"depth": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        store.add([good, bad])
    assert store.stored_ids(include_crashed=True) == set()
    assert store.add([good]) == 1


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j])
def test_axis_values_are_plain(store: Store, value: object) -> None:
    with pytest.raises(TypeError, match="plain values"):
        store.add([trial(axes={"depth": value})])


def test_numbers_of_numpy_are_taken(store: Store) -> None:
    axes = {"depth": np.int64(2), "l2": np.float64(0.5), "flag": np.bool_(True)}
    store.add(
        [
            trial(
                axes=axes,
                seed=np.int64(1),
                steps_run=np.int32(7),
                nan_step=np.int32(3),
                final_loss=np.float32(0.5),
                metrics={"mae": np.float32(0.25)},
            )
        ]
    )
    read = store.result("aa")
    assert content(dict(read.axes)) == content({"depth": 2, "l2": 0.5, "flag": True})
    assert content(read.result) == content(
        trial(steps_run=7, nan_step=3, final_loss=0.5, metrics={"mae": 0.25}).result
    )


def test_nothing_to_add_is_fine(store: Store) -> None:
    assert store.add([]) == 0


def test_trials_need_a_config(opener: Opener, tmp_path: Path) -> None:
    with opener(tmp_path) as store:
        with pytest.raises(ValueError, match="call record_config"):
            store.add([trial()])
        with pytest.raises(ValueError, match="no config with id 7"):
            store.add([trial()], config_id=7)


def test_stored_ids_with_and_without_crashes(store: Store) -> None:
    store.add([trial("aa"), trial("bb", outcome=Outcome.CRASHED)])
    assert store.stored_ids(include_crashed=True) == {"aa", "bb"}
    assert store.stored_ids(include_crashed=False) == {"aa"}


def test_a_store_can_be_opened_again(opener: Opener, tmp_path: Path) -> None:
    with opener(tmp_path) as store:
        store.record_config({"name": "x"}, {})
        store.set_meta("thresholds", {"stable": 0.99})
        store.add([trial()])
        before = (everything(store), store.configs(), store.meta())
        store.close()
    with opener(tmp_path) as store:
        assert (everything(store), store.configs(), store.meta()) == before


def test_threads_may_share_a_store(store: Store) -> None:
    failures = []

    def work(number: int) -> None:
        try:
            for place in range(20):
                store.add([trial(f"{number}-{place}"), trial(f"shared-{place}")])
                store.table(["depth"])
                store.find(f"{number}-{place}")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store.stored_ids(include_crashed=True)) == 4 * 20 + 20


# --- configs and meta


def test_a_config_is_appended_when_it_or_its_provenance_changes(store: Store) -> None:
    first = store.latest_config()
    assert first is not None
    assert first.resolved == {"name": "first"}
    same = store.record_config({"name": "first"}, {"version": "1"})
    other = store.record_config({"name": "first", "seeds": 3}, {"version": "1"})
    elsewhere = store.record_config({"name": "first", "seeds": 3}, {"version": "2"})
    back = store.record_config({"name": "first"}, {"version": "1"})
    assert same == first.config_id
    assert [config.config_id for config in store.configs()] == [same, other, elsewhere, back]
    assert same < other < elsewhere < back
    latest = store.latest_config()
    assert latest is not None
    assert latest == store.configs()[-1]
    assert latest.resolved == {"name": "first"}
    assert latest.provenance == {"version": "1"}
    assert latest.created >= first.created


def test_a_config_keeps_the_order_of_its_keys(store: Store) -> None:
    first = store.record_config({"grid": {"b": [1], "a": [2]}}, {})
    second = store.record_config({"grid": {"a": [2], "b": [1]}}, {})
    assert first != second
    assert [list(config.resolved["grid"]) for config in store.configs()[1:]] == [
        ["b", "a"],
        ["a", "b"],
    ]


def test_no_config_yet(opener: Opener, tmp_path: Path) -> None:
    with opener(tmp_path) as store:
        assert store.configs() == []
        assert store.latest_config() is None


def test_configs_are_strict_json(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.record_config({"a": math.inf}, {})
    assert len(store.configs()) == 1


def test_meta_is_set_and_overwritten(store: Store) -> None:
    store.set_meta("thresholds", {"stable": 0.9})
    store.set_meta("thresholds", {"stable": 0.99})
    meta = store.meta()
    assert meta["thresholds"] == {"stable": 0.99}
    assert isinstance(meta["schema_version"], int)
    assert meta["created"].startswith("20")
    for key in ("schema_version", "created"):
        with pytest.raises(ValueError, match="kept by the store"):
            store.set_meta(key, 0)


# --- finding


def test_a_unique_prefix_finds_its_trial(store: Store) -> None:
    store.add([trial(name) for name in ("3fa0", "3fb1", "c0", "c012")])
    assert store.find("3fa") == "3fa0"
    assert store.find("3fb1") == "3fb1"
    assert store.find("c0") == "c0", "a whole id finds itself, though another begins with it"
    with pytest.raises(ResultError, match=r"'3f' begins several trial ids: 3fa0, 3fb1\. Give"):
        store.find("3f")
    with pytest.raises(ResultError, match=r"there is no trial '3fa9'\. Nearest: 3fa0\."):
        store.find("3fa9")
    with pytest.raises(
        ResultError, match=r"there is no trial 'zz'\. Nearest: 3fa0, 3fb1, c0, c012"
    ):
        store.find("zz")
    with pytest.raises(ResultError, match="there is no trial ''"):
        store.find("")


def test_an_ambiguous_prefix_lists_a_few(store: Store) -> None:
    store.add([trial(f"a{number}") for number in range(9)])
    with pytest.raises(ResultError, match=r"a0, a1, a2, a3, a4 and more\."):
        store.find("a")


@pytest.mark.parametrize("prefix", ["%", "_", "*", "a%", "'", "A", "\x00"])
def test_a_prefix_is_no_pattern(store: Store, prefix: str) -> None:
    store.add([trial("aa"), trial("ab")])
    with pytest.raises(ResultError, match="there is no trial"):
        store.find(prefix)


def test_nothing_is_found_in_an_empty_store(store: Store) -> None:
    with pytest.raises(ResultError, match="holds no trials yet"):
        store.find("aa")
    with pytest.raises(ResultError, match="there is no trial 'aa'"):
        store.result("aa")


def test_a_result_needs_the_whole_id(store: Store) -> None:
    store.add([trial("aa11")])
    with pytest.raises(ResultError, match="Nearest: aa11"):
        store.result("aa")


# --- the trials table

MEASURED = [
    *("outcome", "onset_step", "onset_stage", "onset_tensor", "onset_kind", "nan_step", "cause"),
    *("initial_loss", "final_loss", "best_loss", "val_loss"),
]
AFTER_METRICS = [
    *("skipped_steps", "final_loss_scale", "max_abs_activation", "max_grad_norm"),
    *("max_weight_norm", "headroom_bits", "zero_gradients", "critical_learning_rate"),
    *("steps_run", "engine", "compiled"),
]
COUNTS = ["onset_step", "nan_step", "skipped_steps", "steps_run"]
FLOATS = [*MEASURED[7:], *AFTER_METRICS[1:5]]
TEXTS = ["trial_id", *MEASURED[:1], *MEASURED[2:5], "cause", "engine", "compiled"]


def test_the_table_has_the_columns_of_the_design(store: Store) -> None:
    store.add([trial(axes={"l2": 0.5, "depth": 2}, metrics={"r2": 0.5, "mae": 1.0})])
    columns = store.table(["l2", "depth"]).columns.tolist()
    assert columns == [
        *("trial_id", "l2", "depth", "seed"),
        *(*MEASURED, "val_mae", "val_r2", *AFTER_METRICS),
    ]
    assert store.table(["depth", "l2"], metrics=["rmse", "r2"]).columns.tolist() == [
        *("trial_id", "depth", "l2", "seed"),
        *(*MEASURED, "val_rmse", "val_r2", "val_mae", *AFTER_METRICS),
    ]


@pytest.mark.parametrize("trials", [0, 1])
def test_types_do_not_depend_on_the_content(store: Store, trials: int) -> None:
    store.add([trial()] * trials)
    table = store.table(["depth"], metrics=["mae"])
    assert len(table) == trials
    assert (table.dtypes[COUNTS] == "Int64").all()
    assert (table.dtypes[[*FLOATS, "val_mae"]] == np.float64).all()
    assert (table.dtypes[TEXTS] == "object").all()
    assert table.dtypes["seed"] == np.int64
    assert table.index.tolist() == list(range(trials))


def test_values_of_the_table(store: Store) -> None:
    onset = Onset(41, Stage.GRADIENT, "dense_1/kernel", Kind.POSITIVE_INFINITY)
    store.add(
        [
            trial(
                "bb",
                outcome=Outcome.NONFINITE,
                onset=onset,
                nan_step=44,
                cause="learning rate",
                initial_loss=-0.0,
                final_loss=math.nan,
                best_loss=-math.inf,
                val_loss=math.inf,
                metrics={"mae": math.inf, "r2": math.nan},
                skipped_steps=0,
                steps_run=2**53 + 1,
                compiled=Compiled.XLA,
                seed=3,
            ),
            trial("aa", outcome=Outcome.CRASHED, message="x", seed=2),
        ]
    )
    table = store.table(["depth"])
    assert table["trial_id"].tolist() == ["aa", "bb"]
    crashed, row = table.iloc[0], table.iloc[1]
    assert row[MEASURED[:7]].tolist() == [
        *("nonfinite", 41, "gradient", "dense_1/kernel", "+inf", 44, "learning rate")
    ]
    assert (row["compiled"], row["engine"], row["seed"], row["depth"]) == ("xla", "stacked", 3, 2)
    assert math.copysign(1, row["initial_loss"]) == -1
    assert math.isnan(row["final_loss"])
    assert math.isnan(row["val_r2"])
    assert row[["best_loss", "val_loss", "val_mae"]].tolist() == [-math.inf, math.inf, math.inf]
    assert row["skipped_steps"] == 0
    assert row["steps_run"] == 2**53 + 1
    assert all(crashed[name] is None for name in ("onset_stage", "cause", "compiled"))
    assert all(crashed[name] is pd.NA for name in ("onset_step", "nan_step", "skipped_steps"))
    assert crashed[[*FLOATS, "val_mae"]].isna().all()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], np.int64),
        ([0, 1e-4], np.float64),
        ([True, False], np.bool_),
        (["relu", "tanh"], object),
        ([None, 1.0], object),
        ([None, None], object),
        ([1, "full"], object),
        ([True, 1], object),
        ([2**70, 1], object),
        ([2**53 + 1, 0.5], object),
        ([[1, 2], [3]], object),
    ],
)
def test_an_axis_keeps_its_values(store: Store, values: list[Any], dtype: type) -> None:
    store.add([trial(str(place), axes={"x": value}) for place, value in enumerate(values)])
    column = store.table(["x"])["x"]
    assert column.dtype == dtype
    assert column.tolist() == values
    if dtype is object:
        assert [type(value) for value in column] == [type(value) for value in values]


def test_an_axis_added_later_is_filled_from_the_config_of_the_time(store: Store) -> None:
    old = store.record_config({"model": {"depth": 2}}, {})
    new = store.record_config({"model": {"depth": 4}}, {})
    store.add([trial("a", axes={})], config_id=old)
    store.add([trial("b", axes={})])
    last = store.record_config({"grid": {"depth": [8, None]}}, {})
    store.add([trial("c", axes={"depth": 8}), trial("d", axes={"depth": None})])
    assert old < new < last
    table = store.table(["depth"], defaults=lambda axis, config: config.resolved["model"][axis])
    assert table["depth"].tolist() == [2, 4, 8, None]
    assert store.table(["depth"], defaults={"depth": 0})["depth"].tolist() == [0, 0, 8, None]
    for defaults in (None, {"width": 3}):
        with pytest.raises(ResultError, match="no value for the axis 'depth'"):
            store.table(["depth"], defaults=defaults)


def test_a_retried_crash_moves_to_the_config_of_the_retry(store: Store) -> None:
    store.add([trial("a", axes={}, outcome=Outcome.CRASHED)])
    store.record_config({"depth": 4}, {})
    store.add([trial("a", axes={})])
    filled = store.table(["depth"], defaults=lambda axis, config: config.resolved[axis])
    assert filled["depth"].tolist() == [4]


def test_an_axis_of_stored_trials_may_be_left_out(store: Store) -> None:
    store.add([trial(axes={"depth": 2, "l2": 0.5})])
    assert store.table([]).columns[1] == "seed"


def test_rows_come_by_trial_id_whatever_the_order_of_adding(store: Store) -> None:
    ids = [f"{number:04x}" for number in range(200)]
    shuffled = random.Random(0).sample(ids, len(ids))
    store.add([trial(trial_id) for trial_id in shuffled])
    assert store.table(["depth"])["trial_id"].tolist() == ids


@settings(LAW, max_examples=25)
@given(values=st.lists(AXIS_VALUE, min_size=1, max_size=6), text=TEXT)
def test_axes_of_any_values_and_names(
    fresh: Callable[[], Store], values: list[Any], text: str
) -> None:
    with fresh() as store:
        store.add([trial(str(place), axes={text: value}) for place, value in enumerate(values)])
        column = store.table([text])[text] if text not in ("seed", "trial_id") else values
        assert list(column) == values
