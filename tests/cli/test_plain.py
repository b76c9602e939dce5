"""Lines read without argparse: what it says of them, argparse says too; and how a process ends."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdiag.cli.main import COMMANDS, parser
from sftdiag.cli.plain import NotPlain, Plain

ODD = ("a", "b.json", "", "-", "--", "-1", "-vq", "-qv", "-v", "-q", "-h", "--form", "--verb", "=")


def declared(name: str) -> Plain:
    plain = Plain()
    import_module(f"sftdiag.cli.{name}").register(plain, None)
    return plain


whole = cache(lambda name: parser([name]))


def by_argparse(name: str, words: list[str]) -> dict[str, object] | None:
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return vars(whole(name).parse_args([name, *words]))
    except SystemExit:
        return None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_declared(name: str) -> None:
    assert declared(name).read(["--no-such-option"]) is None


@pytest.mark.parametrize("name", COMMANDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_read_is_what_argparse_reads(name: str, data: st.DataObject) -> None:
    plain = declared(name)
    options = [*plain._options, "--unknown"]
    values = ["text", "json", "error", "zh", "7", "0.5", "NAME=x", *ODD]
    joined = [f"{option}={value}" for option in options for value in ("json", "zh", "7", "", "-x")]
    word = st.one_of(*map(st.sampled_from, (options, values, joined)))
    pieces = st.lists(st.one_of(word.map(lambda w: [w]), st.tuples(word, word).map(list)))
    words = [w for piece in data.draw(pieces) for w in piece]
    read = plain.read(words)
    if read is not None:
        assert vars(read) == by_argparse(name, words)


@pytest.mark.parametrize(
    "words",
    [
        ["log.json"],
        ["log.json", "--format", "json"],
        ["--format=json", "-q", "log.json", "other.json"],
        ["a", "--format", "json:x", "--format", "text", "--columns", "loss=l", "--lang", "zh"],
    ],
)
def test_a_plain_line_needs_no_argparse(words: list[str]) -> None:
    read = declared("analyze").read(words)
    assert read is not None
    assert vars(read) == by_argparse("analyze", words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-v", "-q", "a"],
        ["a", "-v", "b"],
        ["a", "--lang", "xx"],
        ["a", "--logging-steps", "3"],
        ["a", "--form", "json"],
        ["a", "-h"],
    ],
)
def test_the_rest_is_left_to_argparse(words: list[str]) -> None:
    assert declared("analyze").read(words) is None


def test_what_only_argparse_does_is_refused() -> None:
    for given_ in ({"nargs": "*"}, {"action": "count"}, {"type": int, "default": "3"}):
        with pytest.raises(NotPlain):
            Plain().add_argument("--odd", **given_)


def loaded(*arguments: object) -> set[str]:
    """Return the modules of a process that is not the first: that one keeps the parsed texts."""
    code = (
        "import sys\nfrom sftdiag.cli.main import main\n"
        f"main({[str(a) for a in arguments]!r})\nprint('|'.join(sys.modules))"
    )
    keeping = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=keeping)
    return set(done.stdout.splitlines()[-1].split("|"))


def test_analyze_loads_neither_argparse_nor_typing_nor_a_parser(runs: Path, tmp_path: Path) -> None:
    # A log alone, without what a callback keeps of the checks beside it: reading that back does.
    log = shutil.copy(runs / "overfitting" / "trainer_state.json", tmp_path / "log.json")
    for form, others in (("text", {"json", "re"}), ("json", set())):
        # The names that annotations are made of come from sftdiag.hints.
        modules = loaded("analyze", log, "--format", form)
        assert not {"argparse", "gettext", "tomllib", "typing", *others} & modules


def test_the_end_of_the_process_loses_nothing(runs: Path) -> None:
    # Longer than a pipe's and a stream's buffer, with a code that is not 0.
    paths = [str(runs / "overfitting")] * 30
    command = [sys.executable, "-m", "sftdiag", "analyze", "-v", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    usual = f"import sys\nfrom sftdiag.cli.main import main\nsys.exit(main({command[3:]!r}))"
    other = subprocess.run(
        [sys.executable, "-c", usual], capture_output=True, text=True, check=False
    )
    assert len(done.stdout) > 100_000
    assert (done.returncode, done.stdout, done.stderr) == (1, other.stdout, other.stderr)


def test_who_runs_the_command_line_goes_on_after_it(runs: Path) -> None:
    around = (
        "import atexit, runpy, sys\n"
        "atexit.register(print, 'told at exit')\n"
        f"sys.argv = ['sftdiag', 'analyze', '-q', {str(runs / 'healthy')!r}]\n"
        "try:\n    runpy.run_module('sftdiag', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n    print('ended with', end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", around], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("ended with 0\ntold at exit\n")
    profiled = [sys.executable, "-m", "cProfile", "-m", "sftdiag", "analyze", str(runs / "healthy")]
    done = subprocess.run(profiled, capture_output=True, text=True, check=True)
    assert "function calls" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_cannot_be_written_is_told(runs: Path) -> None:
    command = [sys.executable, "-m", "sftdiag", "analyze", str(runs / "healthy")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "No space left" in done.stderr
