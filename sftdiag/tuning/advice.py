"""What goes with the settings: the plan, the guide's presets and search order, and notes."""

from __future__ import annotations

from typing import Any

from sftdiag import texts
from sftdiag.tuning import memory, recipes
from sftdiag.tuning.choice import LABELS, Choice
from sftdiag.tuning.numbers import number, size
from sftdiag.tuning.recommendation import PresetRow, SearchStep, Setting

FEW_STEPS = 100
"""Below about 100 steps LoRA's best rate is nearer 15 times the full rate (Schulman 2025)."""


def about(choice: Choice) -> str:
    """Return the run in one line."""
    setup = choice.setup
    gib = choice.words["gpu_memory"].format(gib=setup.gpu_memory) if setup.gpu_memory else ""
    lengths = choice.words["lengths_unknown"]
    if setup.covered:
        share, tokens = setup.covered
        lengths = choice.words["lengths_known"].format(share=share, tokens=tokens)
    told = choice.words["about"].format(
        samples=setup.samples,
        parameters=size(setup.parameters),
        method=LABELS[choice.method],
        gpus=setup.gpus,
        gpu_memory=gib,
        lengths=lengths,
    )
    return texts.counted(told)


def plan(choice: Choice, settings: tuple[Setting, ...]) -> dict[str, Any]:
    """Return the optimizer steps and the learning rate along the way."""
    peak = next(item.value for item in settings if item.name == "learning_rate")
    warmup = choice.warmup
    marks = sorted(
        {0, warmup, choice.steps // 4, choice.steps // 2, 3 * choice.steps // 4, choice.steps}
    )
    return {
        "effective_batch_size": choice.batch,
        "steps": choice.steps,
        "warmup_steps": warmup,
        "learning_rate": {
            str(step): recipes.cosine_rate(step, choice.steps, warmup, peak) for step in marks
        },
    }


def presets(choice: Choice) -> tuple[PresetRow, ...]:
    """Return the guide's presets with the one for this run marked."""
    return tuple(
        PresetRow(
            preset.name,
            choice.say("presets", preset.name),
            preset is choice.preset,
            {
                "r": preset.r,
                "lora_alpha": preset.lora_alpha,
                "lora_dropout": preset.lora_dropout,
                "target_modules": list(preset.target_modules),
            },
            {
                "learning_rate": preset.learning_rate,
                "num_train_epochs": preset.num_train_epochs.high,
            },
        )
        for preset in recipes.PRESETS
    )


def search(choice: Choice) -> tuple[SearchStep, ...]:
    """Return the guide's search order."""
    rates = recipes.SEARCH_LEARNING_RATE[choice.method]
    advice = choice.say("search", "learning_rate")
    if choice.method == "lora":
        newer = ", ".join(number(10 * rate) for rate in rates)
        advice = f"{advice}; {choice.say('search', 'learning_rate_newer', values=newer)}"
    found = [
        SearchStep("learning_rate", rates, advice),
        SearchStep(
            "num_train_epochs",
            (recipes.SEARCH_EPOCHS,),
            choice.say("search", "num_train_epochs"),
        ),
    ]
    if choice.method != "full":
        found.append(SearchStep("r", recipes.SEARCH_RANK, choice.say("search", "r")))
    found.append(
        SearchStep("effective_batch", recipes.SEARCH_BATCH, choice.say("search", "effective_batch"))
    )
    return tuple(found)


def notes(choice: Choice) -> list[str]:
    """Return what to know besides."""
    setup, gib = choice.setup, choice.setup.gpu_memory
    needed = {m: memory.states_gib(m, setup.parameters) for m in memory.METHODS}
    found = []
    if setup.method is None:
        key = "method_default" if gib is None else "method_chosen"
        found.append(choice.say("notes", key, method=LABELS[choice.method], gib=gib or 0, **needed))
    if not setup.fits(choice.method, 1):
        fitting = [m for m in memory.METHODS if setup.fits(m, 1)]
        key = "too_large" if fitting else "too_large_for_all"
        smaller = LABELS[fitting[0]] if fitting else ""
        found.append(
            choice.say(
                "notes",
                key,
                method=LABELS[choice.method],
                needed=needed[choice.method if fitting else "qlora"],
                gib=gib,
                smaller=smaller,
            )
        )
    if choice.method != "full" and choice.steps < FEW_STEPS:
        found.append(choice.say("notes", "few_steps", steps=choice.steps))
    smoke = {**recipes.SMOKE_TEST, "learning_rate": number(recipes.SMOKE_TEST["learning_rate"])}
    return [*found, choice.say("notes", "schedules"), choice.say("notes", "smoke", **smoke)]
