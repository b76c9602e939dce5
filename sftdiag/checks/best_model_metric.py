"""SFT517 best-model-metric: the metric that the run follows is taken the wrong way round.

Sees: a metric_for_best_model that is better when it is smaller (perplexity, an error rate), of
which the greatest value is taken: transformers takes the greatest unless the name ends in "loss" or
greater_is_better says otherwise. And the other way round: an accuracy of which the smallest is
taken. And a schedule that waits for a plateau of a metric of which more is better, in mode "min":
transformers makes it so whatever greater_is_better says.

Cannot see: metrics whose names do not say what they are.

Example:
    >>> from sftdiag.context import RunContext
    >>> for name, greater in (("perplexity", True), ("eval_loss", False), ("eval_f1", False)):
    ...     context = RunContext(metric_for_best_model=name, greater_is_better=greater)
    ...     print([one.variant for one in BestModelMetricCheck().look(Inputs(context))])
    ['greatest']
    []
    ['smallest']
    >>> context = RunContext(
    ...     metric_for_best_model="f1", greater_is_better=True, plateau_mode="min"
    ... )
    >>> [one.variant for one in BestModelMetricCheck().look(Inputs(context))]
    ['plateau']

References:
    transformers 5.23, TrainingArguments.greater_is_better; Trainer._evaluate steps the plateau's
    schedule by metric_for_best_model. findings/plateau_schedule_cuts_the_rate_as_accuracy_rises.sh.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

SMALLER = frozenset(
    {
        *("loss", "perplexity", "ppl", "nll", "bpb", "bpc", "bpt", "brier"),
        *("wer", "cer", "ter", "mer", "mse", "rmse", "mae", "error", "errors"),
    }
)
"""Words of a metric's name by which less of it is better."""

GREATER = frozenset(
    {
        *("accuracy", "acc", "f1", "precision", "recall", "auc", "mcc", "exact", "match", "em"),
        *("bleu", "sacrebleu", "chrf", "meteor", "bertscore", "pass"),
        *("rouge", "rouge1", "rouge2", "rougel", "rougelsum"),
    }
)
"""Words of a metric's name by which more of it is better."""


class BestModelMetricCheck(Check):
    """Compares the metric's name with the direction that is taken for better."""

    code: ClassVar[str] = "SFT517"
    name: ClassVar[str] = "best-model-metric"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("checkpoint-choice", "schedule")
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        metric, greater = inputs.context.metric_for_best_model, inputs.context.greater_is_better
        if not metric or greater is None:
            return Skip("no_best_metric")
        words = set(re.split(r"[^a-z0-9]+", metric.lower()))
        smaller, larger = bool(words & SMALLER), bool(words & GREATER)
        if larger and greater and not smaller and inputs.context.plateau_mode == "min":
            return [
                self.observation(
                    Severity.WARNING,
                    cause="schedule",
                    series=ARGUMENTS,
                    variant="plateau",
                    evidence={"metric": metric},
                    fixes=(FixText("mode", changes={"lr_scheduler_kwargs.mode": ("min", "max")}),),
                )
            ]
        if smaller == larger or larger == greater:
            return ()
        change = {"SFTConfig.greater_is_better": (greater, not greater)}
        return [
            self.observation(
                Severity.WARNING,
                series=ARGUMENTS,
                variant="greatest" if greater else "smallest",
                evidence={"metric": metric},
                fixes=(FixText("direction", changes=change),),
            )
        ]
