"""What a worker imports: nothing that no worker uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from stabilitysweep.executors.worker import start_engine
engine = start_engine("stacked")
unused = {"sklearn", "scipy", "matplotlib"}
print(engine.name, sorted(unused & {name.partition(".")[0] for name in sys.modules}))
import matplotlib, scipy, sklearn.linear_model
print("in sight again")
"""


def test_a_worker_starts_without_what_it_does_not_use_and_can_import_it_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["stacked []", "in sight again"]
