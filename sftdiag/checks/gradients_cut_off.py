"""SFT516 gradients-cut-off: trainable weights that no gradient can reach.

Sees: layers that are checkpointed the reentrant way (torch's ``use_reentrant=True``) behind
embeddings that are frozen and have no hook that asks for a gradient: what is trained inside of such
layers, mostly an adapter, stays as it is.

Cannot see: checkpointing of the user's own, layers that are no layers of transformers, and, before
training begins, what the trainer will set up by ``gradient_checkpointing``. Where a hook stands on
the embeddings or on a layer, it may be the one that is needed: nothing is said.

Example:
    >>> from sftdiag.context import RunContext
    >>> check = GradientsCutOffCheck()
    >>> for unreached in (0, 20, 1000):
    ...     context = RunContext(unreached_parameters=unreached, trainable_parameters=1000)
    ...     print([(one.severity.label, one.variant) for one in check.look(Inputs(context))])
    []
    [('error', 'part')]
    [('error', 'default')]

References:
    torch.utils.checkpoint: the reentrant variant needs an input that requires a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

REENTRANT = "SFTConfig.gradient_checkpointing_kwargs['use_reentrant']"


class GradientsCutOffCheck(Check):
    """See the module."""

    code: ClassVar[str] = "SFT516"
    name: ClassVar[str] = "gradients-cut-off"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("frozen-parameters",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        lost, trained = inputs.context.unreached_parameters, inputs.context.trainable_parameters
        if lost is None or not trained:
            return Skip("hooked_checkpoints")
        if not lost:
            return ()
        return [
            self.observation(
                Severity.ERROR,
                series=ARGUMENTS,
                variant="default" if lost == trained else "part",
                evidence={"unreached": lost, "trained": trained, "part": lost / trained},
                fixes=(
                    FixText("not_reentrant", changes={REENTRANT: (True, False)}),
                    FixText("input_gradients"),
                ),
            )
        ]
