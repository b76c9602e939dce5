"""How many weights there are, and in which format they are stepped, also where they are spread."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra trainer")

from sftdiag.trainer import weights  # noqa: E402


def spread(numbers: int, *, known: bool = True) -> Any:
    """Return a parameter as ZeRO-3 leaves it on a rank: empty, its size beside it."""
    parameter = torch.nn.Parameter(torch.empty(0, dtype=torch.bfloat16))
    parameter.ds_id = 0
    if known:
        parameter.ds_numel = numbers
    return parameter


class Model(torch.nn.Module):
    def __init__(self, *parameters: Any) -> None:
        super().__init__()
        self.held = torch.nn.ParameterList()
        self.spread = parameters

    def parameters(self, recurse: bool = True) -> Any:
        return iter(self.spread)


def test_zero_3_is_counted_by_what_stands_beside_the_parameter() -> None:
    frozen = spread(900)
    frozen.requires_grad = False
    found = weights.look(Model(spread(60), spread(40), frozen))
    assert (found.trainable_parameters, found.total_parameters) == (100, 1000)


def test_a_size_that_is_not_known_is_none_and_not_zero() -> None:
    found = weights.look(Model(spread(60, known=False)))
    assert (found.trainable_parameters, found.total_parameters) == (None, None)


@pytest.mark.parametrize(
    "name", ["fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "param_groups"]
)
def test_the_dtype_is_that_of_the_copies_that_are_stepped(name: str) -> None:
    copies: Any = [torch.zeros(3)]
    held = [{"params": copies}] if name == "param_groups" else [copies]
    wrapped = SimpleNamespace(optimizer=SimpleNamespace(**{name: held}))
    assert weights.look(Model(spread(60)), wrapped).trainable_dtype == "float32"
    assert weights.look(Model(spread(60))).trainable_dtype is None


def test_a_plain_optimizer_steps_the_weights_themselves() -> None:
    model = torch.nn.Linear(64, 64).to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters())
    found = weights.look(model, optimizer)
    assert (found.trainable_dtype, found.outside_optimizer) == ("bfloat16", 0)
    assert found.weight_scale is not None
    magnitudes = model.weight.detach().float().abs()
    assert 0.85 < float((magnitudes >= found.weight_scale).float().mean()) < 0.95


def test_an_optimizer_of_another_copy_holds_nothing_of_the_model() -> None:
    model, other = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    found = weights.look(model, torch.optim.SGD(other.parameters(), lr=1.0))
    assert found.outside_optimizer == 20
    assert weights.look(model, torch.optim.SGD(other.parameters()), alone=False) == found.replace(
        outside_optimizer=None
    )


def test_an_optimizer_a_weight_holds_each() -> None:
    """As in optim="galore_adamw_layerwise", whose stand-in has a tensor of its own."""
    from transformers.trainer_pt_utils import LayerWiseDummyOptimizer

    model = torch.nn.Linear(64, 64, dtype=torch.bfloat16)
    each = {weight: torch.optim.AdamW([weight]) for weight in model.parameters()}
    stand_in = LayerWiseDummyOptimizer(each, lr=1e-3)
    found = weights.look(model, SimpleNamespace(optimizer=stand_in))
    assert (found.trainable_dtype, found.outside_optimizer) == ("bfloat16", 0)
    del each[model.bias]
    assert weights.look(model, stand_in).outside_optimizer == 64


def test_an_optimizer_that_may_round_at_random_has_no_scale() -> None:
    """What it takes to move a bfloat16 weight is known of torch's optimizers, not of any other."""
    model = torch.nn.Linear(64, 64, dtype=torch.bfloat16)
    plain = torch.optim.AdamW(model.parameters())
    assert weights.look(model, plain).weight_scale
    assert weights.look(model, SimpleNamespace(optimizer=plain)).weight_scale

    class Stochastic(torch.optim.AdamW):
        pass

    assert weights.look(model, Stochastic(model.parameters())).weight_scale is None


def mixture(kind: str, **more: Any) -> Any:
    """Return a tiny mixture of experts with an adapter."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    peft = pytest.importorskip("peft")
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4}
    tokens = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(
        kind, hidden_size=32, intermediate_size=64, num_local_experts=4, **sizes, **tokens
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    return peft.get_peft_model(model, peft.LoraConfig(r=2, **more))


@pytest.mark.parametrize("kind", ["granitemoe", "phimoe"])
def test_experts_that_no_adapter_reaches_are_most_of_the_model(kind: str) -> None:
    share = weights.bare_experts(mixture(kind, target_modules="all-linear"))
    assert share is not None
    assert 0.5 < share < 1.0


def test_experts_with_an_adapter_are_not_bare() -> None:
    model = mixture("granitemoe", target_parameters=["experts.gate_up_proj"])
    assert weights.bare_experts(model) is None
    assert weights.bare_experts(mixture("mixtral", target_modules="all-linear")) is None


def test_a_model_without_experts_has_none_bare() -> None:
    assert weights.bare_experts(torch.nn.Linear(2, 2)) is None
