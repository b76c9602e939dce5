"""The fault drill: whatever breaks, the run ends as without sftdiag and no finding made is lost."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")

from drive import Drive
from logs import overfitting

import sftdiag
from sftdiag.detectors.train_loss_flat import TrainLossFlatDetector
from sftdiag.outlets import trackers
from sftdiag.outlets.journal import Journal
from sftdiag.sources import journal

ROWS = overfitting(rise=0.02)
FOUND = ["SFT201@100"]


def watch(folder: Path, **options: Any) -> Drive:
    arguments = {"report_to": options.pop("report_to", "none")}
    return Drive(folder, sftdiag.DiagnosticsCallback(**options), max_steps=200, **arguments)


def said(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [text for r in caplog.records if word in (text := r.getMessage())]


def found(drive: Drive) -> list[str]:
    assert drive.state.global_step == 200
    assert drive.control.should_training_stop is False
    return [finding.id for finding in drive.callback.report.findings]


def kept(folder: Path) -> list[str]:
    return [e["finding"]["id"] for e in journal.read(str(folder)) if e["event"] == "fired"]


KILLED = """
import os, sys
from sftdiag.outlets.journal import Journal
journal = Journal(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    journal.append("fired", finding={"id": number, "message": "x" * 20000})
    print(number, flush=True)
"""


def test_kill_minus_9_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """Every line that was said to be written is there, and the next process goes on below it."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(30)]
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
    acknowledged = [int(line) for line in lines if line.strip().isdigit()]
    assert len(acknowledged) >= 20
    assert kept(tmp_path)[: len(acknowledged)] == acknowledged
    path = tmp_path / "_sftdiag" / "findings.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event": "fired", "find')
    drive = watch(tmp_path)
    drive.run(ROWS)
    assert kept(tmp_path)[-1:] == FOUND


def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """/dev/full takes nothing; once there is room again, what was kept is written."""
    path = tmp_path / "_sftdiag" / "findings.jsonl"
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    drive = watch(tmp_path)
    drive.begin()
    for row in ROWS[:150]:
        drive.log(row)
    path.unlink()
    drive.go_on(ROWS[150:])
    assert found(drive) == FOUND
    assert len(said(caplog, "cannot be written (No space left on device)")) == 1
    assert [e["event"] for e in journal.read(str(tmp_path))] == ["start", "fired", "rose", "end"]


def test_a_line_that_was_cut_by_a_full_disk_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    class Small:
        """A file that takes half of what it is given."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Small:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, line: bytes) -> int:
            return int(self.file.write(line[: len(line) // 2]))

    real, one = builtins.open, Journal(str(tmp_path))
    one.append("start", step=0)
    monkeypatch.setattr(builtins, "open", lambda *a, **k: Small(real(*a, **k)))
    one.append("fired", finding={"id": "SFT106@3"})
    monkeypatch.undo()
    one.append("end", step=9)
    assert [e["event"] for e in journal.read(str(tmp_path))] == ["start", "fired", "end"]


READ_ONLY = """
import os, sys
from sftdiag.outlets.journal import Journal
import tqdm
if os.geteuid() == 0:
    os.seteuid(65534)
Journal(sys.argv[1]).append("start", step=0)
"""


def test_a_read_only_folder() -> None:
    """As a user who may not write there, as root may; outside pytest's folder, which is root's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "cannot be written (Permission denied); the run goes on" in done.stderr
        assert list(folder.iterdir()) == []


def test_a_file_where_the_folder_should_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "_sftdiag").write_text("")
    drive = watch(tmp_path)
    drive.run(ROWS)
    assert found(drive) == FOUND
    lines = said(caplog, "cannot be written (")
    assert any("findings.jsonl" in line for line in lines)
    assert len({line.split(" (")[0] for line in lines}) == len(lines)


def test_a_tracker_that_raises(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told nothing more; the one beside it is."""
    got = []

    def broken(alert: object, args: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setitem(trackers.TRACKERS, "wandb", broken)
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", lambda alert, args: got.append(alert.key))
    drive = watch(tmp_path)
    drive.args.report_to = ["wandb", "mlflow"]
    drive.run(ROWS)
    assert found(drive) == kept(tmp_path) == FOUND
    assert said(caplog, "took no alert") == [
        "wandb took no alert (ConnectionError: no route to host) and gets no more"
    ]
    assert got == ["SFT201", "SFT201", "verdict"]


def test_nan_everywhere(tmp_path: Path) -> None:
    names = ("loss", "grad_norm", "learning_rate", "epoch", "entropy", "mean_token_accuracy")
    rows = [dict.fromkeys(names, math.nan) | {"step": step} for step in range(1, 201)]
    rows += [{"step": 200, "eval_loss": math.nan, "eval_runtime": math.nan}]
    drive = watch(tmp_path)
    drive.run(rows)
    assert found(drive)[0] == "SFT106@2"
    for line in (tmp_path / "_sftdiag" / "findings.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda token: pytest.fail(f"{token} is no JSON"))


@pytest.mark.parametrize("fault", ["overfitting", "entropy is NaN", "loss is NaN"])
def test_without_grad_norm(tmp_path: Path, fault: str) -> None:
    """As DeepSpeed logs at stage 0: what else is in the log says it."""
    rows = [{k: v for k, v in row.items() if k != "grad_norm"} for row in ROWS]
    for row in rows[120:]:
        if fault == "entropy is NaN" and "loss" in row:
            row |= {"loss": 0.0, "entropy": math.nan}
        elif fault == "loss is NaN" and "loss" in row:
            row["loss"] = math.nan
    drive = watch(tmp_path)
    drive.run(rows)
    assert ("SFT106" in {id.partition("@")[0] for id in found(drive)}) is (fault != "overfitting")
    # Both are errors: the rise of the evaluation loss began before the NaN.
    assert set(FOUND) <= set(found(drive))


def test_a_detector_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TrainLossFlatDetector, "update", broken)
    drive = watch(tmp_path)
    drive.run(ROWS)
    assert found(drive) == kept(tmp_path) == FOUND
    (text,) = said(caplog, "please report")
    assert text.startswith("train-loss-flat failed inside sftdiag and is off")
    (record,) = [r for r in caplog.records if r.getMessage() == text]
    assert "ZeroDivisionError" in str(record.exc_info)


@pytest.mark.parametrize(
    "part",
    [
        "live.callback.trainer_context.from_callback",
        "live.callback.past",
        "outlets.fan_out.Outlets.tell",
    ],
)
def test_any_other_part_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(f"sftdiag.{part}", broken)
    drive = watch(tmp_path)
    drive.run(ROWS)
    assert found(drive) == FOUND
    reports = said(caplog, "please report")
    assert 1 <= len(reports) == len(set(reports)) <= 2


@pytest.mark.slow
def test_200_000_records(tmp_path: Path) -> None:
    """What is kept of them does not grow with their number."""
    drive = Drive(tmp_path, sftdiag.DiagnosticsCallback(), max_steps=200_000)
    drive.begin()
    kept_at = {}
    for step in range(1, 200_001):
        drive.state.global_step = step
        logs = {"loss": 1.0 + 2.0 / step, "grad_norm": 1.0, "learning_rate": 2e-5}
        drive.callback.on_log(drive.args, drive.state, drive.control, logs=logs)
        if step in (2_000, 200_000):
            kept_at[step] = len(pickle.dumps(drive.callback))
    drive.end()
    assert kept_at[200_000] < 1.2 * kept_at[2_000]
    assert drive.callback.report.summary.records == 200_000


def test_the_log_line_does_not_break_a_progress_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar is off the line while the text is written, and drawn again below it."""
    from tqdm import tqdm

    logger = logging.getLogger("sftdiag")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    try:
        with tqdm(total=10, file=sys.stderr) as bar:
            bar.update(3)
            handler.stream = sys.stderr
            watch(tmp_path).run(ROWS)
    finally:
        logger.removeHandler(handler)
    lines = [line for line in capsys.readouterr().err.splitlines() if "SFT201" in line]
    assert lines
    assert not any("%|" in line.rpartition("\r")[2] for line in lines)
