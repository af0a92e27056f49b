"""The lines of the error that a bad config gets."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.errors import ConfigError

LinesOf = Callable[[str | Mapping[str, Any]], list[str]]


@pytest.fixture
def lines_of() -> LinesOf:
    """Gives the lines of the error of a config called `sweep.yaml`."""

    def refused(content: str | Mapping[str, Any]) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            parse_config(content, source="sweep.yaml")
        text = str(caught.value)
        for foreign in ("Input should", "http", "pydantic", "Value error"):
            assert foreign not in text
        return text.split("\n")

    return refused
