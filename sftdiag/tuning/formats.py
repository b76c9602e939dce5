"""A recommendation as runnable Python, as YAML for ``trl sft --config``, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from sftdiag.tuning.numbers import number
from sftdiag.tuning.recommendation import (
    LORA_CONFIG,
    MODEL,
    QUANTIZATION_CONFIG,
    SFT_CONFIG,
    Recommendation,
    Setting,
)

NO_MODEL = "path/or/name/of/the/model"
NO_DATA = "train.jsonl"

_TRL_OPTIONS = {
    (LORA_CONFIG, "r"): "lora_r",
    (LORA_CONFIG, "target_modules"): "lora_target_modules",
    (LORA_CONFIG, "task_type"): "lora_task_type",
    (QUANTIZATION_CONFIG, "bnb_4bit_use_double_quant"): "use_bnb_nested_quant",
    (QUANTIZATION_CONFIG, "bnb_4bit_compute_dtype"): "",
}
"""Names of trl's command line where they differ; "" where it takes the value from another."""


def render_json(found: Recommendation) -> str:
    """Return strict JSON; ``sft_config``, ``lora_config`` and so on are the arguments."""
    return json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_yaml(found: Recommendation) -> str:
    """Return a file for ``trl sft --config FILE``, each line with its reason."""
    lines = [f"# {found.about}", "# trl sft --config THIS_FILE", ""]
    lines += [f"model_name_or_path: {_yaml(found.model or NO_MODEL)}"]
    lines += [f"dataset_name: {_yaml(found.data or NO_DATA)}"]
    if found.lora_config is not None:
        lines.append("use_peft: true")
    for item in found.settings:
        name = _TRL_OPTIONS.get((item.config, item.name), item.name)
        if name:
            lines += ["", *_comment(item), f"{name}: {_yaml(item.value)}"]
    return "\n".join([*lines, "", *_appendix(found)]) + "\n"


def render_python(found: Recommendation) -> str:
    """Return a script that trains, each line with its reason."""
    return "\n".join([*_script(found), "", *_appendix(found)]) + "\n"


FORMATS: dict[str, Callable[[Recommendation], str]] = {
    "python": render_python,
    "yaml": render_yaml,
    "json": render_json,
}


def _yaml(value: Any) -> str:
    """Return a value as YAML: JSON, but for exponents, which YAML 1.1 reads with a point only."""
    if isinstance(value, float):
        mantissa, exponent, power = number(value).partition("e")
        point = "" if "." in mantissa else ".0"
        return f"{mantissa}{point}{exponent}{power}" if exponent else f"{value!r}"
    return json.dumps(value, ensure_ascii=False)


def _comment(item: Setting) -> list[str]:
    lines = [f"# {item.reason} [{item.source}]"]
    if item.beside:
        lines.append(f"#   beside: {'; '.join(item.beside)}")
    return lines


def _script(found: Recommendation) -> Iterator[str]:
    yield f"# {found.about}"
    yield from _imports(found)
    yield ""
    yield f"MODEL = {found.model or NO_MODEL!r}"
    yield f"DATA = {found.data or NO_DATA!r}"
    yield ""
    yield from _loading(found.data or NO_DATA)
    yield ""
    if found.quantization_config is not None:
        yield from _call("quantization", QUANTIZATION_CONFIG, found)
        yield ""
    extra = ["quantization_config=quantization"] if found.quantization_config else []
    yield from _call(
        "model",
        MODEL,
        found,
        call="AutoModelForCausalLM.from_pretrained",
        first="MODEL",
        last=extra,
    )
    yield ""
    yield from _call("args", SFT_CONFIG, found)
    yield ""
    if found.lora_config is not None:
        yield from _call("adapter", LORA_CONFIG, found)
        yield ""
    yield from (
        "trainer = SFTTrainer(",
        "    model=model,",
        "    args=args,",
        "    train_dataset=rows['train'],",
        "    eval_dataset=rows['test'],",
        "    processing_class=AutoTokenizer.from_pretrained(MODEL),",
        *(["    peft_config=adapter,"] if found.lora_config is not None else []),
        ")",
        "sftdiag.attach(trainer)  # says what goes wrong, why, and what to change",
        "trainer.train()",
    )


def _imports(found: Recommendation) -> Iterator[str]:
    adapter, quantized = found.lora_config is not None, found.quantization_config is not None
    yield ""
    yield "import datasets"
    if adapter:
        yield "from peft import LoraConfig"
    names = ["AutoModelForCausalLM", "AutoTokenizer", *(["BitsAndBytesConfig"] * quantized)]
    yield f"from transformers import {', '.join(names)}"
    yield "from trl import SFTConfig, SFTTrainer"
    yield ""
    yield "import sftdiag"


def _loading(data: str) -> Iterator[str]:
    suffix = data.rpartition(".")[2]
    if suffix in ("jsonl", "json", "parquet"):
        kind = "parquet" if suffix == "parquet" else "json"
        yield f"rows = datasets.load_dataset({kind!r}, data_files=DATA, split='train')"
    else:
        yield "rows = datasets.load_from_disk(DATA)"
    yield "rows = rows.train_test_split(test_size=0.05, seed=42)  # an eval set from the same source"


def _call(
    variable: str,
    config: str,
    found: Recommendation,
    *,
    call: str | None = None,
    first: str = "",
    last: list[str] | None = None,
) -> Iterator[str]:
    yield f"{variable} = {call or config}("
    if first:
        yield f"    {first},"
    for item in found.settings:
        if item.config == config:
            yield from (f"    {line}" for line in _comment(item))
            yield f"    {item.name}={_python(item.value)},"
    yield from (f"    {line}," for line in last or [])
    yield ")"


def _python(value: Any) -> str:
    return number(value) if isinstance(value, float) else repr(value)


def _appendix(found: Recommendation) -> Iterator[str]:
    """Yield what cannot be a setting, as comments."""
    plan = found.plan
    rates = ", ".join(f"{step}: {number(rate)}" for step, rate in plan["learning_rate"].items())
    yield f"# {plan['steps']} steps of {plan['effective_batch_size']} rows; learning rate by step: {rates}"
    for note in found.notes:
        yield f"# - {note}"
    yield "#"
    for preset in found.presets:
        values = {**preset.lora_config, **preset.sft_config}
        shown = ", ".join(f"{name} {_python(value)}" for name, value in values.items())
        yield f"# {'>' if preset.chosen else ' '} {preset.name}: {preset.about}"
        yield f"#     {shown}"
    yield "#"
    for place, step in enumerate(found.search, start=1):
        values = ", ".join(number(value) for value in step.values)
        yield f"# {place}. {step.name} {{{values}}}: {step.advice}"
