"""DiagnosticsCallback on real tiny TRL and transformers trainers, on the CPU."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.context import RunContext
from sftdiag.monitor import Monitor

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

pytestmark = pytest.mark.slow

SHORT = {"num_train_epochs": 1, "logging_steps": 1}


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "sftdiag" and r.levelno >= level]


def train(fault: str, folder: Path, callback: Any = None, **arguments: Any) -> Any:
    trainer = finetune.make_trainer(fault, folder, **arguments)
    if callback is not None:
        trainer.add_callback(callback)
    trainer.train()
    return trainer


EXPECTED = {
    "none": None,
    "overfitting": ("SFT201", "overfitting"),
    "eval-distribution": ("SFT201", "eval-distribution"),
    "learning-rate-too-low": ("SFT101", "learning-rate-too-low"),
    "learning-rate-too-high": ("SFT106", "learning-rate-too-high"),
    "frozen-parameters": ("SFT101", "frozen-parameters"),
    "label-mask": ("SFT107", "label-mask"),
    "nan-weights": ("SFT106", None),
}


@pytest.mark.parametrize("fault", EXPECTED)
def test_one_case_a_fault(fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Live, the fault is warned about; offline, analyze finds the very same."""
    caplog.set_level(logging.INFO, "sftdiag")
    trainer = finetune.make_trainer(fault, tmp_path)
    callback = sftdiag.attach(trainer)
    trainer.train()
    finetune.save_log(trainer, tmp_path)
    report = callback.report
    if EXPECTED[fault] is None:
        assert report.verdict == "healthy"
        assert said(caplog) == []
        assert len(said(caplog, logging.INFO)) == 1
    else:
        code, cause = EXPECTED[fault]
        assert report.primary is not None
        assert report.primary.code == code
        assert cause in (None, report.primary.causes[0].id)
        assert any(code in text for text in said(caplog))
    offline = sftdiag.analyze(tmp_path)
    assert offline.replace(source="live").to_dict() == report.to_dict()


def test_nan_weights_stop_the_run_within_three_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = finetune.make_trainer(
        "nan-weights", tmp_path, logging_steps=1, save_steps=20, save_strategy="steps"
    )
    callback = sftdiag.attach(trainer, stop_on="error")
    trainer.train()
    assert 60 < trainer.state.global_step <= 63
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT106"
    (stopped,) = [text for text in said(caplog) if text.startswith("stopped at step")]
    assert f"stopped at step {trainer.state.global_step} of 120 by SFT106 non-finite" in stopped
    assert "nearest checkpoint: checkpoint-60" in stopped
    assert not (tmp_path / f"checkpoint-{trainer.state.global_step}").exists()


def test_stopping_names_the_best_evaluation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = sftdiag.DiagnosticsCallback(stop_on={"eval-loss-rising"})
    trainer = train("overfitting", tmp_path, callback)
    assert trainer.state.global_step < 160
    (stopped,) = [text for text in said(caplog) if text.startswith("stopped")]
    assert "best eval_loss" in stopped
    assert "no checkpoint to go back to was saved" in stopped


def test_raise_on_ends_training_with_the_diagnosis(tmp_path: Path) -> None:
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT107 zero-loss, step 6"):
        train("label-mask", tmp_path, sftdiag.DiagnosticsCallback(raise_on="SFT107"))


def test_a_fault_of_our_own_is_logged_once_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Monitor, entry: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Monitor, "feed_entry", broken)
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    trainer = train("none", tmp_path, callback, **SHORT)
    assert trainer.state.global_step == 40
    # What was not seen is not called healthy.
    assert callback.report.verdict == "inconclusive"
    assert "ZeroDivisionError" in str(callback.report.reason)
    assert len(said(caplog)) == 1
    assert "please report" in said(caplog)[0]


def test_an_output_folder_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "_sftdiag").write_text("a file where the folder should be")
    callback = sftdiag.DiagnosticsCallback()
    train("none", tmp_path, callback, **SHORT)
    assert "cannot be written" in said(caplog)[0]
    assert callback.report.summary.last_step == 40


def test_evaluations_outside_training_feed_nothing(tmp_path: Path) -> None:
    callback = sftdiag.DiagnosticsCallback()
    trainer = finetune.make_trainer("none", tmp_path, eval_on_start=True, **SHORT)
    trainer.add_callback(callback)
    trainer.evaluate()
    assert callback.report.summary.records == 0
    trainer.train()
    before = callback.report
    assert before.curves[1].steps[0] == 0
    trainer.evaluate()
    trainer.predict(trainer.eval_dataset)
    assert callback.report.to_dict() == before.to_dict()


def test_every_train_call_starts_afresh(tmp_path: Path) -> None:
    callback = sftdiag.DiagnosticsCallback()
    assert callback.report.verdict == "inconclusive"
    trainer = train("label-mask", tmp_path, callback, max_steps=10)
    first = callback.report
    trainer.train()
    assert callback.report is not first
    assert callback.report.summary == first.summary
    ids = [finding.id for finding in callback.report.findings]
    assert ids == [finding.id for finding in first.findings]
    assert ids[0] == "SFT107@6"


def test_a_callback_that_was_attached_to_another_trainer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It judges the run that it is in, and says nothing of the other one's rows and settings."""
    first = finetune.make_trainer("end-of-turn", tmp_path / "first", max_steps=4)
    callback = sftdiag.attach(first, guard=True)
    first.train()
    assert "SFT406" in {finding.code for finding in callback.report.findings}
    second = finetune.make_trainer("none", tmp_path / "second", max_steps=12, logging_steps=2)
    second.add_callback(callback)
    with caplog.at_level(logging.WARNING, "sftdiag"):
        second.train()
    assert caplog.text.count("attached to another trainer") == 1
    assert callback.report.findings == ()
    assert "every-step" not in callback.report.skipped
    assert "training_step" not in vars(first)
    assert callback.report.summary.last_step == 12


def test_a_resume_says_nothing_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save = {"save_strategy": "steps", "save_steps": 50, "logging_steps": 2}
    whole = sftdiag.DiagnosticsCallback()
    train("overfitting", tmp_path / "whole", whole, **save)
    train("overfitting", tmp_path / "broken", None, **save)
    resumed = sftdiag.DiagnosticsCallback(stop_on="error", raise_on="error")
    trainer = finetune.make_trainer("overfitting", tmp_path / "broken", **save)
    trainer.add_callback(resumed)
    caplog.clear()
    trainer.train(resume_from_checkpoint=str(tmp_path / "broken" / "checkpoint-150"))
    assert trainer.state.global_step == 160
    assert resumed.report.to_dict() == whole.report.to_dict()
    assert [text for text in said(caplog) if "eval-loss-rising, step" in text] == []


@pytest.mark.parametrize("seen_again", [True, False])
def test_what_was_found_before_step_1_is_read_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seen_again: bool
) -> None:
    """Told once; known after a resume, also to a callback that cannot see it itself."""
    save = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer = finetune.make_trainer("prompt-trained", tmp_path, **save)
    sftdiag.attach(trainer)
    trainer.train()
    assert sum(text.startswith("warning SFT405") for text in said(caplog)) == 1
    caplog.clear()
    trainer = finetune.make_trainer("prompt-trained", tmp_path, **save)
    callback = sftdiag.DiagnosticsCallback(raise_on="warning")
    if seen_again:
        callback = sftdiag.attach(trainer, raise_on="warning")
    else:
        trainer.add_callback(callback)
        trainer.processing_class = None
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert trainer.state.global_step == 4
    assert [f.id for f in callback.report.at_least("warning")] == ["SFT405@0"]
    assert not any(text.startswith("warning SFT405") for text in said(caplog))


@pytest.mark.parametrize("off", ["argument", "environment"])
def test_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    if off == "environment":
        monkeypatch.setenv("SFTDIAG_DISABLE", "1")
    callback = sftdiag.DiagnosticsCallback(stop_on="error", enabled=off != "argument")
    trainer = train("label-mask", tmp_path, callback, max_steps=10)
    assert trainer.state.global_step == 10
    assert callback.report.findings == ()
    assert not (tmp_path / "_sftdiag").exists()


def test_wrong_arguments_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(sftdiag.ConfigError, match="unknown code or name"):
        sftdiag.DiagnosticsCallback(stop_on={"SFT999"})
    from transformers import Trainer

    for takes_a_trainer in (sftdiag.attach, sftdiag.preflight, sftdiag.smoke_test):
        for given, what in (
            (None, "NoneType"),
            ("run/", "str"),
            (Trainer, "transformers.trainer.Trainer itself"),
        ):
            with pytest.raises(sftdiag.ConfigError, match=f"expected a transformers .* got {what}"):
                takes_a_trainer(given)
    trainer = finetune.make_trainer("none", tmp_path)
    sftdiag.attach(trainer)
    with pytest.raises(sftdiag.ConfigError, match="has a DiagnosticsCallback already: take it off"):
        sftdiag.attach(trainer)
    trainer.remove_callback(sftdiag.DiagnosticsCallback)
    sftdiag.attach(trainer)


def test_what_is_known_of_a_run(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    trainer = finetune.make_trainer("none", tmp_path, max_steps=2, gradient_accumulation_steps=2)
    trainer.model = get_peft_model(
        trainer.model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])
    )
    sftdiag.attach(trainer)
    trainer.train()
    context = RunContext.from_dict(json.loads((tmp_path / "_sftdiag" / "context.json").read_text()))
    assert (context.method, context.lora_r, context.lora_alpha) == ("lora", 4, 8.0)
    assert context.target_modules == ("q_proj",)
    assert context.vocab_size == len(trainer.processing_class)
    assert context.learning_rate == 3e-3
    assert context.lr_scheduler_type == "cosine"
    assert context.effective_batch_size == 32
    assert (context.train_samples, context.eval_samples) == (640, 80)
    assert 0 < (context.trainable_share or 0) < 0.1
    assert str(tmp_path) not in json.dumps(context.to_dict())


def test_a_plain_trainer(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    rows = [{"input_ids": [1, 2, 3, 4], "labels": [-100] * 4} for _ in range(32)]
    callback = sftdiag.DiagnosticsCallback(stop_on="error")
    trainer = Trainer(
        model=finetune.make_model(finetune.make_tokenizer()),
        args=TrainingArguments(
            str(tmp_path), logging_steps=1, report_to="none", use_cpu=True, disable_tqdm=True
        ),
        train_dataset=rows,
        callbacks=[callback],
    )
    trainer.train()
    assert trainer.state.global_step == 1
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT401"


def test_without_logging_a_healthy_run_ends_with_one_line(tmp_path: Path) -> None:
    script = Path(finetune.__file__)
    command = [sys.executable, str(script), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = [line for line in done.stderr.splitlines() if line.startswith("sftdiag")]
    assert ours == ["sftdiag: healthy. The checks that could run found no fault."]
