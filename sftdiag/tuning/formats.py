"""A recommendation as runnable Python, as YAML for ``trl sft --config``, or as JSON."""

from __future__ import annotations

import json
import textwrap
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

COLUMNS = 92
"""Of a comment, before the indent of an argument."""

EVAL_SHARE = 0.05
"""Of the rows, kept out of training: the guide wants an eval set and names no share."""

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
    lines = [*_wrapped(found.about), "# trl sft --config THIS_FILE", ""]
    lines += [f"model_name_or_path: {_yaml(found.model or NO_MODEL)}"]
    data = found.data or NO_DATA
    if found.converted is not None:
        lines += ["", *_converting(data, found.converted), ""]
        data = _converted_file(data)
    source = {**_source(data), "split": "train"}
    lines += [f"datasets: {_yaml([source])}", f"test_split_size: {EVAL_SHARE}"]
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
    lines = _wrapped(f"{item.reason} [{item.source}]")
    return lines + [line for text in item.beside for line in _wrapped(text, "  beside: ")]


def _wrapped(text: str, lead: str = "") -> list[str]:
    """Return a comment of at most COLUMNS columns a line."""
    inner = " " * len(lead)
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=f"# {lead}",
        subsequent_indent=f"# {inner}",
        break_on_hyphens=False,
    )


def _script(found: Recommendation) -> Iterator[str]:
    yield from _wrapped(found.about)
    yield from _imports(found)
    yield ""
    yield f"MODEL = {_python(found.model or NO_MODEL)}"
    yield f"DATA = {_python(found.data or NO_DATA)}"
    yield ""
    yield from _loading(found.data or NO_DATA, found.converted)
    yield f"rows = rows.train_test_split(test_size={EVAL_SHARE}, seed=42)"
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
        '    train_dataset=rows["train"],',
        '    eval_dataset=rows["test"],',
        "    processing_class=AutoTokenizer.from_pretrained(MODEL),",
        *(["    peft_config=adapter,"] if found.lora_config is not None else []),
        ")",
        "sftdiag.smoke_test(trainer).raise_for_no_go()  # the first steps; all is put back",
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


def _source(data: str) -> dict[str, str]:
    """Return how ``datasets.load_dataset`` reads the data."""
    suffix = data.rpartition(".")[2]
    if suffix in ("jsonl", "json", "parquet"):
        return {"path": "parquet" if suffix == "parquet" else "json", "data_files": data}
    return {"path": data}


def _converted_file(data: str) -> str:
    """Return where rows are written that TRL reads."""
    suffix = f".{data.rpartition('.')[2]}" if "data_files" in _source(data) else "/"
    return f"{data.removesuffix(suffix)}.trl.jsonl"


def _converting(data: str, column: str) -> Iterator[str]:
    """Yield a script, as a comment, that rewrites the rows for ``trl sft``."""
    yield from _wrapped(
        f"trl sft does not read the column {column} of these rows as it is. Run this once, without "
        "the # before it:"
    )
    script = ["import datasets", "", f"DATA = {_python(data)}", *_loading(data, column)]
    yield from (f"#   {line}".rstrip() for line in script)
    yield f"#   rows.to_json({_python(_converted_file(data))}, force_ascii=False)"


def _loading(data: str, column: str | None) -> Iterator[str]:
    source = _source(data)
    if "data_files" in source:
        kind = source["path"]
        yield f'rows = datasets.load_dataset("{kind}", data_files=DATA, split="train")'
    else:
        yield "rows = datasets.load_from_disk(DATA)"
    yield from _renaming(column)


def _renaming(column: str | None) -> Iterator[str]:
    """Yield what makes the rows of ShareGPT and Alpaca such as TRL trains on."""
    if column is not None and column != "instruction":
        yield from (
            "",
            "# ShareGPT names the roles human and gpt, and chat templates user and assistant.",
            'ROLES = {"human": "user", "gpt": "assistant"}',
            "",
            "",
            "def message(said):",
            '    role, content = said.get("from") or said["role"], said.get("value")',
            '    content = said["content"] if content is None else content',
            '    return {"role": ROLES.get(role, role), "content": content}',
            "",
            "",
            "rows = rows.map(",
            f'    lambda row: {{"messages": [message(said) for said in row["{column}"]]}},',
            "    remove_columns=rows.column_names,",
            ")",
        )
    elif column is not None:
        yield from (
            "",
            "",
            "def conversation(row):",
            '    asked = [row["instruction"], row.get("input")]',
            '    asked = "\\n".join(part for part in asked if part)',
            "    return {",
            '        "prompt": [{"role": "user", "content": asked}],',
            '        "completion": [{"role": "assistant", "content": row["output"]}],',
            "    }",
            "",
            "",
            "rows = rows.map(conversation, remove_columns=rows.column_names)",
        )


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
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_python(k)}: {_python(v)}' for k, v in value.items())}}}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _appendix(found: Recommendation) -> Iterator[str]:
    """Yield what cannot be a setting, as comments."""
    plan = found.plan
    rates = ", ".join(f"{step}: {rate:.2g}" for step, rate in plan["learning_rate"].items())
    batch = plan["effective_batch_size"]
    yield from _wrapped(f"{plan['steps']} x {batch} [steps x rows]; learning_rate: {{{rates}}}")
    for note in found.notes:
        yield from _wrapped(note, "- ")
    yield "#"
    for preset in found.presets:
        values = {**preset.lora_config, **preset.sft_config}
        shown = ", ".join(f"{name}={_python(value)}" for name, value in values.items())
        yield from _wrapped(f"{preset.name}: {preset.about}", "> " if preset.chosen else "  ")
        yield from _wrapped(shown, "      ")
    yield "#"
    for place, step in enumerate(found.search, start=1):
        choices = ", ".join(number(value) for value in step.values)
        yield from _wrapped(f"{step.name} {{{choices}}}: {step.advice}", f"{place}. ")
