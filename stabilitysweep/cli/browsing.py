"""Opening a page in the user's browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from stabilitysweep.cli.terminal import note


def open_page(path: str | Path) -> None:
    """Open a page in the browser; say where it is if there is none."""
    target = Path(path).absolute()
    if not webbrowser.open(target.as_uri()):
        note(f"warning: no browser could be opened. The page is {target}")
