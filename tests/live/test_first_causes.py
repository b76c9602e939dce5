"""The first cause of a fault injected into a real tiny trainer; a confirmed one is never wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sftdiag

torch = pytest.importorskip("torch", reason="needs the extra trainer")
setups = pytest.importorskip("setups", reason="needs the extra trainer")

Made = Callable[[Path], Any]

STEPS = 45
"""Optimizer steps: three epochs of the 120 rows."""

RATE = 3e-3
"""At which the untrained tiny model learns."""

PLAIN = setups.tokens(setups.PAIRS)


def trained(folder: Path, **arguments: Any) -> Any:
    return setups.plain(folder, PLAIN, **{"max_steps": STEPS, **arguments})


def only_a_norm(folder: Path) -> Any:
    trainer = trained(folder, learning_rate=1e-3)
    for name, parameter in trainer.model.named_parameters():
        parameter.requires_grad_(name == "model.norm.weight")
    return trainer


def no_gradient(folder: Path) -> Any:
    trainer = trained(folder, learning_rate=1e-3)
    for parameter in trainer.model.parameters():
        parameter.register_hook(lambda gradient: gradient * 0.0)
    return trainer


def unreached_adapter(folder: Path) -> Any:
    """What reentrant checkpointing without enable_input_require_grads does to an adapter."""
    trainer = trained(folder, learning_rate=1e-3, peft=True)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient * 0.0)
    return trainer


def forgotten_adapter(folder: Path) -> Any:
    """An optimizer that holds other weights than the adapter's."""
    trainer = trained(folder, learning_rate=1e-3, peft=True)
    spare = [torch.nn.Parameter(torch.zeros(1))]
    trainer.optimizer = torch.optim.AdamW(spare, lr=1e-3)
    return trainer


def repeated(folder: Path, make: Any = setups.plain) -> Any:
    """Few rows without a rule, seen very often, evaluated on others."""
    rows, others = (
        setups.tokens([(q, setups.PAIRS[-1 - i][1]) for i, (q, _) in enumerate(pairs)])
        for pairs in (setups.PAIRS[:16], setups.HELD_OUT[:32])
    )
    config = {"num_train_epochs": 60, "learning_rate": 8e-3, "eval_strategy": "steps"}
    return make(folder, rows, others, **config, eval_steps=6)


def by_heart(folder: Path) -> Any:
    return setups.plain(folder, PLAIN[:16], num_train_epochs=120, learning_rate=8e-3)


def undivided(folder: Path, **arguments: Any) -> Any:
    """A loss that leaves out num_items_in_batch: what transformers issue 35204 was."""
    config = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 2}
    config |= {"eval_strategy": "steps", "eval_steps": 5, "num_train_epochs": 3}
    held_out = setups.tokens(setups.HELD_OUT)
    trainer = setups.plain(
        folder, PLAIN, held_out, **{"learning_rate": 1e-3, **config, **arguments}
    )

    def loss_of(model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    trainer.compute_loss, trainer.model_accepts_loss_kwargs = loss_of, True
    return trainer


LOW, HIGH = "learning-rate-too-low", "learning-rate-too-high"

CURVES: dict[str, tuple[str, Made]] = {
    "rate 1e-8": (LOW, lambda f: trained(f, learning_rate=1e-8)),
    "rate 1e-7": (LOW, lambda f: trained(f, learning_rate=1e-7)),
    "rate 0": ("schedule", lambda f: trained(f, learning_rate=0.0)),
    "rate 1e-7, LoRA": (LOW, lambda f: trained(f, learning_rate=1e-7, peft=True)),
    "rate 1": (HIGH, lambda f: trained(f, learning_rate=1.0, max_steps=90)),
    "rate 0.3, no clipping": (
        HIGH, lambda f: trained(f, learning_rate=0.3, max_grad_norm=0.0, max_steps=90),
    ),
    "rate 30, SGD": (
        HIGH,
        lambda f: trained(f, learning_rate=30.0, optim="sgd", max_grad_norm=0.0, max_steps=90),
    ),
    "only a norm": ("frozen-parameters", only_a_norm),
    "no gradient": ("vanishing-gradient", no_gradient),
    "adapter without a gradient": ("vanishing-gradient", unreached_adapter),
    "adapter outside the optimizer": ("frozen-parameters", forgotten_adapter),
    "repeated rows": ("overfitting", repeated),
    "repeated rows, SFT": ("overfitting", lambda f: repeated(f, setups.sft)),
    "loss not divided": ("not-divided-by-accumulation", undivided),
    "by heart": ("too-many-epochs", by_heart),
}  # fmt: skip
"""Faults that the curve shows: the expected first cause, and the trainer."""

CHECKED: dict[str, str] = {
    "tokens, all masked, Trainer": "label-mask",
    "tokens, all masked, SFT": "label-mask",
    "tokens, a third masked": "label-mask",
    "tokens, labels shifted": "label-misalignment",
    "tokens, labels of another row": "label-misalignment",
    "tokens, labels of another text, LoRA": "label-misalignment",
    "messages, prompt trained": "label-mask",
    "messages, end of turn outside the marks": "chat-template",
    "text in another template": "chat-template",
    "text, two begin-of-text tokens": "chat-template",
    "messages, answers cut": "sequence-length",
    "new tokens, LoRA": "frozen-parameters",
    "messages, wrapped packing": "packing",
    "messages, evaluated on training rows": "eval-leak",
    "messages, other evaluation rows": "eval-distribution",
    "prompt-completion, duplicates": "low-diversity-data",
    "prompt-completion, one answer": "low-diversity-data",
    "tokens, padding trained": "label-mask",
    "messages, one kind after another": "data-order",
    "tokens, one kind after another": "data-order",
    "prompt-completion, answers empty": "poor-data",
}
"""Faults of setups.FAULTS that the rows show: the expected first cause."""

IN_CI = {"rate 1e-8", "tokens, labels of another row", "tokens, all masked, Trainer"}
"""The same flat curve under three causes."""

CASES = {**CURVES, **{name: (cause, setups.FAULTS[name][2]) for name, cause in CHECKED.items()}}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in IN_CI else pytest.mark.acceptance)
        for name in CASES
    ],
)
def test_the_first_cause(name: str, tmp_path: Path) -> None:
    expected, make = CASES[name]
    trainer = make(tmp_path)
    if name in CHECKED:
        trainer.args.num_train_epochs, trainer.args.learning_rate = 3, RATE
    callback = sftdiag.attach(trainer)
    trainer.train()
    report = callback.report
    # Another scale alone is a note.
    primary = report.primary or report.findings[0]
    first = primary.causes[0]
    told = [(cause.id, cause.status.name) for cause in primary.causes]
    assert first.id == expected, (primary.code, told)
    assert all(cause.id == expected or cause.status.name != "CONFIRMED" for cause in primary.causes)
    assert first.because or primary.by_check
    assert first.fixes


@pytest.mark.acceptance
@pytest.mark.parametrize("rate", [1e-6, 3e-6])
def test_the_pace_of_a_flat_loss_tells_the_rate_that_is_seen_to_work(
    rate: float, tmp_path: Path
) -> None:
    """The slope follows the schedule; at the rate named, the loss falls by a tenth within sight."""
    shape = {"warmup_steps": 0.2, "lr_scheduler_type": "linear"}
    trainer = trained(tmp_path / "low", learning_rate=rate, max_steps=300, **shape)
    callback = sftdiag.attach(trainer)
    trainer.train()
    primary = callback.report.primary
    assert primary is not None
    low = next(cause for cause in primary.causes if cause.id == LOW)
    assert any("in proportion to the learning rate, which" in text for text in low.because)
    (old, new) = low.fixes[0].changes["SFTConfig.learning_rate"]
    assert old == rate
    trainer = trained(tmp_path / "named", learning_rate=new, max_steps=100, **shape)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    assert 0.05 < 1.0 - last / first < 0.15


@pytest.mark.acceptance
def test_a_loss_not_divided_is_evidence_under_other_symptoms_too(tmp_path: Path) -> None:
    """Beside a rate that throws the loss off: the sum is told as one, and the rate beside it."""
    trainer = undivided(tmp_path, learning_rate=0.3, num_train_epochs=6)
    callback = sftdiag.attach(trainer)
    trainer.train()
    report = callback.report
    primary = report.primary
    assert primary is not None
    # A sum has a code of its own; the jump that the rate made follows from it.
    assert (primary.code, primary.causes[0].id) == ("SFT111", "not-divided-by-accumulation")
    assert primary.causes[0].status.name == "LIKELY"
    assert primary.causes[0].because
    found = {finding.code: finding for finding in report.findings}
    jump = found["SFT109"]
    assert jump.consequence_of == primary.id
    told = {cause.id: cause for cause in jump.causes}
    # The ranges of rates speak of larger models, so a rate of 0.3 only fits.
    assert told["learning-rate-too-high"].because
    assert told["not-divided-by-accumulation"].status.name == "LIKELY"
    assert "gradient_accumulation_steps=4" in told["not-divided-by-accumulation"].because[0]
    assert [(c.id, c.status.name) for c in found["SFT501"].causes] == [
        ("learning-rate-too-high", "CONFIRMED")
    ]


def test_the_suite_is_as_large_as_it_should_be() -> None:
    assert len(CASES) >= 25
