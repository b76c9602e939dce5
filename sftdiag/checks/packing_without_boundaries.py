"""SFT412 packing-without-boundaries: samples in one sequence see each other.

Sees: sequences of several samples whose batch does not say where each begins: no restarting
position ids, or a padding mask that makes attention pass them over. TRL's ``wrapped`` packing is
one.

Cannot see: attention code of your own. For tokenized text without replies it is a note, since
language modelling is mostly done so.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((1, 5, 1, 6), (1, 5, 1, 6))
    >>> known = Tokenization(bos_token_id=1)
    >>> inputs = Inputs(train=Split("train", (row,), 1), tokenization=known)
    >>> [one.severity.label for one in PackingWithoutBoundariesCheck().look(inputs)]
    ['info']

References:
    TRL 1.16: packing strategies bfd and bfd_split give position ids; wrapped does not.
    transformers, masking_utils.find_packed_sequence_indices: they count only without a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample, Tokenization

WRAPPED = "wrapped"


class PackingWithoutBoundariesCheck(Check):
    """Compares where samples begin with where the batch says they do."""

    code: ClassVar[str] = "SFT412"
    name: ClassVar[str] = "packing-without-boundaries"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("packing",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split, known = inputs.train, inputs.tokenization
        skip = without_rows(split)
        if skip is not None:
            return skip
        if known is None:
            return Skip("no_tokenizer")
        wrapped = inputs.context.packing_strategy == WRAPPED
        mixed = [
            index
            for index, sample in enumerate(split.samples)
            if len(sample.starts) == 1 and (wrapped or _texts(sample, known) > 1)
        ]
        if not mixed:
            return ()
        replies = any(split.samples[index].answers for index in mixed)
        change = {"SFTConfig.packing_strategy": (WRAPPED, "bfd")} if wrapped else {}
        return [
            self.observation(
                Severity.WARNING if replies or inputs.context.packing else Severity.INFO,
                evidence=share_of_rows(len(mixed), split),
                fixes=(FixText("bfd", changes=change), FixText("off")),
                example=mixed[0],
            )
        ]


def _texts(sample: Sample, known: Tokenization) -> int:
    """Return how many texts a sequence holds, by the tokens that begin and end one.

    An end-of-text token that also ends turns says nothing, nor one that repeats.
    """
    ids, bos = sample.input_ids, known.bos_token_id
    begun = sum(token == bos for token in ids[2:]) if bos is not None else 0
    ends = set(known.eos_token_ids) - {known.end_of_turn, bos}
    ended = sum(token in ends and after not in known.stops for token, after in pairwise(ids))
    return 1 + max(begun, ended)
