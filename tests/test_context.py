from __future__ import annotations

import re
from typing import Any

import pytest

from sftdiag.context import RunContext, of_user
from sftdiag.errors import ConfigError


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


def test_a_users_context_is_read_as_he_means_it() -> None:
    numpy = pytest.importorskip("numpy")
    given = RunContext(
        learning_rate="2e-5",  # type: ignore[arg-type]  # as YAML reads it
        max_steps=numpy.int64(100),
        num_train_epochs=3,
        target_modules=["q_proj"],  # type: ignore[arg-type]
    )
    meant = RunContext(
        learning_rate=2e-5, max_steps=100, num_train_epochs=3, target_modules=("q_proj",)
    )
    assert of_user(given) == meant
    assert type(of_user(given).max_steps) is int


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_steps": "100"}, "RunContext: max_steps must be a whole number, got '100'"),
        ({"learning_rate": "fast"}, "RunContext: learning_rate must be a number, got 'fast'"),
        ({"packing": 1}, "RunContext: packing must be True or False, got 1"),
        ({"max_steps": -3}, "RunContext: no run has max_steps -3"),
        ({"learning_rate": float("nan")}, "RunContext: no run has learning_rate nan"),
        ({"vocab_size": 0}, "RunContext: no run has vocab_size 0"),
    ],
)
def test_what_no_run_has_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        of_user(RunContext(**given))
