"""Packed samples in models whose layers carry a state along the sequence."""

from __future__ import annotations

from typing import Any

import pytest

from sftdiag.checks.base import Inputs
from sftdiag.checks.packing_without_boundaries import STATEFUL, PackingWithoutBoundariesCheck
from sftdiag.context import RunContext
from sftdiag.observations import Observation
from sftdiag.samples import Sample, Split, Tokenization

ONE = Sample((1, 5, 6), (1, 5, 6), answers=((1, 3),))
TWO = Sample((1, 5, 1, 6), (-100, 5, -100, 6), answers=((1, 2), (3, 4)), starts=(0, 2))


def found(model_type: str | None, *rows: Sample, packing: bool | None = True) -> list[Observation]:
    context = RunContext(model_type=model_type, packing=packing)
    train = Split("train", rows, len(rows))
    known = Tokenization(bos_token_id=1)
    seen = PackingWithoutBoundariesCheck().look(Inputs(context, train, tokenization=known))
    assert isinstance(seen, (list, tuple))
    return list(seen)


@pytest.mark.parametrize("model_type", sorted(STATEFUL))
def test_boundaries_that_the_model_does_not_read_are_none(model_type: str) -> None:
    (one,) = found(model_type, TWO, ONE)
    assert (one.severity.label, one.variant, one.example) == ("warning", "carried", 0)
    assert (one.evidence["rows"], one.evidence["model"]) == (1, model_type)
    assert [fix.key for fix in one.fixes] == ["off"]


def test_alone_or_in_models_that_read_them_samples_are_apart() -> None:
    assert found("mamba2", ONE, ONE, packing=False) == []
    assert found("llama", TWO) == found(None, TWO) == found("qwen3_next", TWO) == []


SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL: dict[str, dict[str, Any]] = {
    "llama": {"intermediate_size": 64},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 8},
    "jamba": {"mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", SMALL)
def test_what_is_said_of_a_model_holds_of_it(model_type: str) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra trainer")
    transformers = pytest.importorskip("transformers", reason="needs the extra trainer")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **SIZES, **SMALL[model_type])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    ends = torch.tensor([0, 4, 8], dtype=torch.int32)
    bounds = {
        "position_ids": torch.arange(4).repeat(1, 2),
        "seq_idx": torch.tensor([[0] * 4 + [1] * 4], dtype=torch.int32),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": 4,
        "max_length_k": 4,
    }
    second = [7, 8, 9, 10]
    with torch.no_grad():
        after = [
            model(input_ids=torch.tensor([first + second]), use_cache=False, **bounds).logits[0, 4:]
            for first in ([11, 12, 13, 14], [21, 22, 23, 24])
        ]
    apart = bool(torch.allclose(*after, atol=1e-6))
    assert apart is (model_type not in STATEFUL)
