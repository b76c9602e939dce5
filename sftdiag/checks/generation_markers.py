"""SFT409 generation-markers: the chat template does not mark the assistant's text, or not its end.

Sees: a template without ``{% generation %}`` where the assistant's tokens are to be trained alone,
and one that leaves the end of a turn outside the marks. Where conversations are trained whole,
missing marks are a note.

Cannot see: whether the marks enclose the right text; the rows show that (SFT405, SFT406).

Example:
    >>> from sftdiag.context import RunContext
    >>> from sftdiag.samples import Tokenization
    >>> known = Tokenization(has_template=True, generation_markers=True, end_of_turn_marked=False)
    >>> inputs = Inputs(RunContext(assistant_only_loss=True), tokenization=known)
    >>> [(one.severity.label, one.variant) for one in GenerationMarkersCheck().look(inputs)]
    [('warning', 'outside')]

References:
    TRL 1.16, is_chat_template_stop_token_trained: warns once; trl issue 7230: overlooked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import CONVERSATION, Split


class GenerationMarkersCheck(Check):
    """Looks at the template's generation marks."""

    code: ClassVar[str] = "SFT409"
    name: ClassVar[str] = "generation-markers"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("chat-template",)
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        known = inputs.tokenization
        if known is None:
            return Skip("no_tokenizer")
        if not known.has_template:
            return Skip("no_template")
        wanted = inputs.context.assistant_only_loss
        if not known.generation_markers:
            unused = inputs.train_on_prompt or inputs.train.is_paired or not _whole(inputs.train)
            if not wanted and unused:
                return ()
            severity = Severity.ERROR if wanted else Severity.INFO
            return [self._found(severity, "missing" if wanted else "unused", "add")]
        if wanted and known.end_of_turn_marked is False:
            evidence = {"token": known.name(known.end_of_turn)}
            return [self._found(Severity.WARNING, "outside", "enclose", evidence)]
        return ()

    def _found(
        self, severity: Severity, variant: str, fix: str, evidence: dict[str, str] | None = None
    ) -> Observation:
        fixes = (FixText(fix),)
        return self.observation(
            severity, series=ARGUMENTS, variant=variant, evidence=evidence or {}, fixes=fixes
        )


def _whole(split: Split) -> bool:
    """Return whether conversations are trained whole: every token of every row has a label."""
    return split.format == CONVERSATION and all(
        sample.supervised_tokens == len(sample.labels) - 1 for sample in split.samples
    )
