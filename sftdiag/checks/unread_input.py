"""SFT426 unread-input: something that was given is not read.

Sees: a formatting function beside conversations, which TRL trains without it; a
train_sampling_strategy that is nearly one of transformers' and is taken for none, so that the rows
are drawn at random; labels that rows come with and that the collator makes anew, so that what they
mask is trained; replies with a weight of 0 that are trained nevertheless; the place in a stream
that a run is resumed at, in its second pass or a later one; rows of a file whose columns TRL does
not read (a note: they were read as LLaMA-Factory and ms-swift read them). And a collator that takes
each row and no two of unlike length together, since it does not pad their labels: with more than
one row a batch such a run ends at its first step, which is an error.

Cannot see: arguments of scripts of your own.

Example:
    >>> from sftdiag.context import RunContext
    >>> found = UnreadInputCheck().look(Inputs(RunContext(sampler="group_by_lenght")))
    >>> [(one.variant, one.fixes[0].changes) for one in found]
    [('sampler', {'SFTConfig.train_sampling_strategy': ('group_by_lenght', 'group_by_length')})]

References:
    TRL 1.16, SFTTrainer._prepare_dataset: messages come before what a formatting function made.
    transformers 5.23, Trainer._get_train_sampler: any other name is random;
        DataCollatorForLanguageModeling: pads input_ids by the tokenizer, labels are their copy.
        Trainer._init_training_state: of a stream, whose steps a pass are not known, all batches are
        counted off in one pass (findings/resumed_stream_begins_its_pass_anew.sh).
    OpenAI's fine-tuning format: a message's weight is 0 where it is not to be trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import ARGUMENTS, Check, Inputs, unmasked
from sftdiag.context import BY_LENGTH, RANDOM, SEQUENTIAL
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample, Split

STRATEGIES = (RANDOM, SEQUENTIAL, BY_LENGTH, "batch_rebalance")
"""What transformers 5.23 takes for a train_sampling_strategy."""

REPLY = "assistant"
"""The role of a message that is a reply."""

NEARLY = 0.8
"""Likeness (difflib) from which a name is a slip of the pen: a letter or two changed are above 0.9,
the names among each other below 0.5. Another name may be a later version's."""


class UnreadInputCheck(Check):
    """Looks at what was given beside what is read."""

    code: ClassVar[str] = "SFT426"
    name: ClassVar[str] = "unread-input"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("poor-data", "data-order", "label-mask")
    by_rows: ClassVar[bool] = False

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        return tuple(self._found(inputs))[:1]

    def _found(self, inputs: Inputs) -> Iterator[Observation]:
        yield from self._labels(inputs)
        if inputs.context.formatting_ignored:
            yield self.observation(
                Severity.WARNING, series=ARGUMENTS, variant="formatting", fixes=(FixText("rows"),)
            )
        sampler = inputs.context.sampler
        if sampler is not None and sampler not in STRATEGIES:
            meant = get_close_matches(sampler, STRATEGIES, 1, NEARLY)
            if meant:
                change = {"SFTConfig.train_sampling_strategy": (sampler, meant[0])}
                yield self.observation(
                    Severity.WARNING,
                    cause=self.causes[1],
                    series=ARGUMENTS,
                    variant="sampler",
                    evidence={"given": sampler, "meant": meant[0]},
                    fixes=(FixText("strategy", changes=change),),
                )
        yield from self._weights(inputs.train)
        yield from self._place(inputs)
        if inputs.train.converted is not None:
            yield self.observation(
                Severity.INFO,
                series=ARGUMENTS,
                variant="columns",
                evidence={"columns": inputs.train.converted},
                fixes=(FixText("columns"),),
            )

    def _labels(self, inputs: Inputs) -> Iterator[Observation]:
        split, batch = inputs.train, inputs.context.per_device_train_batch_size
        if split.unbatched is not None and batch != 1:
            yield self.observation(
                Severity.ERROR,
                cause=self.causes[2],
                series=split.name,
                variant="unbatched",
                evidence={"error": split.unbatched, "batch": batch},
                fixes=(FixText("collator"), FixText("pads")),
            )
        rows = unmasked(split.samples)
        if rows:
            yield self.observation(
                Severity.WARNING,
                cause=self.causes[2],
                series=split.name,
                variant="labels",
                evidence=share_of_rows(len(rows), split),
                fixes=(FixText("collator"),),
                example=rows[0],
            )

    def _place(self, inputs: Inputs) -> Iterator[Observation]:
        if inputs.context.stream_pass is not None:
            yield self.observation(
                Severity.WARNING,
                cause=self.causes[1],
                series=ARGUMENTS,
                variant="place",
                evidence={"step": inputs.step, "pass": inputs.context.stream_pass},
                fixes=(FixText("first_pass"), FixText("skip")),
            )

    def _weights(self, split: Split) -> Iterator[Observation]:
        rows = [i for i, sample in enumerate(split.samples) if _trains_unweighted(sample)]
        if rows:
            yield self.observation(
                Severity.WARNING,
                series=split.name,
                variant="weight",
                evidence=share_of_rows(len(rows), split),
                fixes=(FixText("weight"),),
                example=rows[0],
            )


def _trains_unweighted(sample: Sample) -> bool:
    """Return whether a reply whose weight is 0 is among the trained ones."""
    said = (sample.row or {}).get("messages")
    if not isinstance(said, (list, tuple)) or not sample.answers:
        return False
    weights = [m.get("weight") for m in said if isinstance(m, Mapping) and m.get("role") == REPLY]
    # Where each reply is found, one stands for each message.
    return len(weights) == len(sample.answers) and any(
        weight is not None and not weight and sample.is_supervised(end - 1)
        for weight, (_, end) in zip(weights, sample.answers, strict=True)
    )
