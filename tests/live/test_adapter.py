"""When a LoRA adapter's B leaves 0, and what the look says of adapters whole and in shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftdiag.context import RunContext
from sftdiag.live.adapter import LOOK_AFTER, AdapterLook

torch = pytest.importorskip("torch", reason="needs the extra trainer")
transformers = pytest.importorskip("transformers", reason="needs the extra trainer")
setups = pytest.importorskip("setups", reason="needs the extra trainer")
finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]


def looked(model: Any, step: int = LOOK_AFTER) -> RunContext | None:
    look = AdapterLook()
    look.begin(0)
    return look.look(step, model)


def adapted() -> Any:
    return setups.lora(finetune.make_model(setups.tokenizer()))


@pytest.mark.parametrize("optim", ["adamw_torch", "sgd", "adafactor"])
@pytest.mark.parametrize(("warmup", "step"), [(0, 1), (0.1, 2), (5, 2)])
def test_a_healthy_adapter_has_left_0_long_before_the_look(
    warmup: float, step: int, optim: str, tmp_path: Path
) -> None:
    left: list[int] = []

    class Watcher(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if looked(kwargs["model"]) is None:
                left.append(state.global_step)

    rows = setups.tokens(setups.PAIRS)
    config = {"max_steps": 12, "learning_rate": 1e-5, "warmup_steps": warmup, "optim": optim}
    trainer = setups.plain(tmp_path, rows, peft=True, **config)
    trainer.add_callback(Watcher())
    trainer.train()
    assert left[0] == step
    assert step < LOOK_AFTER


def test_an_adapter_that_never_moved_is_told_once_and_in_time() -> None:
    model, look = adapted(), AdapterLook()
    look.begin(100)
    assert look.look(100 + LOOK_AFTER - 1, model) is None
    assert look.look(100 + LOOK_AFTER, model) == RunContext(lora_b_zero_step=120)
    assert look.look(100 + LOOK_AFTER + 1, model) is None


def test_a_model_without_an_adapter_says_nothing() -> None:
    assert looked(finetune.make_model(setups.tokenizer())) is None
    assert looked(None) is None


def test_an_adapter_in_shards_says_so(tmp_path: Path) -> None:
    """FSDP's distributed tensors on one rank, ZeRO-3's empty ones, FSDP's flat ones."""
    from torch.distributed.fsdp import fully_shard

    sharded, empty, flat = adapted(), adapted(), adapted()
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        fully_shard(sharded, mesh=torch.distributed.init_device_mesh("cpu", (1,)))
        assert looked(sharded) == RunContext(lora_b_sharded=True)
    finally:
        torch.distributed.destroy_process_group()
    for name, parameter in empty.named_parameters():
        if ".lora_B." in name:
            parameter.data = torch.empty(0)
    assert looked(empty) == RunContext(lora_b_sharded=True)
    for module in flat.modules():
        if hasattr(module, "lora_B"):
            module.lora_B = torch.nn.ModuleDict()
    assert looked(flat) == RunContext(lora_b_sharded=True)
