"""The settings of the guide's template for one run, in its order, each with reason and source."""

from __future__ import annotations

from typing import Any

from sftdiag import ranges
from sftdiag.tuning import names, rates, recipes
from sftdiag.tuning.choice import Choice
from sftdiag.tuning.numbers import number, show
from sftdiag.tuning.recommendation import LORA_CONFIG, MODEL, QUANTIZATION_CONFIG, Setting

SHORT_RUN = 200
"""Steps below which every step is logged: 20 points are too few to judge a curve by its noise."""

FEWEST_EVALUATIONS = 6
"""With fewer, a rise of eval_loss is judged by a stricter rule (see eval_loss_rising)."""

EVALUATIONS = 10
"""How often a run is evaluated where the guide's every 100 steps would give too few."""

TRL = "TRL"
PEFT = "PEFT"

_QUANTIZATION = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
}


def settings(choice: Choice) -> tuple[Setting, ...]:
    """Return every setting."""
    return (
        *_model(choice),
        *_training(choice),
        *_learning_rate(choice),
        *_computing(choice),
        *_rows_of_text(choice),
        *_watching(choice),
        *(_adapter(choice) if choice.method != "full" else ()),
    )


def _model(choice: Choice) -> tuple[Setting, ...]:
    if choice.method == "full":
        return (choice.setting("dtype", "float32", TRL, reason="dtype_full", config=MODEL),)
    dtype = choice.setting("dtype", "bfloat16", TRL, reason="dtype_frozen", config=MODEL)
    if choice.method == "lora":
        return (dtype,)
    return (
        dtype,
        *(
            choice.setting(name, value, ranges.QLORA_PAPER, config=QUANTIZATION_CONFIG)
            for name, value in _QUANTIZATION.items()
        ),
    )


def _training(choice: Choice) -> tuple[Setting, ...]:
    setup, epochs = choice.setup, choice.epochs.epochs
    single = epochs.low == epochs.high
    template = recipes.TEMPLATE_SETTINGS
    shrunk = choice.rows < template["per_device_train_batch_size"] and setup.gpu_memory
    return (
        choice.setting("output_dir", "outputs"),
        choice.setting(
            "num_train_epochs",
            choice.epochs.usual,
            epochs.source,
            reason="num_train_epochs_single" if single else None,
            beside=ranges.NEWER_EPOCHS,
            samples=setup.samples,
            low=epochs.low,
            high=epochs.high,
            most=ranges.MOST_EPOCHS,
        ),
        choice.setting(
            "per_device_train_batch_size",
            choice.rows,
            ranges.BATCH_TABLE,
            reason="per_device_train_batch_size_memory" if shrunk else None,
            gib=setup.gpu_memory,
        ),
        choice.setting("per_device_eval_batch_size", choice.rows),
        choice.setting(
            "gradient_accumulation_steps",
            choice.accumulation,
            ranges.BATCH_TABLE,
            beside=ranges.EFFECTIVE_BATCH[choice.method],
            rows=choice.rows,
            accumulation=choice.accumulation,
            gpus=setup.gpus,
            batch=choice.batch,
        ),
    )


def _rate(choice: Choice) -> tuple[float, str, str]:
    """Return the learning rate, its source and the reason's key."""
    low, large = choice.setup.little_data, choice.setup.parameters > ranges.LARGE_MODEL
    spans = ranges.LEARNING_RATE[choice.method]
    usual = ranges.USUAL_LEARNING_RATE[choice.method]
    if choice.method == "lora":
        rate = rates.lora_learning_rate(choice.setup.parameters, choice.batch)
        whole = choice.batch >= ranges.SWEPT_BATCH
        return rate, spans[-1].source, f"learning_rate_lora{'' if whole else '_scaled'}"
    if choice.method == "full" and (low or large):
        return spans[0].low, spans[0].source, "learning_rate_full_low"
    if choice.method == "qlora" and large:
        return spans[0].low, spans[1].source, "learning_rate_qlora_low"
    return usual, spans[0].source, f"learning_rate_{choice.method}"


def _learning_rate(choice: Choice) -> tuple[Setting, ...]:
    rate, source, reason = _rate(choice)
    spans = ranges.LEARNING_RATE[choice.method]
    swept = rates.lora_learning_rate(choice.setup.parameters, ranges.SWEPT_BATCH)
    values: dict[str, Any] = {
        "low": number(spans[0].low),
        "high": number(spans[0].high),
        "swept": number(swept),
        "swept_batch": ranges.SWEPT_BATCH,
        "batch": choice.batch,
    }
    return (
        choice.setting("learning_rate", rate, source, reason=reason, beside=spans, **values),
        choice.setting("lr_scheduler_type", ranges.SCHEDULER),
        choice.setting(
            "warmup_steps",
            ranges.WARMUP_SHARE,
            beside=ranges.WARMUP,
            warmup=choice.warmup,
            steps=choice.steps,
        ),
    )


def _computing(choice: Choice) -> tuple[Setting, ...]:
    checkpointing = names.checkpointing()
    options = {"use_reentrant": False}
    return (
        choice.setting("weight_decay", recipes.TEMPLATE_SETTINGS["weight_decay"]),
        choice.setting("bf16", True),
        choice.setting(checkpointing, True, reason="checkpointing"),
        choice.setting(f"{checkpointing}_kwargs", options, reason="checkpointing_kwargs"),
    )


def _rows_of_text(choice: Choice) -> tuple[Setting, ...]:
    setup, covered = choice.setup, choice.setup.covered
    values: dict[str, Any] = {"share": covered[0], "tokens": covered[1]} if covered else {}
    reason = "max_length_known" if covered else "max_length_unknown"
    length = choice.setting(
        "max_length", setup.max_length, ranges.LENGTH_TABLE, reason=reason, **values
    )
    band = next(b for b in ranges.LENGTH_BANDS if setup.max_length in b)
    cost = f"{choice.say('reasons', band.name)}; {choice.say('reasons', 'attention')}"
    found = [length.replace(reason=f"{length.reason}. {cost}")]
    if setup.conversations:
        found.append(choice.setting("assistant_only_loss", True, f"{ranges.GUIDE}, curve 4"))
    elif not setup.columns or "text" in setup.columns:
        found.append(choice.setting("dataset_text_field", "text"))
    return (*found, choice.setting("packing", False))


def _watching(choice: Choice) -> tuple[Setting, ...]:
    template, total = recipes.TEMPLATE_SETTINGS, choice.steps
    every = int(template["eval_steps"])
    rare = total < FEWEST_EVALUATIONS * every
    if rare:
        every = max(1, total // EVALUATIONS)
    short = total < SHORT_RUN
    logging = 1 if short else template["logging_steps"]
    return (
        choice.setting(
            "logging_steps",
            logging,
            reason="logging_steps_short" if short else None,
            steps=total,
        ),
        choice.setting("eval_strategy", "steps"),
        choice.setting(
            "eval_steps", every, reason="eval_steps_short" if rare else None, steps=total
        ),
        choice.setting("save_strategy", "steps"),
        choice.setting("save_steps", 2 * every),
        choice.setting("save_total_limit", template["save_total_limit"]),
        choice.setting("load_best_model_at_end", True),
        choice.setting("metric_for_best_model", "eval_loss"),
        choice.setting("greater_is_better", False),
        choice.setting("report_to", "none"),
        choice.setting("seed", template["seed"]),
    )


def _adapter(choice: Choice) -> tuple[Setting, ...]:
    preset, table = choice.preset, ranges.LORA_TABLE
    source = f"{ranges.PRESETS}, {preset.name}"
    dropout = "lora_dropout" if preset.lora_dropout else "lora_dropout_zero"
    modules = choice.setting("target_modules", "all-linear", table, config=LORA_CONFIG)
    if preset.target_modules != ranges.ALL_LINEAR:
        guide = choice.say("reasons", "target_modules_guide")
        modules = modules.replace(beside=(f"{guide} ({source})",))
    return (
        choice.setting(
            "r",
            preset.r,
            source,
            reason="r_preset",
            config=LORA_CONFIG,
            beside=ranges.LORA_RANK,
            preset=preset.name,
            samples=choice.setup.samples,
        ),
        choice.setting(
            "lora_alpha",
            preset.lora_alpha,
            table,
            config=LORA_CONFIG,
        ).replace(beside=tuple(f"alpha / r {show(s)}" for s in ranges.ALPHA_OVER_RANK[1:])),
        modules,
        choice.setting(
            "lora_dropout",
            preset.lora_dropout,
            source,
            reason=dropout,
            config=LORA_CONFIG,
            beside=ranges.LORA_DROPOUT,
        ),
        choice.setting("task_type", "CAUSAL_LM", PEFT, config=LORA_CONFIG),
    )
