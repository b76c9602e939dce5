"""Whether the run will end where it evaluates and saves at one step: FSDP2 in some torch versions.

Seen with torch 2.11, transformers 5.17 and 5.23, accelerate 1.15 on two GPUs, without sftdiag: an
evaluation and a save at one step break the next forward pass ("got mixed torch.Tensor and DTensor",
in the final norm), with full and sharded state dicts alike; a step apart, they are fine. Not seen
with torch 2.13 on the CPU, where an evaluation and the gathering of what is saved are survived.
"""

from __future__ import annotations

import logging
import sys
from math import lcm
from typing import Any

from sftdiag import texts
from sftdiag.faults import say

FIXED_IN = (2, 13)
"""The first torch in which it was looked for and not seen."""


def say_where_it_breaks(args: Any, state: Any, lang: str) -> None:
    """Say in one line that the run will break at a step, and what to change; mostly nothing.

    Args:
        args: the run's TrainingArguments.
        state: its TrainerState.
        lang: language of the line.
    """
    version = str(getattr(sys.modules.get("torch"), "__version__", ""))
    every = _meeting(args, state, version)
    if every is None:
        return
    evaluates, saves = every
    both = lcm(evaluates, saves)
    words = {
        "eval": evaluates,
        "save": saves,
        "step": (state.global_step // both + 1) * both,
        "version": version,
        "apart": apart(evaluates, saves, state.max_steps),
        "fixed": ".".join(map(str, FIXED_IN)),
    }
    # The best model is loaded from a checkpoint of an evaluation: transformers insists on both.
    line = "breaks_best" if getattr(args, "load_best_model_at_end", False) else "breaks"
    say(logging.WARNING, texts.load(__file__, "saves", lang)[line].format(**words))


def apart(evaluates: int, saves: int, total: int) -> int:
    """Return the next number of steps between saves that meets no evaluation before the end.

    Examples:
        >>> apart(50, 50, 1000), apart(10, 20, 1000)
        (51, 101)
    """
    return next(n for n in range(saves, total + saves) if lcm(evaluates, n) >= total)


def _meeting(args: Any, state: Any, version: str) -> tuple[int, int] | None:
    """Return every how many steps the run evaluates and saves, where it will break at one."""
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(known) < 2 or known >= FIXED_IN or not _is_fsdp2(args):
        return None
    kinds = [str(getattr(s, "value", s)) for s in (args.eval_strategy, args.save_strategy)]
    if kinds != ["steps", "steps"]:
        return None
    every = (_steps(args.eval_steps, state.max_steps), _steps(args.save_steps, state.max_steps))
    if not all(every):
        return None
    both = lcm(*every)
    # Behind the last step there is no forward pass to break.
    return every if (state.global_step // both + 1) * both < state.max_steps else None


def _is_fsdp2(args: Any) -> bool:
    if not getattr(args, "fsdp", None):
        return False
    chosen = getattr(args, "fsdp_plugin_args", None) or {}
    return int(chosen.get("fsdp_version", 1)) == 2


def _steps(value: Any, total: int) -> int:
    """Return a number of steps; below 1 it is a share of the run's."""
    if not value:
        return 0
    return int(value) if value >= 1 else -int(-(value * total) // 1)
