"""A whole search with LoRA: four steps, trained on a tiny base that has learnt a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import setups
import small_search
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, Trainer

pytest.importorskip("optuna")

import sftdiag
from sftdiag.searches import html
from sftdiag.searches.steps import STEPS

pytestmark = pytest.mark.acceptance

START = {"learning_rate": 3e-3, "r": 16, "lora_alpha": 16, "gradient_accumulation_steps": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    start = {"learning_rate": 3e-3, "num_train_epochs": 1, "gradient_accumulation_steps": 1}
    trainer = small_search.make_trainer({**start, "seed": 1, "output_dir": str(folder / "out")})
    trainer.train()
    trainer.model.save_pretrained(folder)
    return folder


def test_the_four_steps_with_lora(base: Path, tmp_path: Path) -> None:
    ranks: list[int] = []

    def make_trainer(settings: dict[str, Any]) -> Trainer:
        trainer = small_search.make_trainer(settings)
        adapter = LoraConfig(
            r=settings["r"], lora_alpha=settings["lora_alpha"], target_modules="all-linear"
        )
        ranks.append(adapter.r)
        model = get_peft_model(LlamaForCausalLM.from_pretrained(base), adapter)
        return Trainer(
            model=model,
            args=trainer.args,
            train_dataset=trainer.train_dataset,
            eval_dataset=trainer.eval_dataset,
            data_collator=trainer.data_collator,
            processing_class=setups.tokenizer(),
        )

    result = sftdiag.search(make_trainer, START, folder=tmp_path, on_error="stop")
    assert result.facts.method == "lora"
    assert [made.step for made in result.choices] == list(STEPS)
    assert set(ranks) == {16, 32, 64}
    # Alpha keeps its ratio to the rank.
    assert all(t.settings["lora_alpha"] == t.settings["r"] for t in result.trials)
    rank = next(made for made in result.choices if made.step == "r")
    assert rank.why is None
    assert rank.loss is not None
    # A choice is the lowest loss of its step, or a cheaper one inside the noise.
    for made in result.choices:
        assert made.loss is not None
        assert made.best_loss is not None
        assert made.loss - made.best_loss <= (made.margin or 0.0)
        assert made.cheaper == (made.trial != made.best)
    ended = [t for t in result.trials if t.outcome.judged is not None]
    assert all(t.outcome.rows is not None for t in ended)
    assert set(result.lora_config) == {"r", "lora_alpha"}
    assert not set(result.sft_config) & set(result.lora_config)
    # Applied, the choice gives the loss that the search saw.
    chosen = next(t for t in ended if t.settings == result.settings)
    trainer = make_trainer({**result.settings, "output_dir": str(tmp_path / "again")})
    trainer.train()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(chosen.outcome.loss, rel=1e-5)
    assert "LoRA" in str(result)
    assert "LoraConfig" in html.page(result) or not result.changes
