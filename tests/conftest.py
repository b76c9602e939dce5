from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "examples" / "runs"

pytest_plugins = ["pytester"]

# Tests never ask a hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(ROOT / "examples"))
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "integrations"))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The labelled logs, which are no part of the project."""
    folder = Path(os.environ.get("SFTDIAG_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not folder.is_dir():
        pytest.skip(f"no labelled logs at {folder}; set SFTDIAG_CORPUS")
    return folder


@pytest.fixture(scope="session")
def runs() -> Path:
    """The logs that the project ships."""
    return RUNS
