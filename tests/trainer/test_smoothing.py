"""Whether the Trainer shifts smoothed labels, against the loss that it really makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra trainer")
transformers = pytest.importorskip("transformers", reason="needs the extra trainer")
peft = pytest.importorskip("peft", reason="needs the extra trainer")

from sftdiag.checks import Inputs, run_checks  # noqa: E402
from sftdiag.context import RunContext  # noqa: E402
from sftdiag.guide import dialect, preflight  # noqa: E402
from sftdiag.trainer import context, smoothing  # noqa: E402

IDS = torch.randint(3, 56, (2, 12), generator=torch.Generator().manual_seed(0))

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))


def reads_images() -> Any:
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    return transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            text_config={"model_type": "llama", **SIZES},
            vision_config={
                "model_type": "clip_vision_model",
                **vision,
                "num_hidden_layers": 1,
                "image_size": 8,
                "patch_size": 4,
            },
            image_token_id=63,
        )
    )


def with_lora() -> Any:
    return peft.get_peft_model(llama(), peft.LoraConfig(r=2, target_modules=["q_proj"]))


def with_prefix() -> Any:
    kind = peft.PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    return peft.get_peft_model(llama(), kind)


def encoder_decoder() -> Any:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=64, decoder_start_token_id=0, **sizes)
    )


@pytest.fixture(autouse=True)
def _compile_by_the_arguments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions write the backend into the environment, where the next trainer finds it."""
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")


def make(folder: Path, model: Any, **settings: Any) -> Any:
    settings = {"label_smoothing_factor": 0.1, **settings}
    args = transformers.TrainingArguments(str(folder), report_to=[], use_cpu=True, **settings)
    return transformers.Trainer(model, args)


def is_shifted(trainer: Any) -> bool:
    """Return whether the trainer's loss is the one of shifted labels; else that of the others."""
    trainer.model.eval()
    model = trainer.accelerator.prepare(trainer.model)
    with torch.no_grad():
        made, outputs = trainer.compute_loss(
            model, {"input_ids": IDS, "labels": IDS.clone()}, return_outputs=True
        )
        losses = {
            shift: trainer.label_smoother(outputs, IDS, shift_labels=shift)
            for shift in (True, False)
        }
    told = [shift for shift, loss in losses.items() if torch.isclose(made, loss)]
    assert len(told) == 1
    return told[0]


COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (llama, {}),
        (llama, COMPILED),
        (with_lora, {}),
        (with_lora, COMPILED),
        (with_prefix, {}),
        (reads_images, {}),
        (lambda: torch.compile(llama(), backend="eager"), {}),
    ],
    ids=["plain", "compiled", "lora", "lora-compiled", "prefix", "images", "compiled-before"],
)
def test_it_is_as_the_trainer_does(build: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainer = make(tmp_path, build(), **settings)
    told = smoothing.unshifted(trainer)
    assert (told is None) == is_shifted(trainer)
    assert context.from_trainer(trainer).unshifted_model == told


def test_what_does_not_predict_the_next_token_needs_no_shift(tmp_path: Path) -> None:
    assert smoothing.unshifted(make(tmp_path, encoder_decoder())) is None


def test_nothing_is_said_without_smoothing_or_of_a_loss_of_ones_own(tmp_path: Path) -> None:
    assert smoothing.unshifted(make(tmp_path, reads_images(), label_smoothing_factor=0.0)) is None
    trainer = make(tmp_path, reads_images())
    assert smoothing.unshifted(trainer) == "LlavaForConditionalGeneration"
    trainer.compute_loss_func = lambda *args, **more: 0.0
    assert smoothing.unshifted(trainer) is None


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_is_an_error_before_step_1(lang: str) -> None:
    known = RunContext(label_smoothing=0.1, unshifted_model="OptimizedModule")
    (found,) = preflight.findings(run_checks(Inputs(known)), lang)
    assert (found.code, found.severity.label) == ("SFT404", "error")
    assert "OptimizedModule" in found.message
    (cause,) = dialect.spoken(found, RunContext(framework="axolotl"), lang).causes
    assert dict(cause.fixes[0].changes) == {"label_smoothing_factor": (0.1, 0.0)}
    assert "{" not in found.message
