"""How large the page of 50,000 trials is, and how long it keeps its reader waiting.

A made-up result with a curve a trial becomes a page, which headless Chromium opens from a file.
Each opening is in a browser of its own: from the navigation to `data-ready`, which the page sets
once its map is drawn. Each change is timed in the page, from before the event that a reader's
choice makes to the second frame after plotly has drawn. Medians; the bars: below 15 MB, 3 s and
300 ms. The exit code is 1 if one is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from shared import REPOSITORY, described, spread, table, write_page

sys.path += [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "report")]

TRIALS = 50_000
OPENINGS = 5
ROUNDS = 5
MOST_BYTES, MOST_SECONDS, MOST_MILLISECONDS = 15e6, 3.0, 300.0
CHANGES = (
    ("x", "control-x", ("depth", "learning_rate")),
    ("y", "control-y", ("activation", "depth")),
    ("rows of maps", "control-rows", ("activation", "")),
    ("columns of maps", "control-columns", ("l2", "precision")),
    ("colour", "control-colour", ("loss", "stability")),
    ("a filter", "filter-outcome-0", (False, True)),
)

CHANGE = """async ([id, value]) => {
    const control = document.getElementById(id);
    if (typeof value === "boolean") control.checked = value; else control.value = value;
    const plot = document.querySelector("#map-plot .canvas");
    const frame = () => new Promise(requestAnimationFrame);
    const drawn = new Promise((done) => plot.once("plotly_afterplot", done));
    const began = performance.now();
    control.dispatchEvent(new Event("change", {bubbles: true}));
    const computed = performance.now();
    await drawn;
    await frame();
    await frame();
    return [performance.now() - began, computed - began];
}"""


def open_page(browser: Any, file: Path) -> tuple[Any, float, dict[str, float]]:
    """Open the page; return it, the milliseconds to `data-ready`, and its own account of them."""
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    window.set_default_timeout(120_000)
    window.goto(file.as_uri())
    window.wait_for_selector("html[data-ready=true]", state="attached")
    session = window.context.new_cdp_session(window)
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    own = window.evaluate("window.stabilitysweep.timing()")
    own |= {each["name"]: each["value"] for each in metrics}
    return window, float(own["ready"]), own


def page(folder: Path) -> tuple[str, bool]:
    """Make the result and its page, measure, and write it up."""
    from browsing import started
    from made_up import config_of, make_result

    from stabilitysweep import open_result, write_report

    result = make_result(folder / "made_up", config_of(TRIALS))
    trials = len(open_result(result).trials)
    began = time.perf_counter()
    file = write_report(result)
    writing = time.perf_counter() - began
    size = file.stat().st_size
    opened, scripts, busy = [], [], []
    changes: dict[str, list[tuple[float, float]]] = {}
    version = ""
    for opening in range(OPENINGS):
        with started() as browser:
            version = browser.version
            window, ready, own = open_page(browser, file)
            opened.append(ready / 1000)
            scripts.append((ready - own["began"]) / 1000)
            busy.append(own["ProcessTime"])
            if opening < OPENINGS - 1:
                continue
            for name, control, values in CHANGES * ROUNDS:
                for value in values:
                    took, computed = window.evaluate(CHANGE, [control, value])
                    changes.setdefault(name, []).append((took, computed))
    rows = [
        [f"the file of {trials:,} trials", f"{size / 1e6:.2f} MB", "", f"{MOST_BYTES / 1e6:g} MB"],
        [
            "from navigation to the map",
            f"{statistics.median(opened):.2f} s",
            spread(opened),
            f"{MOST_SECONDS:g} s",
        ],
        ["of that, data and map", f"{statistics.median(scripts):.2f} s", spread(scripts), ""],
        ["processor's time of the page", f"{statistics.median(busy):.2f} s", spread(busy), ""],
    ]
    met = size < MOST_BYTES and statistics.median(opened) < MOST_SECONDS
    for name, measured in changes.items():
        took = [each for each, _ in measured]
        median = statistics.median(took)
        met &= median < MOST_MILLISECONDS
        rows.append(
            [f"change of {name}", f"{median:.0f} ms", spread(took), f"{MOST_MILLISECONDS:g} ms"]
        )
    text = (
        "# The page of a large result\n\n"
        "Written by `python tests/benchmarks/report_speed.py --output docs/report-speed.md`.\n\n"
        f"A made-up result of {trials:,} trials, each with its curve, opened from a file in "
        f"headless Chromium {version}: {OPENINGS} openings in fresh browsers, {2 * ROUNDS} changes "
        "of each kind. A change lasts until the second frame after the map is drawn.\n\n"
        f"{described()}\n\n"
        f"{table(['', 'median', 'range', 'bar'], rows)}\n\n"
        f"{'All bars are met' if met else 'A bar is missed'}. Writing the page took "
        f"{writing:.1f} s. All but data and map of an opening is the browser reading the file and "
        "plotly.js. The processor's time is of all threads of the page's process until the map is "
        "drawn: it depends less on what else the machine does.\n"
    )
    return text, met


if __name__ == "__main__":
    sys.exit(write_page(page, str(__doc__)))
