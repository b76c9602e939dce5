"""Lightning 2.6.6: its Trainer in Python."""

from __future__ import annotations

from pathlib import Path

from benchmarks.frameworks import inputs, venvs

NAME = "Lightning"

LENGTH = None
"""Tokens after which rows are cut: not known of a loader of one's own."""

SCRIPT = Path(__file__).with_name("scripts") / "with_lightning.py"


def python() -> str:
    """Return the Python of its venv."""
    return venvs.python_of("lightning", ("lightning==2.6.6", "transformers==5.23.0"))


def command(python: str, kind: str, folder: Path) -> list[str]:
    """Return the call of the script."""
    return inputs.script(python, SCRIPT, kind, folder)


def log(folder: Path) -> Path:
    """Return what Lightning's CSVLogger wrote."""
    return folder / inputs.OUT / "metrics.csv"
