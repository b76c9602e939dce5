"""Unsloth, by what its wheel does to a trainer: two methods of the class patched, labels made anew.

It puts functions of its own in the place of ``Trainer.training_step`` and ``compute_loss``;
``train_on_responses_only`` writes a column of labels, takes rows without a label out and gives the
trainer another collator.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra trainer")

import finetune
from transformers import DataCollatorForSeq2Seq, Trainer

import sftdiag


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_loss, training_step = Trainer.compute_loss, Trainer.training_step

    def pre_compute_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._old_compute_loss(*args, **kwargs)

    @functools.wraps(training_step)
    def own_training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        return training_step(self, *args, **kwargs)

    own_training_step.__name__ = "_unsloth_training_step"
    monkeypatch.setattr(Trainer, "_old_compute_loss", compute_loss, raising=False)
    monkeypatch.setattr(Trainer, "compute_loss", pre_compute_loss)
    monkeypatch.setattr(Trainer, "training_step", own_training_step)


def on_responses_only(trainer: Any) -> Any:
    tokenizer = trainer.processing_class
    start = tokenizer.convert_tokens_to_ids("<|assistant|>")

    def masked(row: dict[str, Any]) -> dict[str, Any]:
        ids = row["input_ids"]
        begin = ids.index(start) + 1
        return {"labels": [-100] * begin + ids[begin:]}

    trainer.train_dataset = trainer.train_dataset.map(masked)
    trainer.eval_dataset = trainer.eval_dataset.map(masked)
    trainer.data_collator = DataCollatorForSeq2Seq(tokenizer=tokenizer)
    return trainer


def test_what_is_trained_is_what_is_looked_at(tmp_path: Path) -> None:
    arguments = {"max_steps": 8, "gradient_accumulation_steps": 2, "logging_steps": 4}
    plain = finetune.make_trainer("prompt-trained", tmp_path / "plain", **arguments)
    before = sftdiag.preflight(plain)
    assert "SFT405" in {finding.code for finding in before.findings}

    trainer = on_responses_only(plain)
    callback = sftdiag.attach(trainer)
    trainer.train()
    context = callback._monitor.signals.context
    assert "SFT405" not in {finding.code for finding in callback.report.findings}
    assert {rows.split for rows in callback.report.rows} == {"train", "eval"}
    # Each step was seen, although the class's own method is another, and agrees with the log.
    assert context.step_signals is None
    assert callback.report.summary.records > len(
        [row for row in trainer.state.log_history if "loss" in row or "eval_loss" in row]
    )


def test_a_blow_up_is_stopped(tmp_path: Path) -> None:
    arguments = {"max_steps": 60, "gradient_accumulation_steps": 2, "logging_steps": 2}
    trainer = finetune.make_trainer(
        "learning-rate-too-high", tmp_path, assistant_only_loss=False, **arguments
    )
    callback = sftdiag.attach(on_responses_only(trainer), stop_on="error")
    trainer.train()
    primary = callback.report.primary
    assert primary is not None
    assert trainer.state.global_step <= primary.onset_step + 3 * 2
