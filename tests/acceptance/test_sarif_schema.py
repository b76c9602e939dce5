"""SARIF against its own schema, which npm's @microsoft/sarif-multitool-linux carries."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import sftdiag
from sftdiag.report import sarif
from sftdiag.report.results import Results

pytestmark = pytest.mark.acceptance

PACKAGE = "@microsoft/sarif-multitool-linux@5.7.0"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch the schema with")
    folder = tmp_path_factory.mktemp("sarif")
    done = subprocess.run(
        [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{PACKAGE} could not be fetched")
    with tarfile.open(folder / done.stdout.strip()) as archive:
        member = archive.extractfile("package/sarif-2.1.0.json")
        assert member is not None
        return json.load(member)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_shipped_log_is_valid_sarif(schema: Any, runs: Path, lang: str) -> None:
    reports = [sftdiag.analyze(path, lang=lang) for path in sorted(runs.iterdir()) if path.is_dir()]
    results = Results([*reports, {"source": "runs/none", "error": "no such file"}])
    jsonschema.validate(json.loads(sarif.render(results)), schema)
