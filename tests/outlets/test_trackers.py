"""Alerts in trackers: against the real libraries where they are installed, else a stand-in.

The stand-ins have the names and parameters of trackio 0.43, wandb 0.31 and mlflow 3.17: they show
how sftdiag calls them. That these calls work is what the tests of the real ones show.
"""

from __future__ import annotations

import sys
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")

from drive import Drive
from logs import overfitting

import sftdiag
from sftdiag.findings import Severity
from sftdiag.outlets import trackers
from sftdiag.outlets.alerts import Alert

ALERT = Alert("SFT201", Severity.WARNING, "SFT201 at step 420", "seen, why, fix", 420, {})


class AlertLevel(Enum):
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Calls(list[tuple[str, str]]):
    """What the stand-ins were told: (title or tag, level)."""

    def trackio(self, title: str, text: str, level: Any, step: int) -> None:
        self.append((title, level.name))

    def wandb(self, title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
        self.append((title, level))

    def mlflow(self, key: str, value: Any, synchronous: bool | None = None) -> None:
        assert synchronous is False
        self.append((key, value.partition(",")[0]))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    got = Calls()
    current = SimpleNamespace(get=lambda: SimpleNamespace(alert=got.trackio))
    stand_ins = {
        "trackio": SimpleNamespace(
            AlertLevel=AlertLevel,
            context_vars=SimpleNamespace(current_run=current),
        ),
        "wandb": SimpleNamespace(run=SimpleNamespace(alert=got.wandb)),
        "mlflow": SimpleNamespace(set_tag=got.mlflow, active_run=object),
    }
    for name, module in stand_ins.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    return got


def run(folder: Path, report_to: Any) -> None:
    drive = Drive(folder, sftdiag.DiagnosticsCallback(), max_steps=200)
    drive.args.report_to = report_to
    drive.run(overfitting(rise=0.02))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trackio", [("WARN", "SFT201"), ("ERROR", "SFT201"), ("ERROR", "sftdiag: error")]),
        ("wandb", [("WARN", "SFT201"), ("ERROR", "SFT201"), ("ERROR", "sftdiag: error")]),
        ("mlflow", [("warning", "sftdiag.SFT201"), ("error", "sftdiag.SFT201")]),
    ],
)
def test_the_run_s_tracker_is_told(
    tmp_path: Path, calls: Calls, name: str, told: list[tuple[str, str]]
) -> None:
    run(tmp_path, [name])
    assert len(calls) == 3
    for (title, level), (expected_level, start) in zip(calls, told, strict=False):
        assert (level, title[: len(start)]) == (expected_level, start)
    assert all(len(title) <= trackers.LONGEST_TITLE for title, _ in calls)


@pytest.mark.parametrize("report_to", ["none", [], ["swanlab"], None])
def test_a_tracker_that_the_run_does_not_report_to_is_left_alone(
    tmp_path: Path, calls: Calls, report_to: Any
) -> None:
    run(tmp_path, report_to)
    assert calls == []


def test_a_tracker_without_an_open_run_is_left_alone(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["wandb"], "run", None)
    monkeypatch.setattr(sys.modules["mlflow"], "active_run", lambda: None)
    monkeypatch.setattr(sys.modules["trackio"].context_vars.current_run, "get", lambda: None)
    run(tmp_path, ["wandb", "mlflow", "trackio"])
    monkeypatch.delitem(sys.modules, "wandb")
    run(tmp_path, ["wandb"])
    assert calls == []


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "runs" / "Nov24_host").mkdir(parents=True)
    trackers.tensorboard(ALERT, SimpleNamespace(output_dir=str(tmp_path)))
    kept = EventAccumulator(str(tmp_path / "runs" / "Nov24_host" / "sftdiag"))
    kept.Reload()
    (event,) = kept.Tensors("sftdiag/SFT201/text_summary")
    assert event.step == 420
    assert (
        event.tensor_proto.string_val[0] == b"warning \xc2\xb7 SFT201 at step 420\n\nseen, why, fix"
    )


def test_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    with mlflow.start_run() as current:
        trackers.mlflow(ALERT, None)
    mlflow.flush_async_logging()
    tags = mlflow.get_run(current.info.run_id).data.tags
    assert tags["sftdiag.SFT201"] == "warning, step 420: seen, why, fix"


def test_trackio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trackio = pytest.importorskip("trackio")
    trackio.init(project="sftdiag-test")
    trackers.trackio(ALERT, None)
    trackio.finish()
    assert "SFT201 at step 420: seen, why, fix" in capsys.readouterr().out


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.init(project="sftdiag-test", dir=str(tmp_path))
    trackers.wandb(ALERT, None)
    wandb.finish()
    (kept,) = tmp_path.rglob("*.wandb")
    assert b"SFT201 at step 420" in kept.read_bytes()


@pytest.mark.parametrize(
    ("report_to", "told"),
    [
        (None, []),
        ("none", []),
        ([], []),
        ("wandb", ["wandb"]),
        (("mlflow", "none"), ["mlflow"]),
        ("all", ["mlflow", "trackio", "wandb"]),
        (["all"], ["mlflow", "trackio", "wandb"]),
    ],
)
def test_a_loop_tells_the_trackers_that_it_names(
    report_to: Any, told: list[str], calls: Calls
) -> None:
    with sftdiag.Loop(report_to=report_to) as run:
        for row in overfitting(rise=0.02):
            run.log(row)
    assert len(calls) == 3 * len(told)
    assert sorted(trackers.asked_for(report_to)) == told


def test_tensorboard_takes_the_alerts_of_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    with sftdiag.Loop(report_to="tensorboard") as run:
        for row in overfitting():
            run.log(row)
    assert list(tmp_path.glob("runs/sftdiag/events.*"))
