"""SFT405 prompt-trained: the prompt is trained on, not only the answers.

Sees: labels on tokens outside the replies, where the replies are known: the chat template's own
marks are found in the row, or it has a prompt and a completion. Conversations that are trained
whole are a warning; ``text`` and tokenized rows are a note, since they may be meant so, and so is
``completion_only_loss=False``, which says that they are, of rows with a prompt and a completion,
texts or conversations. Nothing is said with ``train_on_prompt=True``.

Cannot see: replies in rows that no known template wrote.

Example:
    >>> from sftdiag.samples import CONVERSATION, Sample, Split, Tokenization
    >>> ids = (7, 5, 5, 5, 5, 5, 2, 8, 9, 4, 2)
    >>> row = Sample(ids, ids, answers=((9, 10),))
    >>> known = Tokenization(reply_opening=(8, 9), end_of_turn=2)
    >>> split = Split("train", (row,), 1, CONVERSATION)
    >>> found = PromptTrainedCheck().look(Inputs(train=split, tokenization=known))
    >>> [(one.severity.label, one.evidence["prompt_share"]) for one in found]
    [('warning', 0.6)]

References:
    TRL 1.16: assistant_only_loss is False unless set, so that ``messages`` rows are trained whole;
    set to True it is refused with a template that has no generation marks, but for the families of
    which TRL has a version with marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, unmasked, without_rows
from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import (
    CONVERSATION,
    IGNORE_INDEX,
    PROMPT_COMPLETION,
    Sample,
    Split,
    Tokenization,
)

AFTER = 3
"""Tokens after a reply that belong to it: what ends the turn, and a line break or two."""

PARTLY = 0.1
"""Share of a row's prompt that may be trained unnoticed: marks around a reply, by the template."""


class PromptTrainedCheck(Check):
    """Compares the labelled tokens with the replies."""

    code: ClassVar[str] = "SFT405"
    name: ClassVar[str] = "prompt-trained"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("label-mask",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        if inputs.train_on_prompt:
            return Skip("on_purpose")
        split = inputs.train
        skip = without_rows(split)
        if skip is not None:
            return skip
        if inputs.tokenization is None:
            return Skip("no_tokenizer")
        known = [i for i, sample in enumerate(split.samples) if sample.answers]
        if not known:
            return Skip("no_replies")
        # Rows that come with a mask are masked: that the collator does not read it SFT426 tells.
        if unmasked([split.samples[i] for i in known]):
            return Skip("labels_unread")
        before = len(inputs.tokenization.reply_opening)
        # The mark of another reply after the last one is no prompt: SFT406 tells it.
        rows = ((i, split.samples[i]) for i in known)
        ends = {i: inputs.tokenization.without_header(sample.input_ids) for i, sample in rows}
        begins = {i: _begin(split.samples[i], inputs.tokenization) for i in known}
        outside = {i: _outside(split.samples[i], begins[i], before, ends[i]) for i in known}
        trained = [i for i in known if outside[i][0] > PARTLY * outside[i][1]]
        if not trained:
            return ()
        tokens = sum(len(split.samples[i].input_ids) for i in known)
        supervised = sum(split.samples[i].supervised_tokens for i in known)
        answers = sum(split.samples[i].answer_tokens for i in known)
        return [
            self.observation(
                _severity(split, inputs.context),
                evidence={
                    **share_of_rows(len(trained), split),
                    "prompt_share": sum(outside[i][0] for i in known) / supervised,
                    "supervised_share": supervised / tokens,
                    "answer_share": answers / tokens,
                },
                fixes=_fixes(split, inputs.context, inputs.tokenization),
                example=trained[0],
            )
        ]


def _begin(sample: Sample, known: Tokenization) -> int:
    """Return where a row begins, past the end of a reply that began in another row.

    Rows of packing_strategy="wrapped" begin anywhere. Where prompts are trained the labels go on
    past the first end of a turn; after the end of a reply the next prompt is masked.
    """
    ids, labels = sample.input_ids, sample.labels
    # The first token has no prediction before it.
    first = next((i for i, label in enumerate(labels) if i and label != IGNORE_INDEX), 0)
    head = ids[:first]
    while head and head[-1] in known.turns.blanks:
        head = head[:-1]
    in_header = head == known.reply_opening[len(known.reply_opening) - len(head) :]
    masked = next((i for i in range(first, len(ids)) if labels[i] == IGNORE_INDEX), 0)
    ends = any(token in known.stops for token in ids[max(0, masked - AFTER) : masked])
    return masked if ends and (first == 1 or in_header) else 1


def _outside(sample: Sample, start: int, before: int, last: int) -> tuple[int, int]:
    """Return how many labels lie outside the replies before the last token, and how many do."""
    labels, places = 0, 0
    for first, end in (*(sample.answers or ()), (last + before, 0)):
        outside = sample.labels[start : max(start, first - before)]
        labels += len(outside) - outside.count(IGNORE_INDEX)
        places += len(outside)
        start = max(start, end + AFTER)
    return labels, places


def _severity(split: Split, context: RunContext) -> Severity:
    if split.is_paired and context.completion_only_loss is False:
        return Severity.INFO
    known = split.format in (CONVERSATION, PROMPT_COMPLETION)
    return Severity.WARNING if known else Severity.INFO


def _fixes(split: Split, context: RunContext, known: Tokenization) -> tuple[FixText, ...]:
    if split.is_paired and context.completion_only_loss is False:
        change = {"SFTConfig.completion_only_loss": (False, True)}
        return FixText("completion_only", changes=change), FixText("on_purpose")
    if split.format == CONVERSATION and context.assistant_only_loss is False:
        change = {"SFTConfig.assistant_only_loss": (False, True)}
        marked = known.generation_markers or known.replaceable
        key = "assistant_only" if marked else "assistant_only_marked"
        return FixText(key, changes=change), FixText("on_purpose")
    return FixText("rows"), FixText("on_purpose")
