"""A wheel whose core mypyc compiled says of every labelled log what the pure package says.

Needs a C compiler, and pip for what the build and the wheel ask for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]

FILES = """
import sys
from importlib import import_module
print(*(import_module(name).__file__ for name in sys.argv[1:]), sep="\\n")
"""


def printed(command: Sequence[str], folder: Path, **environment: str) -> str:
    """Return what a process prints in a folder that holds no module."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=known | environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1, 2), done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of a fresh environment with the compiled wheel."""
    folder = tmp_path_factory.mktemp("compiled")
    build = (sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    subprocess.run(build, env=os.environ | {"SFTDIAG_USE_MYPYC": "1"}, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run((sys.executable, "-m", "venv", str(folder / "venv")), check=True)
    found = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run((str(found), "-m", "pip", "install", "-q", str(wheel)), check=True)
    return str(found)


def test_the_core_is_compiled_and_the_tree_is_not(python: str, tmp_path: Path) -> None:
    rooms = [*(ROOT / "sftdiag" / "signals").glob("*.py")]
    rooms += (ROOT / "sftdiag" / "detectors").glob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in rooms]
    names = [name.removesuffix(".__init__") for name in (*names, "sftdiag.records")]
    files = printed((python, "-c", FILES, *names), tmp_path).split()
    assert len(files) == len(names) > 60
    assert [file for file in files if not file.endswith((".so", ".pyd"))] == []
    assert [*(ROOT / "sftdiag").rglob("*.so"), *ROOT.glob("*.so")] == []


def test_a_watch_that_has_not_begun_is_pickled(python: str, tmp_path: Path) -> None:
    """As a search with Ray does with a trainer's callbacks."""
    code = (
        "import pickle; from sftdiag.monitor import Monitor; "
        "print(pickle.loads(pickle.dumps(Monitor())).feed_entry({'step': 1, 'loss': 2.0}))"
    )
    assert printed((python, "-c", code), tmp_path) == "()\n"


def test_reports_are_the_same_to_the_last_byte(python: str, tmp_path: Path, corpus: Path) -> None:
    folders = (corpus / "real" / "runs", corpus / "tiny", corpus / "gpu")
    found = (path for folder in folders for path in sorted(folder.glob("*.json")))
    logs = [str(path) for path in found if not path.name.endswith(".spec.json")]
    assert len(logs) > 250
    for options in (("--format", "json"), ("--lang", "zh", "-v")):
        command = ("-m", "sftdiag", "analyze", *options, *logs)
        pure = printed((sys.executable, *command), tmp_path, PYTHONPATH=str(ROOT))
        assert len(pure) > 100_000
        assert printed((python, *command), tmp_path) == pure
