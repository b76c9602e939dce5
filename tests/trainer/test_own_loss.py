"""A trainer's own compute_loss: what it adds is not known, so its level accuses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sftdiag

setups = pytest.importorskip("setups", reason="needs the extra trainer")

from transformers import Trainer  # noqa: E402


class Penalised(Trainer):
    """Adds as much as two blind guesses cost: the weights' size, say."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **more)
        loss = loss + self.added
        return (loss, outputs) if return_outputs else loss

    added = 6.0


class Undivided(Trainer):
    """Leaves out num_items_in_batch, as before transformers issue 35204 was known."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def report_of(kind: type, folder: Path, **arguments: Any) -> sftdiag.Report:
    rows, held_out = setups.tokens(setups.PAIRS), setups.tokens(setups.HELD_OUT)
    config = {"learning_rate": 1e-3, "eval_strategy": "steps", "eval_steps": 5, "max_steps": 30}
    trainer = setups.plain(folder, rows, held_out, **{**config, "logging_steps": 1, **arguments})
    trainer.__class__ = kind
    callback = sftdiag.attach(trainer)
    trainer.train()
    return callback.report


def codes(report: sftdiag.Report) -> set[str]:
    return {finding.code for finding in report.findings} - {"SFT504", "SFT505"}


def test_a_loss_with_something_added_is_not_called_wrong_labels(tmp_path: Path) -> None:
    report = report_of(Penalised, tmp_path)
    assert not codes(report) & {"SFT108", "SFT111"}
    assert "user's own" in report.skipped["loss-above-chance"]
    assert "user's own" in report.skipped["implausible-loss"]


def test_a_trainer_without_one_is_judged_by_its_level(tmp_path: Path) -> None:
    class Named(Trainer):
        """Of a user, with nothing of the loss changed."""

    report = report_of(Named, tmp_path)
    assert "implausible-loss" not in report.skipped


def test_one_that_is_not_divided_is_told_all_the_same(tmp_path: Path) -> None:
    """By evaluations that are as many times lower as steps are accumulated."""
    trained = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2}
    report = report_of(Undivided, tmp_path, **trained, max_steps=60)
    (found,) = [finding for finding in report.findings if finding.code == "SFT111"]
    assert found.causes[0].id == "not-divided-by-accumulation"
    assert "implausible-loss" not in report.skipped
