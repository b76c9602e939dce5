"""The callback in real trainers: beside other callbacks, in searches, in TRL's other trainers."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.sources import journal, open_run

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

BEST = {
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_loss",
    "save_strategy": "steps",
    "save_steps": 10,
    "save_total_limit": 2,
}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "sftdiag"]


def test_beside_early_stopping_and_the_best_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever stops first; the best model is loaded, and its checkpoint is still there."""
    caplog.set_level(logging.INFO, "sftdiag")
    for patience in (2, 1000):
        caplog.clear()
        folder = tmp_path / str(patience)
        trainer = finetune.make_trainer("overfitting", folder, **BEST)
        trainer.add_callback(transformers.EarlyStoppingCallback(patience))
        sftdiag.attach(trainer, stop_on="warning", save_on_stop=True)
        trainer.train()
        assert trainer.state.global_step < 160
        assert Path(trainer.state.best_model_checkpoint).is_dir()
        stopped = [text for text in said(caplog) if text.startswith("stopped at step")]
        assert len(stopped) == (patience == 1000)
        if stopped:
            assert f"nearest checkpoint: checkpoint-{trainer.state.best_global_step}" in stopped[0]


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="needs optuna")
def test_a_search_over_hyperparameters(tmp_path: Path) -> None:
    """Every trial starts afresh, and one that is stopped counts as any other."""
    rows = [{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]} for _ in range(32)]
    trainer = transformers.Trainer(
        model_init=lambda trial=None: finetune.make_model(finetune.make_tokenizer()),
        args=transformers.TrainingArguments(
            **{**common(tmp_path), "max_steps": 8, "eval_strategy": "epoch"}
        ),
        train_dataset=rows,
        eval_dataset=rows,
    )
    callback = sftdiag.attach(trainer, stop_on="error")
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3)},
        n_trials=2,
        backend="optuna",
    )
    assert best.objective is not None
    events = [event["event"] for event in journal.read(str(tmp_path))]
    assert events.count("start") == events.count("end") == 2
    assert callback.report.summary.first_step == 1


def test_evaluation_sets_by_name(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("none", tmp_path, eval_on_start=True, num_train_epochs=1)
    trainer.eval_dataset = {"near": trainer.eval_dataset, "far": trainer.eval_dataset}
    callback = sftdiag.attach(trainer)
    trainer.train()
    series = {curve.series: curve.steps for curve in callback.report.curves}
    losses = {"loss", "eval_near_loss", "eval_far_loss"}
    assert set(series) == losses | {"grad_norm", "learning_rate"}
    assert series["eval_near_loss"] == (0, 10, 20, 30, 40)
    assert callback.report.at_least("warning") == ()


def test_a_resume_that_restores_other_callbacks(tmp_path: Path) -> None:
    """restore_callback_states_from_checkpoint makes new ones of those that keep a state."""
    arguments = {**BEST, "restore_callback_states_from_checkpoint": True, "save_total_limit": None}
    findings = []
    for checkpoint in (None, str(tmp_path / "checkpoint-100")):
        trainer = finetune.make_trainer("overfitting", tmp_path, **arguments)
        trainer.add_callback(transformers.EarlyStoppingCallback(1000))
        callback = sftdiag.attach(trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        assert trainer.state.global_step == 160
        findings.append(callback.report.to_dict()["findings"])
    assert findings[0] == findings[1] != []


def preference_rows(rows: int = 32) -> Any:
    return datasets.Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"what colour is the {thing}"}],
                "chosen": [{"role": "assistant", "content": "red"}],
                "rejected": [{"role": "assistant", "content": "blue"}],
            }
            for thing in finetune.THINGS
        ]
        * (rows // len(finetune.THINGS) + 1)
    )


def common(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "max_steps": 30,
        "logging_steps": 1,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
    }


def make_dpo(folder: Path) -> Any:
    from trl import DPOConfig, DPOTrainer

    tokenizer = finetune.make_tokenizer()
    return DPOTrainer(
        finetune.make_model(tokenizer),
        ref_model=finetune.make_model(tokenizer),
        args=DPOConfig(**common(folder)),
        train_dataset=preference_rows(),
        processing_class=tokenizer,
    )


def make_grpo(folder: Path) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = finetune.make_tokenizer()
    return GRPOTrainer(
        finetune.make_model(tokenizer),
        reward_funcs=lambda completions, **_: [0.5] * len(completions),
        args=GRPOConfig(**common(folder), num_generations=2, max_completion_length=4),
        train_dataset=preference_rows().select_columns(["prompt"]),
        processing_class=tokenizer,
    )


def make_reward(folder: Path) -> Any:
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    tokenizer = finetune.make_tokenizer()
    config = finetune.make_model(tokenizer).config
    config.num_labels = 1
    return RewardTrainer(
        LlamaForSequenceClassification(config),
        args=RewardConfig(**common(folder)),
        train_dataset=preference_rows(),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_dpo, "preference"), (make_grpo, "reinforcement"), (make_reward, "preference")],
)
def test_other_trainers_are_judged_by_what_applies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any, kind: str
) -> None:
    """A loss that is no likelihood of labels is said to be none; NaN is still looked for."""
    trainer = make(tmp_path)
    callback = sftdiag.attach(trainer, stop_on="warning")
    trainer.train()
    report = callback.report
    assert trainer.state.global_step == 30
    assert [text for text in said(caplog) if "please report" in text] == []
    assert report.verdict == "inconclusive"
    assert kind in (report.reason or "")
    assert report.at_least("warning") == ()
    assert "non-finite" in report.ran


@pytest.mark.parametrize(
    ("asked", "planned"),
    [
        ({"num_train_epochs": 3}, 3),
        ({"max_steps": 10}, None),
        ({"num_train_epochs": 2.5}, None),
        ({"num_train_epochs": 3, "gradient_accumulation_steps": 4}, 3),
        ({"max_steps": 10, "gradient_accumulation_steps": 4}, None),
    ],
)
def test_the_plan_is_read_from_the_state_that_the_trainer_writes(
    asked: dict[str, Any], planned: float | None, tmp_path: Path
) -> None:
    """15 batches an epoch; 4 steps where four are accumulated, the last one of three."""
    setups = importlib.import_module("setups")
    trainer = setups.plain(tmp_path, setups.tokens(setups.PAIRS), **asked)
    trainer.train()
    trainer.save_state()
    assert open_run(tmp_path).context.num_train_epochs == planned
