"""SFT114: nothing happens any more. Not in the guide's table; its causes are those of a hang."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix, missing


def waits_for_rows(case: Case) -> Evidence | None:
    """The trainer's thread stood in the data loader."""
    if case.detection.variant != "data":
        return None
    return Evidence(Weight.SUPPORTS, "in_the_loader")


def waits_for_a_rank(case: Case) -> Evidence | None:
    """The trainer's thread stood in torch.distributed."""
    if case.detection.variant != "ranks":
        return None
    return Evidence(Weight.SUPPORTS, "in_a_collective")


SYMPTOM = Symptom(
    "SFT114",
    "stalled",
    Severity.WARNING,
    (
        CauseRule("input-pipeline", (waits_for_rows,), (fix("look_at_workers"),)),
        CauseRule("other-rank", (waits_for_a_rank,), (fix("look_at_ranks"),)),
        CauseRule("machine", (missing("see_machine"),), (fix("look_at_machine"),)),
    ),
)
