"""The checks of arguments (SFT501 to SFT510): the guide's rows, newer evidence, and silence."""

from __future__ import annotations

from typing import Any

import pytest

import sftdiag
from sftdiag.checks import CHECKS, Inputs, run_checks
from sftdiag.context import RunContext
from sftdiag.guide import preflight
from sftdiag.observations import Observation

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
    "one-epoch": ("lora", {"num_train_epochs": 1.0, "train_samples": 90_000}),
    "little-data": ("lora", {"num_train_epochs": 3.0, "train_samples": 900, "lora_dropout": 0.1}),
    "head-alone": ("full", {"trainable_parameters": 130_000_000}),
    "adapter-of-rank-1": ("lora", {"trainable_parameters": 300_000}),
    "modules-by-name": ("lora", {"target_modules": ("q_proj", "v_proj", "gate_proj", "up_proj")}),
}


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
        ("SFT502", "info", "lora", {"gradient_accumulation_steps": 2}),
        ("SFT502", "info", "lora", {"world_size": 8}),
        ("SFT502", "info", "full", {"gradient_accumulation_steps": 1}),
        (
            "SFT502",
            "warning",
            "full",
            {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
        ),
        ("SFT503", "info", "lora", {"num_train_epochs": 5.0}),
        ("SFT503", "info", "lora", {"num_train_epochs": 1.0, "train_samples": 900}),
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
        ("SFT507", "info", "lora", {"lora_dropout": 0.2}),
        (
            "SFT507",
            "info",
            "lora",
            {"lora_dropout": 0.0, "train_samples": 900, "num_train_epochs": 3.0},
        ),
        ("SFT507", "warning", "lora", {"lora_dropout": 0.6}),
        ("SFT508", "info", "lora", {"warmup_steps": 300}),
        ("SFT508", "warning", "lora", {"warmup_steps": 500}),
        ("SFT509", "info", "lora", {"precision": "fp16"}),
        ("SFT509", "warning", "qlora", {"precision": "fp16"}),
        ("SFT509", "warning", "full", {"precision": "fp32", "trainable_dtype": "float16"}),
        ("SFT510", "warning", "full", {"trainable_parameters": 266_000}),
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


def test_the_ranges_say_nothing_of_tiny_models() -> None:
    odd = {"learning_rate": 3e-2, "gradient_accumulation_steps": 1, "num_train_epochs": 40.0}
    tiny = look(total_parameters=200_000, lora_r=2, lora_alpha=256.0, lora_dropout=0.6, **odd)
    assert tiny == {}


def test_what_is_unknown_is_skipped_with_its_reason() -> None:
    outcome = run_checks(Inputs())
    names = {check.name for check in CHECKS if check.code.startswith("SFT5")}
    assert len(names) == 10
    reasons = preflight.skip_reasons(outcome, "en")
    assert all(reasons[name] for name in names)
