"""One run of a framework: what it is started with, and what it left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.frameworks import inputs
from sftdiag.findings import Report
from sftdiag.sources import journal

SECONDS = 900
"""A run that takes longer is ended; the slowest here takes a few minutes."""


class Framework(Protocol):
    """A module of this package that runs one framework."""

    NAME: str
    """As in the heading of docs/frameworks.md."""

    def python(self) -> str:
        """Return the Python of its venv; raises Unavailable."""

    def command(self, python: str, kind: str, folder: Path) -> list[str]:
        """Return what trains, with sftdiag in it, into the folder's inputs.OUT."""

    def log(self, folder: Path) -> Path:
        """Return the framework's own log, or the run's folder where it keeps none."""


class Ran(NamedTuple):
    """A run that is over.

    Attributes:
        code: its exit code.
        console: what it printed, both streams.
        folder: where it ran.
        events: what its journal holds.
    """

    code: int
    console: str
    folder: Path
    events: list[Mapping[str, Any]]

    @property
    def start(self) -> Mapping[str, Any]:
        """The first event of the journal."""
        return self.events[0]

    @property
    def end(self) -> Mapping[str, Any]:
        """The last event of the journal, or one that says nothing where it has no end."""
        ends = [event for event in self.events if event["event"] == "end"]
        return ends[-1] if ends else {}

    @property
    def verdict(self) -> str | None:
        """The verdict in the journal; None where it has no end."""
        return self.end.get("verdict")

    @property
    def findings(self) -> list[Mapping[str, Any]]:
        """What was found, each time that something was news."""
        return [event["finding"] for event in self.events if "finding" in event]


def run(framework: Framework, kind: str, folder: Path) -> Ran:
    """Train a tiny model with a framework, one of the kinds, in a folder that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    inputs.write(kind, folder)
    python = framework.python()
    command = framework.command(python, kind, folder)
    environment = {
        **os.environ,
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
        "SFTDIAG_STOP_ON": "error",
        "COLUMNS": "120",
        "DO_NOT_TRACK": "1",
        "UNSLOTH_DISABLE_STATISTICS": "1",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    (folder / "console.txt").write_text(done.stdout, encoding="utf-8")
    events = journal.read(str(folder / inputs.OUT))
    return Ran(done.returncode, done.stdout, folder, events)


def own_log(framework: Framework, folder: Path) -> Report:
    """Return what analyze says of the framework's own log, where it lies."""
    from sftdiag import analyze

    return analyze(framework.log(folder))
