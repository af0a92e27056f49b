"""The page itself: what it may do, what of the user's it shows as text, how it reads."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from long_runs import CONFIG as LONG
from long_runs import LongExecutor, cell, swept
from made_up import CRASHED, config_of, make_recorded, make_result
from page_reading import Page
from surveyed_builds import Survey, result_of

from stabilitysweep import Result, ResultError, Thresholds, execution, open_result, write_report
from stabilitysweep.config import parse_config
from stabilitysweep.report.commands import command
from stabilitysweep.report.page import BUDGET, page, strict_json
from stabilitysweep.types import Outcome

EVIL = "</script><script>alert(1)</script><img src=x onerror=\"alert('2')\"> & ' \u2028 \u00e9"
MOST_PLAIN = 5_400_000
"""Bytes of a page of a few trials: plotly.js and some."""


def whole(*results: Result) -> Page:
    """A page that can be read, checked for what every page is to be."""
    html = page(results)
    found = Page(html)
    assert found.open == []
    assert html.startswith("<!doctype html>")
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes.get("data-copy") for _, attributes in found.tags]
    assert {f"#{name}" for name in ids} >= {target for target in targets if target}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert str(attributes.get(name) or "#").startswith("#")
    assert not re.search(r"\b(None(?! of the)|nan|NaT|<NA>)\b", found.words)
    assert len(html.encode()) < MOST_PLAIN < BUDGET
    assert [result["label"] for result in found.payload["results"]]
    return found


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return open_result(make_result(tmp_path_factory.mktemp("made") / "made_up"))


@pytest.fixture(scope="module")
def read(result: Result) -> Page:
    return whole(result)


def test_only_its_own_scripts_may_run_and_nothing_is_loaded(read: Page) -> None:
    (policy,) = [
        str(attributes["content"])
        for tag, attributes in read.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()) for code in read.code]
    assert parts.pop("script-src") == " ".join(f"'sha256-{each.decode()}'" for each in digests)
    assert len(digests) == 2
    assert parts == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "font-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # A browser makes line feeds of these before it takes the digest.
    assert not any("\r" in code for code in read.code)
    first = next(place for place, (tag, _) in enumerate(read.tags) if tag in ("style", "script"))
    assert any(
        attributes.get("http-equiv") == "Content-Security-Policy"
        for _, attributes in read.tags[:first]
    )


def test_the_places_that_the_script_fills_are_there(read: Page) -> None:
    for name in ("controls", "filters", "plot", "legend", "count", "table"):
        assert f"map-{name}" in read.by_id
    assert {"pin", "theme", "payload"} <= read.by_id.keys()


def test_the_page_answers_in_the_order_of_the_questions(read: Page) -> None:
    order = [
        "made_up (diabetes, 100 steps)",
        "177 of 360 trials (49 %) failed within 100 steps, most often since the learning rate",
        "took",
        "12 s for 360 trials",
        "Where training is stable",
        "What failed and why",
        "Trials that stand for the others",
        "Safe picks",
        "pick 1",
        "The data",
        "income",
        "Where this comes from",
        "made up, x86_64, 2 cores, Linux",
        "Commands",
        "python -m stabilitysweep run made_up.yaml",
    ]
    words, at = read.words, 0
    for text in order:
        assert text in words[at:], text
        at = words.index(text, at)


def test_the_configs_on_it_are_those_of_the_picks_and_of_the_sweep(
    read: Page, result: Result
) -> None:
    texts = [text for name, text in read.by_id.items() if name.startswith("copy-")]
    configs = [text for text in texts if "grid:" in text]
    assert configs[:3] == list(result.recommend().configs)
    again = parse_config(configs[3])
    assert again.grid == result.config.grid
    assert again.seeds == result.config.seeds


def test_the_same_result_makes_the_same_page(result: Result) -> None:
    assert page([open_result(result.folder)]) == page([open_result(result.folder)])


def test_fifty_thousand_trials_with_a_sentence_each_stay_below_fifteen_megabytes(
    tmp_path: Path,
) -> None:
    # A result of few trials whose table is told to be fifty times as long.
    result = open_result(make_result(tmp_path / "many", config_of(1000)))
    own, traces = result.trials, result.traces()
    copies = []
    for number in range(50):
        ids = [f"{number:02x}{trial[2:]}" for trial in own["trial_id"]]
        texts = [text and f"{text} {number} {row}" for row, text in enumerate(own["cause_text"])]
        seeds = own["seed"] + 100 * number
        copies.append(own.assign(trial_id=ids, seed=seeds, cause_text=texts))
    table = pd.concat(copies, ignore_index=True)
    known = dict(
        zip(table["trial_id"], 50 * [traces[trial] for trial in own["trial_id"]], strict=True)
    )
    assert len(table) == len(known) == 50_000
    many = vars(result)
    many |= {"trials": table, "traces": lambda ids: known}
    html = page([result])
    assert len(html.encode()) < BUDGET < 15_000_000
    found = Page(html).payload["results"][0]
    assert found["n"] == 50_000 and found["curves"]["points"] >= 16
    assert 1000 < len(found["texts"]) < table["cause_text"].nunique()


def test_nothing_of_the_users_is_more_than_text(tmp_path: Path) -> None:
    column = "<script>alert(1)</script>"
    finding = {
        "severity": "critical",
        "code": "missing_values",
        "column": column,
        "count": 3,
        "text": f"3 values are missing in {EVIL}",
        "remedy": f"dataset: {{exclude: ['{column}']}}",
    }
    datasets = [{"name": "diabetes", "label": EVIL}, {"name": "diabetes", "label": "{{ 7 * 7 }}"}]
    content = config_of(grid={"dataset": datasets, "learning_rate": [0.01, 0.1, 1.0]}, dataset=None)
    del content["dataset"]
    folder = tmp_path / EVIL.replace("/", "\\")
    result = open_result(make_result(folder, content, provenance={"audit": {EVIL: [finding]}}))
    found = whole(result)
    assert len(found.scripts) == 3
    assert not [tag for tag, _ in found.tags if tag in ("img", "iframe", "object", "b")]
    spaced = " ".join(EVIL.split())
    assert column in found.words and spaced in found.words and "{{ 7 * 7 }}" in found.words
    axis = found.payload["results"][0]["axes"][0]
    assert axis["labels"] == [EVIL, "{{ 7 * 7 }}"]


def test_the_payload_is_strict_and_ends_no_script() -> None:
    text = strict_json({"a": EVIL})
    assert not set(text) & set("<>&\u2028\u2029")
    assert Page(f'<script type="application/json" id="payload">{text}</script>').payload == {
        "a": EVIL
    }
    with pytest.raises(ValueError, match="JSON"):
        strict_json([float("nan")])


def _plain(**choice: Any) -> Callable[[Path], Result]:
    sections = choice.pop("sections", {})
    trials = choice.pop("trials", 80)
    return lambda folder: open_result(make_result(folder, config_of(trials, **sections), **choice))


def _no_rate(folder: Path) -> Result:
    training = {"steps": 20, "learning_rate": 0.01}
    grid = {"depth": [1, 2], "activation": ["relu", "tanh"]}
    return open_result(make_result(folder, config_of(grid=grid, training=training)))


def _one_trial(folder: Path) -> Result:
    return open_result(make_result(folder, config_of(grid={"learning_rate": [0.01]}, seeds=1)))


def _thresholds(folder: Path) -> Result:
    return open_result(make_result(folder, config_of(80)), Thresholds(stable_below=0.5))


def _before_there_was_more(folder: Path) -> Result:
    nothing: dict[str, Any] = {
        "audit": {},
        "data": {},
        "versions": {},
        "processor": {},
        "flags": {},
    }
    return open_result(make_result(folder, config_of(80), provenance=nothing))


KINDS: dict[str, tuple[Callable[[Path], Result], list[str]]] = {
    "nothing failed": (
        _plain(outcome=Outcome.STABLE),
        ["All 80 trials stayed stable within 100 steps.", "Nothing diverged and nothing became"],
    ),
    "nothing learnt": (
        _plain(outcome=Outcome.STALLED),
        ["All 80 trials stayed stable within 100 steps, though none learnt anything."],
    ),
    "all failed": (
        _plain(outcome=Outcome.NONFINITE),
        ["Every one of the 80 trials failed", "What to change"],
    ),
    "all crashed": (
        _plain(outcome=Outcome.CRASHED),
        ["None of the 80 trials could be run.", CRASHED],
    ),
    "half is missing": (
        _plain(share=0.5),
        ["Not complete: 40 trials of 80 are not run yet", "not run yet"],
    ),
    "no curves": (_plain(curves=False), ["Failures by cause"]),
    "no learning rate": (_no_rate, ["activation: relu, tanh", "learning_rate=0.01"]),
    "one axis": (_plain(trials=10), ["learning rate: 10 values, 0.001 to 10"]),
    "one trial": (_one_trial, ["The one trial stayed stable", "1, in 1 cell, 1 seed"]),
    "other thresholds": (_thresholds, ["Judged anew by stable below 0.5"]),
    "an earlier version": (_before_there_was_more, ["no audit is stored with this result"]),
    "a search": (
        lambda folder: open_result(make_recorded(folder)),
        ["from RandomSearch, project 'a <b>project</b>'", "as a trial of the search"],
    ),
    "a build": (lambda folder: result_of(folder, survey=Survey()), ["no_such_module:build"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_result_reads_well(kind: str, tmp_path: Path) -> None:
    make, expected = KINDS[kind]
    words = whole(make(tmp_path / "some")).words
    for text in expected:
        assert text in words, text


def test_of_a_search_nothing_is_offered_that_trains(tmp_path: Path) -> None:
    words = whole(open_result(make_recorded(tmp_path / "searched"))).words
    for word in ("run", "refine", "confirm", "diagnose"):
        assert f"stabilitysweep {word}" not in words


def test_data_sets_of_one_result_are_compared(tmp_path: Path) -> None:
    datasets = [{"name": "diabetes"}, {"name": "diabetes", "label": "again"}]
    content = config_of(grid={"dataset": datasets, "learning_rate": [0.01, 0.1, 1.0]})
    del content["dataset"]
    found = whole(open_result(make_result(tmp_path / "two", content)))
    assert "Side by side" in found.words and "most fragile" in found.words
    assert found.payload["overlap"] is not None


def test_several_results_stand_beside_each_other(tmp_path: Path, result: Result) -> None:
    other = open_result(make_result(tmp_path / "other", config_of(80, name="other")))
    found = whole(result, other)
    labels = ["made_up (diabetes, 100 steps)", "other (diabetes, 100 steps)"]
    assert [each["label"] for each in found.payload["results"]] == labels
    assert "2 results beside each other" in found.words and "Side by side" in found.words
    # The same name twice: the folder tells them apart.
    twin = open_result(make_result(tmp_path / "twin", config_of(80, name="other")))
    called = [each["label"] for each in whole(other, twin).payload["results"]]
    assert called == [f"{labels[1]}: {tmp_path / name}" for name in ("other", "twin")]


def test_results_that_cannot_be_compared_have_a_page_all_the_same(tmp_path: Path) -> None:
    grids = {"one": {"learning_rate": [0.01, 0.1]}, "other": {"depth": [1, 2]}}
    results = [
        open_result(make_result(tmp_path / name, config_of(grid=grid, name=name)))
        for name, grid in grids.items()
    ]
    assert "There is no comparison: " in whole(*results).words


@pytest.mark.parametrize("name", ["sweep.db", "trials.csv", "config.yaml", "page"])
def test_nothing_but_a_page_is_written_over(tmp_path: Path, name: str) -> None:
    folder = make_result(tmp_path / "made_up")
    file = folder / name
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(ResultError, match=r"that ends in \.html"):
        write_report(folder, out=file)
    assert (file.read_bytes() if file.exists() else None) == before


def test_what_is_no_file_is_not_replaced(tmp_path: Path, result: Result) -> None:
    pipe = tmp_path / "pipe.html"
    os.mkfifo(pipe)
    with pytest.raises(ResultError, match="got something else"):
        write_report(result, out=pipe)
    assert pipe.is_fifo()


def test_commands_hold_for_any_name_of_a_folder() -> None:
    assert command("show", Path("-dash"), "--json").endswith("show ./-dash --json")
    assert command("show", Path("a {id} b")).endswith("show 'a {id} b'")


def test_a_page_is_of_different_results_that_have_trials(tmp_path: Path, result: Result) -> None:
    with pytest.raises(ResultError, match=r"expected different results, got .* twice"):
        page([result, open_result(result.folder)])
    empty = open_result(make_result(tmp_path / "empty", share=0))
    with pytest.raises(ResultError, match="expected a result with trials, got one without any"):
        page([empty])


def test_long_runs_are_shown_with_what_became_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = LongExecutor()
    monkeypatch.setattr(execution, "LocalExecutor", lambda workers, engine: executor)
    result = swept(executor, {**LONG, "seeds": 3})
    assert "No pick has been trained for the long run yet." in whole(result).words
    executor.fails = lambda trial: trial.training.learning_rate == 0.3
    result.confirm([cell(0.1), cell(0.3)], steps=50, seeds=4)
    words = whole(open_result(result.folder)).words
    assert "Over 50 steps, with fresh seeds: 1 of 2 cells without a failure." in words
    assert "4 of 4" in words and "0 of 4" in words
    assert "withdrawn" in words
