"""How findings are printed: grouped, whole, brief, in a pipe and on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.console import Console, Group, RenderableType
from tiny_sweep import TINY, Inside, write_config

import stabilitysweep
from stabilitysweep.analysis.sentences.findings import tally
from stabilitysweep.cli.audit_view import brief_audit, whole_audit
from stabilitysweep.cli.entry import main
from stabilitysweep.data import Finding, Severity


def finding(code: str, column: str = "", severity: str = "warning", **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "count": 3,
        "text": "3 of 20 values are odd",
        "remedy": f"dataset: {{exclude: [{column}]}}" if column else "",
    }
    return Finding(Severity(severity), code, column, **(values | changes))


def printed(parts: Iterable[RenderableType], width: int = 80, **console: Any) -> str:
    screen = Console(width=width, file=io.StringIO(), **console)
    with screen.capture() as captured:
        screen.print(Group(*parts))
    return captured.get()


MANY = {
    "people": (
        finding("missing_values", "income", "critical", remedy="preprocessing: {imputation: mean}"),
        *(finding("outliers", f"column {number}", count=20 - number) for number in range(8)),
        finding("few_validation_rows"),
        finding("constant_column", "country", "note"),
    ),
    "flowers": (),
}


def test_columns_of_one_code_are_one_entry_with_one_remedy() -> None:
    lines = printed(whole_audit(MANY), 120).splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    assert "audit of people: 1 critical, 9 warnings, 1 note" in text
    head = "warning     outliers: column 0, column 1, column 2, column 3, column 4 and 3 more\n"
    assert head + "            column 0: 3 of 20 values are odd\n" in text
    (remedy,) = [line.strip() for line in lines if "exclude" in line and "column 0" in line]
    assert yaml.safe_load(remedy) == {"dataset": {"exclude": [f"column {n}" for n in range(8)]}}
    assert text.count("warning  ") == 1  # said once, for the first of its entries
    assert "audit of flowers: nothing found" in text
    assert "(check --all names every column)" in text


def test_all_has_an_entry_for_every_column() -> None:
    text = printed(whole_audit(MANY, every=True), 120)
    for number in range(8):
        assert f"outliers: column {number} " in text
        assert f"dataset: {{exclude: [column {number}]}}" in text
    assert "--all" not in text


def test_before_a_run_notes_are_only_counted() -> None:
    text = printed(brief_audit(MANY))
    assert "missing_values: income" in text
    assert "few_validation_rows" in text
    assert "constant_column" not in text
    assert "people: 1 note: check shows it" in text
    assert "flowers" not in text
    assert printed(brief_audit({"flowers": ()})).strip() == ""


@pytest.mark.parametrize("width", [80, 40])
def test_it_fits_the_terminal(width: int) -> None:
    text = printed(whole_audit(MANY), width)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("markup", [False, True])
def test_names_are_printed_as_they_are(markup: bool) -> None:
    names = ["[red]a[/red]", ":smile:", "[/]", "b\\[bold]"]
    found = {"[blue]x": [finding("outliers", name, remedy="") for name in names]}
    text = printed(whole_audit(found), 200, markup=markup, force_terminal=False)
    for name in [*names, "[blue]x"]:
        assert name in text


def test_names_cannot_steer_the_terminal() -> None:
    found = {"x\x1b[2J": [finding("outliers", "a\x1b[31m\nb", text="like \x07", remedy="c: \x1b")]}
    text = printed(whole_audit(found))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "a\\x1b[31m\\nb" in text


def test_a_long_name_is_shortened_and_a_remedy_is_whole() -> None:
    names = [f"{number}_" + "x" * 60 for number in range(50)]
    found = {"wide": [finding("outliers", name) for name in names]}
    text = printed(whole_audit(found), 10_000)
    assert "0_" + "x" * 35 + "..." in text
    assert "and 45 more" in text
    assert remedy_in(text) == {"dataset": {"exclude": names}}


def remedy_in(text: str) -> Any:
    """The remedy of the only entry."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line.startswith(("dataset: ", "preprocessing: ", "grid: "))]
    return yaml.safe_load("\n".join(kept))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        # What is left out is joined; of values that are kept, those kept by both are left.
        (
            "dataset: {exclude: [id, a]}",
            "dataset: {exclude: [id, b]}",
            {"exclude": ["id", "a", "b"]},
        ),
        ("dataset: {features: [b, c]}", "dataset: {features: [a, c]}", {"features": ["c"]}),
        ("grid: {batch_size: [4, 32]}", "grid: {batch_size: [4, 8]}", {"batch_size": [4]}),
        ("grid: {scaling: [minmax]}", "grid: {scaling: [minmax, none]}", {"scaling": ["minmax"]}),
        (
            "preprocessing: {imputation: most_frequent}",
            "preprocessing: {imputation: median}",
            {"imputation": "median"},
        ),
    ],
)
def test_a_merged_remedy_mends_all(one: str, other: str, both: dict[str, Any]) -> None:
    for remedies in ((one, other), (other, one)):
        found = [finding("outliers", name, remedy=remedies[name == "b"]) for name in "ab"]
        (settings,) = remedy_in(printed(whole_audit({"x": found}))).values()
        assert {key: sorted(settings[key]) for key in both} == {
            key: sorted(value) for key, value in both.items()
        }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("preprocessing: {scaling: log1p}", "preprocessing: {scaling: robust}"),
        ("grid: {scaling: [log1p]}", "grid: {scaling: [robust]}"),
        ("dataset: {features: [a]}", "dataset: {features: [b]}"),
        ("preprocessing: {scaling: log1p}", ""),
        ("mend it: by hand: so", "mend it: by hand: or so"),
    ],
)
def test_where_one_remedy_cannot_mend_all_it_is_said(one: str, other: str) -> None:
    found = [finding("outliers", "a", remedy=one), finding("outliers", "b", remedy=other)]
    text = printed(whole_audit({"x": found}), 120)
    assert one in text
    assert not other or other not in text
    assert "(this mends a; check --all has what mends the others)" in text


def test_findings_in_words() -> None:
    assert tally([]) == "nothing"
    assert tally(["note", "critical", "note", "critical"]) == "2 critical, 2 notes"
    assert tally(["warning"]) == "1 warning"


def with_gaps(folder: Path) -> Path:
    rows = "".join(
        f"{'' if i == 3 else 0.1 * (i * 7 % 20)},{i * 11 % 20 - 9},5,{i}\n" for i in range(20)
    )
    (folder / "gaps.csv").write_text("a,b,c,y\n" + rows)
    grid = {**TINY["grid"], "depth": [1], "activation": ["relu"]}
    content = {**TINY, "dataset": {"path": "gaps.csv", "target": "y"}, "grid": grid}
    return write_config(folder, content)


def test_a_run_prints_stores_and_shows_the_audit(tmp_path: Path, inside: Inside) -> None:
    path = with_gaps(tmp_path)
    done = inside("run", path.name, cwd=tmp_path, trained=False)
    assert "critical    missing_values: a\n" in done.stdout
    assert "few_validation_rows" in done.stdout
    assert "constant_column" not in done.stdout
    assert "check shows " in done.stdout
    shown = inside("show", "results/tiny", cwd=tmp_path).stdout
    assert "1 critical, 1 warning, 1 note found in it" in shown

    result = stabilitysweep.open_result(tmp_path / "results" / "tiny")
    names = ["label", "severity", "code", "column", "count", "text", "remedy"]
    assert list(result.audit.columns) == names
    assert set(result.audit["label"]) == {"gaps"}
    pd.testing.assert_frame_equal(stabilitysweep.audit(path), result.audit)
    provenance = result.to_json()["provenance"]
    assert [one["code"] for one in provenance["audit"]["gaps"]] == result.audit["code"].tolist()
    stored = provenance["data_sets"]["gaps"]
    assert stored["columns"] == ["a", "b", "c"]
    assert stored["shape"] == [20, 3]
    assert stored["rows"] == 20
    assert stored["target"] == "y"
    assert stored["drawn_from"] is None
    assert stored["hash"] == provenance["data"]["gaps"]
    assert "gaps.csv" in stored["source"]


def test_check_prints_every_finding_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_gaps(tmp_path)
    assert main(["check", str(path), "--all"]) == 0
    out = capsys.readouterr().out
    assert "constant_column: c\n" in out
    assert "audit of gaps: 1 critical, 1 warning, 1 note\n" in out
    assert "remedy" not in out
    assert "dataset: {exclude: [c]}" in out


def test_nothing_found_is_one_quiet_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"name": "make_regression", "options": {"n_samples": 100, "n_features": 3}}
    path = write_config(tmp_path, {**TINY, "dataset": data})
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("audit of make_regression: nothing found")
    assert lines[place - 2].lstrip().startswith("target: ")
    assert lines[place - 1] == lines[place + 1] == ""


def test_a_target_that_fits_no_loss_is_a_finding_in_python(tmp_path: Path) -> None:
    content = {**TINY, "dataset": "wine", "training": {"steps": 10, "loss": "binary_crossentropy"}}
    table = stabilitysweep.audit(content)
    assert table["code"].tolist()[0] == "invalid_target"
    assert table["severity"].tolist()[0] == "critical"


def test_a_result_of_before_the_audit_has_an_empty_one(result: Path) -> None:
    opened = stabilitysweep.open_result(result)
    record = opened._records[-1]
    older = {key: value for key, value in record.provenance.items() if key != "audit"}
    opened._records[-1] = replace(record, provenance=older)
    assert opened.audit.empty
    assert list(opened.audit.columns)[:2] == ["label", "severity"]
    assert opened.audit["count"].dtype == "int64"
