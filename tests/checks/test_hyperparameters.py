"""The checks of arguments (SFT501 to SFT518): the guide's rows, newer evidence, and silence."""

from __future__ import annotations

from typing import Any

import pytest

import sftdiag
from sftdiag.checks import CHECKS, Inputs, run_checks
from sftdiag.context import RunContext
from sftdiag.guide import preflight
from sftdiag.observations import Observation, Skip
from sftdiag.samples import Sample, Split

USUAL: dict[str, Any] = {
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "world_size": 1,
    "num_train_epochs": 2.0,
    "train_samples": 12_000,
    "max_steps": 750,
    "warmup_steps": 75,
    "precision": "bf16",
    "total_parameters": 7_000_000_000,
    "trainable_parameters": 7_000_000_000,
    "lora_r": 32,
    "lora_alpha": 64.0,
    "lora_dropout": 0.05,
    "target_modules": ("all-linear",),
}
FULL = dict.fromkeys(("lora_r", "lora_alpha", "lora_dropout", "target_modules")) | {
    "learning_rate": 2e-5
}


def look(method: str = "lora", **changes: Any) -> dict[str, Observation]:
    arguments = {**USUAL, **(FULL if method == "full" else {}), **changes}
    outcome = run_checks(Inputs(RunContext(method=method, **arguments)))
    found = [o for o in outcome.observations if o.code.startswith("SFT5")]
    assert len({o.code for o in found}) == len(found)
    return {o.code: o for o in found}


def best(metric: str, greater: bool, mode: str | None = None) -> dict[str, Any]:
    known = {"metric_for_best_model": metric, "greater_is_better": greater}
    return {**known, "plateau_mode": mode} if mode else known


HEALTHY: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("lora", {}),
    "qlora": ("qlora", {}),
    "qlora-of-its-paper": ("qlora", {"lora_r": 64, "lora_alpha": 16.0}),
    "full": ("full", {}),
    "full-of-tulu": ("full", {"learning_rate": 5e-6, "gradient_accumulation_steps": 32}),
    "full-with-large-batches": ("full", {"world_size": 128}),
    "lora-without-regret": ("lora", {"lora_r": 256, "lora_alpha": 32.0}),
    "alpha-equals-rank": ("lora", {"lora_alpha": 32.0}),
    "no-warm-up": ("lora", {"warmup_steps": 0}),
    "best-by-loss": ("lora", best("eval_loss", False)),
    "best-by-perplexity": ("lora", best("perplexity", False)),
    "best-by-accuracy": ("lora", best("eval_mean_token_accuracy", True)),
    "best-by-a-name-of-its-own": ("lora", best("eval_helpfulness", True)),
    "plateau-of-the-loss": ("lora", best("eval_loss", False, "min")),
    "plateau-of-accuracy": ("lora", best("eval_accuracy", True, "max")),
    "best-by-two-words": ("lora", best("accuracy_of_loss", True)),
    "one-epoch": ("lora", {"num_train_epochs": 1.0, "train_samples": 90_000}),
    "little-data": ("lora", {"num_train_epochs": 3.0, "train_samples": 900, "lora_dropout": 0.1}),
    "head-alone": ("full", {"trainable_parameters": 130_000_000}),
    "adapter-of-rank-1": ("lora", {"trainable_parameters": 300_000}),
    "modules-by-name": ("lora", {"target_modules": ("q_proj", "v_proj", "gate_proj", "up_proj")}),
}


IN_BFLOAT16: dict[str, Any] = {
    "trainable_dtype": "bfloat16",
    "moments_as_weights": True,
    "max_steps": 1_000,
    "warmup_steps": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"max_steps": 900, "warmup_steps": 30},
        {"adam_betas": (0.9, 0.99)},
        {"adam_betas": (0.9, 0.95)},
        {"moments_as_weights": False},
        {"moments_as_weights": None},
        {"trainable_dtype": "float32"},
        {"adam_betas": None},
        {"max_steps": None},
    ],
)
def test_a_second_moment_that_falls_or_has_no_time_to_is_silent(changes: dict[str, Any]) -> None:
    assert look("full", **{**IN_BFLOAT16, "adam_betas": (0.9, 0.999), **changes}) == {}


@pytest.mark.parametrize("beta2", [0.95, 0.99, 0.998, 0.9985, 0.999, 0.9999])
def test_the_second_moment_of_bfloat16_falls_where_the_check_is_silent(beta2: float) -> None:
    """Of weights with every mantissa, by torch's own Adam: where it says so, not one falls."""
    torch = pytest.importorskip("torch")
    weights = torch.nn.Parameter(torch.zeros(256, dtype=torch.bfloat16))
    optimizer = torch.optim.AdamW([weights], betas=(0.9, beta2), weight_decay=0.0)
    moments = []
    for size in (100.0, *[1e-3] * 50):
        weights.grad = (size * torch.linspace(1.0, 2.0, 256)).to(torch.bfloat16)
        optimizer.step()
        moments.append(optimizer.state[weights]["exp_avg_sq"].clone())
    told = look("full", **{**IN_BFLOAT16, "max_steps": 10**6, "adam_betas": (0.9, beta2)})
    assert moments[-1].dtype == torch.bfloat16
    assert ("SFT509" in told) == bool((moments[-1] == moments[0]).all())


@pytest.mark.parametrize("name", HEALTHY)
def test_usual_set_ups_are_silent(name: str) -> None:
    method, changes = HEALTHY[name]
    assert look(method, **changes) == {}


@pytest.mark.parametrize("samples", [500, 4_999, 12_000, 60_000, 900_000])
@pytest.mark.parametrize("parameters", [0.5e9, 7e9, 32e9])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("gpus", [1, 8])
def test_what_is_recommended_is_silent(
    samples: int, parameters: float, method: str, gpus: int
) -> None:
    found = sftdiag.recommend(samples, parameters, method, gpus=gpus)
    config, lora = found.sft_config, found.lora_config or {}
    modules = lora.get("target_modules")
    context = RunContext(
        method=method,
        total_parameters=int(parameters),
        train_samples=samples,
        world_size=gpus,
        precision="bf16",
        max_steps=found.plan["steps"],
        warmup_steps=found.plan["warmup_steps"],
        learning_rate=config["learning_rate"],
        num_train_epochs=float(config["num_train_epochs"]),
        per_device_train_batch_size=config["per_device_train_batch_size"],
        gradient_accumulation_steps=config["gradient_accumulation_steps"],
        lora_r=lora.get("r"),
        lora_alpha=lora.get("lora_alpha"),
        lora_dropout=lora.get("lora_dropout"),
        target_modules=(modules,) if modules else None,
    )
    assert run_checks(Inputs(context)).observations == ()


@pytest.mark.parametrize(
    ("code", "severity", "method", "changes"),
    [
        ("SFT501", "info", "lora", {"learning_rate": 2e-5}),
        ("SFT501", "info", "full", {"learning_rate": 1e-4}),
        ("SFT501", "warning", "full", {"learning_rate": 1e-2}),
        ("SFT501", "warning", "lora", {"learning_rate": 1e-7}),
        ("SFT501", "error", "full", {"learning_rate": 0.0}),
        ("SFT501", "warning", "full", {"learning_rate": 0.2, "total_parameters": 100_000}),
        ("SFT501", "info", "full", {"learning_rate": 1e-2, "total_parameters": None}),
        ("SFT502", "info", "lora", {"world_size": 8}),
        ("SFT502", "info", "full", {"gradient_accumulation_steps": 1}),
        (
            "SFT502",
            "warning",
            "full",
            {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
        ),
        ("SFT503", "info", "lora", {"num_train_epochs": 5.0}),
        ("SFT503", "info", "lora", {"num_train_epochs": 0.5, "train_samples": 900}),
        ("SFT503", "info", "full", {"num_train_epochs": 4.0, "train_samples": 90_000}),
        ("SFT503", "warning", "full", {"num_train_epochs": 9.0, "train_samples": 90_000}),
        ("SFT503", "info", "full", {"num_train_epochs": None, "max_steps": 3_000}),
        ("SFT504", "info", "lora", {"lora_r": 4, "lora_alpha": 8.0}),
        ("SFT504", "info", "lora", {"lora_r": 512, "lora_alpha": 1024.0}),
        ("SFT505", "info", "lora", {"lora_alpha": 128.0}),
        ("SFT505", "info", "lora", {"lora_alpha": 2.0}),
        ("SFT505", "warning", "lora", {"lora_alpha": 512.0}),
        ("SFT506", "info", "lora", {"target_modules": ("q_proj", "v_proj")}),
        ("SFT506", "info", "qlora", {"target_modules": ("query_key_value",)}),
        ("SFT506", "info", "lora", {"experts_bare": 0.9}),
        ("SFT507", "info", "lora", {"lora_dropout": 0.2}),
        (
            "SFT507",
            "info",
            "lora",
            {"lora_dropout": 0.0, "train_samples": 900, "num_train_epochs": 3.0},
        ),
        ("SFT507", "warning", "lora", {"lora_dropout": 0.6}),
        ("SFT508", "info", "lora", {"warmup_steps": 300}),
        ("SFT508", "info", "lora", {"warmup_steps": 500}),
        ("SFT508", "warning", "lora", {"warmup_steps": 900}),
        ("SFT508", "warning", "lora", {"warmup_steps": 100, "max_steps": 10}),
        ("SFT509", "info", "lora", {"precision": "fp16"}),
        ("SFT509", "warning", "qlora", {"precision": "fp16"}),
        ("SFT509", "warning", "full", {"precision": "fp32", "trainable_dtype": "float16"}),
        (
            "SFT509",
            "warning",
            "full",
            {"trainable_dtype": "bfloat16", "learning_rate": 5e-6, "weight_scale": 3e-3},
        ),
        (
            "SFT509",
            "error",
            "full",
            {
                "trainable_dtype": "bfloat16",
                "learning_rate": 1e-6,
                "weight_scale": 3e-3,
                "optim": "adamw_torch",
            },
        ),
        (
            "SFT509",
            "warning",
            "full",
            {
                "trainable_dtype": "bfloat16",
                "learning_rate": 5e-6,
                "weight_scale": 3e-3,
                "optim": "adamw_torch",
            },
        ),
        ("SFT509", "info", "full", {**IN_BFLOAT16, "adam_betas": (0.9, 0.999)}),
        ("SFT509", "info", "lora", {**IN_BFLOAT16, "adam_betas": (0.9, 0.9985)}),
        ("SFT510", "warning", "full", {"trainable_parameters": 266_000}),
        ("SFT510", "error", "full", {"trainable_parameters": 4_096}),
        ("SFT510", "error", "full", {"trainable_parameters": 0}),
        ("SFT510", "error", "lora", {"trainable_parameters": 0}),
        ("SFT511", "info", "lora", {"weight_decay": 0.3}),
        ("SFT511", "warning", "lora", {"weight_decay": 5.0}),
        ("SFT511", "warning", "lora", {"weight_decay": 40.0}),
        ("SFT511", "error", "full", {"weight_decay": 100.0, "learning_rate": 2e-5}),
        ("SFT511", "warning", "full", {"label_smoothing": 0.5}),
        ("SFT511", "error", "full", {"label_smoothing": 0.8}),
        ("SFT511", "info", "full", {"model_dropout": 0.3}),
        ("SFT512", "info", "lora", {"max_grad_norm": 0.03}),
        ("SFT512", "warning", "full", {"max_grad_norm": 1e-3}),
        ("SFT512", "warning", "full", {"max_grad_norm": 5e-3}),
        ("SFT512", "error", "full", {"max_grad_norm": 1e-9, "adam_epsilon": 1e-8}),
        ("SFT512", "warning", "lora", {"adam_betas": (0.999, 0.9)}),
        ("SFT512", "warning", "lora", {"adam_betas": (0.9, 0.1)}),
        ("SFT512", "info", "lora", {"adam_betas": (0.5, 0.999)}),
        ("SFT512", "warning", "lora", {"adam_epsilon": 0.1}),
        (
            "SFT512",
            "warning",
            "full",
            {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 1e-3},
        ),
        (
            "SFT512",
            "warning",
            "full",
            {"optim": "sgd", "learning_rate": 1e-5, "max_grad_norm": 1.0},
        ),
        ("SFT513", "warning", "lora", {"lr_scheduler_type": "cosine", "schedule_steps": 600}),
        ("SFT513", "error", "lora", {"lr_scheduler_type": "linear", "schedule_steps": 100}),
        ("SFT514", "warning", "lora", {"untied_embeddings": "input"}),
        ("SFT515", "error", "lora", {"outside_optimizer": 6_000_000_000}),
        ("SFT515", "warning", "full", {"outside_optimizer": 6_000_000}),
        ("SFT516", "error", "lora", {"unreached_parameters": 6_000_000_000}),
        ("SFT517", "warning", "lora", best("eval_perplexity", True)),
        ("SFT517", "warning", "lora", best("word_error_rate/wer", True)),
        ("SFT517", "warning", "full", best("mean_token_accuracy", False)),
        ("SFT517", "warning", "full", best("loss", True)),
        ("SFT517", "warning", "lora", best("mean_token_accuracy", True, "min")),
    ],
)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_is_outside(
    code: str, severity: str, method: str, changes: dict[str, Any], lang: str
) -> None:
    found = look(method, **changes)
    assert {c: o.severity.label for c, o in found.items()} == {code: severity}
    outcome = run_checks(Inputs(RunContext(method=method, **{**USUAL, **changes})))
    for finding in preflight.findings(outcome, lang):
        assert "{" not in finding.message
        assert all("{" not in fix.text for cause in finding.causes for fix in cause.fixes)


def test_both_sources_are_shown() -> None:
    outcome = run_checks(Inputs(RunContext(method="lora", **{**USUAL, "learning_rate": 2e-5})))
    (finding,) = preflight.findings(outcome, "en")
    assert "SFT guide" in finding.message
    assert "Schulman 2025" in finding.message


def test_a_method_of_its_own_range() -> None:
    prompt = {**FULL, "learning_rate": 2e-2}
    assert "SFT501" not in look("prompt-tuning", **prompt)
    assert look("full", learning_rate=2e-2)["SFT501"].severity.label == "warning"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_of_models_smaller_than_the_sources_only_what_is_far_out_is_said(method: str) -> None:
    """SmolLM2's recipe for 135M trains at 1e-3; users train it by 8 rows a step."""
    small = {"total_parameters": 135_000_000, "trainable_parameters": 135_000_000}
    for rate in (1e-4, 5e-4, 1e-3):
        assert look(method, learning_rate=rate, gradient_accumulation_steps=2, **small) == {}
    far = look(method, learning_rate=3e-2, **small)
    assert {code: one.severity.label for code, one in far.items()} == {"SFT501": "warning"}
    assert look(method, learning_rate=1e-8, **small)["SFT501"].severity.label == "warning"
    one = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
    noisy = look("full", learning_rate=1e-4, **one, **small)
    assert {code: one.severity.label for code, one in noisy.items()} == {"SFT502": "info"}


def test_the_ranges_say_nothing_of_tiny_models() -> None:
    odd = {"learning_rate": 3e-2, "gradient_accumulation_steps": 1, "num_train_epochs": 40.0}
    tiny = look(total_parameters=200_000, lora_r=2, lora_alpha=256.0, lora_dropout=0.2, **odd)
    assert tiny == {}


def test_where_the_size_is_unknown_nothing_that_depends_on_it_is_a_warning() -> None:
    for method, changes in (
        ("full", {"learning_rate": 1e-2}),
        ("lora", {"lora_alpha": 512.0}),
        ("full", {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}),
        ("full", {"num_train_epochs": 9.0, "train_samples": 90_000}),
    ):
        (found,) = look(method, total_parameters=None, **changes).values()
        assert found.severity.label == "info"


def rows(tokens: int, documents: int = 1) -> Split:
    starts = tuple(range(0, tokens, tokens // documents))
    return Split("train", (Sample((5,) * tokens, (5,) * tokens, starts=starts),) * 20, 20)


def test_few_rows_that_are_long_are_no_noisy_batch() -> None:
    context = RunContext(method="full", **{**USUAL, **FULL, "gradient_accumulation_steps": 2})
    check = next(check for check in CHECKS if check.code == "SFT502")
    assert [o.variant for o in check.look(Inputs(context, rows(40)))] == ["small"]
    assert check.look(Inputs(context, rows(800))) == ()


def test_packed_rows_count_as_the_samples_they_hold() -> None:
    few = {**USUAL, **FULL, "gradient_accumulation_steps": 1, "train_samples": 12_000}
    context = RunContext(method="full", packing=True, **few)
    batch = next(check for check in CHECKS if check.code == "SFT502")
    assert batch.look(Inputs(context, rows(40, 8))) == ()
    assert isinstance(batch.look(Inputs(context, rows(40))), Skip)
    epochs = next(check for check in CHECKS if check.code == "SFT503")
    long = context.replace(num_train_epochs=9.0)
    (found,) = epochs.look(Inputs(long, rows(40, 8)))
    assert (found.evidence["samples"], found.severity.label) == (96_000, "warning")


def test_more_epochs_are_no_note_where_an_evaluation_shows_what_they_do() -> None:
    assert look(num_train_epochs=5.0, eval_samples=200) == {}
    assert "SFT503" in look(num_train_epochs=9.0, train_samples=90_000, eval_samples=200)


def test_what_is_unknown_is_skipped_with_its_reason() -> None:
    outcome = run_checks(Inputs())
    names = {check.name for check in CHECKS if check.code.startswith("SFT5")}
    assert len(names) == 18
    reasons = preflight.skip_reasons(outcome, "en")
    assert all(reasons[name] for name in names)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"max_grad_norm": 1.0}, id="as SGD is used"),
        pytest.param({"max_grad_norm": 1e-3, "learning_rate": 30.0}, id="and a large rate"),
        pytest.param({"max_grad_norm": 0.0}, id="no clipping"),
        pytest.param({"optim": "sgd_momentum"}, id="steps that add up"),
    ],
)
def test_steps_of_sgd_are_the_rate_times_the_clip(changes: dict[str, Any]) -> None:
    usual = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 1e-3}
    assert "SFT512" in look("full", **usual)
    assert "SFT512" not in look("full", **{**usual, **changes})
