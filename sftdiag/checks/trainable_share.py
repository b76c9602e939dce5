"""SFT510 trainable-share: nothing is trained, or next to nothing of a full fine-tune.

Sees: a model of which no parameter gets a gradient, an error: torch then ends the run at its first
backward pass with "does not require grad". And a model without an adapter of whose parameters less
than one in a thousand gets a gradient: the norms or the biases alone, as where freezing was not
undone, or was written for another model's names. An error, too, where fewer weights are trained
than the norms of any such model have.

Cannot see: whether it is meant (BitFit trains the biases); a head or a few layers by themselves
are a choice that some make, and pass.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = TrainableShareCheck()
    >>> for trained in (7_000_000_000, 130_000_000, 266_000, 4096, 0):
    ...     context = RunContext(
    ...         method="full", trainable_parameters=trained, total_parameters=7_000_000_000
    ...     )
    ...     print(trained, [found.severity.label for found in check.look(Inputs(context))])
    7000000000 []
    130000000 []
    266000 ['warning']
    4096 ['error']
    0 ['error']

References:
    Ben Zaken et al. 2022, BitFit (arXiv 2106.10199): the biases of BERT are 0.08 % of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import SMALLEST_MODEL

LEAST_SHARE = 1e-3
"""Norms and biases together are a ten-thousandth to a thousandth of a transformer, an output head
or one of 100 layers a hundredth."""

FEWEST = 20_000
"""Trained weights below which a model of those that the ranges speak of trains not even its norms:
SmolLM2-135M has 35,136 in them, GPT-2 of 124 million 38,400. Of two bases the last norm alone, 576
and 512 weights, learned 1 and 3 % of what the healthy twins did."""


class TrainableShareCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT510"
    name: ClassVar[str] = "trainable-share"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("frozen-parameters",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        context = inputs.context
        share = context.trainable_share
        if share == 0:
            adapter = context.method not in (None, "full")
            return [
                self.observation(
                    Severity.ERROR,
                    series=ARGUMENTS,
                    variant="nothing",
                    evidence={"total": context.total_parameters},
                    fixes=(FixText("load_trainable") if adapter else FixText("unfreeze"),),
                )
            ]
        if context.method is None:
            return Skip("no_method")
        if context.method != "full":
            return ()
        if share is None:
            return Skip("no_parameters")
        if share >= LEAST_SHARE:
            return ()
        trained, total = context.trainable_parameters, context.total_parameters
        least = total is not None and total >= SMALLEST_MODEL and (trained or 0) < FEWEST
        return [
            self.observation(
                Severity.ERROR if least else Severity.WARNING,
                series=ARGUMENTS,
                evidence={
                    "trained": context.trainable_parameters,
                    "total": context.total_parameters,
                    "share": share,
                },
                fixes=(FixText("unfreeze"), FixText("adapter")),
            )
        ]
