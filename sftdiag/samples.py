"""Sample, Split, Tokenization: the rows as the loss sees them, and how they were written.

All that a check before step 1 reads of the data. Plain values: no tensor, no tokenizer, no dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag.observations import Skip
from sftdiag.turns import Spans as Spans
from sftdiag.turns import Turns, nested, replies
from sftdiag.values import EMPTY, Value

IGNORE_INDEX = -100
"""The label that torch's cross entropy leaves out of the loss."""

CONVERSATION = "conversation"
"""The format of rows with messages, also of those with prompt and completion messages."""

PROMPT_COMPLETION = "prompt-completion"
"""The format of rows with a prompt and a completion text."""

TEXT = "text"
"""The format of rows with one text, as for language modelling."""

TOKENS = "tokens"
"""The format of rows of which only token ids are known."""

OWN_STYLE = "own"
"""The style of a row in which the tokenizer's own template is found."""

MASKS = ("completion_mask", "assistant_masks")
"""Columns of which older versions of TRL make the labels in their collator."""


class Sample(Value):
    """A tokenized row.

    Attributes:
        input_ids: token ids, shape (tokens,), without padding.
        labels: the target at each position, shape (tokens,), :data:`IGNORE_INDEX` where the
            position is left out of the loss.
        row: the raw row it was made from, or None.
        split: ``"train"`` or the name of the evaluation set.
        answers: the replies' tokens, without what ends a turn; None where they are not known.
        starts: positions at which the batch says that another document begins; (0,) or more.
        style: :data:`OWN_STYLE`, the name of another known chat template, or None.
        full_tokens: tokens of the row before it was cut to a maximum length, or None.
        full_answer_tokens: tokens of its replies before, or None.
        padding_labels: padding positions that have a label nevertheless.
        left_out: what of the raw row the chat template leaves out, such as ``"tool_calls"``.
        prompt_lost: tokens at the end of the prompt alone that the whole row has not; None where
            they were not compared.
        roles: who speaks in the raw row's messages, in the order of their first turns.

    Raises:
        ValueError: input_ids and labels differ in length.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    row: Mapping[str, Any] | None = None
    split: str = "train"
    answers: Spans | None = None
    starts: tuple[int, ...] = (0,)
    style: str | None = None
    full_tokens: int | None = None
    full_answer_tokens: int | None = None
    padding_labels: int = 0
    left_out: tuple[str, ...] = ()
    prompt_lost: int | None = None
    roles: tuple[str, ...] = ()

    def _validate(self) -> None:
        """Refuse what the class says it refuses."""
        if len(self.input_ids) != len(self.labels):
            raise ValueError(
                f"a sample needs one label a token, got {len(self.labels)} labels "
                f"for {len(self.input_ids)} tokens"
            )

    @property
    def supervised_tokens(self) -> int:
        """Number of positions that reach the loss (the first label has no prediction before it)."""
        return max(0, len(self.labels) - 1) - self.labels[1:].count(IGNORE_INDEX)

    def is_supervised(self, position: int) -> bool:
        """Return whether the token at this position reaches the loss."""
        return 0 < position < len(self.labels) and self.labels[position] != IGNORE_INDEX

    @property
    def given_labels(self) -> tuple[int, ...] | None:
        """The labels that the raw row has for these tokens, shape (tokens,); None without any."""
        given = (self.row or {}).get("labels")
        if isinstance(given, (list, tuple)) and len(given) == len(self.labels):
            return tuple(given)
        return None

    @property
    def is_unmasked(self) -> bool:
        """Whether tokens reach the loss that the raw row's own labels leave out of it."""
        given = self.given_labels
        if given is None or given == self.labels:
            return False
        pairs = zip(given[1:], self.labels[1:], strict=True)
        return any(mask == IGNORE_INDEX != label for mask, label in pairs)

    def is_masked_by_row(self, position: int) -> bool:
        """Return whether the raw row's own labels or masks leave this token out of the loss."""
        given, row = self.given_labels, self.row or {}
        if given is not None:
            return bool(given[position] == IGNORE_INDEX)
        masks = (row.get(name) for name in MASKS)
        return any(len(mask) == len(self.labels) and not mask[position] for mask in masks if mask)

    @property
    def answer_tokens(self) -> int:
        """Number of tokens of the replies; 0 where they are not known."""
        return sum(end - start for start, end in self.answers or ())


class Split(Value):
    """Rows of one set, as many as were looked at.

    Attributes:
        name: ``"train"`` or the name of the evaluation set.
        samples: pairs of neighbouring rows, evenly spaced over the set, or all; in its order.
        total: rows of the set; None when unknown.
        format: what the raw rows are, such as :data:`CONVERSATION`.
        dropped: rows that the preparation dropped without a word; None when unknown.
        dropped_uncut: those of them that were shorter than the maximum length; None when unknown.
        longest: tokens of the longest row before rows were dropped; None when unknown.
        unseen: why there are no samples.
        places: index in the set of each sample; None when unknown.
        converted: the columns of rows that TRL does not read, as other frameworks do; or None.
        unbatched: the error's name with which the collator refuses rows of unlike length together,
            each of which it takes alone; or None.
    """

    name: str
    samples: tuple[Sample, ...] = ()
    total: int | None = None
    format: str = TOKENS
    dropped: int | None = None
    unseen: Skip | None = None
    dropped_uncut: int | None = None
    longest: int | None = None
    places: tuple[int, ...] | None = None
    converted: str | None = None
    unbatched: str | None = None

    @property
    def is_paired(self) -> bool:
        """Whether the raw rows have a prompt and a completion each, texts or conversations."""
        rows = (sample.row or {} for sample in self.samples)
        return any("prompt" in row and "completion" in row for row in rows)


class Tokenization(Value):
    """What is known of the tokenizer and its chat template, as token ids.

    Attributes:
        eos_token_ids: every token that ends generation: the tokenizer's and the model's.
        generation_eos_ids: those of the model's saved generation_config; empty where it is unknown.
        bos_token_id: the token that begins a text, or None.
        pad_token_id: the padding token, or None.
        reply_opening: the template's tokens between a user's text and the reply; empty without a
            template, or where they cannot be told.
        end_of_turn: the template's token after a reply; None where it writes none.
        turns: what else is known of the template's turns.
        has_template: whether there is a chat template.
        generation_markers: whether it marks what the assistant says.
        end_of_turn_marked: whether the end of turn is inside these marks; None when unknown.
        replaceable: whether TRL puts a version with these marks in the place of a template that
            has none, as it does for the families that it knows; None when unknown.
        differs_from_saved: whether the template is another than the one saved with the tokenizer;
            None when there is none to compare.
        adds_bos: whether the tokenizer puts ``bos_token_id`` before a plain text.
        generation_known: whether ``eos_token_ids`` holds what the model's generation stops at.
        truncates_left: whether the tokenizer cuts the beginning of a long text.
        untrained_token_ids: tokens added to the vocabulary whose embedding no gradient reaches.
        trained_token_ids: tokens of which an adapter trains the embeddings and no others.
        vocabulary: tokens that the tokenizer knows, added ones too; None when unknown.
        names: token id as text to its name, of the special tokens above.
    """

    eos_token_ids: tuple[int, ...] = ()
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    reply_opening: tuple[int, ...] = ()
    end_of_turn: int | None = None
    turns: Turns = Turns()
    has_template: bool = False
    generation_markers: bool = False
    end_of_turn_marked: bool | None = None
    differs_from_saved: bool | None = None
    adds_bos: bool = False
    generation_known: bool = False
    truncates_left: bool = False
    untrained_token_ids: tuple[int, ...] = ()
    names: Mapping[str, str] = EMPTY
    generation_eos_ids: tuple[int, ...] = ()
    trained_token_ids: tuple[int, ...] = ()
    replaceable: bool | None = None
    vocabulary: int | None = None

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end a turn or the whole text."""
        ends = (*self.eos_token_ids, self.end_of_turn, *self.turns.ends)
        return frozenset(token for token in ends if token is not None)

    @property
    def separators(self) -> frozenset[int]:
        """The tokens that stand only where a text begins or ends: none that turns use."""
        ends = {*self.eos_token_ids, self.bos_token_id}
        return frozenset(
            token for token in ends - {self.end_of_turn, *self.turns.inside} if token is not None
        )

    def name(self, token: int | None) -> str:
        """Return a special token's name, else its number."""
        return self.names.get(str(token), str(token)) if token is not None else "-"

    def answers(self, input_ids: tuple[int, ...]) -> Spans:
        """Return the replies in a sequence that the template wrote; none where it did not.

        Examples:
            >>> known = Tokenization(reply_opening=(8, 9), end_of_turn=2)
            >>> known.answers((7, 5, 2, 8, 9, 4, 4, 2, 8, 9, 6))
            ((5, 7), (10, 11))
        """
        openings = tuple(mark for mark in (self.reply_opening, *self.turns.replies) if mark)
        if not openings:
            return ()
        turns = self.turns
        return replies(input_ids, openings, turns.others, self.stops, turns.blanks)

    def is_written_twice(self, input_ids: tuple[int, ...]) -> bool:
        """Return whether the template was applied to what it had written before.

        A turn then begins where one of the same kind has just begun. An empty question, before the
        mark of its reply, is none, nor the mark of a reply that nobody gave, before a question.

        Examples:
            >>> known = Tokenization(reply_opening=(8, 9), turns=Turns(others=((7,),)))
            >>> [known.is_written_twice(ids) for ids in ((7, 7, 5, 2, 2), (7, 8, 9, 7), (7, 5))]
            [True, False, False]
        """
        turns = self.turns
        asked = tuple(mark for mark in (*turns.others, turns.system) if mark)
        replied = (self.reply_opening,) if self.reply_opening else ()
        begin = {mark[0] for mark in (*asked, *replied)}
        between = {*turns.blanks, self.bos_token_id} - self.stops - begin
        return any(nested(input_ids, marks, between) for marks in (asked, replied))

    def without_header(self, input_ids: tuple[int, ...]) -> int:
        """Return the length of a sequence without the mark of another reply at its end.

        The mark may stand before an end of text, which TRL appends to texts, or before white space.

        Examples:
            >>> known = Tokenization(eos_token_ids=(1,), turns=Turns(header_after=(8, 9)))
            >>> [known.without_header(ids) for ids in ((4, 2), (4, 2, 8, 9), (4, 2, 8, 9, 1))]
            [2, 2, 2]
        """
        header, end = self.turns.header_after, len(input_ids)
        while header and end and input_ids[end - 1] in self.stops.union(self.turns.blanks):
            if input_ids[end - len(header) : end] == header:
                break
            end -= 1
        ends = bool(header) and input_ids[max(0, end - len(header)) : end] == header
        return end - len(header) if ends else len(input_ids)
