"""recommend: the guide's template, filled in for one run, each line with its reason and source."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag.tuning import advice, recipes
from sftdiag.tuning.choice import Choice
from sftdiag.tuning.recommendation import Recommendation
from sftdiag.tuning.settings import settings
from sftdiag.tuning.setup import Setup


def recommend(
    samples: int,
    parameters: float,
    method: str | None = None,
    *,
    gpus: int = 1,
    gpu_memory: float | None = None,
    lengths: Mapping[float, int] | None = None,
    columns: tuple[str, ...] = (),
    model: str | None = None,
    data: str | None = None,
    effective_batch: int | None = None,
    converted: str | None = None,
    lang: str = "en",
) -> Recommendation:
    """Return the settings to train with.

    Args:
        samples: rows of the training set.
        parameters: parameters of the model, such as ``7e9``.
        method: ``"full"``, ``"lora"`` or ``"qlora"``; None chooses by ``gpu_memory``.
        gpus: number of GPUs.
        gpu_memory: GiB of one GPU.
        lengths: quantiles of the rows' tokens, share to tokens, such as ``{0.95: 900}``.
        columns: names of the data's columns.
        model: the model's name or path, for the code.
        data: the data's path, for the code.
        effective_batch: rows an optimizer step; None chooses by the guide's table.
        converted: the column that the script rewrites before TRL trains on the rows, such as
            ``"conversations"`` of ShareGPT's rows or ``"instruction"`` of Alpaca's.
        lang: ``"en"`` or ``"zh"``.

    Returns:
        A value whose ``sft_config``, ``lora_config`` and ``quantization_config`` are arguments
        that the classes accept.

    Raises:
        ConfigError: a value is outside its domain.

    Examples:
        >>> found = recommend(samples=800, parameters=1.5e9, lengths={0.95: 300})
        >>> found.sft_config["max_length"], found.lora_config["r"], found.lora_config["lora_alpha"]
        (512, 16, 32)
    """
    setup = Setup(
        samples,
        parameters,
        method,
        gpus,
        gpu_memory,
        dict(lengths or {}),
        tuple(columns),
        model,
        data,
        effective_batch,
        converted,
    )
    choice = Choice(setup, lang)
    chosen = settings(choice)
    return Recommendation(
        advice.about(choice),
        choice.method,
        chosen,
        advice.plan(choice, chosen),
        advice.presets(choice),
        advice.search(choice),
        dict(recipes.SMOKE_TEST),
        tuple(advice.notes(choice)),
        model,
        data,
        setup.columns,
        setup.converted,
    )
