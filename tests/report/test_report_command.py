"""The command `report`, and the page that `run`, `refine` and `confirm` leave behind."""

from __future__ import annotations

import os
import re
import sqlite3
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from inline_executor import CRASHING, InlineExecutor
from long_runs import CONFIG as LONG
from long_runs import LongExecutor
from made_up import config_of, make_result
from page_reading import Page

import stabilitysweep
from stabilitysweep import ResultError, execution, open_result, write_report
from stabilitysweep.cli import main
from stabilitysweep.folder import DATABASE
from stabilitysweep.result import pictures
from stabilitysweep.runner import Progress
from stabilitysweep.store import RUNS

Capture = pytest.CaptureFixture[str]

CONFIG: dict[str, Any] = {
    "name": "tried",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 5},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, 1]},
    "seeds": 2,
}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder with tried.yaml, where nothing is trained in earnest."""
    monkeypatch.setattr(execution, "LocalExecutor", lambda workers, engine: InlineExecutor())
    monkeypatch.setattr(pictures, "ALWAYS_DRAWN", ("stability",))  # the one that is named
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tried.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Path:
    return make_result(home / "results" / "made up", config_of(40)).relative_to(home)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked for."""
    asked: list[str] = []

    def browse(address: str) -> bool:
        asked.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    return asked


def test_it_writes_the_page_into_the_result_and_says_where(
    folder: Path, opened: list[str], capsys: Capture
) -> None:
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr() == (f"{folder / 'report.html'}\n", "")
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "python -m stabilitysweep show 'results/made up'" in Page(html).words
    assert opened == []
    assert write_report(folder, out=folder / "again.html").read_text(encoding="utf-8") == html
    assert {path.name for path in folder.glob(".*")} == set()


def test_another_file_is_written_where_it_was_asked_for_and_opened(
    folder: Path, home: Path, opened: list[str]
) -> None:
    assert main(["report", str(folder), "--out", "new/a page.html", "--open"]) == 0
    assert opened == [(home / "new" / "a page.html").as_uri()]
    assert not (folder / "report.html").exists()


def test_without_a_browser_it_says_where_the_page_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert main(["report", str(folder), "--open"]) == 0
    assert "no browser could be opened. The page is " in capsys.readouterr().err


def test_what_else_it_shows_has_a_name_of_its_own(folder: Path, home: Path) -> None:
    other = make_result(home / "other", config_of(40, name="other"))
    assert main(["report", str(folder), str(other)]) == 0
    assert main(["report", str(folder), "--stable-below", "0.5"]) == 0
    names = sorted(path.name for path in folder.glob("*.html"))
    assert names == ["report_judged_0.5_1.01.html", "report_with_other.html"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "nowhere"], r"nowhere: expected a result folder .* got no such folder\."),
        (["report", "."], r"\.: expected a result folder .* got a folder without sweep\.db\."),
        (["report", "{folder}", "{folder}"], r"expected different results, got .* twice\."),
        (["report", "{folder}", "--out", "."], r"\.: expected a file .* got a folder\."),
        (["report", "{folder}", "--out", "tried.yaml/x.html"], "Choose another with --out"),
        (["report", "empty"], r"empty: expected a result with trials, got one without any\."),
        (["report"], "Missing argument 'RESULT"),
    ],
)
def test_wrong_input_is_one_message_and_writes_nothing(
    words: list[str], message: str, folder: Path, home: Path, capsys: Capture
) -> None:
    make_result(home / "empty", config_of(40), share=0)
    before = _files(home)
    assert main([word.format(folder=folder) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert re.search(message, err)
    assert _files(home) == before


def _files(folder: Path) -> list[Path]:
    """All but what SQLite keeps beside a record that was read."""
    return sorted(path for path in folder.rglob("*") if "sweep.db-" not in path.name)


def test_a_page_is_written_whole_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_report(folder)
    before = page.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ResultError, match="No space left on device"):
        write_report(folder)
    assert page.read_bytes() == before
    assert list(folder.glob(".*.tmp")) == []


def test_a_run_leaves_the_page_and_names_it_before_the_figures(
    home: Path, opened: list[str], capsys: Capture
) -> None:
    assert main(["run", "tried.yaml"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"report +results/tried/report.html\nfigures +results/tried/fig", said)
    page = home / "results" / "tried" / "report.html"
    assert "4 of 12 trials (33 %) failed" in Page(page.read_text(encoding="utf-8")).words
    assert opened == []
    page.unlink()
    assert main(["run", "tried.yaml", "--open", "--quiet"]) == 0
    assert opened == [page.as_uri()]


def test_a_run_whose_every_trial_crashed_leaves_a_page(home: Path) -> None:
    grid = {"learning_rate": [CRASHING]}
    (home / "bad.yaml").write_text(yaml.safe_dump({**CONFIG, "name": "bad", "grid": grid}))
    assert main(["run", "bad.yaml", "--quiet"]) == 1
    words = Page((home / "results/bad/report.html").read_text(encoding="utf-8")).words
    assert "None of the 2 trials could be run." in words and "no such layer" in words


def test_how_long_each_run_took_is_kept_and_told(home: Path) -> None:
    result = stabilitysweep.run(CONFIG)
    (first,) = result.provenance[RUNS]
    assert first["trials"] == 12 and first["seconds"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first["started"])
    assert stabilitysweep.run(CONFIG).provenance[RUNS] == [first]  # nothing was trained
    more = stabilitysweep.run({**CONFIG, "seeds": 3})
    assert [each["trials"] for each in more.provenance[RUNS]] == [12, 6]
    words = Page((home / "results/tried/report.html").read_text(encoding="utf-8")).words
    assert re.search(r"[\d.]+ s for 18 trials, in 2 runs", words)


def test_a_run_that_is_interrupted_is_kept_with_what_it_trained(home: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    plan = stabilitysweep.api.plan(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        stabilitysweep.api.execute(plan, stop)
    (run,) = open_result(plan.folder).provenance[RUNS]
    assert 0 < run["trials"] < 12


def test_trials_of_before_runs_were_timed_are_said_to_be_so(home: Path) -> None:
    result = stabilitysweep.run(CONFIG)
    with closing(sqlite3.connect(result.folder / DATABASE)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key = 'runs'")
    assert "not noted, since an earlier version trained this" in Page(_page_of(result)).words
    again = stabilitysweep.run({**CONFIG, "seeds": 3})
    assert "how long the other 12 took was not noted" in Page(_page_of(again)).words


def _page_of(result: stabilitysweep.Result) -> str:
    return write_report(result.folder).read_text(encoding="utf-8")


def test_refining_and_confirming_renew_the_page(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = LongExecutor()
    monkeypatch.setattr(execution, "LocalExecutor", lambda workers, engine: executor)
    (home / "long.yaml").write_text(yaml.safe_dump(LONG))
    assert main(["run", "long.yaml", "--quiet"]) == 0
    page = home / "results" / "sweep" / "report.html"
    assert "Refined" not in Page(page.read_text(encoding="utf-8")).words
    assert main(["refine", "results/sweep", "--quiet", "--tolerance", "0.5"]) == 0
    assert "the boundary of 2 slices within" in Page(page.read_text(encoding="utf-8")).words
    words = ["confirm", "results/sweep", "--quiet", "--steps", "50", "--seeds", "2"]
    assert main([*words, "--count", "1"]) == 0
    assert "Over 50 steps, with fresh seeds" in Page(page.read_text(encoding="utf-8")).words
