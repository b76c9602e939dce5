"""With everything on, a run is the run without sftdiag, bit for bit; with dropout, on the CPU."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from receiver import Receiver

import sftdiag
from sftdiag.outlets.trackers import TRACKERS
from sftdiag.sources import journal

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

STEPS = 100


class Run(NamedTuple):
    """What a run left: its log without times, its random numbers after it, and its weights."""

    log: list[dict[str, Any]]
    drawn: tuple[float, ...]
    weights: list[Any]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A webhook's receiver; trackers keep what they are told in the test's folder."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    return Receiver()


def everything(trainer: Any, webhook: str) -> sftdiag.DiagnosticsCallback:
    """Turn on all there is; no policy comes to act."""
    return sftdiag.attach(
        trainer,
        stop_on={"SFT104": "warning"},
        raise_on={"non-finite"},
        grace_steps=10,
        save_on_stop=True,
        webhook=webhook,
        probes=sftdiag.Probes(seconds=60, reply_tokens=24),
        smoke_steps=20,
    )


def train(trainer: Any, resume_from: str | None = None) -> Run:
    import numpy
    import torch

    trainer.train(resume_from_checkpoint=resume_from)
    assert trainer.state.global_step == STEPS
    log = [
        {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
        for row in trainer.state.log_history
    ]
    drawn = (random.random(), float(numpy.random.rand()), float(torch.rand(())))
    return Run(log, drawn, [p.detach().clone() for p in trainer.model.parameters()])


def check(
    folder: Path,
    receiver: Any,
    make: Callable[..., Any] = finetune.make_trainer,
    fault: str = "none",
    **arguments: Any,
) -> None:
    """Train without and with everything; the losses, metrics, numbers and weights are the same."""
    import torch

    trackers = [name for name in TRACKERS if find_spec(name)]
    chosen = {"max_steps": STEPS, "logging_steps": 1, "eval_steps": 50, "report_to": trackers}
    chosen |= arguments
    bare = train(make(fault, folder / "bare", dropout=0.2, **chosen))
    trainer = make(fault, folder / "watched", dropout=0.2, **chosen)
    callback = everything(trainer, receiver.url)
    watched = train(trainer)
    assert len(bare.log) > STEPS
    assert sum("eval_loss" in row for row in bare.log) >= 2
    assert watched.log == bare.log
    assert watched.drawn == bare.drawn
    assert all(torch.equal(a, b) for a, b in zip(bare.weights, watched.weights, strict=True))
    # Everything was on.
    assert {"unnatural-replies", "prompt-trained"} <= set(callback.report.ran)
    assert callback.smoke.result is not None
    assert receiver.got[-1]["title"].startswith("sftdiag: ")
    events = [event["event"] for event in journal.read(str(folder / "watched"))]
    assert (events[0], events[-1]) == ("start", "end")
    if "tensorboard" in trackers:
        kept = (folder / "watched").glob("runs/*/sftdiag/events*")
        assert any(b"sftdiag/verdict" in file.read_bytes() for file in kept)


@pytest.mark.slow
def test_losses_metrics_and_weights(tmp_path: Path, receiver: Any) -> None:
    check(tmp_path, receiver)


def lora(fault: str, folder: Path, **arguments: Any) -> Any:
    """Return a trainer of an adapter on a model with dropout."""
    from peft import LoraConfig, get_peft_model

    trainer = finetune.make_trainer(fault, folder, **arguments)
    adapter = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear")
    trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, adapter)
    return trainer


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (finetune.make_trainer, {"fault": "overfitting", "eval_steps": 10}),
        (finetune.make_trainer, {"gradient_accumulation_steps": 2}),
        (finetune.make_trainer, {"bf16": True, "gradient_checkpointing": True}),
        (finetune.make_trainer, {"train_sampling_strategy": "group_by_length"}),
        (finetune.make_trainer, {"eval_on_start": True, "save_strategy": "steps"}),
        (finetune.make_trainer, {"dataloader_num_workers": 1}),
        (
            finetune.make_trainer,
            {"packing": True, "max_length": 64, "per_device_train_batch_size": 4},
        ),
        (finetune.make_trainer, {"neftune_noise_alpha": 5.0}),
        (finetune.make_trainer, {"torch_compile": True, "torch_compile_backend": "eager"}),
        (lora, {"learning_rate": 1e-2}),
        (lora, {"padding_free": True, "gradient_checkpointing": True}),
    ],
)
def test_every_kind_of_run(
    make: Any, arguments: dict[str, Any], tmp_path: Path, receiver: Any
) -> None:
    check(tmp_path, receiver, make, **arguments)


@pytest.mark.acceptance
def test_a_resumed_run(tmp_path: Path, receiver: Any) -> None:
    """From a checkpoint that was made without sftdiag."""
    saved = {"max_steps": STEPS, "logging_steps": 1, "save_strategy": "steps", "save_steps": 50}
    results = []
    for name in ("bare", "watched"):
        trainer = finetune.make_trainer("none", tmp_path / name, dropout=0.2, **saved)
        train(trainer)
        trainer = finetune.make_trainer("none", tmp_path / name, dropout=0.2, **saved)
        if name == "watched":
            everything(trainer, receiver.url)
        results.append(train(trainer, str(tmp_path / name / "checkpoint-50")))
    bare, watched = results
    assert watched.log == bare.log
    assert watched.drawn == bare.drawn
