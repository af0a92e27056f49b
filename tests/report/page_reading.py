"""A page taken apart: its scripts, its payload, its words, its columns of numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.report.columns import TYPES

_VOID = {"meta", "br", "img", "input", "link", "hr"}
_OF_BLOCKS = {"p", "li", "td", "th", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "pre", "summary"}


class Page(HTMLParser):
    """What a browser makes of the HTML.

    Attributes:
        scripts: of each script its attributes and its text.
        tags: every tag with its attributes.
        texts: the text of each block that is not a script or a style.
        by_id: the text of each element that has an id.
        open: tags that were opened and not closed.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.by_id: dict[str, str] = {}
        self.open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "script":
            self.scripts.append((found, ""))
        if tag in _OF_BLOCKS:
            self.texts.append("")
        if tag not in _VOID:
            self.open.append((tag, found.get("id")))
        if found.get("id"):
            self.by_id[str(found["id"])] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        inside = self.open[-1][0] if self.open else ""
        if inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
            return
        if inside == "style":
            return
        if self.texts:
            self.texts[-1] += data
        for _, name in self.open:
            if name:
                self.by_id[name] += data

    @property
    def words(self) -> str:
        """All that a reader sees."""
        return "\n".join(" ".join(text.split()) for text in self.texts)

    @property
    def payload(self) -> dict[str, Any]:
        """The payload, as strict JSON."""
        (text,) = [text for attributes, text in self.scripts if attributes.get("id") == "payload"]
        return dict(json.loads(text, parse_constant=_refuse))

    @property
    def code(self) -> list[str]:
        """The scripts that run."""
        return [text for attributes, text in self.scripts if "type" not in attributes]


def decoded(column: Mapping[str, str]) -> NDArray[Any]:
    """A column of the payload as numbers."""
    return np.frombuffer(base64.b64decode(column["data"]), TYPES[column["type"]])


def ids_of(result: Mapping[str, Any]) -> list[str]:
    """The ids of the trials."""
    found = result["ids"]
    if isinstance(found, list):
        return found
    digits = base64.b64decode(found).hex()
    return [digits[at : at + 16] for at in range(0, len(digits), 16)]


def texts_of(result: Mapping[str, Any], column: str, known: str) -> list[str | None]:
    """A column of codes as the texts that they stand for; None for none."""
    names = result[known]
    return [
        names[code] if code < len(names) else None for code in decoded(result["columns"][column])
    ]


def losses_of(curves: Mapping[str, Any], rows: int) -> NDArray[np.float64]:
    """The losses of curves: NaN where not finite, minus infinity where not run."""
    kind = "<u2" if curves["bits"] == 16 else "<u1"
    codes = np.frombuffer(base64.b64decode(curves["data"]), kind).reshape(rows, curves["points"])
    largest = 2 ** curves["bits"] - 1
    scaled = curves["lo"] + (curves["hi"] - curves["lo"]) * codes / (largest - 2)
    losses = 10.0**scaled if curves["scale"] == "log10" else np.sinh(scaled)
    return np.where(codes == largest, np.nan, np.where(codes == largest - 1, -np.inf, losses))


def _refuse(constant: str) -> None:
    raise AssertionError(f"no strict JSON: {constant}")
