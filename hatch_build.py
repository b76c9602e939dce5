"""Compiles the core with mypyc into the wheel, where ``SFTDIAG_USE_MYPYC=1`` asks for it.

Otherwise the wheel is pure Python and needs neither a compiler nor mypy. Sources are copied to a
temporary folder and compiled there: the tree stays as it is, and what runs from it is what is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "SFTDIAG_USE_MYPYC"

NEEDS = ["mypy==2.4.1", "setuptools"]
"""The mypyc whose output the tests have seen; a new one is tried by the acceptance test first."""

COMPILED = ("sftdiag/signals/*.py", "sftdiag/detectors/*.py", "sftdiag/records.py")
"""What each row of a log passes through. The rest stays as it is: ``values`` makes the classes that
mypyc leaves to Python; ``hints`` shows type checkers other names than it runs with; ``monitor``,
``cases`` and the guide run once a run or a finding, and a Monitor is subclassed and patched."""

MYPY = (
    *("--config-file=", "--follow-imports=silent", "--ignore-missing-imports"),
    *("--explicit-package-bases", "--namespace-packages", "--python-version", "3.11"),
)

FLAGS = "-ffp-contract=off -fvisibility=hidden"
"""No a * b + c rounded once: reports are those of the pure package to the last bit. No function is
seen from outside: the loader looks up two thousand names less, a fiftieth of a small log's time."""

SETUP = """
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify({arguments!r}, group_name="sftdiag", opt_level="1", debug_level="0")
setup(name="sftdiag", packages=[], ext_modules=modules)
"""


class Compile(BuildHookInterface):
    """The hook that hatchling calls."""

    def dependencies(self) -> list[str]:
        """Return what a compiled wheel is built with."""
        return NEEDS if _asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the compiled modules into the wheel, beside their sources."""
        if not _asked() or version == "editable":
            return
        # Hatchling copies them after this returns.
        self._folder = TemporaryDirectory()
        compiled = compile_in(Path(self._folder.name), Path(self.root))
        build_data["force_include"] |= {str(path): name for name, path in compiled.items()}
        build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def _asked() -> bool:
    return os.environ.get(SWITCH, "0") not in ("", "0")


def modules(root: Path) -> list[str]:
    """Return the files that are compiled, relative to the project's folder."""
    return sorted(
        path.relative_to(root).as_posix() for part in COMPILED for path in root.glob(part)
    )


def compile_in(folder: Path, root: Path) -> dict[str, Path]:
    """Compile a copy of the package; return the libraries by their names in the wheel.

    Raises:
        RuntimeError: mypyc or the compiler failed; holds what they said.
    """
    shutil.copytree(root / "sftdiag", folder / "sftdiag", ignore=shutil.ignore_patterns("*.so"))
    (folder / "setup.py").write_text(SETUP.format(arguments=[*MYPY, *modules(root)]))
    flags = os.environ | {"CFLAGS": f"{os.environ.get('CFLAGS', '')} {FLAGS}".strip()}
    command = (sys.executable, "setup.py", "--quiet", "build_ext", "--inplace")
    done = subprocess.run(command, cwd=folder, env=flags, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"mypyc failed:\n{done.stdout}{done.stderr}")
    built = (path for kind in ("*.so", "*.pyd") for path in folder.rglob(kind))
    inplace = (path for path in built if "build" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path for path in inplace}
