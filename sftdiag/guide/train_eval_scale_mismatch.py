"""SFT204: the train and the evaluation loss are not on one scale."""

from __future__ import annotations

from sftdiag.detectors.train_eval_scale_mismatch import LEAST_RATIO
from sftdiag.findings import Severity
from sftdiag.guide.accumulation import NOT_DIVIDED
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check

SCALE = ("gap", "reverse")


def evaluation_is_higher(case: Case) -> Evidence | None:
    """Rows from elsewhere cost more from the first evaluation on; a lower loss is no such sign."""
    ratio = case.number("ratio")
    if ratio is None:
        return None
    if ratio < 1.0:
        return Evidence(Weight.SUPPORTS, "higher_from_the_first", {"times": 1.0 / ratio})
    return Evidence(Weight.AGAINST, "train_is_higher", {"times": ratio})


def over_processes(case: Case) -> Evidence | None:
    """An evaluation loss that is added over the processes is as many times too large."""
    ratio, processes = case.number("ratio"), case.context.world_size
    if ratio is None or ratio >= 1.0:
        return None
    if processes is None:
        return Evidence(Weight.MISSING, "processes_unknown", {"times": 1.0 / ratio})
    if processes == 1:
        return Evidence(Weight.RULES_OUT, "one_process")
    point = case.signals.main_evaluations[-1]
    divided = point.loss / processes
    values = {"processes": processes, "divided": divided, "train": point.train_loss}
    near = point.train_loss is not None and divided / point.train_loss < LEAST_RATIO
    near = near and divided * LEAST_RATIO > (point.train_loss or 0.0)
    return Evidence(Weight.SUPPORTS if near else Weight.AGAINST, "by_processes", values)


SYMPTOM = Symptom(
    "SFT204",
    "train-eval-scale-mismatch",
    Severity.INFO,
    (
        NOT_DIVIDED.replace(but=("gap",)),
        CauseRule("summed-over-processes", (over_processes,), (fix("mean_over_processes"),), SCALE),
        CauseRule(
            "eval-distribution",
            (
                evaluation_is_higher,
                check("eval-distribution-shift"),
                check("template-mismatch", clean=None, on_evaluation=True),
            ),
            (fix("same_split"), fix("same_loss")),
        ),
    ),
)
