"""A venv for each framework, made once and kept; sftdiag is installed in it as this checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TORCH = "torch==2.13.0"
"""Of which the project's machines have a build for the CPU; installed before the framework."""


class Unavailable(Exception):
    """What a framework needs cannot be had here; says why."""


def home() -> Path:
    """Return the folder of the venvs: $SFTDIAG_VENVS, or one in the user's cache."""
    default = Path.home() / ".cache" / "sftdiag" / "venvs"
    return Path(os.environ.get("SFTDIAG_VENVS") or default)


def python_of(
    name: str,
    packages: tuple[str, ...],
    *,
    first: tuple[str, ...] = (TORCH,),
    bare: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    interpreter: str = "python3.11",
) -> str:
    """Return the Python of a venv that holds these packages and this checkout of sftdiag.

    Args:
        name: the framework's name, and the venv's.
        packages: what pip is asked for, pinned.
        first: what is installed before them, so that they are resolved beside it.
        bare: what is installed last and alone: without what it asks for, on any Python.
        without: packages to take out again.
        interpreter: the Python that makes the venv.

    Raises:
        Unavailable: there is no such Python, or pip fails: says its last line.
    """
    asked = "\n".join((*first, *packages, *bare, *without, interpreter, str(ROOT)))
    folder = home() / f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists():
        return str(python)
    try:
        _call(interpreter, "-m", "venv", str(folder))
        install = (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check")
        alone = ("--no-deps", "--ignore-requires-python", *bare) if bare else ()
        for group in (first, packages, alone, ("-e", str(ROOT))):
            if group:
                _call(*install, *group)
        if without:
            _call(str(python), "-m", "pip", "uninstall", "-q", "-y", *without)
    except FileNotFoundError as error:
        raise Unavailable(f"no {interpreter}") from error
    made.touch()
    return str(python)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise Unavailable(f"{' '.join(command[1:4])}: {lines[-1]}")
