"""SFT424 content-left-out: the chat template leaves parts of the conversations out.

Sees: tool calls, tool lists, tool results and thinking that stand in the raw rows and leave no
trace in what the template writes: a part is changed, and the text stays the same. A turn that
consists of a call is then trained as an empty answer; thinking that is left out of earlier turns is
trained in the last one only.

Cannot see: packed rows, whose raw rows are gone; parts under keys of your own; cuts (SFT408).

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> row = Sample((5, 6), (5, 6), left_out=("tools", "tool_calls"))
    >>> found = ContentLeftOutCheck().look(Inputs(train=Split("train", (row,), 1)))
    >>> [(one.severity.label, one.variant) for one in found]
    [('warning', 'calls_and_tools')]

References:
    transformers documentation, chat templating: what a template does not ask for is not written.
    Qwen3's template: thinking is kept after the last question only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import TOLERATED_ROWS
from sftdiag.samples import Sample

VARIANTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("calls_and_tools", frozenset({"tool_calls", "tools"})),
    ("tool_calls", frozenset({"tool_calls"})),
    ("tools", frozenset({"tools"})),
    ("tool_results", frozenset({"tool_results"})),
    ("reasoning", frozenset({"reasoning"})),
    ("thinking_history", frozenset({"thinking_history"})),
)
"""What is told, the gravest first: the parts that must all be missing for it."""


class ContentLeftOutCheck(Check):
    """Counts the rows of which the template leaves something out."""

    code: ClassVar[str] = "SFT424"
    name: ClassVar[str] = "content-left-out"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("chat-template",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        for variant, parts in VARIANTS:
            rows = [i for i, s in enumerate(split.samples) if parts <= set(s.left_out)]
            if not rows:
                continue
            many = len(rows) >= TOLERATED_ROWS * len(split.samples)
            return [
                self.observation(
                    Severity.WARNING if many else Severity.INFO,
                    variant=variant,
                    evidence=share_of_rows(len(rows), split),
                    fixes=_fixes(variant),
                    example=_shortest(split.samples, rows),
                )
            ]
        return ()


def _fixes(variant: str) -> tuple[FixText, ...]:
    if variant in ("reasoning", "thinking_history"):
        turns = (FixText("turns"),) if variant == "thinking_history" else ()
        return (*turns, FixText("thinking"), FixText("thinking_text"))
    return FixText("template"), FixText("text")


def _shortest(samples: Sequence[Sample], rows: Sequence[int]) -> int:
    """Return the row in which the gap is seen best."""
    return min(rows, key=lambda index: len(samples[index].input_ids))
