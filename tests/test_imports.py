"""What loads, in fresh processes: the contract that import-linter cannot see inside functions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sftdiag.cli.main import COMMANDS

HEAVY = (
    "accelerate,datasets,matplotlib,numpy,pandas,peft,rich,scipy,tokenizers,torch,transformers,trl"
)


def loaded(code: str) -> set[str]:
    """Return which heavy packages a fresh process has loaded after running the code."""
    script = (
        f"import sys\n{code}\nprint(','.join(n for n in '{HEAVY}'.split(',') if n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(filter(None, done.stdout.splitlines()[-1].split(",")))


def main(*arguments: object) -> str:
    return f"from sftdiag.cli.main import main\nmain({[str(a) for a in arguments]!r})"


def own(code: str) -> set[str]:
    """Return which modules of ours, and which parsers, a fresh process has loaded."""
    script = (
        "import sys\n"
        f"{code}\n"
        "print('|'.join(n for n in sys.modules if n.startswith(('sftdiag', 'tomllib'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split("|"))


def test_a_log_loads_only_what_it_shows(runs: Path, tmp_path: Path) -> None:
    # The logs alone, without what a callback keeps of the checks beside them.
    for run in ("healthy", "overfitting"):
        shutil.copy(runs / run / "trainer_state.json", tmp_path / run)
    healthy = own(main("analyze", tmp_path / "healthy"))
    assert not {n for n in healthy if n.startswith(("sftdiag.checks", "sftdiag.guide.eval"))}
    commands = {f"sftdiag.cli.{name}" for name in COMMANDS}
    assert commands & healthy == {"sftdiag.cli.analyze"}
    assert not {n for n in healthy if n.startswith("sftdiag.fleets")}
    sick = own(main("analyze", tmp_path / "overfitting"))
    assert "sftdiag.guide.eval_loss_rising" in sick
    assert not {"sftdiag.guide.memorization", "sftdiag.guide.catalogue"} & sick


def test_import_loads_nothing_of_our_own() -> None:
    code = "import sys, sftdiag\nprint([n for n in sys.modules if n.startswith('sftdiag.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_command_loads_a_training_library(runs: Path) -> None:
    assert loaded("import sftdiag") == set()
    assert loaded(main("--help")) == set()
    assert loaded(main("rules")) == set()
    assert loaded(main("explain", "SFT201")) == set()
    assert loaded(main("analyze", runs / "overfitting")) == set()
    assert loaded(main("analyze", runs / "overfitting", "--format", "json")) == set()
    assert (
        loaded("import sftdiag\nsftdiag.Monitor, sftdiag.analyze, sftdiag.assert_healthy") == set()
    )


def test_the_plugin_loads_nothing_until_it_is_used() -> None:
    code = "import sys, sftdiag.pytest_plugin\nprint([n for n in sys.modules if 'sftdiag' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['sftdiag', 'sftdiag.pytest_plugin']\n"


def test_without_the_extra_one_line_says_what_to_install() -> None:
    code = "import sys\nsys.modules['transformers'] = None\nimport sftdiag\nsftdiag.attach"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: this needs transformers: pip install 'sftdiag[trainer]'"


def test_every_public_name_is_there() -> None:
    import sftdiag

    assert set(sftdiag.__all__) == set(sftdiag._HOME)
    for name in sftdiag.__all__:
        assert getattr(sftdiag, name) is not None
    assert dir(sftdiag) == sorted(sftdiag.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sftdiag.nonsense  # type: ignore[attr-defined]


def test_inspect_without_the_extra_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}')
    arguments = ("inspect", tmp_path / "rows.jsonl", "--tokenizer", tmp_path)
    code = f"import sys\nsys.modules['transformers'] = None\n{main(*arguments)}"
    code = code.replace("main([", "sys.exit(main([").replace("])", "]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "sftdiag: this needs transformers: pip install 'sftdiag[trainer]'\n"
