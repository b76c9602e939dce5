"""Evidence that a jump of the loss is a resume that did not load what was trained."""

from __future__ import annotations

from sftdiag.detectors._resume_jump import AT_ONCE, resumed_at
from sftdiag.detectors._resume_jump import back_at_the_start as near_the_start
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight
from sftdiag.signals.edge import MISSING_ROWS, TOKENS, WENT_BACK, Jump

NEAR_THE_START = 0.1
"""Share by which the height of a jump may miss the first loss: one sign among others."""

SIGNS = {
    TOKENS: "resumed_by_tokens",
    MISSING_ROWS: "resumed_by_missing_rows",
    WENT_BACK: "resumed_by_went_back",
}
"""The sentence of each sign of a resume that the log itself shows."""


def _jump(case: Case) -> Jump | None:
    """Return the jump within one record that the finding is about, where it rose at once."""
    jump, seen = case.signals.edge.jump, case.detection
    if jump is None or not seen.onset_step <= jump.step <= seen.step:
        return None
    return jump if jump.highest <= AT_ONCE * jump.height else None


def _resumed(case: Case, jump: Jump) -> tuple[str, int] | None:
    """Return what says that the run was resumed at the jump, and after which step."""
    step = resumed_at(case.signals, jump)
    if step is not None:
        return "resumed_at", step
    return None if jump.sign is None else (SIGNS[jump.sign], jump.before)


def jumped_at_a_resume(case: Case) -> Evidence | None:
    """A jump in the first record after a resume, as the callback or the log itself shows it."""
    jump = _jump(case)
    resumed = None if jump is None else _resumed(case, jump)
    if jump is None or resumed is None:
        return None
    values = {"step": resumed[1], "level": jump.level, "height": jump.height}
    return Evidence(Weight.SUPPORTS, resumed[0], values)


def steps_did_not_do_it(case: Case) -> Evidence | None:
    """The same against what needs steps to raise a loss."""
    piece = jumped_at_a_resume(case)
    return None if piece is None else Evidence(Weight.AGAINST, piece.key, piece.values)


def rose_at_once(case: Case) -> Evidence | None:
    """A loss that is highest in the first record and comes down from there."""
    jump = _jump(case)
    # Where all resumes are known and none lies here, a high first record is no sign of one.
    if jump is None or (case.context.resumed_steps is not None and _resumed(case, jump) is None):
        return None
    values = {"level": jump.level, "height": jump.height, "step": jump.step}
    return Evidence(Weight.FITS, "rose_at_once", values)


def back_at_the_start(case: Case) -> Evidence | None:
    """What was learned is gone: the loss is where the run began."""
    jump, first = _jump(case), case.signals.first_loss
    if jump is None or not near_the_start(case.signals, jump, NEAR_THE_START):
        return None
    return Evidence(Weight.SUPPORTS, "back_at_the_start", {"height": jump.height, "first": first})


def state_was_lost(case: Case) -> Evidence | None:
    """Whether the resume at the jump found an optimizer state; steps without one take a while."""
    jump = _jump(case)
    if jump is None:
        return None
    for step in case.context.lost_state_steps or ():
        if jump.before <= step < jump.step:
            return Evidence(Weight.SUPPORTS, "state_was_lost", {"step": step})
    if _resumed(case, jump) is None or jump.step - jump.before <= 1:
        return None
    return Evidence(Weight.FITS, "state_unseen", {"step": jump.before})


def other_rows(case: Case) -> Evidence | None:
    """A resume that begins the rows anew, or with others."""
    jump = _jump(case)
    resumed = None if jump is None else _resumed(case, jump)
    return None if resumed is None else Evidence(Weight.FITS, "rows_unseen_at_resume")


def load_what_was_trained(case: Case) -> FixText:
    """Where the run was resumed, or may have been."""
    jump = _jump(case)
    if jump is None:
        return FixText("load_trained_generally")
    return FixText("load_trained", {"step": jump.before})


def keep_the_state(case: Case) -> FixText:
    """The same of the optimizer's state."""
    jump = _jump(case)
    if jump is None:
        return FixText("keep_state_generally")
    return FixText("keep_state", {"step": jump.before})


def same_rows(case: Case) -> FixText:
    """The same of the rows."""
    return FixText("same_rows")


ADAPTER_STATE = CauseRule(
    "adapter-state",
    (jumped_at_a_resume, back_at_the_start, rose_at_once),
    (load_what_was_trained,),
    needs_evidence=True,
)
"""The trained adapter, or the trained weights, were not loaded."""

OPTIMIZER_STATE = CauseRule(
    "optimizer-state", (state_was_lost,), (keep_the_state,), needs_evidence=True
)
"""They were, and the optimizer began anew."""

ROWS_AT_RESUME = CauseRule("data-order", (other_rows,), (same_rows,), needs_evidence=True)
"""Other rows than before the resume."""
