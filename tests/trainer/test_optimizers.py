"""What is read of an optimizer that the trainer was given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sftdiag.trainer import optimizers

ARGS: Any = SimpleNamespace(optim="adamw_torch_fused", optim_args=None, learning_rate=5e-5)


def weights() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]


def two_groups(low: float, high: float) -> torch.optim.Optimizer:
    first, second = weights()
    groups = [{"params": [first], "lr": low}, {"params": [second], "lr": high}]
    return torch.optim.AdamW(groups, lr=1.0)


class Prodigy(torch.optim.SGD):
    """Finds a rate by itself; 1 is its usual one."""


class PagedAdamW8bit(torch.optim.AdamW):
    """Adam under another name."""


@pytest.mark.parametrize(
    ("optimizer", "args", "name"),
    [
        (None, {}, "adamw_torch_fused"),
        (None, {"optim": "sgd", "optim_args": "momentum=0.9"}, "sgd_momentum"),
        (torch.optim.AdamW(weights()), {}, "adamw_torch_fused"),
        (PagedAdamW8bit(weights()), {"optim": "sgd"}, "adamw_torch"),
        (torch.optim.SGD(weights(), lr=0.1), {}, "sgd"),
        (torch.optim.SGD(weights(), lr=0.1, momentum=0.9), {}, "sgd_momentum"),
        (torch.optim.Adafactor(weights()), {"optim": "adafactor"}, "adafactor"),
        (torch.optim.RMSprop(weights()), {"optim": "rmsprop_bnb_8bit"}, "rmsprop_bnb_8bit"),
        (Prodigy(weights(), lr=1.0), {}, "Prodigy"),
        (SimpleNamespace(optimizer=torch.optim.SGD(weights(), lr=0.1)), {}, "sgd"),
    ],
)
def test_its_kind(optimizer: Any, args: dict[str, Any], name: str) -> None:
    assert optimizers.name(SimpleNamespace(**{**vars(ARGS), **args}), optimizer) == name


def test_its_rate() -> None:
    assert optimizers.rate(ARGS) == 5e-5
    assert optimizers.rate(ARGS, torch.optim.AdamW(weights(), lr=2e-3)) == 2e-3
    assert optimizers.rate(ARGS, SimpleNamespace(optimizer=two_groups(1e-6, 3e-3))) == 3e-3
    assert optimizers.rate(ARGS, SimpleNamespace(param_groups=[{"params": [1]}])) == 5e-5


def test_a_rate_that_the_schedule_has_set_is_not_the_one_asked_for() -> None:
    """A warm-up begins at 0; a schedule of DeepSpeed's does not keep what it began with."""
    optimizer = two_groups(1e-6, 3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    assert optimizer.param_groups[1]["lr"] == 0.0
    assert optimizers.rate(ARGS, optimizer, schedule) == 3e-3
    unkept = SimpleNamespace(param_groups=[{"params": [1], "lr": 0.0}])
    assert optimizers.rate(ARGS, unkept, schedule) == 5e-5
