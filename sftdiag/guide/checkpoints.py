"""Which checkpoint to go back to: named where one is known, else what to do without."""

from __future__ import annotations

from sftdiag.guide.base import Case, FixText

GO_BACK = ("go_back", "go_back_none", "go_back_unseen")
WEIGHTS_ARE_OF = ("weights_are_of", "weights_are_of_none", "weights_are_of_unseen")
"""Keys of :func:`back_to`."""


def sound_one(case: Case, step: float) -> int | None:
    """Return the newest checkpoint known that is of this step or earlier."""
    return max((each for each in case.signals.checkpoints if each <= step), default=None)


def back_to(case: Case, step: float, keys: tuple[str, str, str]) -> FixText:
    """Return the fix that goes back to a checkpoint of this step or earlier.

    Args:
        case: what is known.
        step: the last one of sound weights.
        keys: of the sentences that name the checkpoint, that say that none is so early, and that
            none is known.
    """
    named, none, unseen = keys
    known = sound_one(case, step)
    if known is not None:
        return FixText(named, {"step": int(step), "checkpoint": known})
    return FixText(none if case.signals.checkpoints else unseen, {"step": int(step)})
