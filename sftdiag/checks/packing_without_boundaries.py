"""SFT412 packing-without-boundaries: samples in one sequence see each other.

Sees: sequences of several samples whose batch does not say where each begins: no restarting
position ids, or a padding mask that makes attention pass them over. TRL's ``wrapped`` packing is
one. And models with layers that carry a state along the sequence and take no boundaries: to them
position ids are nothing, however the samples were packed.

Cannot see: other models with such layers (Qwen3-Next, Granite 4, LFM2), which keep samples apart
where the batch gives seq_idx, as TRL's does; attention code of your own, and samples put together
by hand where the template begins or ends every turn with the token that begins or ends a text,
unless each begins with the same system prompt. For tokenized text without replies it is a note,
since language modelling is mostly done so.

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
    findings/packed_documents_meet_in_recurrent_layers.sh.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import CONVERSATION, PROMPT_COMPLETION, Sample, Tokenization

WRAPPED = "wrapped"

STATEFUL = frozenset(
    {
        *("mamba", "mamba2", "falcon_mamba", "jamba", "recurrent_gemma"),
        *("minimax", "rwkv", "xlstm"),
    }
)
"""Model types of transformers 5.23 whose layers carry a state from one sample into the next,
whatever boundaries a batch gives; others refuse to run without the kernel that takes them."""

SAME = 64
"""Tokens of a system message at most, up to its end, by which it is the same as the first one: what
a system says again within one conversation is something else."""

TURNS_BEGIN = ("Llama 2 or Mistral",)
"""Styles that begin each turn of a user with the begin-of-text token."""


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
        # A conversation, and a prompt with its completion, is one sample however many turns it has.
        one_each = split.format in (CONVERSATION, PROMPT_COMPLETION) and not inputs.context.packing
        mixed = [
            index
            for index, sample in enumerate(split.samples)
            if len(sample.starts) == 1 and (wrapped or (not one_each and _is_mixed(sample, known)))
        ]
        carried = not mixed and inputs.context.model_type in STATEFUL
        if carried:
            mixed = [i for i, sample in enumerate(split.samples) if len(sample.starts) > 1]
        if not mixed:
            return ()
        replies = any(split.samples[index].answers for index in mixed)
        change = {"SFTConfig.packing_strategy": (WRAPPED, "bfd")} if wrapped else {}
        bounded = () if carried else (FixText("bfd", changes=change),)
        told = {"model": inputs.context.model_type} if carried else {}
        return [
            self.observation(
                Severity.WARNING if replies or inputs.context.packing else Severity.INFO,
                variant="carried" if carried else "default",
                evidence={**share_of_rows(len(mixed), split), **told},
                fixes=(*bounded, FixText("off")),
                example=mixed[0],
            )
        ]


def _is_mixed(sample: Sample, known: Tokenization) -> bool:
    """Return whether a sequence holds several texts, and not one that was rendered twice."""
    return _texts(sample, known) > 1 and not known.is_written_twice(sample.input_ids)


def _texts(sample: Sample, known: Tokenization) -> int:
    """Return how many texts a sequence holds, by the tokens that begin and end one.

    A token that the template writes around turns says nothing, nor an end that repeats.
    """
    ids, separators = sample.input_ids, known.separators
    if sample.style in TURNS_BEGIN:
        separators -= {known.bos_token_id, *known.eos_token_ids}
    begin = known.bos_token_id
    begun = ids[2:].count(begin) if begin in separators else 0
    ended = sum(
        after not in known.stops
        for token in separators
        if token != begin
        for after in _behind(ids, token)
    )
    return 1 + max(begun, ended, _begun_again(ids, known.turns.system, known.stops))


def _behind(ids: tuple[int, ...], token: int) -> Iterator[int]:
    """Yield what follows each occurrence of a token.

    Examples:
        >>> list(_behind((2, 5, 6, 2, 2, 7, 2), 2))
        [5, 2, 7]
    """
    place = -1
    for _ in range(ids[:-1].count(token)):
        place = ids.index(token, place + 1)
        yield ids[place + 1]


def _begun_again(ids: tuple[int, ...], mark: tuple[int, ...], stops: Collection[int]) -> int:
    """Return how often the system prompt that a sequence begins with begins again.

    Examples:
        >>> one = (1, 7, 9, 4, 4, 2, 5, 6)
        >>> _begun_again(one, (7, 9), {2}), _begun_again(one * 3, (7, 9), {2})
        (0, 2)
    """
    start = next((i for i in range(2) if mark and ids[i : i + len(mark)] == mark), None)
    if start is None:
        return 0
    body = range(start + len(mark), min(len(ids), start + len(mark) + SAME))
    end = next((i for i in body if ids[i] in stops), body.stop - 1)
    first = ids[start : end + 1]
    again, place = 0, start
    for _ in range(ids.count(mark[0]) - 1):
        place = ids.index(mark[0], place + 1)
        again += ids[place : place + len(first)] == first
    return again
