"""A loop of one's own with accelerate 1.15.0."""

from __future__ import annotations

from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "accelerate"

LENGTH = None
"""Tokens after which rows are cut: not known of a loader of one's own."""

SCRIPT = Path(__file__).with_name("scripts") / "with_accelerate.py"


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("accelerate", ("accelerate==1.15.0", "transformers==5.23.0"))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the call of the script."""
    return inputs.script(python, SCRIPT, kind, folder)


def log(folder: Path) -> Path:
    """Return the folder with the rows that the loop logged: it keeps no other log."""
    return folder / inputs.OUT
