"""SFT404 label-misalignment: the labels are not the tokens at their own positions.

Sees: labels shifted by one (the model shifts them itself), labels of another row, or labels that
are simply other tokens. And label smoothing in a trainer that does not know the model for a causal
one: it compares the output at a token with that token; the model learns to repeat what it reads.

Cannot see: what a loss function of your own does with labels; then this is a warning only.

Example:
    >>> from sftdiag.samples import Sample, Split
    >>> shifted = Sample((5, 6, 7, 8), (6, 7, 8, -100))
    >>> found = LabelMisalignmentCheck().look(Inputs(train=Split("train", (shifted,), 1)))
    >>> [(one.severity.label, one.variant) for one in found]
    [('error', 'shifted')]
    >>> from sftdiag.context import RunContext
    >>> smoothed = RunContext(label_smoothing=0.1, unshifted_model="OptimizedModule")
    >>> [one.variant for one in LabelMisalignmentCheck().look(Inputs(smoothed))]
    ['smoothing']

References:
    transformers, loss/loss_utils.py: ForCausalLMLoss shifts the labels inside the model;
    findings/label_smoothing_learns_to_copy.sh.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import ARGUMENTS, Check, Inputs, labelled, without_rows
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import IGNORE_INDEX, Sample

SAME_TOKENS = 0.9
"""Share of a row's labels that must be its tokens: they are copies, so that nine in ten leaves room
for labels changed on purpose. Rows of one kind agree with each other by up to two thirds."""


class LabelMisalignmentCheck(Check):
    """Compares every label with the token at its position."""

    code: ClassVar[str] = "SFT404"
    name: ClassVar[str] = "label-misalignment"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-misalignment",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        if inputs.context.unshifted_model is not None:
            return [self._smoothing(inputs.context)]
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if not labelled(inputs.train.samples):
            return Skip("no_label")
        worst = Severity.WARNING if inputs.context.custom_loss else Severity.ERROR
        found = []
        for split in inputs.splits:
            wrong = [i for i in labelled(split.samples) if _is_other(split.samples[i])]
            if not wrong:
                continue
            variant = _source(split.samples, wrong)
            found.append(
                self.observation(
                    worst,
                    series=split.name,
                    variant=variant,
                    evidence=share_of_rows(len(wrong), split),
                    fixes=(FixText("unshifted" if variant == "shifted" else "copy"),),
                    example=wrong[0],
                )
            )
        return found

    def _smoothing(self, context: RunContext) -> Observation:
        argument = "SFTConfig.label_smoothing_factor"
        return self.observation(
            Severity.ERROR,
            series=ARGUMENTS,
            variant="smoothing",
            evidence={"model": context.unshifted_model, "smoothing": context.label_smoothing},
            fixes=(FixText("smoothing", changes={argument: (context.label_smoothing, 0.0)}),),
        )


def _agreement(sample: Sample, other: Sequence[int] | None = None, shift: int = 0) -> float:
    """Return the share of labels that are the tokens at their place, or ``shift`` further on."""
    tokens = sample.input_ids if other is None else other
    if not shift and len(tokens) == len(sample.labels):
        # Without a Python step for each token: nearly every row ends here.
        ignored = sample.labels.count(IGNORE_INDEX)
        if sum(map(eq, sample.labels, tokens)) + ignored >= len(tokens):
            return 1.0
    places = [i for i, label in enumerate(sample.labels) if label != IGNORE_INDEX]
    within = [i for i in places if 0 <= i + shift < len(tokens)]
    same = sum(sample.labels[i] == tokens[i + shift] for i in within)
    return same / len(places) if places else 1.0


def _is_other(sample: Sample) -> bool:
    return _agreement(sample) < SAME_TOKENS


def _source(samples: Sequence[Sample], wrong: Sequence[int]) -> str:
    """Return where the labels of most of these rows come from, as a variant."""
    sources = [_source_of(samples, index) for index in wrong]
    return max(dict.fromkeys(sources), key=sources.count)


def _source_of(samples: Sequence[Sample], index: int) -> str:
    sample = samples[index]
    if max(_agreement(sample, shift=1), _agreement(sample, shift=-1)) >= SAME_TOKENS:
        return "shifted"
    neighbours = (samples[i] for i in range(max(0, index - 1), min(len(samples), index + 2)))
    if any(
        other is not sample and _agreement(sample, other.input_ids) >= SAME_TOKENS
        for other in neighbours
    ):
        return "another_row"
    return "default"
