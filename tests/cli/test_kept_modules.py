"""Modules that a command loads from one file: as they are now, whatever the file holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sftdiag


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package that nothing has kept anything of."""
    ours = Path(sftdiag.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ours, tmp_path / "sftdiag", ignore=ignored))


def call(package: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    around = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, "-m", "sftdiag", *map(str, arguments)],
        env={**around, "PYTHONPATH": str(package.parent), **env},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def kept(package: Path) -> list[Path]:
    return sorted((package / "__pycache__").glob("modules-of-*"))


def test_a_second_process_says_the_same_and_a_changed_module_counts(
    package: Path, runs: Path
) -> None:
    first = call(package, "analyze", runs / "overfitting")
    (file,) = kept(package)
    written = file.stat().st_mtime_ns
    again = call(package, "analyze", runs / "overfitting")
    assert first.returncode == again.returncode == 1
    assert again.stdout == first.stdout != ""
    assert file.stat().st_mtime_ns == written

    # Whatever else the command comes to load is added.
    healthy = call(package, "analyze", runs / "healthy", "--format", "json")
    assert healthy.returncode == 0
    assert file.stat().st_mtime_ns > written

    source = package / "report" / "text.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nprint('changed')\n", encoding="utf-8")
    changed = call(package, "analyze", runs / "overfitting")
    assert changed.stdout == "changed\n" + first.stdout
    assert call(package, "analyze", runs / "overfitting").stdout == changed.stdout


@pytest.mark.parametrize("damage", ["emptied", "cut", "zeroed", "another Python's"])
def test_a_damaged_file_is_passed_over(package: Path, runs: Path, damage: str) -> None:
    first = call(package, "analyze", runs / "overfitting")
    (file,) = kept(package)
    whole = file.read_bytes()
    file.write_bytes(
        {
            "emptied": b"",
            "cut": whole[: len(whole) // 2],
            "zeroed": whole[: len(whole) // 2] + bytes(len(whole) // 2),
            "another Python's": whole.replace(whole[5:10], b"other", 1),
        }[damage]
    )
    again = call(package, "analyze", runs / "overfitting")
    assert (again.returncode, again.stdout, again.stderr) == (1, first.stdout, "")


def test_a_copy_loads_its_own_modules(package: Path, runs: Path, tmp_path: Path) -> None:
    call(package, "analyze", runs / "healthy")
    copied = Path(shutil.copytree(package, tmp_path / "elsewhere" / "sftdiag"))
    source = copied / "report" / "text.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nprint(__file__)\n", encoding="utf-8")
    assert call(copied, "analyze", runs / "healthy").stdout.startswith(f"{source}\n")
    shutil.rmtree(package)
    assert call(copied, "analyze", runs / "healthy").stdout.startswith(f"{source}\n")


def test_nothing_is_kept_where_nothing_may_be(package: Path, runs: Path) -> None:
    assert call(package, "analyze", runs / "healthy", PYTHONDONTWRITEBYTECODE="1").returncode == 0
    assert kept(package) == []
    assert call(package, "analize", runs / "healthy").returncode == 2
    assert kept(package) == []


def test_a_module_loaded_so_is_as_any_other(package: Path, runs: Path) -> None:
    call(package, "analyze", runs / "healthy")
    code = (
        "import inspect, sys\n"
        "from sftdiag.cli.bytecode import Kept\n"
        "sys.meta_path.insert(0, Kept('analyze'))\n"
        "import sftdiag.detectors as package, sftdiag.detectors.zero_loss as module\n"
        "print(type(module.__loader__).__name__, module.__file__, module.__package__)\n"
        "print(module.__cached__, module.__spec__.parent, package.__path__)\n"
        "print(inspect.getsource(module.ZeroLossDetector.skip).split('(')[0].strip())\n"
        "import sftdiag.detectors.zero_loss\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = package / "detectors"
    tag = sys.implementation.cache_tag
    assert done.stdout.splitlines() == [
        f"_Loader {folder / 'zero_loss.py'} sftdiag.detectors",
        f"{folder / '__pycache__' / f'zero_loss.{tag}.pyc'} sftdiag.detectors ['{folder}']",
        "def skip",
    ]
