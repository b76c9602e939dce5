"""Settings: the names that a search sets, what it starts with, and whether a trainer took them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag.errors import ConfigError, meant
from sftdiag.ranges import USUAL_BATCH, USUAL_LEARNING_RATE, USUAL_RANK, epoch_band
from sftdiag.tuning.rates import lora_learning_rate
from sftdiag.tuning.recipes import TEMPLATE_SETTINGS
from sftdiag.values import Value

RATE, EPOCHS, RANK, ALPHA = "learning_rate", "num_train_epochs", "r", "lora_alpha"
ACCUMULATION, SEED, OUTPUT = "gradient_accumulation_steps", "seed", "output_dir"

NAMES = (RATE, EPOCHS, RANK, ALPHA, ACCUMULATION, SEED)
"""Names of SFTConfig and LoraConfig; ``output_dir`` comes with them, a folder a trial."""

OWNERS = dict.fromkeys((RANK, ALPHA), "LoraConfig")
"""Whose argument a name is, where not SFTConfig's."""

ALPHA_OVER_RANK = 2
"""The guide: alpha is 2 x r; where both are given to start with, their ratio is kept."""


class Facts(Value):
    """What a search learns of the run from its first trainer.

    Attributes:
        method: ``"full"``, ``"lora"``, ``"qlora"``.
        rows: rows of one step without accumulation, over all GPUs.
        samples: training rows.
        parameters: of the model.
    """

    method: str
    rows: int
    samples: int | None
    parameters: int


def usual_start(given: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what a search starts with, before anything is known of the run.

    Raises:
        ConfigError: a name that is not searched, or a value that is no number above 0.
    """
    start: dict[str, float] = {
        RATE: USUAL_LEARNING_RATE["full"],
        EPOCHS: TEMPLATE_SETTINGS[EPOCHS],
        RANK: USUAL_RANK,
        ACCUMULATION: 1,
        SEED: TEMPLATE_SETTINGS[SEED],
    }
    for name, value in (given or {}).items():
        if name not in NAMES:
            known = ", ".join(NAMES)
            told = f"a search sets {known}; got {name!r}{meant(name, NAMES)}"
            raise ConfigError(told).keyed("search_sets", known=known, given=name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            told = f"{name} must be a number, got {value!r}"
            raise ConfigError(told).keyed("number", name=name, given=value)
        if value <= 0 and name != SEED:
            told = f"{name} must be above 0, got {value!r}"
            raise ConfigError(told).keyed("above_0", name=name, given=value)
        start[name] = value
    start.setdefault(ALPHA, ALPHA_OVER_RANK * start[RANK])
    return start


def start_for(facts: Facts, given: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what a search starts with: what is given, else the guide's, for this run."""
    start = usual_start(given)
    given = given or {}
    if EPOCHS not in given and facts.samples:
        # A rate that is best for one epoch may be too high for three: the guide's own number.
        start[EPOCHS] = epoch_band(facts.samples).usual
    if ACCUMULATION not in given:
        start[ACCUMULATION] = max(1, USUAL_BATCH // facts.rows)
    if RATE not in given:
        start[RATE] = usual_rate(facts, start)
    return start


def usual_rate(facts: Facts, settings: Mapping[str, float]) -> float:
    """Return the rate that evidence says is near the best."""
    if facts.method == "lora":
        return lora_learning_rate(facts.parameters, batch_of(facts, settings))
    return USUAL_LEARNING_RATE.get(facts.method, USUAL_LEARNING_RATE["full"])


def batch_of(facts: Facts, settings: Mapping[str, float]) -> int:
    """Return the rows of an optimizer step."""
    return facts.rows * int(settings[ACCUMULATION])


def key_of(settings: Mapping[str, float]) -> str:
    """Return what two trials with the same settings have in common.

    Examples:
        >>> key_of({"seed": 42, "learning_rate": 1e-4})
        'learning_rate=0.0001, seed=42'
    """
    return ", ".join(f"{name}={float(settings[name]):.6g}" for name in sorted(settings))


def not_taken(trainer: Any, settings: Mapping[str, float]) -> str | None:
    """Return the name of a setting that the trainer was made without, or None.

    A search over a setting that nothing reads would compare noise.
    """
    args = trainer.args
    for name in (RATE, EPOCHS, ACCUMULATION, SEED):
        if float(getattr(args, name)) != float(settings[name]):
            return name
    if args.max_steps > 0:
        return EPOCHS
    adapter = next(iter(getattr(trainer.model, "peft_config", {}).values()), None)
    for name in (RANK, ALPHA) if adapter is not None else ():
        value = getattr(adapter, name, None)
        if value is not None and float(value) != float(settings[name]):
            return name
    return None
