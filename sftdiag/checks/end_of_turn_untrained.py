"""SFT406 end-of-turn-untrained: the token that ends an answer is never trained.

Sees: answers without the token that ends a turn or the text, or with it but masked, as a collator
does that masks the padding token where padding is the end-of-text token. Every token that ends
generation counts, the tokenizer's and the model's, and those that the template was seen to write
after replies. Then, that rows are trained beyond the last answer's end: the template writes the
mark of another answer there, asked or not.

An error where it is trained after no answer at all, be it missing or masked: not one row of the
run teaches to stop, and training on answers unlearns it. In fine-tunes of a small chat model, full
and LoRA, an end that was masked cost over 10 nats afterwards, half of what the twins had learned.
A warning where it is missing in a part of the rows. Labels and numbers of a few tokens, whose
readers do not wait for an end, and answers that have an end mark of their own make a warning too.

Cannot see: whether the model had learned to stop before.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((8, 9, 4, 2), (-100, -100, 4, -100), answers=((2, 3),))  # a label, no text
    >>> known = Tokenization(eos_token_ids=(2,), pad_token_id=2)
    >>> inputs = Inputs(train=Split("train", (row,), 1), tokenization=known)
    >>> [(one.severity.label, one.variant) for one in EndOfTurnUntrainedCheck().look(inputs)]
    [('warning', 'pad_is_end')]

References:
    trl issue 7230: the end of turn outside the mask cost a run whose loss looked healthy.
    transformers, DataCollatorForLanguageModeling: labels equal to the padding token are masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._answer_ends import ABSENT, GIVEN, MASKED, TRAINED, ends_of, need_ends
from sftdiag.checks._lengths import cut_rows
from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, labelled, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import (
    CONVERSATION,
    PROMPT_COMPLETION,
    TEXT,
    TOKENS,
    Sample,
    Split,
    Tokenization,
)

NEVER = "never"
"""The variant of an end that stands after no answer."""

RARELY = 0.5
"""Share of the answers that must teach to stop: below it, not stopping is the likelier lesson."""


class EndOfTurnUntrainedCheck(Check):
    """Looks at the token after each answer that is trained."""

    code: ClassVar[str] = "SFT406"
    name: ClassVar[str] = "end-of-turn-untrained"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("label-mask", "chat-template")

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split, known = inputs.train, inputs.tokenization
        skip = without_rows(split)
        if skip is not None:
            return skip
        if known is None:
            return Skip("no_tokenizer")
        if not known.stops:
            return Skip("no_end_token")
        cut = frozenset(cut_rows(inputs, split))
        ends = [
            (index, end)
            for index in labelled(split.samples)
            for end in ends_of(split.samples[index], known)
            if not (end == ABSENT and index in cut)
        ]
        if not ends:
            return Skip("no_answer_ends")
        by_rows = any(end == GIVEN for _, end in ends)
        ends = [(index, MASKED if end == GIVEN else end) for index, end in ends]
        counts = Counter(end for _, end in ends)
        if counts[TRAINED] >= RARELY * len(ends):
            return self._header_after(split, known)
        kind = MASKED if counts[MASKED] > counts[ABSENT] else ABSENT
        rows = [index for index, end in ends if end == kind]
        pads = kind == MASKED and not by_rows and known.pad_token_id in known.stops
        return [self._found(split, known, kind, rows, counts, pads)]

    def _header_after(self, split: Split, known: Tokenization) -> Sequence[Observation]:
        """Return that rows go on after the last answer's end, with the mark of another answer."""
        rows = [i for i, sample in enumerate(split.samples) if _goes_on(sample, known)]
        if len(rows) < RARELY * len(split.samples):
            return ()
        return [
            self.observation(
                Severity.WARNING,
                cause=self.causes[1],
                variant="goes_on",
                evidence={
                    **share_of_rows(len(rows), split),
                    "token": known.name(known.end_of_turn),
                },
                fixes=(FixText("unasked"),),
                example=rows[0],
            )
        ]

    def _found(
        self,
        split: Split,
        known: Tokenization,
        kind: str,
        rows: list[int],
        counts: Counter[str],
        pad_is_end: bool,
    ) -> Observation:
        variant = "pad_is_end" if pad_is_end else kind
        fixes = {
            "pad_is_end": FixText("own_pad_token"),
            "masked": FixText("mask"),
            "absent": FixText("append"),
        }
        beside = any(s.row is not None and TEXT in s.row for s in split.samples)
        if kind == ABSENT and split.format == PROMPT_COMPLETION and beside:
            fixes[ABSENT] = FixText("text_column")
        if kind == ABSENT and split.format == CONVERSATION:
            # What ends an answer here is the template's to write.
            fixes[ABSENT] = FixText("saved" if known.differs_from_saved else "template")
        fix = fixes[variant]
        plain = split.format in (TEXT, TOKENS) and not any(s.answers for s in split.samples)
        # A mask says what the answers are, also where no template's marks do.
        unknown = plain and all(s.supervised_tokens == len(s.labels) - 1 for s in split.samples)
        severity = Severity.INFO if unknown else Severity.WARNING
        none_ends = not unknown and not counts[TRAINED] and counts[kind] == counts.total()
        if none_ends and need_ends([split.samples[i] for i in sorted(set(rows))], known):
            severity = Severity.ERROR
            variant = NEVER if kind == ABSENT else variant
        end = known.end_of_turn if known.end_of_turn is not None else known.eos_token_ids[0]
        return self.observation(
            severity,
            cause=self.causes[kind == ABSENT],
            variant=variant,
            evidence={
                **share_of_rows(len(set(rows)), split),
                "token": known.name(end),
                **{name: counts[name] for name in (TRAINED, MASKED, ABSENT)},
            },
            fixes=(fix,),
            example=rows[0],
        )


def _goes_on(sample: Sample, known: Tokenization) -> bool:
    """Return whether the mark of another answer is trained at the end of a row."""
    end = known.without_header(sample.input_ids)
    return end < len(sample.input_ids) and all(
        sample.is_supervised(place) for place in range(end, len(sample.input_ids))
    )
