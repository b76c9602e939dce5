"""What commands print, for the places in pages that ask for it.

A place is ``<!-- printed: COMMAND -->`` and, below it, ``<!-- end -->``; commands run in a folder
of example runs. ``job`` and ``summary`` are what the step of action.yml prints and writes there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]

RUNS = {"main": "healthy", "new": "overfitting", "slow": "learning-rate-too-low"}
"""Runs of the folder, and which of examples/runs each is."""

PLACE = re.compile(r"<!-- printed: (.+?) -->\n.*?<!-- end -->", re.DOTALL)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# The commands of this interpreter and this tree, whatever else is installed.
_COMMANDS = """
sftdiag() { "$PYTHON" -m sftdiag "$@"; }
pytest() { "$PYTHON" -m pytest -p no:cacheprovider "$@"; }
pip() { :; }
"""


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def call(script: str, folder: Path, **environment: str) -> Done:
    """Run a bash script as GitHub's runners do, in a folder of :func:`workspace`."""
    known = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    # What pytest prints depends on these, and what sftdiag says on its own.
    varying = ("CI", "BUILD_NUMBER", "FORCE_COLOR", "PY_COLORS", "PYTEST_ADDOPTS")
    known = {k: v for k, v in known.items() if k not in varying and not k.startswith("SFTDIAG_")}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", _COMMANDS + script],
        cwd=folder,
        env={**known, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def workspace(page: str) -> Iterator[Path]:
    """Make the folder in which a page's snippets run; its Python ones are files there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run, example in RUNS.items():
            shutil.copytree(ROOT / "examples" / "runs" / example, folder / "runs" / run)
        short = folder / "runs" / "short" / "trainer_state.json"
        short.parent.mkdir()
        short.write_text(json.dumps({"log_history": [{"step": 1, "loss": 2.0}]}))
        for language, code in FENCED.findall(page):
            if language == "python":
                (folder / code.split("\n")[0].removeprefix("# ")).write_text(code)
        yield folder


def action(folder: Path, inputs: Mapping[str, str]) -> tuple[Done, str]:
    """Run what action.yml does after its installation; return that and the job's summary.

    Raises:
        KeyError: an input that the action does not have, or one that it requires is missing.
    """
    described = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    known: dict[str, Any] = described["inputs"]
    given = {name: inputs.get(name, one.get("default")) for name, one in known.items()}
    wrong = [name for name in inputs if name not in known]
    wrong += [name for name, value in given.items() if value is None]
    if wrong:
        raise KeyError(wrong[0])
    (step,) = [step for step in described["runs"]["steps"] if step["name"] == "Diagnose"]
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], value)
        for name, value in step["env"].items()
    }
    summary = folder / "summary"
    summary.write_text("")
    places = {"RUNNER_TEMP": str(folder), "GITHUB_STEP_SUMMARY": str(summary)}
    done = call(step["run"], folder, **environment, **places)
    return done, summary.read_text(encoding="utf-8")


def job(page: str) -> dict[str, str]:
    """Return the inputs that a page's workflow gives to the action."""
    workflows = [yaml.safe_load(code) for kind, code in FENCED.findall(page) if kind == "yaml"]
    steps = [s for w in workflows for j in w.get("jobs", {}).values() for s in j["steps"]]
    (found,) = [step for step in steps if "/sftdiag@" in step.get("uses", "")]
    inputs: dict[str, str] = found["with"]
    return inputs


def filled(page: str) -> str:
    """Return a page with its places filled anew."""
    with workspace(page) as folder:
        return PLACE.sub(lambda place: _filled(place[1], page, folder), page)


def _filled(asked: str, page: str, folder: Path) -> str:
    if asked == "summary":
        # As it stands: what GitHub renders, the page renders.
        _, text = action(folder, job(page))
        shown = "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))
    else:
        done = action(folder, job(page))[0] if asked == "job" else call(asked, folder)
        # Times differ, and long lines are annotations.
        told = re.sub(r" in \d+\.\d+s| +$", "", done.out, flags=re.MULTILINE).strip()
        told = told.replace(f"{folder}/", "")
        shown = f"```\n{told}\n```"
    return f"<!-- printed: {asked} -->\n{shown}\n<!-- end -->"
