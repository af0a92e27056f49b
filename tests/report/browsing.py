"""The page in a real browser: opened, watched for what it must not do, read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE = 60_000
"""Milliseconds to wait for the page where others use the processor as well."""

_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def started() -> Iterator[Browser]:
    """Start Chromium, or skip the test that wants it."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: install the package `chromium`")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="install the package `playwright` (pip install -e '.[dev]')"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A window with a page in it.

    Attributes:
        page: the page.
        noise: what it said on the console, its errors and its dialogs.
        requests: every address it asked for.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.noise: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        page.on("dialog", self._asked)
        page.on("request", self._requested)

    def _heard(self, message: ConsoleMessage) -> None:
        self.noise.append(f"{message.type}: {message.text}")

    def _asked(self, dialog: Dialog) -> None:
        self.noise.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def open(self, file: Path, view: str = "") -> None:
        """Load a page, and wait until its map is drawn."""
        self.page.goto(file.as_uri() + (f"#{view}" if view else ""))
        self.page.wait_for_selector("html[data-ready=true]", state="attached")

    def settle(self) -> None:
        """Wait for what is due in the next two frames."""
        self.page.evaluate(_FRAMES)

    def ask(self, what: str, *values: Any) -> Any:
        """Call a function of the page's interface for tests."""
        return self.page.evaluate(
            "([what, values]) => window.stabilitysweep[what](...values)", [what, list(values)]
        )

    def cell(self, labels: Mapping[str, str]) -> dict[str, Any]:
        return dict(self.ask("cell", dict(labels)))

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.ask("state"))

    @property
    def counts(self) -> dict[str, Any]:
        return dict(self.ask("counts"))

    def place(self, **sides: str) -> None:
        """Choose axes and colour: `x="depth"`; an empty text for none."""
        for side, name in sides.items():
            self.page.select_option(f"#control-{side}", name)
        self.settle()

    def middle_of(self, labels: Mapping[str, str]) -> tuple[float, float]:
        """Where a cell is in the window, scrolled to if need be."""
        self.page.locator("#map-stage").scroll_into_view_if_needed()
        found = self.ask("point", dict(labels))
        assert found is not None, f"{labels} is not on the map"
        return float(found["x"]), float(found["y"])

    def table(self, selector: str) -> list[dict[str, str]]:
        """A table by its heads; numbers and signs as they are shown."""
        rows = self.page.locator(f"{selector} tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]

    @property
    def words(self) -> str:
        """All that a reader sees."""
        return str(self.page.locator("body").inner_text())


@contextmanager
def window(
    browser: Browser,
    file: Path | None = None,
    *,
    size: tuple[int, int] = DESKTOP,
    view: str = "",
    **options: Any,
) -> Iterator[Window]:
    """Open a window, and a page in it; when it closes, nothing was said and nothing fetched."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    try:
        found = Window(context.new_page())
        if file is not None:
            found.open(file, view)
        yield found
        assert found.noise == []
        assert [each for each in found.requests if not each.startswith(("file:", "blob:"))] == []
    finally:
        context.close()
