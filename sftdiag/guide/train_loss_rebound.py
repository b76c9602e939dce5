"""SFT102, guide row 2: the training loss falls, then rises again."""

from __future__ import annotations

from sftdiag.detectors._sudden_jump import LOST
from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import CauseRule, Symptom, fix
from sftdiag.guide.epochs import fewer_epochs, passes_over_the_rows, steps_at_epoch_edges
from sftdiag.guide.learning_rate import (
    evaluation_rises_too,
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
)
from sftdiag.guide.resume import (
    ADAPTER_STATE,
    OPTIMIZER_STATE,
    other_rows,
    steps_did_not_do_it,
)
from sftdiag.guide.row_order import (
    blocks_of_rows,
    leave_out_rows,
    other_rows_begin_here,
    other_rows_undo_nothing,
    rows_have_changed,
    rows_sorted_by_kind,
    rows_undo,
    steps_have_grown,
)

SYMPTOM = Symptom(
    "SFT102",
    "train-loss-rebound",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (
                rate_against_ranges,
                rate_near_its_peak,
                evaluation_rises_too,
                steps_have_grown,
                steps_did_not_do_it,
            ),
            (lower_learning_rate,),
        ),
        CauseRule("too-many-epochs", (passes_over_the_rows, steps_at_epoch_edges), (fewer_epochs,)),
        CauseRule(
            "data-order",
            (
                rows_have_changed,
                blocks_of_rows,
                rows_sorted_by_kind,
                other_rows_begin_here,
                other_rows,
                other_rows_undo_nothing,
            ),
            (leave_out_rows, fix("shuffle")),
        ),
        CauseRule("poor-data", (rows_undo,), (leave_out_rows,), only=(LOST,)),
        GRADIENT_NOT_DIVIDED,
        ADAPTER_STATE,
        OPTIMIZER_STATE,
    ),
)
