"""What a run's arguments say, by whatever name their version of transformers or TRL gives it.

Asked by what is there, never by a version number: frameworks have argument classes of their own.
"""

from __future__ import annotations

from typing import Any

from sftdiag.context import RANDOM


def max_length(args: Any) -> Any:
    """Return the tokens after which rows are cut; None where the arguments name none.

    ``max_length`` since TRL 0.16, ``max_seq_length`` before it.
    """
    return getattr(args, "max_length", None) or getattr(args, "max_seq_length", None)


def makes_its_table(args: Any) -> bool:
    """Return whether TRL writes the rows of every set anew, so that what it drops can be counted.

    Before ``max_length`` it handed on tokenized rows as they were: what such a set leaves out of
    its table, the user has left out.
    """
    return getattr(args, "max_length", None) is not None


def sampling(args: Any) -> str | None:
    """Return the order in which the rows are taken, as ``train_sampling_strategy`` names it.

    Before transformers 5 there was a switch instead, ``group_by_length``, and no way to take the
    rows as they stand. None where the arguments say nothing of an order.
    """
    named = getattr(args, "train_sampling_strategy", None)
    if named is not None:
        return str(getattr(named, "value", named))
    grouped = getattr(args, "group_by_length", None)
    return None if grouped is None else "group_by_length" if grouped else RANDOM


def best_step(state: Any) -> int | None:
    """Return the step of the best model so far, where the trainer's state keeps it.

    ``best_global_step`` since transformers 4.52; before it only the checkpoint's folder said so.
    """
    step = getattr(state, "best_global_step", None)
    return step if isinstance(step, int) else None


def words(args: Any) -> str | None:
    """Return a key of :data:`sftdiag.guide.dialect.OLDER` where settings have older names."""
    if hasattr(args, "max_seq_length") and not hasattr(args, "max_length"):
        return "trl-0.15"
    if hasattr(args, "group_by_length") and not hasattr(args, "train_sampling_strategy"):
        return "transformers-4"
    return None


def as_saved() -> dict[str, str]:
    """Return the argument that loads a model's weights in the dtype that they were saved in.

    ``dtype`` since transformers 4.56, ``torch_dtype`` before it.
    """
    from transformers import PretrainedConfig

    return {"dtype" if hasattr(PretrainedConfig, "dtype") else "torch_dtype": "auto"}
