"""SFT425 prompt-not-prefix: the prompt alone is tokenized otherwise than in its row.

Sees: rows with prompt and completion whose tokens leave those of the prompt before it ends. TRL
masks what both have in common and trains the rest: the model is trained behind a beginning that it
does not get at inference. It happens with a prompt that ends in a space (the space belongs to the
next word's token), one that ends in an assistant's turn, and templates that write a turn in one way
when it is the last, in another before.

Cannot see: rows that are masked by your own code. Of conversations the first 64 are compared.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> row = Sample((5, 6, 7), (-100, 6, 7), prompt_lost=1)
    >>> found = PromptNotPrefixCheck().look(Inputs(train=Split("train", (row,), 1)))
    >>> [(one.severity.label, one.evidence["tokens"]) for one in found]
    [('warning', 1)]

References:
    TRL 1.16, common_prefix_length: it warns once, in a log line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import interval
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import PROMPT_COMPLETION, Split


class PromptNotPrefixCheck(Check):
    """Counts the rows in which the prompt's tokens are other ones."""

    code: ClassVar[str] = "SFT425"
    name: ClassVar[str] = "prompt-not-prefix"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        compared = [i for i, sample in enumerate(split.samples) if sample.prompt_lost is not None]
        if not compared:
            return Skip("no_prompts")
        rows = [i for i in compared if split.samples[i].prompt_lost]
        if not rows or inputs.context.completion_only_loss is False:
            return ()
        seen, lost = len(compared), sorted(split.samples[i].prompt_lost or 0 for i in rows)
        low, high = interval(len(rows), seen, split.total)
        return [
            self.observation(
                Severity.WARNING if len(rows) >= TOLERATED_ROWS * seen else Severity.INFO,
                evidence={
                    "rows": len(rows),
                    "seen": seen,
                    "share": len(rows) / seen,
                    "share_low": low,
                    "share_high": high,
                    "tokens": lost[len(lost) // 2],
                },
                fixes=(_fix(split, rows),),
                example=rows[0],
            )
        ]


def _fix(split: Split, rows: Sequence[int]) -> FixText:
    """Return what to change: the prompts' own form says which of the ways it is."""
    if split.format == PROMPT_COMPLETION:
        return FixText("boundary")
    prompts = [(split.samples[i].row or {}).get("prompt") for i in rows]
    last = [prompt[-1] for prompt in prompts if isinstance(prompt, list) and prompt]
    said = sum(message.get("role", message.get("from")) == "assistant" for message in last)
    return FixText("turn" if 2 * said > len(rows) else "template")
