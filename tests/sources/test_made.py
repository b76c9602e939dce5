"""The same run as each tool writes it, by the tools themselves: the same diagnosis."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import sftdiag
from sftdiag.errors import SourceError
from sftdiag.sources import open_run
from sftdiag.sources.finding import find_runs

MADE = Path(__file__).parent / "made"
FILES = sorted(path for path in MADE.glob("*/*") if path.name != "trainer_state.json")

FORMATS = {
    "clearml.zip": "clearml",
    "comet.zip": "comet",
    "dvclive": "dvclive",
    "lightning.csv": "lightning",
    "mlflow.db": "mlflow",
    "mlruns": "mlflow",
    "nohup.log": "console",
    "printed.log": "console",
    "result.json": "ray",
    "run-scripted.swanlab": "swanlab",
    "run-scripted.wandb": "wandb",
    "runs": "tensorboard",
    "trackio.db": "trackio",
    "trackio.parquet": "parquet",
}

UNFIT = {"lightning.csv", "result.json"}
"""Files without the gradient norm and with other epochs: the steps are the same, not all else."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_same_run_from_every_format(path: Path) -> None:
    own = sftdiag.analyze(path.parent / "trainer_state.json")
    other = sftdiag.analyze(path)
    assert other.format == FORMATS[path.name]
    assert other.primary_id == own.primary_id
    assert other.verdict == own.verdict == "error"
    assert other.summary.records == own.summary.records
    assert other.summary.last_step == own.summary.last_step
    assert other.notes[0].startswith("Read as ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_same_numbers_at_the_same_steps(path: Path) -> None:
    def losses(where: Path) -> list[tuple[int, float]]:
        rows = list(open_run(where).entries)
        return [(row["step"], float(row["loss"])) for row in rows if "loss" in row]

    own, other = losses(path.parent / "trainer_state.json"), losses(path)
    assert [step for step, _ in own] == [step for step, _ in other]
    if path.name not in UNFIT and path.parts[-2:] != ("nan", "clearml.zip"):
        assert [loss for _, loss in own] == pytest.approx(
            [loss for _, loss in other], rel=6e-4, nan_ok=True
        )


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    for path in FILES:
        run = open_run(path)
        assert len(list(run.entries)) == len(list(run.entries)) > 40


def test_a_folder_of_them_is_read_by_the_fullest_format() -> None:
    assert find_runs(MADE) == [str(MADE / "nan"), str(MADE / "overfitting")]


def test_an_unfinished_run_of_wandb_says_so(tmp_path: Path) -> None:
    whole = (MADE / "overfitting" / "run-scripted.wandb").read_bytes()
    path = tmp_path / "run.wandb"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    report = sftdiag.analyze(path)
    assert 20 < report.summary.records < 60
    assert "up to 15 s later" in " ".join(report.notes)


def test_a_nan_that_clearml_writes_as_zero(tmp_path: Path) -> None:
    report = sftdiag.analyze(MADE / "nan" / "clearml.zip")
    assert "0.0" in " ".join(report.notes)


def test_several_runs_in_one_database(tmp_path: Path) -> None:
    path = tmp_path / "trackio.db"
    path.write_bytes((MADE / "overfitting" / "trackio.db").read_bytes())
    with closing(sqlite3.connect(path)) as base:
        base.execute(
            "insert into metrics (run_id, run_name, timestamp, step, metrics) "
            "select 'again', 'again', timestamp, step, metrics from metrics where step < 30"
        )
        base.commit()
    first, second = find_runs(path)
    assert second == f"{path}::again"
    assert sftdiag.analyze(first).primary_id == "SFT201@160"
    assert sftdiag.analyze(second).summary.last_step == 120
    with pytest.raises(SourceError, match="holds 2 runs"):
        open_run(path)
    with pytest.raises(SourceError):
        open_run(f"{path}::nothing")


def test_without_the_package_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(SourceError, match=r"pip install 'sftdiag\[tensorboard\]'"):
        open_run(MADE / "overfitting" / "runs")


def test_no_package_of_a_tracker_loads_but_for_its_own_format() -> None:
    names = "tensorboard,wandb,mlflow,trackio,swanlab,clearml,comet_ml,sqlite3,zipfile,numpy"
    for file in ("nohup.log", "lightning.csv", "result.json", "trainer_state.json"):
        script = (
            "import sys\nfrom sftdiag.cli.main import main\n"
            f"main(['analyze', {str(MADE / 'overfitting' / file)!r}, '-q'])\n"
            f"print([n for n in '{names}'.split(',') if n in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", file
