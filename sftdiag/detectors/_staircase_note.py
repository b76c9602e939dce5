"""The note epoch-staircase of SFT201: the train loss falls in steps while evaluations fall."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.signals.evaluations import Evaluation
from sftdiag.signals.stream import Signals


def staircase_note(
    code: str, signals: Signals, points: Sequence[Evaluation], step: int
) -> Detection | None:
    """Return the note where a step was seen and the evaluation loss is at its best."""
    staircase = signals.staircase
    if not staircase.steps or len(points) < 2:
        return None
    if points[-1].loss > min(point.loss for point in points):
        return None
    if signals.first_loss is None or signals.block_losses[-1] >= signals.first_loss:
        return None
    evidence: dict[str, Scalar] = {
        "edges": staircase.steps,
        "drop": staircase.last_drop,
        "epoch": signals.epoch,
        "eval_loss_first": points[0].loss,
        "eval_loss_last": points[-1].loss,
    }
    at = staircase.last_step
    return Detection(code, "epoch-staircase", Severity.INFO, step, at, "loss", evidence)
