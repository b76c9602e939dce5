"""trainer.hyperparameter_search with the callback attached: pruned on a finding, with its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import finetune
import pytest
import setups
import small_search
from datasets import Dataset
from small_search import Break
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

optuna = pytest.importorskip("optuna")

import sftdiag  # noqa: E402


class BreakAtHighRates(Break):
    """Breaks the trials of a rate above 0.05 only."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.learning_rate > 0.05:
            super().on_step_begin(args, state, control, **kwargs)


def searched(folder: Path, rates: list[float], **options: Any) -> Any:
    """Return the study of a search over these rates."""
    known = setups.tokenizer()
    trainer = Trainer(
        model_init=lambda: finetune.make_model(known),
        args=TrainingArguments(
            str(folder / "out"),
            **{
                **setups.ARGUMENTS,
                "per_device_train_batch_size": 16,
                "eval_strategy": "steps",
                "eval_steps": 2,
            },
        ),
        train_dataset=Dataset.from_list(small_search.TRAIN),
        eval_dataset=Dataset.from_list(small_search.HELD_OUT),
        data_collator=DataCollatorForSeq2Seq(known, label_pad_token_id=-100),
        processing_class=known,
    )
    trainer.add_callback(BreakAtHighRates(4))
    sftdiag.attach(trainer, **options)
    storage = f"sqlite:///{folder}/study.db"
    trainer.hyperparameter_search(
        hp_space=lambda trial: {
            "learning_rate": trial.suggest_float("learning_rate", 1e-8, 1.0, log=True)
        },
        n_trials=len(rates),
        direction="minimize",
        backend="optuna",
        storage=storage,
        study_name="hp",
        sampler=optuna.samplers.GridSampler({"learning_rate": rates}, seed=0),
        pruner=optuna.pruners.NopPruner(),
        catch=(ValueError,),
    )
    return optuna.load_study(study_name="hp", storage=storage)


def test_a_finding_prunes_its_trial_and_no_other(tmp_path: Path) -> None:
    study = searched(tmp_path, [1e-2, 3e-3, 0.06], stop_on="error")
    states = {t.params["learning_rate"]: t for t in study.trials}
    assert states[0.06].state.name == "PRUNED"
    assert states[0.06].user_attrs["cause"] == "SFT106 non-finite"
    assert max(states[0.06].intermediate_values, default=0) <= 6
    assert states[1e-2].state.name == "COMPLETE"
    assert "cause" not in states[1e-2].user_attrs
    assert study.best_trial.params["learning_rate"] == 1e-2


def test_a_curve_that_cannot_become_the_best_is_pruned(tmp_path: Path) -> None:
    study = searched(tmp_path, [1e-2, 1e-7], stop_on="SFT106")
    pruned = [t for t in study.trials if t.state.name == "PRUNED"]
    first = study.trials[0].params["learning_rate"]
    # The good one has to end first for the other to be held against it.
    assert [t.params["learning_rate"] for t in pruned] == ([1e-7] if first == 1e-2 else [])
    assert all(t.user_attrs["cause"] == "cannot-become-best cannot-become-best" for t in pruned)


def test_without_stop_on_nothing_is_pruned(tmp_path: Path) -> None:
    study = searched(tmp_path, [1e-2, 1e-7])
    assert {t.state.name for t in study.trials} == {"COMPLETE"}
