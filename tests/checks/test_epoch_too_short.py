"""SFT518 by what real trainers then do: the steps that they make, the evaluations that they log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftdiag.checks import Inputs, run_checks
from sftdiag.checks.epoch_too_short import EpochTooShortCheck
from sftdiag.context import RunContext
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Split

pytest.importorskip("transformers", reason="needs the extra trainer")

import any_version

import sftdiag
from benchmarks.frameworks import inputs


def trainer(folder: Path, rows: int, kind: str = "transformers", **settings: Any) -> Any:
    """Return one that trains so many rows for two epochs, four a batch."""
    usual: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "max_steps": -1,
        "warmup_steps": 0,
        "eval_strategy": "no",
    }
    made = inputs.rows(rows, **any_version.ROWS)
    return any_version.trainer(kind, folder, made, **{**usual, **settings})


def told(report: sftdiag.Report) -> list[tuple[str, str]]:
    """Return severity and series of what is said."""
    return [(f.severity.label, f.series) for f in report.findings if f.code == "SFT518"]


@pytest.mark.parametrize("kind", any_version.KINDS if any_version.HAS_TRL else ["transformers"])
def test_accumulation_beyond_the_epoch_is_a_step_an_epoch(kind: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, 18, kind, gradient_accumulation_steps=8)
    report = sftdiag.preflight(run)
    assert told(report) == [("warning", "arguments")]
    (found,) = [f for f in report.findings if f.code == "SFT518"]
    assert "has 5 batches, fewer than gradient_accumulation_steps=8" in found.message
    assert "of 18 rows instead of 32" in found.message
    change = {"SFTConfig.gradient_accumulation_steps": (8, 2)}
    assert [fix.changes for fix in found.causes[0].fixes] == [change]
    callback = sftdiag.attach(run)
    run.train()
    assert run.state.global_step == 2
    assert told(callback.report) == told(report)


def test_what_a_callback_alone_sees_is_the_same(tmp_path: Path) -> None:
    callback = sftdiag.DiagnosticsCallback()
    run = trainer(tmp_path, 18, gradient_accumulation_steps=8)
    run.add_callback(callback)
    run.train()
    assert told(callback.report) == [("warning", "arguments")]


def test_no_batch_is_no_step(tmp_path: Path) -> None:
    run = trainer(tmp_path, 3, dataloader_drop_last=True, max_steps=5)
    report = sftdiag.preflight(run)
    assert told(report) == [("error", "arguments")]
    assert "the 3 training rows are fewer than the 4 of one" in str(report)
    run.train()
    assert run.state.global_step == 0


def test_an_evaluation_without_a_batch_logs_no_loss(tmp_path: Path) -> None:
    settings = {"dataloader_drop_last": True, "per_device_eval_batch_size": 100}
    run = trainer(tmp_path, 16, eval_strategy="epoch", **settings)
    assert told(sftdiag.preflight(run)) == [("warning", "eval")]
    run.train()
    evaluations = [row for row in run.state.log_history if "eval_runtime" in row]
    assert evaluations
    assert not any("eval_loss" in row for row in evaluations)
    assert (
        "less than a batch"
        in sftdiag.analyze({"log_history": run.state.log_history}).skipped["eval-loss-rising"]
    )


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (16, {"gradient_accumulation_steps": 4}),
        (18, {"gradient_accumulation_steps": 4}),  # A short last step beside a full one.
        (4, {"dataloader_drop_last": True}),
        (5, {"dataloader_drop_last": True, "per_device_eval_batch_size": 80}),
        (3, {}),
    ],
)
def test_full_steps_are_silent(rows: int, settings: dict[str, Any], tmp_path: Path) -> None:
    report = sftdiag.preflight(trainer(tmp_path, rows, **settings))
    assert told(report) == []
    assert "epoch-too-short" not in report.skipped


@pytest.mark.parametrize(
    ("world", "batches", "expected"),
    [(1, 5, "one_step"), (2, 3, "one_step"), (8, 1, "one_step"), (8, 0, "no_step")],
)
def test_processes_share_the_batches(world: int, batches: int, expected: str) -> None:
    known = {"train_samples": 18, "per_device_train_batch_size": 4}
    context = RunContext(
        world_size=world, epoch_batches=batches, gradient_accumulation_steps=8, **known
    )
    (found,) = look(context)
    assert (found.variant, found.evidence["batch"]) == (
        expected,
        4 * world if expected == "no_step" else 18,
    )


def look(context: RunContext, *evaluations: Split) -> tuple[Observation, ...]:
    """Return what the check sees."""
    outcome = run_checks(Inputs(context, evaluations=evaluations), EpochTooShortCheck.code)
    return outcome.observations


def test_what_is_not_known_is_said() -> None:
    outcome = run_checks(Inputs(RunContext(train_samples=18)), EpochTooShortCheck.code)
    assert outcome.skipped == {EpochTooShortCheck.name: Skip("no_batches")}


def test_dataloaders_of_ones_own_are_not_counted(tmp_path: Path) -> None:
    run = trainer(tmp_path, 18, gradient_accumulation_steps=8)

    class Own(type(run)):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            raise AssertionError("not asked for a batch")

    run.__class__ = Own
    report = sftdiag.preflight(run)
    assert told(report) == []
    assert "epoch-too-short" in report.skipped
