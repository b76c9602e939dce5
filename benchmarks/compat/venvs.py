"""A venv for a cell, beside which torch and the test tools lie once for all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.frameworks.venvs import ROOT, TORCH

TOOLS = ("pytest", "pytest-timeout", "hypothesis")

OF_A_SET = (
    *("accelerate", "datasets", "huggingface-hub", "numpy", "peft", "tokenizers"),
    *("transformers", "trl"),
)
"""Of what a framework resolves: what the callback meets."""

SECONDS = 1200


class Unresolved(Exception):
    """pip finds no versions that go together; says which requirements do not."""


class Base:
    """Where torch, the test tools and sftdiag itself lie.

    Attributes:
        packages: a folder of packages that every cell sees behind its own.
        project: sftdiag as pip is asked for it.
    """

    def __init__(self, packages: str, project: str | None) -> None:
        self.packages, self.project = packages, project

    @classmethod
    def here(cls) -> Base:
        """Return what runs this, which has them, and sftdiag as it is."""
        return cls(sysconfig.get_paths()["purelib"], None)

    @classmethod
    def of(cls, folder: Path) -> Base:
        """Return that of a folder, which is made where there is none; sftdiag as it is now."""
        made, wheels = folder / "base" / "made", folder / "wheels"
        if not made.exists():
            pip(make(folder / "base"), "install", TORCH, *TOOLS)
            made.touch()
        shutil.rmtree(wheels, ignore_errors=True)
        pip(sys.executable, "wheel", "--no-deps", "-w", str(wheels), str(ROOT))
        (wheel,) = wheels.glob("sftdiag-*.whl")
        packages = folder / "base" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        return cls(str(packages), str(wheel))

    def cell(self, folder: Path) -> str:
        """Make an empty venv that sees these packages behind its own; return its Python."""
        python = make(folder)
        (packages,) = folder.glob("lib/python3*/site-packages")
        (packages / "base.pth").write_text(self.packages + "\n", encoding="utf-8")
        return python


def make(folder: Path) -> str:
    """Make an empty venv and return its Python; the pip of this one installs into it."""
    call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    return str(folder / "bin" / "python")


def pip(python: str, command: str, *arguments: str) -> str:
    """Run pip for a Python; return what it prints.

    Raises:
        Unresolved: pip finds no versions, or cannot install them.
    """
    # Not -q, which leaves out why versions do not go together.
    done = subprocess.run(
        (
            *(sys.executable, "-m", "pip", "--disable-pip-version-check"),
            *("--python", python, command, *arguments),
        ),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode:
        raise Unresolved(why(done.stdout + done.stderr))
    return done.stdout


def why(said: str) -> str:
    """Return what of pip's words tells which requirements do not go together."""
    lines = [re.sub(r"\s*\(from [^)]*\)", "", line.strip()) for line in said.splitlines()]
    wants = [line for line in lines if re.search(r" depends on |^The user requested ", line)]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join(dict.fromkeys(wants or errors)) or "pip failed"


def resolved(python: str, folder: Path, *packages: str) -> dict[str, str]:
    """Return the versions that pip would install for packages, installing none."""
    report = folder / "resolved.json"
    pip(python, "install", "--dry-run", "--ignore-installed", "--report", str(report), *packages)
    known = json.loads(report.read_text(encoding="utf-8"))["install"]
    named = (each["metadata"] for each in known)
    return {re.sub(r"[-_.]+", "-", m["name"]).lower(): m["version"] for m in named}


def versions(python: str) -> dict[str, str]:
    """Return the versions of what the callback meets in a venv."""
    names = ("torch", *OF_A_SET)
    ask = (
        "import importlib.metadata as m, json\n"
        "found = {}\n"
        f"for name in {names!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    known: dict[str, str] = json.loads(call(python, "-c", ask))
    return known


def call(*command: str) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=SECONDS, env={**os.environ}
    ).stdout
