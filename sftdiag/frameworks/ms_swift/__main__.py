"""Prints the path that swift's ``--external_plugins`` takes."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.stdout.write(f"{Path(__file__).with_name('sftdiag_plugin.py')}\n")
