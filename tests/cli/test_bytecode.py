"""Modules from the one file of bytecode: those that Python itself would load, or Python does."""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

import sftdiag

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="there is no such file then")

STARTING = ("__init__", "__main__", "hints", "errors", "texts", "cli/__init__", "cli/bytecode")
MAIN = """
import inspect, sys
def main():
    from sftdiag import other
    found = type(other.__loader__).__name__ != "SourceFileLoader"
    print(found, other.said, other.__file__, other.__cached__, len(inspect.getsource(other)))
    return 0
"""


class Package:
    """What begins the command line, with a command of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sftdiag"
        home = Path(sftdiag.__file__).parent
        for name in STARTING:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(home / f"{name}.py", self.folder / f"{name}.py")
        self.write("cli/main.py", MAIN)
        self.write("other.py", "said = 1\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, *options: str, **environment: str) -> tuple[bool, list[str]]:
        """Return whether the module was found in the file, and what it is."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [sys.executable, *options, "-m", "sftdiag"],
            cwd=self.folder.parent,
            env=plain | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found, *told = done.stdout.split()
        return found == "True", told

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.all"))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path.resolve())


def test_the_second_time_a_module_is_in_the_file_and_the_same(package: Package) -> None:
    found, told = package.run()
    assert not found
    (file,) = package.files
    before = file.stat().st_mtime_ns
    assert package.run() == (True, told)
    assert told[1] == str(package.folder / "other.py")
    # What it lacks nothing of is not written.
    assert file.stat().st_mtime_ns == before
    assert not package.run("-O")[0]
    assert package.run("-O")[0]


def test_a_changed_module_is_read_anew(package: Package) -> None:
    package.run()
    package.write("other.py", "said = 22\n")
    found, told = package.run()
    assert (found, told[0]) == (False, "22")
    found, told = package.run()
    assert (found, told[0]) == (True, "22")
    os.utime(package.folder / "other.py", (1, 1))
    assert not package.run()[0]


def test_a_module_that_became_a_package_is_loaded(package: Package) -> None:
    package.run()
    (package.folder / "other.py").unlink()
    package.write("other/__init__.py", "from sftdiag.other.inner import said\n")
    package.write("other/inner.py", "said = 3\n")
    for found in (False, True):
        again, told = package.run()
        assert (again, told[:2]) == (found, ["3", str(package.folder / "other" / "__init__.py")])


@pytest.mark.parametrize(
    ("length", "noise"), [(0, b""), (2, b""), (40, b""), (-3, b""), (0, b"no"), (4, b"\0" * 99)]
)
def test_a_broken_file_is_written_anew(package: Package, length: int, noise: bytes) -> None:
    _, told = package.run()
    (file,) = package.files
    file.write_bytes(file.read_bytes()[:length] + noise)
    package.run()
    assert package.run() == (True, told)


def test_a_file_of_another_layout_is_written_anew(package: Package) -> None:
    _, told = package.run()
    (file,) = package.files
    table = dict.fromkeys(("sftdiag.other", "sftdiag.cli.main"), ("of another layout",))
    head = marshal.dumps(((1, sys.version, str(package.folder / "__main__.py")), table))
    file.write_bytes(len(head).to_bytes(4, "little") + head)
    assert package.run() == (False, told)
    assert package.run() == (True, told)


def test_where_no_bytecode_is_wanted_there_is_no_file(package: Package) -> None:
    package.run("-B")
    package.run(PYTHONDONTWRITEBYTECODE="1")
    assert not package.files


def test_bytecode_kept_elsewhere_has_the_file_there(package: Package, tmp_path: Path) -> None:
    elsewhere = {"PYTHONPYCACHEPREFIX": str(tmp_path / "elsewhere")}
    package.run(**elsewhere)
    assert not package.files
    assert package.run(**elsewhere)[0]


def test_a_copied_package_is_not_that_which_it_was_copied_from(
    package: Package, tmp_path: Path
) -> None:
    package.run()
    other = Package(tmp_path / "other")
    shutil.copytree(package.folder, other.folder, dirs_exist_ok=True)
    for found in (False, True):
        again, told = other.run()
        assert (again, told[1]) == (found, str(other.folder / "other.py"))


def test_bytecode_of_the_content_is_left_to_python(package: Package) -> None:
    compileall = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compileall, str(package.folder)], check=True)
    for said in ("1", "2"):
        package.write("other.py", f"said = {said}\n")
        for _ in range(2):
            found, told = package.run()
            assert (found, told[0]) == (False, said)


def test_a_module_in_c_is_found_too(package: Package) -> None:
    spec = importlib.util.find_spec("_json")
    if spec is None or not isinstance(spec.loader, ExtensionFileLoader) or spec.origin is None:
        pytest.skip("this Python has it built in")
    in_c = shutil.copy(spec.origin, package.folder)
    package.write("other.py", "from sftdiag import _json\nsaid = _json.__file__\n")
    for _ in range(2):
        assert package.run()[1][0] == in_c
    Path(in_c).unlink()
    package.write("_json.py", "")
    assert package.run()[1][0] == str(package.folder / "_json.py")


def test_who_goes_on_after_it_finds_modules_as_before() -> None:
    code = (
        "import sys\nbefore = [*sys.meta_path]\nsys.argv = ['sftdiag', 'rules']\n"
        "from sftdiag.__main__ import run\nrun()\nassert sys.meta_path == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
