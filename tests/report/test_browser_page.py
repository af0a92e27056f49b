"""The page around the map in a real browser: what it may do, what it shows, how it looks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from browsing import DESKTOP, PHONE, Window, window
from made_up import config_of, make_result, outcome_of

from stabilitysweep import open_result, write_report
from stabilitysweep.cli import main
from stabilitysweep.config import parse_config
from stabilitysweep.folder import DATABASE
from stabilitysweep.result.searched import OF_SEARCH
from stabilitysweep.store import Entry, SQLiteStore
from stabilitysweep.types import Outcome

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCREENSHOTS = "STABILITYSWEEP_SCREENSHOTS"
"""The variable of the environment that names a folder to keep screenshots in."""

SCRIPT = "<script>alert(1)</script>"
RUDE = f'"it\'s" </script>{SCRIPT} <img src=x onerror=alert(2)> 🦊 <b>&amp;</b>'
EMPTY_WORDS = re.compile(r"\b(undefined|(?<!first )NaN(?! or Inf)|null|None(?! of the)|\[object)\b")
_SOME_TRIALS = 100


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return make_result(home / "made_up")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return write_report(folder)


@pytest.fixture(scope="module")
def rude(home: Path) -> Path:
    """The page of a result whose every name could be more than text."""
    rates, words = [1e-3, 1e-2, 1e-1, 1.0], [RUDE, "plain; a:b,c..d"]
    content: dict[str, Any] = {
        "name": "searched",
        "recorded": {"tuner": "RandomSearch", "project": RUDE, "rate": "learning_rate"},
        "dataset": {"function": "keras_tuner:search", "label": RUDE},
        "model": {"build": "my_search:build"},
        "training": {"epochs": 2},
        "grid": {"learning_rate": rates, RUDE: words},
        "seeds": 1,
    }
    finding = {
        "severity": "critical",
        "code": "leak",
        "column": SCRIPT,
        "count": 1,
        "text": f"{SCRIPT} is the target",
        "remedy": f"preprocessing: {{drop: [{SCRIPT}]}}",
    }
    folder = home / "rude"
    folder.mkdir()
    entries = []
    for place, (rate, word) in enumerate(product(rates, words)):
        found = outcome_of(f"{place:016x}", rate, budget=40)
        if found.onset:
            found = replace(found, onset=replace(found.onset, tensor=SCRIPT))
        search = {"trial": f"{place:04d}", "attempt": 0, "execution": 0, "values": {}}
        search |= {"optimizer": "sgd", "loss": "mse", "precision": "float32"}
        axes = {"learning_rate": rate, RUDE: word, OF_SEARCH: search}
        entries.append(Entry(axes, 0, found))
    with SQLiteStore(folder / DATABASE) as store:
        store.set_meta("thresholds", {"stable_below": 0.99, "diverged_above": 1.01})
        facts = {"flags": {"engine": SCRIPT}, "audit": {RUDE: [finding]}}
        store.record_config(parse_config(content).resolved(), facts)
        store.add(entries)
    return write_report(folder)


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[Window, str], None]:
    """Takes a screenshot of the whole page; kept where the environment says."""

    def take(seen: Window, name: str) -> None:
        path = tmp_path / f"{name}.png"
        seen.page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 50_000
        if folder := os.environ.get(SCREENSHOTS):
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)

    return take


def drawn(seen: Window) -> int:
    """How many cells, signs and lines plotly has drawn."""
    return int(
        seen.page.evaluate(
            "document.querySelectorAll('#map-plot .canvas svg :is(path, image)').length"
        )
    )


def reads_well(seen: Window) -> None:
    assert not EMPTY_WORDS.search(seen.words)
    for name in ("map", "failures", "picks", "audit", "provenance", "commands"):
        assert len(seen.page.locator(f"section#{name}").inner_text()) > 20, name


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_drawn_at_every_width_and_in_both_themes(
    browser: Browser, file: Path, kept: Callable[[Window, str], None], size: tuple[int, int]
) -> None:
    width, _ = size
    phone: dict[str, Any] = {"has_touch": True, "device_scale_factor": 2} if size == PHONE else {}
    with window(browser, file, size=size, color_scheme="light", **phone) as seen:

        def looks(theme: str) -> None:
            seen.settle()
            assert seen.state["theme"] == theme
            ink = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            assert (sum(seen.page.evaluate(ink)[:3]) < 3 * 128) == (theme == "dark")
            assert drawn(seen) > 20
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width

        looks("light")
        labels = {"learning_rate": _rate_near_limit(seen), "depth": "4", "precision": "float16"}
        point = seen.middle_of(labels)
        if phone:
            seen.page.touchscreen.tap(*point)
        else:
            seen.page.mouse.click(*point)
        assert seen.state["pins"] == [labels]
        looks("light")
        name = f"report-{'phone' if phone else 'desktop'}"
        kept(seen, f"{name}-light")
        seen.page.emulate_media(color_scheme="dark")
        looks("dark")
        kept(seen, f"{name}-dark")
        seen.page.click("#theme")
        looks("light")
        seen.page.emulate_media(color_scheme="light")
        seen.page.emulate_media(color_scheme="dark")
        looks("light")  # what the reader chose stays


def _rate_near_limit(seen: Window) -> str:
    rates = seen.page.evaluate(
        "JSON.parse(document.querySelector('#payload').textContent).results[0].axes"
        ".find(axis => axis.name === 'learning_rate').labels"
    )
    return str(next(rate for rate in rates if float(rate) > 0.06))


def test_it_may_not_fetch_load_or_run_anything_else(browser: Browser, file: Path) -> None:
    with window(browser, file) as seen:
        failed: list[str] = []
        seen.page.on("requestfailed", lambda request: failed.append(str(request.failure)))
        policy = seen.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute(
            "content"
        )
        assert policy and policy.startswith("default-src 'none'")
        tried = seen.page.evaluate(
            """async (own) => {
                const refused = [];
                document.addEventListener("securitypolicyviolation", (event) =>
                    refused.push(event.effectiveDirective));
                for (const address of ["https://example.org/", own]) {
                    await fetch(address).then(() => refused.push("fetched"), () => null);
                }
                const image = new Image();
                image.src = "https://example.org/a.png";
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(image, script);
                await new Promise((done) => setTimeout(done, 100));
                return [refused.sort(), window.ran === true];
            }""",
            file.as_uri(),
        )
        assert tried == [["connect-src", "connect-src", "img-src", "script-src-elem"], False]
        assert failed == ["csp"] * (len(seen.requests) - 1)
        seen.requests.clear()
        # What was refused is told on the console, and only that.
        assert all("Content Security Policy" in each for each in seen.noise), seen.noise
        seen.noise.clear()


def test_names_that_are_markup_are_shown_as_they_are(browser: Browser, rude: Path) -> None:
    with window(browser, rude) as seen:
        words = seen.words
        assert SCRIPT in words
        assert seen.page.locator("img").count() == 0
        assert seen.page.evaluate("document.scripts.length") == 3
        (axis,) = [
            text
            for text in seen.page.locator("#control-y option").all_text_contents()
            if SCRIPT in text
        ]
        for side in ("y", "rows", "columns", "x"):
            seen.place(**{side: axis})
            assert seen.state[side] == axis
            assert drawn(seen) > 5
        seen.page.click("#toggle-table")
        seen.page.locator("#map-stage").focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("Enter")
        seen.settle()
        assert "🦊" in seen.page.locator("#pin-0").inner_text()
        assert seen.page.evaluate("document.scripts.length") == 3
        assert seen.page.locator("#map img[onerror], #pin b b").count() == 0
        state, view = seen.state, seen.page.evaluate("location.hash.slice(1)")
    with window(browser, rude, view=view) as again:
        assert again.state == state


def test_the_config_that_a_button_copies_is_one_that_runs(
    browser: Browser, folder: Path, file: Path, tmp_path: Path
) -> None:
    with window(browser, file) as seen:
        seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = seen.page.locator("#picks [data-copy]").first
        label = button.inner_text()
        button.click()
        seen.page.wait_for_selector("#picks [data-copy]:has-text('copied')")
        text = seen.page.evaluate("navigator.clipboard.readText()")
        target = button.get_attribute("data-copy")
        assert text == seen.page.locator(str(target)).text_content()
        seen.page.wait_for_selector(f"#picks [data-copy]:has-text('{label}')")
    config = parse_config(yaml.safe_load(text))
    best = open_result(folder).recommend().picks[0]
    rate = config.grid["learning_rate"]
    assert list(rate) == pytest.approx([best.axes["learning_rate"]])
    written = tmp_path / "pick.yaml"
    written.write_text(text, encoding="utf-8")
    assert main(["check", str(written)]) == 0


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome.STABLE,
        pytest.param(Outcome.NONFINITE, marks=pytest.mark.slow),
        Outcome.CRASHED,
    ],
)
def test_results_of_one_outcome_read_well(
    browser: Browser, home: Path, kept: Callable[[Window, str], None], outcome: Outcome
) -> None:
    made = make_result(home / str(outcome), config_of(_SOME_TRIALS), outcome=outcome)
    with window(browser, write_report(made)) as seen:
        reads_well(seen)
        for colour in ("onset", "learning", "cause", "headroom", "loss", "stability"):
            seen.place(colour=colour)
            assert not EMPTY_WORDS.search(seen.words), colour
        seen.page.locator("#map-stage").focus()
        seen.page.keyboard.press("ArrowRight")
        assert not EMPTY_WORDS.search(seen.page.locator("#map-tip").inner_text())
        seen.page.keyboard.press("Enter")
        seen.page.click("#toggle-table")
        seen.settle()
        reads_well(seen)
        counts = seen.counts
        assert counts["outcomes"][str(outcome)] == counts["total"] == counts["shown"]
        kept(seen, f"report-only-{outcome}")


def test_two_results_are_compared(
    browser: Browser, home: Path, folder: Path, kept: Callable[[Window, str], None]
) -> None:
    other = config_of(360)
    other["name"] = "deeper"
    other["grid"]["depth"] = [2, 4, 8, 16]
    both = write_report(folder, make_result(home / "other", other))
    with window(browser, both) as seen:
        reads_well(seen)
        assert "made_up" in seen.words and "deeper" in seen.words
        assert len(seen.page.locator("#comparison").inner_text()) > 200
        state = seen.state
        axis = state["columns"] if state["columns"] not in ("precision", "depth") else state["rows"]
        labels = seen.page.evaluate(
            "JSON.parse(document.querySelector('#payload').textContent).results.map(r => r.label)"
        )
        totals = [seen.cell({axis: label, "depth": "4"})["trials"] for label in labels]
        assert totals == [90, 90]
        assert [seen.cell({axis: label, "depth": "16"})["trials"] for label in labels] == [0, 90]
        assert seen.counts["total"] == 720
        seen.page.locator("#map-stage").focus()
        seen.page.keyboard.press("Enter")
        seen.settle()
        twins = seen.page.locator("#pin-0 table.twins tr").first.locator("th").all_inner_texts()
        assert len(twins) >= 2
        seen.page.mouse.move(0, 0)
        kept(seen, "report-two")


def test_it_prints_on_paper(browser: Browser, file: Path, tmp_path: Path) -> None:
    with window(browser, file, color_scheme="dark") as seen:
        printed = tmp_path / "report.pdf"
        seen.page.pdf(path=printed, format="A4", print_background=True)
        assert printed.read_bytes().startswith(b"%PDF")
        assert seen.state["theme"] == "dark"  # as before
        seen.page.emulate_media(media="print")
        paper = seen.page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
        )
        assert paper.strip() == "#ffffff"
        assert not seen.page.locator("#theme").is_visible()
        assert not seen.page.locator("#map-filters").is_visible()
        assert seen.page.locator("#map-plot").is_visible()
        assert seen.page.locator("#picks table.data").is_visible()


def test_without_scripts_all_but_the_map_is_there(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(file.as_uri())
        words = page.locator("body").inner_text()
        for head in ("What failed and why", "Safe picks", "Commands"):
            assert head in words
        assert "JavaScript" in words
        assert "python -m stabilitysweep diagnose" in words
    finally:
        context.close()
