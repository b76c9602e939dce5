"""What the probes leave as it was, the model to its last attribute; their time; whom they ask."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import sftdiag
from sftdiag.probes import PROBES

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

import setups  # noqa: E402
import tiny_models  # noqa: E402

from sftdiag.probing import ask, deadline, guard  # noqa: E402
from sftdiag.probing.ask import Asker  # noqa: E402
from sftdiag.probing.deadline import Budget, Deadline  # noqa: E402
from sftdiag.probing.prober import Prober  # noqa: E402
from sftdiag.probing.prompts import from_given  # noqa: E402
from sftdiag.probing.rounds import Questions, Round  # noqa: E402

pytestmark = pytest.mark.slow


def snapshot(model: Any) -> Any:
    """Return all that asking could change: what a module holds, and how its parameters stand."""
    modules = list(model.modules())
    return {
        "modes": [module.training for module in modules],
        "attributes": [sorted(vars(module)) for module in modules],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules],
        "checkpointing": [getattr(module, "gradient_checkpointing", None) for module in modules],
        "adapters": [getattr(module, "_disable_adapters", None) for module in modules],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "versions": [parameter._version for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "generation": [m.generation_config.to_dict() for m in guard._owners(model)],
        "identities": [id(m.generation_config) for m in guard._owners(model)],
        "config": model.config.to_dict(),
        "drawn": (torch.get_rng_state().tolist(), random.getstate()),
        "grad_enabled": torch.is_grad_enabled(),
    }


@pytest.fixture
def adapted() -> tuple[Any, Any]:
    from peft import LoraConfig, get_peft_model

    tokenizer = finetune.make_tokenizer()
    model = get_peft_model(
        finetune.make_model(tokenizer), LoraConfig(r=4, target_modules=["q_proj"])
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 1.0)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model.train()
    # As a user may leave them: a part in evaluation mode, an adapter's matrix that is not trained.
    next(module for module in model.modules() if module is not model).eval()
    next(p for n, p in model.named_parameters() if "lora_A" in n).requires_grad_(False)
    return model, tokenizer


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_given_back_as_it_was(adapted: tuple[Any, Any], fails: bool) -> None:
    model, tokenizer = adapted
    model.config.use_cache = False
    model.generation_config.use_cache = False
    model.generation_config.temperature = 0.3
    before = snapshot(model)
    prompts = from_given(["what colour has the cup of Ada"] * 3, tokenizer, frozenset({2}))
    try:
        with guard.untouched(model):
            asker = Asker(model, tokenizer)
            end = Deadline(60)
            on = asker.losses(asker.texts(tiny_models.GENERAL), end)
            assert len(asker.replies(prompts, 8, end, sampled=True)) == 3
            with guard.adapter_off(model):
                off = asker.losses(asker.texts(tiny_models.GENERAL), end)
            assert on != off
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert snapshot(model) == before


class Clock:
    """Time that passes only while a model computes: so long for each call, and for each token."""

    def __init__(self, model: Any, seconds: float, token: float = 0.0) -> None:
        self.now, self._seconds, self._token = 0.0, seconds, token
        model.register_forward_hook(self._pass, with_kwargs=True)

    def _pass(self, model: Any, arguments: Any, named: Any, output: Any) -> None:
        self.now += self._seconds + self._token * named["input_ids"].numel()

    def monotonic(self) -> float:
        return self.now


SECONDS = 10.0
ASKED = "what colour has the cup of Ada"


@pytest.fixture
def endless() -> Any:
    """A model that never ends a reply by itself."""
    model = finetune.make_model(finetune.make_tokenizer())
    model.generation_config.eos_token_id = None
    return model


def asking(reply_tokens: int, **options: Any) -> Any:
    chosen = {"prompts": [ASKED] * 16, "texts": tiny_models.GENERAL * 100, **options}
    return sftdiag.Probes(seconds=SECONDS, reply_tokens=reply_tokens, **chosen)


@pytest.mark.parametrize(("call", "token"), [(0.05, 0), (0.4, 0), (1.9, 0), (0.01, 0.02), (0, 0.1)])
def test_each_probe_keeps_its_time(
    call: float, token: float, endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a call takes little of it or a lot, a fixed time or one for each token."""
    clock = Clock(endless, call, token)
    monkeypatch.setattr(deadline, "time", clock)
    with guard.untouched(endless):
        asker = Asker(endless, finetune.make_tokenizer())
        asked = Questions(asking(2000), finetune.make_tokenizer(), frozenset())
        asked.take_texts(asker)
        whole = Round(asker, asked, None, Budget(SECONDS))
        for kind in PROBES:
            began = clock.now
            whole.measures(kind)
            assert clock.now - began <= SECONDS
    # Replies are asked for once: the probe that comes second takes no time for them.
    assert SECONDS < clock.now <= 2 * SECONDS


@pytest.mark.parametrize("name", [*(kind.name for kind in PROBES), None])
def test_the_time_covers_the_model_from_taking_it_to_giving_it_back(
    name: str | None, endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before the first question and behind the last one is on the clock too."""
    clock = Clock(endless, 0.2)
    monkeypatch.setattr(deadline, "time", clock)
    untouched, preparing = guard.untouched, Asker.texts

    @contextmanager
    def slow(model: Any) -> Iterator[None]:
        with untouched(model):
            clock.now += 0.7
            yield
        clock.now += 0.9

    def texts(self: Asker, given: Any) -> Any:
        clock.now += 1.1
        return preparing(self, given)

    def ending(kind: Any) -> Any:
        measures = kind.measures

        def slowly(*answers: Any) -> Any:
            clock.now += 0.5
            return measures(*answers)

        return staticmethod(slowly)

    monkeypatch.setattr(guard, "untouched", slow)
    monkeypatch.setattr(Asker, "texts", texts)
    for kind in PROBES:
        monkeypatch.setattr(kind, "measures", ending(kind))
    prober = Prober(asking(12, select=name))
    args = SimpleNamespace(bf16=False, fp16=False, per_device_eval_batch_size=8)
    kwargs = {"model": endless, "processing_class": finetune.make_tokenizer()}
    took = []
    for step in (1, 2, 3):
        began = clock.now
        state = SimpleNamespace(global_step=step, epoch=None, is_world_process_zero=True)
        (row,) = prober.evaluate(args, state, kwargs)
        took.append(clock.now - began)
        assert not any("skipped" in key for key in row), row
    # How long an end takes is known from the second time on.
    allowed = SECONDS * (1 if name else 2)
    assert took[0] <= 1.2 * allowed
    assert max(took[1:]) <= allowed
    assert min(took) > 0.4 * allowed


def test_a_doubt_is_settled_and_costs_no_reply(
    endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that take no longer on more tokens, as on a GPU: a short one says little of them."""
    tokenizer = finetune.make_tokenizer()
    prompts = from_given([ASKED, *[f"{ASKED} " * 12] * 7], tokenizer, frozenset())
    replies = {}
    for seconds in (1e9, SECONDS):
        clock = Clock(endless, 0.15)
        monkeypatch.setattr(deadline, "time", clock)
        with guard.untouched(endless):
            asker = Asker(endless, tokenizer)
            assert asker.is_finite([prompts[0].ids])
            replies[seconds] = asker.replies(prompts, 20, Deadline(seconds), sampled=True)
    assert len(replies[SECONDS]) == len(prompts)
    assert replies[SECONDS] == replies[1e9]


def test_a_batch_that_cannot_be_finished_is_not_begun(
    endless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(endless, 0.1)
    monkeypatch.setattr(deadline, "time", clock)
    tokenizer = finetune.make_tokenizer()
    prompts = from_given([ASKED] * 16, tokenizer, frozenset())
    with guard.untouched(endless):
        asker = Asker(endless, tokenizer)
        replies = asker.replies(prompts, 30, Deadline(SECONDS), sampled=True)
    assert len(replies) == ask.BATCH
    assert clock.now == pytest.approx(2 * 30 * 0.1)


def test_what_was_too_slow_is_told_with_its_time(tmp_path: Path) -> None:
    asked = sftdiag.Probes(seconds=1e-6, texts=tiny_models.GENERAL)
    trainer = finetune.make_trainer("none", tmp_path, max_steps=4, eval_steps=4)
    callback = sftdiag.attach(trainer, probes=asked)
    trainer.train()
    assert "1e-06 s was too short" in callback.report.skipped["repetitive-output"]


def test_models_that_are_not_asked(tmp_path: Path) -> None:
    """Real configurations of each kind, as a trainer would hand them over."""
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        LlavaConfig,
        LlavaForConditionalGeneration,
        T5Config,
        T5ForConditionalGeneration,
    )

    small = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
    small |= {"intermediate_size": 8, "vocab_size": 40}
    seq2seq = T5ForConditionalGeneration(
        T5Config(d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1, vocab_size=40)
    )
    seeing = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config={"model_type": "clip_vision_model", **small, "image_size": 8},
            text_config={"model_type": "llama", **small},
        )
    )
    classifier = BertForSequenceClassification(BertConfig(**small))
    reasons = {"encoder_decoder": seq2seq, "vision": seeing, "no_language_model": classifier}
    assert {key: guard.refusal(model) for key, model in reasons.items()} == {k: k for k in reasons}


def test_an_encoder_decoder_run_trains_on_and_says_why(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    trainer = setups.plain(
        *(tmp_path, setups.tokens(setups.PAIRS), setups.tokens(setups.HELD_OUT)),
        max_steps=2,
        eval_strategy="steps",
        eval_steps=1,
    )
    config = T5Config(
        d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1, vocab_size=len(setups.tokenizer())
    )
    config.decoder_start_token_id = 0
    trainer.model = trainer.model_wrapped = T5ForConditionalGeneration(config)
    callback = sftdiag.attach(trainer, probes=True)
    trainer.train()
    assert trainer.state.global_step == 2
    assert "encoder-decoder" in callback.report.skipped["forgetting"]


def test_weights_in_shards_are_not_asked(tmp_path: Path) -> None:
    """Of FSDP 1 and 2 in a group of one rank; of ZeRO-3 by the mark on its parameters."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        make = lambda: finetune.make_model(finetune.make_tokenizer())  # noqa: E731
        second = make()
        fully_shard(second, mesh=init_device_mesh("cpu", (1,)))
        assert guard.refusal(second) == "sharded"
        for names_kept in (True, False):
            first = FullyShardedDataParallel(
                make(), device_id=torch.device("cpu"), use_orig_params=names_kept
            )
            assert guard.refusal(guard.plain(first)) == "sharded"
    finally:
        distributed.destroy_process_group()
    third = finetune.make_model(finetune.make_tokenizer())
    next(third.parameters()).ds_id = 3
    assert guard.refusal(third) == "sharded"
    assert guard.refusal(SimpleNamespace(config=None)) == "no_language_model"
