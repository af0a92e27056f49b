"""The shape of the house: who may import whom, how large a file may grow, what is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stabilitysweep
from stabilitysweep.config import load_config
from stabilitysweep.grid import Grid

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stabilitysweep"
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

# From top to bottom. A file imports from what stands below it, and from its own package.
LAYERS = (
    "__main__",
    "cli",
    "integrations",
    "api",
    "report",
    "diagnosing",
    "result",
    "recorded",
    "figures",
    "confirming",
    "refining",
    "followup",
    "longruns",
    "execution",
    "runner",
    "building",
    "rehearsal",
    "planning",
    "costs",
    "pace",
    "lineup",
    "executors",
    "diagnosis",
    "engines",
    "store",
    "analysis",
    "models",
    "numerics",
    "data",
    "extension",
    "grid",
    "blueprint",
    "folder",
    "config",
    "provenance",
    "types",
    "errors",
    "",  # the package itself: the version
)
MOST_LINES = 450
TENSORFLOW = {"tensorflow", "keras", "keras_tuner"}
WITHOUT_TENSORFLOW = (
    "cli",
    "api",
    "report",
    "diagnosing",
    "result",
    "recorded",
    "figures",
    "confirming",
    "refining",
    "followup",
    "longruns",
    "execution",
    "runner",
    "building",
    "rehearsal",
    "planning",
    "costs",
    "pace",
    "lineup",
    "store",
    "analysis",
)

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """`config.load` for config/load.py; the package's own __init__ is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
"""What a NamedTuple offers to all; the underscore keeps it apart from its fields."""


def unit(module: str) -> str:
    return module.partition(".")[0]


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """The line, the module below the package, and the name of everything imported from it."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "stabilitysweep":
                    yield node.lineno, alias.name.partition(".")[2], ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            package, _, module = (node.module or "").partition(".")
            if package == "stabilitysweep":
                for alias in node.names:
                    deeper = f"{module}.{alias.name}".strip(".")
                    found = (deeper, "") if deeper in MODULES else (module, alias.name)
                    yield node.lineno, *found


def test_every_part_of_the_house_has_its_place() -> None:
    assert {unit(module) for module in MODULES} <= set(LAYERS)


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_nothing_imports_upwards(module: str) -> None:
    own = LAYERS.index(unit(module))
    for line, other, _ in imports(MODULES[module]):
        same = unit(other) == unit(module)
        assert same or LAYERS.index(unit(other)) > own, (
            f"{MODULES[module]}:{line}: {unit(module)} must not import {unit(other)}, above it"
        )


def test_no_module_imports_itself_by_a_detour() -> None:
    below = {
        module: {other for _, other, _ in imports(path)}
        for module, path in MODULES.items()
        if module
    }
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a cycle: {' -> '.join((*way, module))}"
        if module not in done:
            for other in below.get(module, set()) - {module}:
                walk(other, (*way, module))
            done.add(module)

    for module in below:
        walk(module, ())


@pytest.mark.parametrize("module", list(MODULES))
def test_private_names_stay_at_home(module: str) -> None:
    path = MODULES[module]
    borrowed: set[str] = set()
    for line, _, name in imports(path):
        hidden = name.startswith("_") and not name.startswith("__")
        assert not hidden, f"{path}:{line}: {name} is private"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stabilitysweep"):
            borrowed |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            private &= node.attr not in NAMED_TUPLE
            assert not (private and node.value.id in borrowed), (
                f"{path}:{node.lineno}: {node.value.id}.{node.attr} is private"
            )


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_tensorflow_is_the_business_of_engines_and_models(name: str) -> None:
    for module, path in MODULES.items():
        if unit(module) != name:
            continue
        for node in ast.walk(TREES[path]):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {entry.partition(".")[0] for entry in named} & TENSORFLOW, path


def test_no_file_grows_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in FILES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_the_public_names_are_these() -> None:
    assert stabilitysweep.__all__ == [
        "Comparison",
        "ConfigError",
        "DataError",
        "Diagnosis",
        "Pick",
        "Recommendation",
        "Result",
        "ResultError",
        "StabilityGuard",
        "StabilitySweepError",
        "SweepConfig",
        "Thresholds",
        "UserError",
        "__version__",
        "audit",
        "compare",
        "diagnose",
        "load_config",
        "open_result",
        "run",
        "write_report",
    ]
    for name in stabilitysweep.__all__:
        assert getattr(stabilitysweep, name) is not None


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_names_itself(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    grid = Grid(config)
    assert len(grid) > 0
    assert next(iter(grid)).seed == 0


def test_importing_the_package_or_reading_results_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "heavy = ['tensorflow', 'keras', 'sklearn', 'scipy', 'matplotlib', 'pandas', 'numpy']\n"
        "def loaded(): return [name for name in heavy if name in sys.modules]\n"
        "import stabilitysweep; print(loaded())\n"
        "import stabilitysweep.cli; print(loaded())\n"
        "import stabilitysweep.config; print(loaded())\n"
        "import stabilitysweep.result; print(loaded())\n"
        "import stabilitysweep.api; print('tensorflow' in sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    assert found.stdout.splitlines() == ["[]"] * 3 + ["['pandas', 'numpy']", "False"]
