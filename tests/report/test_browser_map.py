"""The map in a real browser: its numbers are those of the trials table, whatever is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from browsing import Window, window
from made_up import make_result

from stabilitysweep import Result, open_result, write_report
from stabilitysweep.analysis.axes import make_axes

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FAILED = ["diverged", "nonfinite"]
OUTCOMES = ["stable", "stalled", "diverged", "nonfinite", "crashed"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return open_result(make_result(tmp_path_factory.mktemp("made") / "made_up"))


@pytest.fixture(scope="module")
def file(result: Result) -> Path:
    return write_report(result)


@pytest.fixture(scope="module")
def shared(browser: Browser, file: Path) -> Iterator[Window]:
    with window(browser, file) as found:
        yield found


@pytest.fixture
def seen(shared: Window) -> Window:
    """The page as it is at first, in a window that stays open."""
    shared.page.mouse.move(0, 0)
    shared.page.evaluate("location.hash = 'colour=onset'")
    shared.page.evaluate("location.hash = 'colour=stability'")
    shared.page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    shared.settle()
    assert shared.counts["shown"] == shared.counts["total"]
    return shared


@pytest.fixture(scope="module")
def trials(result: Result) -> pd.DataFrame:
    """The trials with the labels of their settings for the settings, and how much they learnt."""
    table = result.trials.copy()
    for name, axis in make_axes(result.axes).items():
        table[name] = [axis.labels[axis.index_of(value) or 0] for value in table[name]]
    table["learning"] = (table["final_loss"] / table["initial_loss"]).astype(np.float64)
    table.loc[table["outcome"] == "nonfinite", "learning"] = np.inf
    return table


def rows_of(trials: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    found = trials
    for name, label in labels.items():
        found = found[found[name] == label]
    assert len(found)
    return found


def agree(cell: dict[str, Any], rows: pd.DataFrame) -> None:
    """What the page says of a cell is what pandas says."""
    assert cell["trials"] == len(rows)
    for name in OUTCOMES:
        assert cell["outcomes"][name] == (rows["outcome"] == name).sum()
    assert cell["stability"] == pytest.approx(1 - rows["outcome"].isin(FAILED).mean())
    onset = rows["onset_step"].dropna()
    if onset.empty:
        assert cell["onset"] is None
    else:
        assert cell["onset"] == {"median": onset.median(), "earliest": onset.min()}
    causes = rows["cause"].dropna().value_counts().to_dict()
    assert {each["cause"]: each["count"] for each in cell["causes"]} == causes
    for name in ("best_loss", "learning"):
        numbers = rows[name].dropna().astype(np.float32)
        assert cell[name] == pytest.approx(numbers.median(), rel=1e-6)
    assert cell["headroom_bits"] == pytest.approx(rows["headroom_bits"].min(), rel=1e-6)


def shown_as(number: float) -> Any:
    return pytest.approx(number, rel=2e-3)


def cells_of(trials: pd.DataFrame, *names: str) -> list[dict[str, str]]:
    """A few cells: all that holds, where seeds disagree, where nothing holds."""
    share = trials["outcome"].isin(FAILED).groupby([trials[name] for name in names]).mean()
    wanted = [share.idxmin(), (share - 0.5).abs().idxmin(), share.idxmax()]
    keys = [key if isinstance(key, tuple) else (key,) for key in wanted]
    return [dict(zip(names, key, strict=True)) for key in keys]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["stable", "mixed", "failing"])
def test_hovering_a_cell_shows_the_numbers_of_its_trials(
    seen: Window, trials: pd.DataFrame, place: int
) -> None:
    labels = cells_of(trials, "learning_rate", "depth", "precision")[place]
    rows = rows_of(trials, labels)
    seen.page.mouse.move(*seen.middle_of(labels))
    tip = seen.page.locator("#map-tip")
    tip.wait_for(state="visible")
    words = tip.inner_text()
    for label in labels.values():
        assert label in words
    for name, count in rows["outcome"].value_counts().items():
        assert f"{count} {name}" in words
    share = 100 * (1 - rows["outcome"].isin(FAILED).mean())
    assert f"stability {share:.1f}".rstrip("0").rstrip(".") in words
    onset = rows["onset_step"].dropna()
    if len(onset):
        assert f"median step {onset.median():g}, earliest {onset.min():g}" in words
    for seed, step in rows.set_index("seed")["onset_step"].dropna().items():
        assert f"at step {step:g}" in words
        assert f"seed {seed}" in words
    for cause in rows["cause"].dropna().mode()[:1]:
        assert cause.replace("_", " ") in words


def test_a_click_pins_the_cell_with_its_trials_one_by_one(
    seen: Window, trials: pd.DataFrame, result: Result
) -> None:
    for labels in cells_of(trials, "learning_rate", "depth", "precision"):
        rows = rows_of(trials, labels).set_index("trial_id")
        seen.page.mouse.click(*seen.middle_of(labels))
        seen.settle()
        assert seen.state["pins"][-1] == labels
        card = f"#pin-{len(seen.state['pins']) - 1}"
        table = {row["trial"]: row for row in seen.table(f"{card} table.trials")}
        assert sorted(table) == sorted(rows.index)
        for name, row in rows.iterrows():
            shown = table[str(name)]
            assert (shown["outcome"], int(shown["seed"])) == (row["outcome"], row["seed"])
            for head, column in {"onset": "onset_step", "first NaN": "nan_step"}.items():
                step = row[column]
                assert shown[head] == ("–" if pd.isna(step) else f"{step:g}")
            cause = row["cause"]
            assert shown["cause"] == ("–" if pd.isna(cause) else cause.replace("_", " "))
            for head, column in {"initial": "initial_loss", "best": "best_loss"}.items():
                assert float(shown[head]) == shown_as(row[column])
            assert float(shown["headroom"]) == shown_as(row["headroom_bits"])
        commands = seen.page.locator(f"{card} .commands pre").all_inner_texts()
        assert [text.split()[3] for text in commands] == ["show", "diagnose"]
        assert {text.split()[-1] for text in commands} <= set(rows.index)
        lines = seen.page.locator(f"{card} .curves.js-plotly-plot").first
        assert lines.evaluate("plot => plot.data.some(each => each.y.length > 5)")
    seen.page.click("#unpin-all")
    assert seen.state["pins"] == []


@pytest.mark.parametrize(
    "sides",
    [
        {},
        {"x": "depth", "y": "learning_rate"},
        {"x": "precision", "y": "depth", "rows": "", "columns": ""},
        {"x": "learning_rate", "y": "", "columns": ""},
        {"y": "", "rows": "depth", "columns": "precision"},
    ],
    ids=str,
)
def test_every_choice_of_axes_gives_the_cells_that_pandas_gives(
    seen: Window, trials: pd.DataFrame, sides: dict[str, str]
) -> None:
    seen.place(**sides)
    state = seen.state
    for side, name in sides.items():
        assert state[side] == (name or None)
    placed = [state[side] for side in ("x", "y", "rows", "columns") if state[side]]
    groups = trials.groupby(placed)
    assert seen.counts["cells"] == groups.ngroups
    for labels in cells_of(trials, *placed):
        agree(seen.cell(labels), rows_of(trials, labels))
        assert seen.ask("point", labels) is not None
    seen.page.click("#toggle-table")
    table = seen.table("#map-table table.map-cells")
    assert len(table) == groups.ngroups
    for row in table:
        rows = groups.get_group(tuple(row[name] for name in placed))
        assert int(row["trials"]) == len(rows)
        assert [int(row[name]) for name in OUTCOMES] == [
            (rows["outcome"] == name).sum() for name in OUTCOMES
        ]
        share = float(row["stability"].removesuffix(" %"))
        assert share == pytest.approx(100 * (1 - rows["outcome"].isin(FAILED).mean()), abs=0.051)
        onset = rows["onset_step"].median()
        assert row["onset, median"] == ("–" if pd.isna(onset) else f"{onset:g}")
        assert float(row["best loss"]) == shown_as(rows["best_loss"].median())
    seen.page.click("#toggle-table")


@pytest.mark.parametrize("colour", ["onset", "learning", "cause", "headroom", "loss"])
def test_every_colour_is_of_the_numbers_that_pandas_gives(
    seen: Window, trials: pd.DataFrame, colour: str
) -> None:
    seen.place(colour=colour)
    for labels in cells_of(trials, "learning_rate", "depth", "precision"):
        rows = rows_of(trials, labels)
        seen.page.mouse.move(*seen.middle_of(labels))
        terms = seen.page.locator("#map-tip dl").evaluate_all(
            "lists => lists.flatMap(list => [...list.children].map(each => each.textContent))"
        )
        told = dict(zip(terms[::2], terms[1::2], strict=True))
        if colour == "onset":
            step = rows["onset_step"].median()
            assert told.get("onset", "–").startswith(
                "–" if pd.isna(step) else f"median step {step:g}"
            )
        elif colour == "cause":
            most = rows["cause"].dropna().value_counts()
            first = "–" if most.empty else f"{most.index[0].replace('_', ' ')} ({most.iloc[0]})"
            assert told.get("cause", "–").startswith(first)
        elif colour == "headroom":
            assert float(told[colour]) == shown_as(rows["headroom_bits"].min())
        elif rows["outcome"].isin(FAILED).mean() == 0:
            column = {"learning": "learning", "loss": "best_loss"}[colour]
            assert float(told[colour]) == shown_as(rows[column].median())


def test_filters_leave_the_trials_that_pandas_leaves(seen: Window, trials: pd.DataFrame) -> None:
    page = seen.page

    def left(rows: pd.DataFrame) -> None:
        seen.settle()
        expected = {name: int((rows["outcome"] == name).sum()) for name in OUTCOMES}
        assert (seen.counts["shown"], seen.counts["outcomes"]) == (len(rows), expected)
        assert page.locator("#map-count").inner_text() == f"{len(rows)} of {len(trials)} trials"

    rows = trials[trials["outcome"] != "stable"]
    page.uncheck("#filter-outcome-0")
    left(rows)
    rows = rows[rows["seed"] != 1]
    page.uncheck("#filter-seed-1")
    left(rows)
    rates = sorted(set(trials["learning_rate"]), key=float)
    page.select_option("#filter-axis0-from", str(rates.index(rates[5])))
    page.select_option("#filter-axis0-to", str(rates.index(rates[11])))
    rows = rows[rows["learning_rate"].isin(rates[5:12])]
    left(rows)
    for labels in cells_of(rows, "learning_rate", "depth"):
        agree(seen.cell(labels), rows_of(rows, labels))
    page.uncheck("#filter-cause-0")
    kept = page.locator("#filter-cause label").all_text_contents()
    gone = rows["cause"].fillna("").str.replace("_", " ").map(lambda each: each in kept[0] and each)
    rows = rows[~gone.astype(bool)]
    left(rows)
    page.click("#filter-reset")
    left(trials)


def test_a_filter_that_leaves_nothing_says_so(seen: Window) -> None:
    for place in range(5):
        seen.page.uncheck(f"#filter-outcome-{place}")
    assert seen.counts["shown"] == 0
    seen.page.locator("#map-stage").focus()
    seen.page.keyboard.press("ArrowRight")
    assert "no trial shown" in seen.page.locator("#map-tip").inner_text()
    assert "NaN" not in seen.words and "undefined" not in seen.words
    seen.page.click("#filter-reset")


def test_the_map_is_read_and_pinned_by_keyboard(seen: Window, trials: pd.DataFrame) -> None:
    page = seen.page
    page.locator("#map-stage").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    tip = page.locator("#map-tip")
    assert tip.is_visible()
    assert page.locator("#map-stage .cursor").is_visible()
    page.keyboard.press("Enter")
    seen.settle()
    (pin,) = seen.state["pins"]
    said = page.locator("#map-live").inner_text()
    assert "Pinned" in said
    rates = sorted(set(trials["learning_rate"]), key=float)
    assert pin["learning_rate"] == rates[2]
    agree(seen.cell(pin), rows_of(trials, pin))
    assert not tip.is_visible()
    page.keyboard.press("Escape")
    assert seen.state["pins"] == []
    page.keyboard.press("?")
    assert page.locator("#map-keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#map-keys").is_visible()
    page.keyboard.press("c")
    assert seen.state["colour"] == "onset"
    before = seen.state
    page.keyboard.press("s")
    assert (seen.state["x"], seen.state["y"]) == (before["y"], before["x"])


def test_every_control_is_reached_by_tab(seen: Window) -> None:
    reached = {"theme"}
    seen.page.evaluate("document.querySelector('#theme').focus()")
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        reached.add(seen.page.evaluate("document.activeElement.id"))
    wanted = seen.page.evaluate(
        "[...document.querySelectorAll('#map-controls [id], #map-filters [id], #map-stage')]"
        ".filter(each => each.matches('input, select, button:not(:disabled), #map-stage'))"
        ".map(each => each.id)"
    )
    assert {"control-x", "filter-outcome-0", "map-stage"} <= set(wanted)
    assert set(wanted) <= reached


def test_the_address_keeps_the_view(browser: Browser, file: Path, trials: pd.DataFrame) -> None:
    with window(browser, file) as first:
        first.place(x="depth", y="learning_rate", colour="cause")
        first.page.uncheck("#filter-outcome-1")
        (_, labels, _) = cells_of(trials, "depth", "learning_rate", "precision")
        first.page.mouse.click(*first.middle_of(labels))
        first.settle()
        state, counts = first.state, first.counts
        view = first.page.evaluate("location.hash.slice(1)")
    assert state["pins"] == [labels]
    with window(browser, file, view=view) as second:
        assert (second.state, second.counts) == (state, counts)
        assert second.page.locator("#pin-0 table.trials").count() == 1
        second.open(file, "x=nonsense&colour=&only.depth=%&pin=depth:99")
        second.page.reload()
        second.page.wait_for_selector("html[data-ready=true]", state="attached")
        assert second.counts["shown"] == len(trials)


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_no_axis_stands_on_two_sides(seen: Window, side: str) -> None:
    seen.place(rows="", columns="")
    seen.place(**{side: "learning_rate"})
    state = seen.state
    sides = [state[name] for name in ("x", "y", "rows", "columns")]
    placed = [name for name in sides if name]
    assert state[side] == "learning_rate"
    assert state["x"] == "depth"
    assert len(placed) == len(set(placed))
    # With nothing left that could come to x it stays there.
    seen.place(y="learning_rate")
    seen.place(x="learning_rate", y="", rows="", columns="")
    seen.place(**{side: "learning_rate"})
    assert (seen.state["x"], seen.state[side]) == ("learning_rate", None)


def test_precisions_stand_beside_each_other(seen: Window, trials: pd.DataFrame) -> None:
    button = seen.page.locator("#toggle-precision")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert seen.state["columns"] is None
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert seen.state["columns"] == "precision"
    (_, mixed, _) = cells_of(trials, "learning_rate", "depth", "precision")
    seen.page.mouse.click(*seen.middle_of(mixed))
    twins = seen.page.locator("#pin-0 table.twins tr").first.locator("th").all_inner_texts()
    assert twins[1:] == ["float32", "float16"]
