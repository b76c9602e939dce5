"""smoke_test on real tiny trainers: what it names, what it passes, and that all is put back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sftdiag

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from sftdiag.live import snapshot  # noqa: E402
from sftdiag.live.smoke_watch import Gradients, look_at_gradients  # noqa: E402

pytestmark = pytest.mark.slow


def sft(folder: Path, name: str = "none", **arguments: Any) -> Any:
    return finetune.make_trainer(name, folder, **arguments)


def with_lora(trainer: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", lora_dropout=0.05)
    trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, lora)
    return trainer


def from_rows(folder: Path, rows: list[dict[str, Any]], **arguments: Any) -> Any:
    """Return an SFTTrainer on rows of one's own."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = finetune.make_tokenizer()
    model = arguments.pop("model", None) or finetune.make_model(tokenizer)
    chosen = {
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        **arguments,
    }
    return SFTTrainer(
        model=model,
        args=SFTConfig(str(folder), **chosen),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def plain(folder: Path, *, rows: list[dict[str, Any]] | None = None, **arguments: Any) -> Any:
    """Return a transformers Trainer on tokenized rows."""
    from transformers import Trainer, TrainingArguments, default_data_collator

    tokenizer = finetune.make_tokenizer()
    if rows is None:
        ids = [[3, 5 + n % 40, 4, 5 + n // 40, 6 + n % 40, 2] for n in range(640)]
        rows = [{"input_ids": row, "labels": row} for row in ids]
    chosen = {
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        **arguments,
    }
    keep = {name: chosen.pop(name) for name in ("optimizers",) if name in chosen}
    model = chosen.pop("model", None) or finetune.make_model(tokenizer, dropout=0.1)
    return Trainer(
        model=model,
        args=TrainingArguments(str(folder), **chosen),
        train_dataset=rows,
        data_collator=default_data_collator,
        **keep,
    )


def conversations() -> list[list[dict[str, str]]]:
    rows = finetune.conversations(finetune.FAULTS["none"], 640, seed=1)
    return [list(row["messages"]) for row in rows]


def prompt_completion(folder: Path) -> Any:
    rows = [{"prompt": chat[:1], "completion": chat[1:]} for chat in conversations()]
    return from_rows(folder, rows)


def lora(folder: Path) -> Any:
    """Return LoRA on a model that was trained before: an adapter needs one that knows its words."""
    base = sft(folder, max_steps=100)
    base.train()
    rows = []
    for chat in conversations():
        answer = chat[1]["content"].split()
        turned = " ".join([*answer[:-1], finetune.COLOURS[-1 - finetune.COLOURS.index(answer[-1])]])
        rows.append({"messages": [chat[0], {"role": "assistant", "content": turned}]})
    chosen = {"learning_rate": 1e-2, "assistant_only_loss": True}
    trainer = from_rows(folder, rows, model=base.model, **chosen)
    return with_lora(trainer)


def text(folder: Path) -> Any:
    rows = [{"text": " ".join(turn["content"] for turn in chat)} for chat in conversations()]
    return from_rows(folder, rows)


def scaled_weights(folder: Path) -> Any:
    trainer = sft(folder)
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(300)
    return trainer


def nan_weights(folder: Path) -> Any:
    trainer = sft(folder)
    with torch.no_grad():
        trainer.model.model.norm.weight[0] = float("nan")
    return trainer


def no_gradients(folder: Path) -> Any:
    trainer = sft(folder)
    for parameter in trainer.model.parameters():
        parameter.register_hook(torch.zeros_like)
    return trainer


def nothing_trained(folder: Path) -> Any:
    trainer = sft(folder)
    trainer.model.requires_grad_(False)
    return trainer


def foreign_optimizer(folder: Path) -> Any:
    trainer = sft(folder)
    other = finetune.make_model(finetune.make_tokenizer())
    trainer.optimizer = torch.optim.AdamW(other.parameters(), lr=3e-3)
    return trainer


def labels_of_noise(folder: Path) -> Any:
    draw = random.Random(1)
    rows = [
        {"input_ids": [3, 5 + n % 4, 4, 12, 2], "labels": draw.choices(range(50), k=5)}
        for n in range(640)
    ]
    return plain(folder, rows=rows)


def too_large_ids(folder: Path) -> Any:
    rows = [{"input_ids": [3, 9999], "labels": [3, 4]} for _ in range(64)]
    return plain(folder, rows=rows)


def too_large_for_the_gpu(folder: Path) -> Any:
    trainer = sft(folder)

    def forward(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    trainer.model.forward = forward
    return trainer


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "label-mask": (lambda folder: sft(folder, "label-mask"), "SFT107"),
    "learning-rate-too-low": (lambda folder: sft(folder, "learning-rate-too-low"), "SFT101"),
    "learning-rate-zero": (lambda folder: sft(folder, learning_rate=0.0), "SFT101"),
    "learning-rate-too-high": (lambda folder: sft(folder, "learning-rate-too-high"), "SFT10"),
    "learning-rate-too-high-for-adam": (lambda folder: sft(folder, learning_rate=3.0), "SFT10"),
    "frozen-parameters": (lambda folder: sft(folder, "frozen-parameters"), "SFT101"),
    "nothing-trained": (nothing_trained, "does not require grad"),
    "no-gradients": (no_gradients, "SFT101"),
    "foreign-optimizer": (foreign_optimizer, "SFT101"),
    "nan-weights": (nan_weights, "SFT106"),
    "weights-not-loaded": (scaled_weights, "SFT10"),
    "labels-of-noise": (labels_of_noise, "SFT"),
    "token-ids-beyond-the-vocabulary": (too_large_ids, "IndexError"),
    "out-of-memory": (too_large_for_the_gpu, "halve per_device_train_batch_size"),
}

HEALTHY: dict[str, Callable[[Path], Any]] = {
    "messages": sft,
    "lora": lora,
    "prompt-completion": prompt_completion,
    "text": text,
    "plain-trainer": plain,
    "dropout-and-accumulation": lambda folder: sft(
        folder, dropout=0.1, per_device_train_batch_size=4, gradient_accumulation_steps=4
    ),
    "checkpointing": lambda folder: sft(folder, gradient_checkpointing=True),
}


@pytest.mark.acceptance
def test_a_warning_of_the_rows_alone_is_no_no_go(tmp_path: Path) -> None:
    """The run learns, and what was seen of its rows is named to look at first."""
    result = sftdiag.smoke_test(sft(tmp_path, assistant_only_loss=False))
    assert result.verdict == "go"
    assert "SFT405 prompt-trained first" in result.line


@pytest.mark.acceptance
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str, tmp_path: Path) -> None:
    make, named = FAULTS[fault]
    result = sftdiag.smoke_test(make(tmp_path))
    assert result.verdict == "no-go", result.line
    assert named in result.line
    with pytest.raises(sftdiag.UnhealthyRunError, match="no-go"):
        result.raise_for_no_go()


@pytest.mark.acceptance
@pytest.mark.parametrize("setup", HEALTHY)
def test_healthy_set_ups_pass(setup: str, tmp_path: Path) -> None:
    result = sftdiag.smoke_test(HEALTHY[setup](tmp_path))
    assert result.verdict == "go", str(result)
    assert result.gradients is not None
    assert result.gradients.reached == result.gradients.tensors
    result.raise_for_no_go()


def test_gradients_that_a_rank_does_not_hold() -> None:
    """As under DeepSpeed: there is nothing to say of them, and no fault."""
    model = torch.nn.Linear(2, 2)
    assert look_at_gradients(model) is None
    model(torch.ones(2)).sum().backward()
    assert look_at_gradients(model) == Gradients(2, 2)


def test_one_of_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sftdiag")
    assert sftdiag.smoke_test(sft(tmp_path / "go"), 60).go
    assert "60 steps" in caplog.text
    assert "KiB" in caplog.text
    stopped = sftdiag.smoke_test(sft(tmp_path / "no", "label-mask"), lang="zh")
    assert stopped.line.startswith("烟雾测试：不要开始：")
    assert stopped.report.summary.last_step < 20
    assert not list(tmp_path.rglob("_sftdiag"))


def optimized(folder: Path) -> Any:
    """Return a trainer with an optimizer and a schedule of the user's own."""
    model = finetune.make_model(finetune.make_tokenizer(), dropout=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
    return plain(folder, model=model, optimizers=(optimizer, schedule))


def trained_before(folder: Path) -> Any:
    trainer = sft(folder, dropout=0.2, max_steps=5)
    trainer.train()
    trainer.args.max_steps = 60
    return trainer


SETUPS: dict[str, Callable[[Path], Any]] = {
    "sft": lambda folder: sft(folder, dropout=0.2, max_steps=60),
    "lora-and-checkpointing": lambda folder: with_lora(
        sft(folder, max_steps=40, gradient_checkpointing=True)
    ),
    "optimizer-of-ones-own": optimized,
    "trained-before": trained_before,
}


@pytest.mark.parametrize("setup", SETUPS)
def test_the_real_run_is_bit_identical(setup: str, tmp_path: Path) -> None:
    results = []
    for smoked in (False, True):
        torch.manual_seed(5)
        random.seed(5)
        trainer = SETUPS[setup](tmp_path / str(smoked))
        if smoked:
            before = dict(vars(trainer))
            args = trainer.args.to_dict()
            assert sftdiag.smoke_test(trainer, 30).report.summary.records > 0
            assert vars(trainer).keys() == before.keys()
            assert all(vars(trainer)[n] is before[n] for n in ("args", "state", "data_collator"))
            assert trainer.args.to_dict() == args
        trainer.train()
        history = [
            {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
            for row in trainer.state.log_history
        ]
        weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        results.append((history, weights, random.random(), torch.rand(1).item()))
    without, after = results
    assert without[0] == after[0]
    assert all(torch.equal(a, b) for a, b in zip(without[1], after[1], strict=True))
    assert without[2:] == after[2:]


def test_a_failure_is_put_back_too(tmp_path: Path) -> None:
    trainer = too_large_for_the_gpu(tmp_path)
    callbacks, forward = list(trainer.callback_handler.callbacks), trainer.model.forward
    sftdiag.smoke_test(trainer)
    assert trainer.callback_handler.callbacks == callbacks
    assert trainer.model.forward is forward


def test_what_cannot_be_put_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = sft(tmp_path)
    with pytest.raises(sftdiag.ConfigError, match="steps must be 1 or more"):
        sftdiag.smoke_test(trainer, 0)
    for sharded in ("is_deepspeed_enabled", "is_fsdp_enabled"):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, sharded, True)
            with pytest.raises(sftdiag.ConfigError, match="DeepSpeed or FSDP"):
                sftdiag.smoke_test(trainer)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_free_memory", lambda: 1000)
        with pytest.raises(sftdiag.ConfigError, match="KiB aside and only"):
            sftdiag.smoke_test(trainer)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_dataset", iter(()))
        with pytest.raises(sftdiag.ConfigError, match="streaming"):
            sftdiag.smoke_test(trainer)


def test_the_callback_judges_the_first_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sftdiag")
    trainer = sft(tmp_path, logging_steps=2, warmup_steps=50)
    trainer.add_callback(sftdiag.DiagnosticsCallback(smoke_steps=40))
    trainer.train()
    (line,) = [r.getMessage() for r in caplog.records if "smoke test" in r.getMessage()]
    assert line.startswith("after 40 steps: smoke test: go: the loss fell from")
    assert "warm-up ends at step 50" in line


def test_where_each_step_is_seen_few_log_rows_are_enough(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sftdiag")
    trainer = sft(tmp_path, logging_steps=20, max_steps=40)
    sftdiag.attach(trainer, smoke_steps=40)
    trainer.train()
    (line,) = [r.getMessage() for r in caplog.records if "smoke test" in r.getMessage()]
    assert line.startswith("after 40 steps: smoke test: go: the loss fell from")


def test_the_callback_says_no(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = sft(tmp_path, "label-mask", max_steps=30)
    trainer.add_callback(sftdiag.DiagnosticsCallback(smoke_steps=20))
    trainer.train()
    (line,) = [r.getMessage() for r in caplog.records if "smoke test" in r.getMessage()]
    assert "no-go: SFT107 zero-loss" in line or "no-go: SFT401" in line
    with pytest.raises(sftdiag.ConfigError, match="smoke_steps must be 1 or more"):
        sftdiag.DiagnosticsCallback(smoke_steps=0)
