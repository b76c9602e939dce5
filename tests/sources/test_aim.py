"""Aim's repositories, written by the package aim and read while and after the run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.errors import SourceError
from sftdiag.sources import aim_repo, open_run
from sftdiag.sources.finding import find_runs

MADE = Path(__file__).parent / "made"

REPLAYED = """
import json, sys
import aim

def tracked(repo, state, split=None):
    run = aim.Run(repo=repo, system_tracking_interval=None, log_system_params=False)
    for row in json.load(open(state))["log_history"]:
        step, epoch = row.pop("step"), row.get("epoch")
        for name, value in row.items():
            context = {}
            for prefix in ("train_", "eval_"):
                if name.startswith(prefix):
                    name, context = name.removeprefix(prefix), {"subset": prefix[:-1]}
            if not context and split:
                context = {"subset": split}
            run.track(value, name=name, step=step, epoch=epoch, context=context)
    return run

run = tracked(sys.argv[1], sys.argv[2], *sys.argv[3:4])
if "open" in sys.argv:
    print("written", flush=True)
    sys.stdin.readline()
run.close()
"""
"""Tracks the rows of a trainer_state.json as aim.hugging_face.AimCallback does."""


def made(folder: Path, fault: str = "overfitting", *more: str) -> Path:
    pytest.importorskip("aim", reason="needs the extra aim")
    folder.mkdir(exist_ok=True)
    state = MADE / fault / "trainer_state.json"
    subprocess.run([sys.executable, "-c", REPLAYED, folder, state, *more], check=True, timeout=300)
    return folder


@pytest.mark.acceptance
@pytest.mark.parametrize("fault", ["overfitting", "nan"])
def test_the_same_run_from_aim(fault: str, tmp_path: Path) -> None:
    repo = made(tmp_path / "project", fault)
    own, other = sftdiag.analyze(MADE / fault / "trainer_state.json"), sftdiag.analyze(repo)
    assert other.format == "aim"
    assert (other.primary_id, other.verdict) == (own.primary_id, own.verdict)
    assert other.summary.last_step == own.summary.last_step
    (run,) = find_runs(repo)

    def numbers(path: Any, name: str) -> list[tuple[int, float]]:
        rows = open_run(path).entries
        return [(row["step"], float(row[name])) for row in rows if name in row]

    for name in ("loss", "eval_loss"):
        before = numbers(MADE / fault / "trainer_state.json", name)
        after = numbers(run, name)
        assert [step for step, _ in after] == [step for step, _ in before]
        for (_, one), (_, two) in zip(before, after, strict=True):
            assert one == two or math.isnan(one) == math.isnan(two) is True


@pytest.mark.acceptance
def test_reading_changes_no_file_and_a_split_of_its_own_is_known(tmp_path: Path) -> None:
    repo = made(tmp_path / "project", "overfitting", "train")
    before = {path: path.stat().st_mtime_ns for path in repo.rglob("*") if path.is_file()}
    report = sftdiag.analyze(repo / ".aim")
    assert report.primary_id == "SFT201@160"
    assert {path: path.stat().st_mtime_ns for path in repo.rglob("*") if path.is_file()} == before


@pytest.mark.acceptance
def test_a_run_that_goes_on_is_read(tmp_path: Path) -> None:
    pytest.importorskip("aim", reason="needs the extra aim")
    repo = tmp_path / "project"
    repo.mkdir()
    state = MADE / "overfitting" / "trainer_state.json"
    command = [sys.executable, "-c", REPLAYED, repo, state, "", "open"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "written\n"
        assert sftdiag.analyze(repo).primary_id == "SFT201@160"
        running.stdin.write("\n")
    assert running.returncode == 0


def looks_like_a_run(project: Path, name: str = "9e1f9e119b3541daafd620e8") -> Path:
    for kind in ("meta", "seqs"):
        run = project / ".aim" / kind / "chunks" / name
        run.mkdir(parents=True)
        (run / "CURRENT").write_text("MANIFEST-000004\n")
        (run / "IDENTITY").write_text(name)
    return project / ".aim" / "meta" / "chunks" / name


def test_runs_are_found_oldest_first_where_no_other_log_is(tmp_path: Path) -> None:
    project = tmp_path / "project"
    second, first = (looks_like_a_run(project, name) for name in ("a", "b"))
    os.utime(first / "IDENTITY", (1, 1))
    for given in (project, project / ".aim", tmp_path):
        assert find_runs(given) == [str(first), str(second)]
    assert find_runs(first) == [str(first)]
    (project / "out").mkdir()
    state = {"log_history": [{"step": 1, "loss": 1.0}]}
    (project / "out" / "trainer_state.json").write_text(json.dumps(state))
    assert find_runs(project) == [str(project / "out")]
    assert aim_repo.runs(str(project / "out")) == []


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = looks_like_a_run(tmp_path)
    monkeypatch.setitem(sys.modules, "aim.storage.rockscontainer", None)
    with pytest.raises(SourceError, match=r"pip install 'sftdiag\[aim\]'"):
        open_run(run)


@pytest.mark.acceptance
def test_a_damaged_run_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("aim", reason="needs the extra aim")
    with pytest.raises(SourceError, match="looks like a run of Aim's, but"):
        open_run(looks_like_a_run(tmp_path))
