"""SFT415 length-coverage: the maximum length against the lengths of the rows.

Sees: the rows' lengths before they were cut: when fewer than the guide's 95 % fit, the note gives
the quantiles and the length that the guide would choose, the 95th percentile rounded up to a power
of two.

Cannot see: the lengths of rows that were dropped (SFT403), or tokenized and cut before.

Example:
    >>> from sftdiag.context import RunContext
    >>> from sftdiag.samples import Sample, Split
    >>> rows = tuple(Sample((5,) * 8, (5,) * 8, full_tokens=8 + i) for i in range(20))
    >>> inputs = Inputs(RunContext(max_length=8), Split("train", rows, 20))
    >>> found = LengthCoverageCheck().look(inputs)
    >>> [(one.evidence["p95"], one.fixes[0].changes) for one in found]
    [(26, {'SFTConfig.max_length': (8, 32)})]

References:
    The guide, sequence length. trl issue 3449: quantiles say more than a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._lengths import full_lengths, power_of_two, quantile
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.ranges import COVERAGE


class LengthCoverageCheck(Check):
    """Compares ``max_length`` with the rows' lengths."""

    code: ClassVar[str] = "SFT415"
    name: ClassVar[str] = "length-coverage"
    severity: ClassVar[Severity] = Severity.INFO
    causes: ClassVar[tuple[str, ...]] = ("sequence-length",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.context.packing:
            return Skip("packed")
        cap = inputs.context.max_length
        if cap is None:
            return Skip("no_max_length")
        lengths = full_lengths(inputs.train)
        covered = sum(length <= cap for length in lengths) / len(lengths)
        if covered >= COVERAGE.high:
            return ()
        p95 = quantile(lengths, COVERAGE.high)
        change = {"SFTConfig.max_length": (cap, power_of_two(p95))}
        return [
            self.observation(
                Severity.INFO,
                evidence={
                    "max_length": cap,
                    "covered": covered,
                    "p50": quantile(lengths, 0.5),
                    "p90": quantile(lengths, COVERAGE.low),
                    "p95": p95,
                    "longest": lengths[-1],
                },
                fixes=(FixText("length", changes=change),),
            )
        ]
