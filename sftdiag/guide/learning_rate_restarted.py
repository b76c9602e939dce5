"""SFT110: the learning rate goes through its schedule a second time, in the middle of the run."""

from __future__ import annotations

from sftdiag.detectors.learning_rate_restarted import RESUMED, RESUMED_DECAY
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.checkpoints import sound_one
from sftdiag.guide.from_checks import untold


def _resumed(case: Case) -> bool:
    """Whether it fired on what the trainer resumed with, not on the log."""
    return case.detection.variant in (RESUMED, RESUMED_DECAY)


def state_is_lost(case: Case) -> Evidence:
    """What the trainer resumed with; from the log alone, that the schedule repeats itself."""
    step = {"step": case.number("restart_step")}
    if _resumed(case):
        return Evidence(Weight.CONFIRMS, "without_state", step)
    return Evidence(Weight.SUPPORTS, "repeats", {**step, "rows": case.number("rows")})


def checkpoint_unseen(case: Case) -> Evidence | None:
    """A log does not show what the checkpoint holds."""
    if _resumed(case):
        return None
    return Evidence(Weight.MISSING, "checkpoint_unseen", {"step": case.number("restart_step")})


def rises_by_itself(case: Case) -> Evidence:
    """Whether the schedule can rise again; the detector is silent where it is known to."""
    scheduler = case.context.lr_scheduler_type
    if _resumed(case):
        return Evidence(Weight.RULES_OUT, "without_state", {"step": case.number("restart_step")})
    if scheduler is None:
        return Evidence(
            Weight.MISSING, untold(case, "scheduler_unknown", "scheduler_unknown_in_a_loop")
        )
    return Evidence(Weight.RULES_OUT, "never_rises", {"scheduler": scheduler})


def resume_with_state(case: Case) -> FixText:
    """From the checkpoint that was resumed, with its state."""
    return FixText("resume_with_state", {"step": int(case.number("restart_step") or 0)})


def resume_earlier(case: Case) -> FixText | None:
    """From the checkpoint before it, where one is known."""
    earlier = sound_one(case, (case.number("restart_step") or 0) - 1)
    return None if earlier is None else FixText("resume_earlier", {"earlier": earlier})


def on_purpose(case: Case) -> FixText | None:
    """What keeps a resume that was meant so from being told or stopped."""
    return FixText("on_purpose") if _resumed(case) else None


def new_run(case: Case) -> FixText:
    """A run of its own over the steps that were left, with a schedule that ends with them."""
    step, planned = int(case.number("restart_step") or 0), case.context.max_steps
    if planned is None or planned <= step:
        return FixText("new_run")
    left = planned - step
    changes = {"SFTConfig.max_steps": (planned, left)}
    return FixText("new_run_of", {"step": step, "left": left}, changes)


SYMPTOM = Symptom(
    "SFT110",
    "learning-rate-restarted",
    Severity.ERROR,
    (
        CauseRule(
            "optimizer-state",
            (state_is_lost, checkpoint_unseen),
            (resume_with_state, resume_earlier, fix("keep_state"), new_run, on_purpose),
        ),
        CauseRule("planned-restart", (rises_by_itself,), (fix("say_so"),)),
    ),
)
