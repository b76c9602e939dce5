"""One cell: its versions installed, tried without sftdiag, then under the core tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.compat import venvs
from benchmarks.compat.cells import Cell
from benchmarks.compat.venvs import Base, Unresolved
from benchmarks.frameworks.venvs import ROOT, TORCH

CORE = "tests/compat/test_core.py"
"""The core tests: all of this file."""

BARE = """
import pathlib, sys
sys.path.insert(0, "tests/helpers")
import any_version
folder, *kinds = sys.argv[1:]
for kind in kinds:
    print(kind, flush=True)
    any_version.trainer(kind, pathlib.Path(folder) / kind, max_steps=4).train()
"""
"""Versions that do not train without sftdiag are not judged."""

PASSED, FAILED, NOT_JUDGED = "passed", "failed", "not judged"


def run(cell: Cell, base: Base, folder: Path) -> dict[str, Any]:
    """Return what became of a cell; its venv is gone again afterwards.

    Returns:
        ``state``, ``why`` (of what is not judged or failed), ``versions``, and of the tests the
        number that passed, the names that failed, why some were skipped, and the ``checks`` that
        could not judge the healthy run, with their reasons.
    """
    began = time.monotonic()
    try:
        return {**_run(cell, base, folder), "seconds": round(time.monotonic() - began)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(cell: Cell, base: Base, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    python = base.cell(folder / "venv")
    extra = "[trainer]" if cell.trl else ""
    project = (f"{base.project}{extra}",) if base.project else ()
    resolution: dict[str, Any] = {}
    try:
        packages = cell.packages
        if cell.framework is not None:
            known = venvs.resolved(python, folder, TORCH, *project, cell.framework)
            packages = tuple(f"{name}=={known[name]}" for name in venvs.OF_A_SET if name in known)
            resolution = {"resolved": len(known)}
        venvs.pip(python, "install", *project, *packages)
    except Unresolved as error:
        return {"state": NOT_JUDGED, "why": f"pip does not resolve them: {error}"}
    seen: dict[str, Any] = {"versions": venvs.versions(python), **resolution}
    environment = _environment(cell)
    broken = _bare(python, ("transformers", "trl")[: 1 + cell.trl], folder, environment)
    if broken is not None:
        return {"state": NOT_JUDGED, "why": broken, **seen}
    report = folder / "tests.xml"
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", CORE)
    done = subprocess.run(
        (*command, f"--junitxml={report}", "-o", "junit_family=xunit1"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=venvs.SECONDS,
    )
    if not report.exists():
        return {"state": FAILED, "why": done.stdout[-2000:], **seen}
    found = tests(report)
    state = PASSED if found["passed"] and not found["failed"] else FAILED
    if state == FAILED:
        print(done.stdout[-6000:])
    return {"state": state, **found, **seen}


def tests(report: Path) -> dict[str, Any]:
    """Return what became of the tests, and which checks told them that they could not judge."""
    found: dict[str, Any] = {"passed": 0, "failed": [], "skipped": [], "checks": {}}
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            found["failed"].append(case.get("name"))
        elif skipped is not None:
            found["skipped"].append(f"{case.get('name')}: {skipped.get('message')}")
        else:
            found["passed"] += 1
        for each in case.iter("property"):
            found["checks"][each.get("name")] = each.get("value")
    return found


def _bare(
    python: str, kinds: tuple[str, ...], folder: Path, environment: dict[str, str]
) -> str | None:
    """Return the last line of what a trainer says that does not train without sftdiag, or None."""
    done = subprocess.run(
        (python, "-c", BARE, str(folder), *kinds),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=venvs.SECONDS,
    )
    if not done.returncode:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    what = "TRL's trainer" if "trl" in done.stdout.split() else "the trainer"
    return f"{what} does not train there without sftdiag either: {lines[-1] if lines else ''}"


def _environment(cell: Cell) -> dict[str, str]:
    return {
        **os.environ,
        **dict(cell.environment),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }
