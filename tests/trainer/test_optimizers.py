"""What is read of an optimizer that the trainer was given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sftdiag.trainer import optimizers

ARGS: Any = SimpleNamespace(
    optim="adamw_torch_fused",
    optim_args=None,
    learning_rate=5e-5,
    adam_beta1=0.9,
    adam_beta2=0.999,
    adam_epsilon=1e-8,
    weight_decay=0.0,
)


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


def settings(optimizer: Any) -> tuple[Any, ...]:
    """Return what is read: both betas, epsilon, the decay."""
    read = (optimizers.betas, optimizers.epsilon, optimizers.weight_decay)
    return tuple(each(ARGS, optimizer) for each in read)


GIVEN = {"lr": 5e-5, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.3}


def test_its_constants() -> None:
    assert settings(None) == ((0.9, 0.999), 1e-8, 0.0)
    adamw = torch.optim.AdamW(weights(), **GIVEN)
    assert settings(adamw) == ((0.5, 0.9), 1e-3, 0.3)
    assert settings(SimpleNamespace(optimizer=adamw)) == ((0.5, 0.9), 1e-3, 0.3)
    # Its decay is divided by the gradient's size: how much of a weight it takes is not known.
    assert settings(torch.optim.Adam(weights(), **GIVEN)) == ((0.5, 0.9), 1e-3, None)
    # What has no such setting leaves those of the arguments, which nothing asks of it then.
    assert settings(torch.optim.SGD(weights(), lr=0.1)) == ((0.9, 0.999), 1e-8, 0.0)
    assert settings(torch.optim.Adafactor(weights(), lr=0.1)) == ((0.9, 0.999), None, 0.0)


def test_constants_that_differ_between_groups_are_not_known() -> None:
    first, second = weights()
    groups = [{"params": [first]}, {"params": [second], "betas": (0.8, 0.99), "weight_decay": 0.1}]
    assert settings(torch.optim.AdamW(groups, weight_decay=0.01)) == (None, 1e-8, 0.1)


class LayerWiseAdam(torch.optim.AdamW):
    """Of another package: how it keeps its moments is not known."""

    __module__ = "bitsandbytes.optim"


@pytest.mark.parametrize(
    ("args", "optimizer", "same"),
    [
        ({}, None, True),
        ({"optim": "adamw_torch"}, None, True),
        ({"optim": "adamw_bnb_8bit"}, None, False),
        ({}, torch.optim.AdamW(weights()), True),
        ({}, torch.optim.Adam(weights()), True),
        ({}, torch.optim.SGD(weights(), lr=0.1), False),
        ({}, LayerWiseAdam(weights()), False),
        (
            {"optim": "adamw_bnb_8bit"},
            SimpleNamespace(optimizer=torch.optim.AdamW(weights())),
            True,
        ),
    ],
)
def test_where_its_moments_are_of_the_weights_dtype(
    args: dict[str, Any], optimizer: Any, same: bool
) -> None:
    known = SimpleNamespace(**{**vars(ARGS), **args})
    assert optimizers.keeps_moments_as_weights(known, optimizer) == same


@pytest.mark.parametrize(
    ("optimizer", "own"),
    [
        (None, None),
        (torch.optim.AdamW(weights(), lr=5e-5), None),
        (torch.optim.AdamW(weights(), lr=torch.tensor(5e-5)), None),
        (torch.optim.AdamW(weights(), lr=1e-3), "AdamW"),
        (torch.optim.AdamW(weights(), lr=5e-5, betas=(0.9, 0.95)), "AdamW"),
        (torch.optim.AdamW(weights(), lr=5e-5, eps=1e-6), "AdamW"),
        (torch.optim.SGD(weights(), lr=5e-5), "SGD"),
        (SimpleNamespace(optimizer=two_groups(5e-5, 5e-5)), None),
    ],
)
def test_whose_settings_it_goes_by(optimizer: Any, own: str | None) -> None:
    assert optimizers.own(ARGS, optimizer) == own


def test_the_stand_in_of_optimizers_a_weight_each_speaks_by_the_arguments() -> None:
    from transformers.trainer_pt_utils import LayerWiseDummyOptimizer

    args = SimpleNamespace(**{**vars(ARGS), "optim": "galore_adamw_layerwise"})
    each = {weight: torch.optim.AdamW([weight], lr=5e-5) for weight in weights()}
    stand_in = LayerWiseDummyOptimizer(each, lr=5e-5)
    assert optimizers.name(args, stand_in) == "galore_adamw_layerwise"
    assert optimizers.rate(args, stand_in) == 5e-5
    assert optimizers.own(args, stand_in) is None
