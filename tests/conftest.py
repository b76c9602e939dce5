from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "examples" / "runs"

pytest_plugins = ["pytester"]

# Times say nothing on a loaded machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Tests never ask a hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(ROOT / "examples"))
sys.path.insert(0, str(ROOT / "tests" / "helpers"))


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
