"""Set-ups that cannot work are named before step 1, on real tiny trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.trainer.context import of_trainer

torch = pytest.importorskip("torch", reason="needs the extra trainer")
setups = pytest.importorskip("setups", reason="needs the extra trainer")

from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import (  # noqa: E402
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

pytestmark = pytest.mark.slow

ROWS = setups.tokens(setups.PAIRS)

Made = Callable[[Path], Any]


def nothing_trained(folder: Path) -> Any:
    trainer = setups.plain(folder, ROWS)
    trainer.model.requires_grad_(False)
    return trainer


def frozen_adapter(folder: Path) -> Any:
    """An adapter that was loaded for inference."""
    trainer = setups.plain(folder, ROWS, peft=True)
    trainer.model.requires_grad_(False)
    return trainer


def scheduled(make: Callable[..., Any], steps: int) -> Made:
    def trainer(folder: Path) -> Any:
        made = setups.plain(folder, ROWS, learning_rate=1e-3)
        made.optimizer = torch.optim.AdamW(made.model.parameters(), lr=1e-3)
        made.lr_scheduler = make(made.optimizer, 0, steps)
        return made

    return trainer


def spare_optimizer(folder: Path) -> Any:
    trainer = setups.plain(folder, ROWS, learning_rate=1e-3, peft=True)
    trainer.optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    return trainer


def untied(folder: Path) -> Any:
    trainer = setups.plain(folder, ROWS)
    model = trainer.model
    model.config.tie_word_embeddings = True
    model.tie_weights()
    config = LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    trainer.model = get_peft_model(model, config)
    return trainer


def cut_off(folder: Path, **adapter: Any) -> Any:
    """Reentrant checkpoints set up by hand, without the hook that asks for gradients."""
    trainer = setups.plain(folder, ROWS, learning_rate=1e-3, max_steps=2)
    model = trainer.model
    trainer.model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], **adapter))
    trainer.model_wrapped = trainer.model
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    model.disable_input_require_grads()
    return trainer


def rounded(folder: Path) -> Any:
    trainer = setups.plain(folder, ROWS, learning_rate=1e-7)
    trainer.model.to(torch.bfloat16)
    return trainer


SETUPS: dict[str, tuple[str, str, Made]] = {
    "nothing is trained": ("SFT510", "error", nothing_trained),
    "a frozen adapter": ("SFT510", "error", frozen_adapter),
    "rate 0": ("SFT501", "error", lambda f: setups.plain(f, ROWS, learning_rate=0.0)),
    "rate 0.2": ("SFT501", "warning", lambda f: setups.plain(f, ROWS, learning_rate=0.2)),
    "rate 1e-12": ("SFT501", "warning", lambda f: setups.plain(f, ROWS, learning_rate=1e-12)),
    "warm-up as long as the run": (
        "SFT508", "warning", lambda f: setups.plain(f, ROWS, warmup_steps=100),
    ),
    "a linear schedule of a third": (
        "SFT513", "error", scheduled(get_linear_schedule_with_warmup, 5),
    ),
    "a cosine of two thirds": ("SFT513", "warning", scheduled(get_cosine_schedule_with_warmup, 10)),
    "another optimizer's weights": ("SFT515", "error", spare_optimizer),
    "reentrant checkpoints behind frozen embeddings": ("SFT516", "error", cut_off),
    "embeddings untied": ("SFT514", "warning", untied),
    "bfloat16 rounds the steps": ("SFT509", "error", rounded),
    "the worst perplexity for the best": (
        "SFT517", "warning", lambda f: setups.plain(f, ROWS, metric_for_best_model="perplexity"),
    ),
    "a tiny clip": ("SFT512", "warning", lambda f: setups.plain(f, ROWS, max_grad_norm=1e-5)),
    "betas swapped": (
        "SFT512", "warning", lambda f: setups.plain(f, ROWS, adam_beta1=0.999, adam_beta2=0.9),
    ),
    "labels smoothed away": (
        "SFT511", "error", lambda f: setups.plain(f, ROWS, label_smoothing_factor=0.9),
    ),
    "a large decay": ("SFT511", "warning", lambda f: setups.plain(f, ROWS, weight_decay=10.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", SETUPS)
def test_it_is_named_with_what_to_change(name: str, tmp_path: Path) -> None:
    code, severity, make = SETUPS[name]
    report = sftdiag.preflight(make(tmp_path))
    found = {finding.code: finding for finding in report.at_least("warning")}
    assert {c: f.severity.label for c, f in found.items()} == {code: severity}
    assert found[code].causes[0].fixes
    assert not any("please report" in reason for reason in report.skipped.values())


def test_nothing_trained_is_told_before_torch_ends_the_run(tmp_path: Path) -> None:
    trainer = nothing_trained(tmp_path)
    callback = sftdiag.attach(trainer)
    with pytest.raises(RuntimeError, match="does not require grad"):
        trainer.train()
    assert callback.report.primary is not None
    assert callback.report.primary.code == "SFT510"


def adapter(trainer: Any) -> float:
    weights = trainer.model.named_parameters()
    return sum(float(p.abs().sum()) for name, p in weights if "lora_B" in name)


def test_gradients_that_are_cut_off_from_an_adapter_beside_a_trained_head(tmp_path: Path) -> None:
    trainer = cut_off(tmp_path, modules_to_save=["lm_head"])
    callback = sftdiag.attach(trainer)
    trainer.train()
    (found,) = callback.report.at_least("error")
    assert found.code == "SFT516"
    assert found.evidence["part"] < 1
    assert adapter(trainer) == 0.0


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("by", ["arguments", "hand"])
def test_checkpoints_whose_inputs_have_gradients_are_silent(
    tmp_path: Path, reentrant: bool, by: str
) -> None:
    asked = {"gradient_checkpointing_kwargs": {"use_reentrant": reentrant}}
    arguments = {"gradient_checkpointing": True, **asked} if by == "arguments" else {}
    trainer = setups.plain(tmp_path, ROWS, learning_rate=1e-3, max_steps=2, peft=True, **arguments)
    if by == "hand":
        trainer.model.gradient_checkpointing_enable(**asked)
    callback = sftdiag.attach(trainer)
    assert "SFT516" not in {finding.code for finding in sftdiag.preflight(trainer).findings}
    trainer.train()
    assert "SFT516" not in {finding.code for finding in callback.report.findings}
    assert adapter(trainer) > 0


def test_the_optimizer_that_the_trainer_makes_holds_all(tmp_path: Path) -> None:
    trainer = setups.plain(tmp_path, ROWS, max_steps=1, peft=True)
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert "outside-the-optimizer" in callback.report.ran
    assert callback.report.findings == ()


def test_the_optimizer_made_too_early_is_found_at_the_start(tmp_path: Path) -> None:
    trainer = spare_optimizer(tmp_path)
    trainer.args.max_steps = 1
    callback = sftdiag.attach(trainer)
    trainer.train()
    assert {f.code for f in callback.report.at_least("error")} == {"SFT515"}


def test_tied_embeddings_that_stay_tied_are_silent(tmp_path: Path) -> None:
    trainer = setups.plain(tmp_path, ROWS)
    trainer.model.config.tie_word_embeddings = True
    trainer.model.tie_weights()
    config = LoraConfig(r=4, target_modules=["q_proj"], trainable_token_indices=[5])
    trainer.model = get_peft_model(trainer.model, config)
    assert of_trainer(trainer).untied_embeddings is None


@pytest.mark.parametrize("trained", [[], [0], [1], [0, 1]])
def test_new_tokens_that_the_adapter_leaves_out(tmp_path: Path, trained: list[int]) -> None:
    known = len(setups.tokenizer())
    indices = [known + i for i in trained]
    trainer = setups.new_tokens(tmp_path, trainable_token_indices=indices or None)
    found = [f for f in sftdiag.preflight(trainer).findings if f.code == "SFT411"]
    if trained == [0, 1]:
        assert found == []
        return
    left = [name for i, name in enumerate(("<|tool|>", "<|result|>")) if i not in trained]
    assert found[0].evidence["tokens"] == ", ".join(left)
    (changes,) = (fix.changes for fix in found[0].causes[0].fixes if fix.changes)
    assert changes["LoraConfig.trainable_token_indices"] == (
        str(indices) if indices else None,
        str([known, known + 1]),
    )


@pytest.mark.parametrize("alike_first", [True, False])
def test_a_second_evaluation_set_of_another_kind_is_a_note(
    alike_first: bool, tmp_path: Path
) -> None:
    sets = {
        "same": setups.messages(setups.HELD_OUT),
        "other": setups.messages(setups._other_talk()),
    }
    names = ["same", "other"] if alike_first else ["other", "same"]
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS), assistant_only_loss=True)
    trainer.eval_dataset = {
        name: setups.sft(tmp_path, sets[name], assistant_only_loss=True).train_dataset
        for name in names
    }
    (found,) = sftdiag.preflight(trainer).findings
    assert (found.code, found.series, found.severity.label) == ("SFT414", "other", "info")
