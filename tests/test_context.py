from __future__ import annotations

import pytest

from sftdiag.context import RunContext


def test_everything_may_be_unknown() -> None:
    context = RunContext()
    assert set(context.to_dict().values()) == {None}
    assert context.chance_loss is None
    assert context.effective_batch_size is None
    assert context.trainable_share is None


def test_derived_facts() -> None:
    context = RunContext(
        vocab_size=32_000,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=8,
        world_size=2,
        trainable_parameters=1,
        total_parameters=100,
    )
    assert context.chance_loss == pytest.approx(10.373, abs=1e-3)
    assert context.effective_batch_size == 64
    assert context.trainable_share == 0.01


def test_known_facts_win_over_filled_ones() -> None:
    known = RunContext(method="lora")
    assert known.filled_from(RunContext(method="full", lora_r=8)) == RunContext(
        method="lora", lora_r=8
    )
