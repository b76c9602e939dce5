"""Turns: what a chat template writes around what is said, as token ids, and where replies stand."""

from __future__ import annotations

from collections.abc import Collection
from itertools import compress, count

from sftdiag.values import Value

Spans = tuple[tuple[int, int], ...]
"""Parts of a sequence as (first token, token after the last)."""

Marks = tuple[tuple[int, ...], ...]
"""Pieces of a sequence."""


class Turns(Value):
    """What a template was seen to write around the turns of example conversations.

    Marks are without the blank tokens at their ends, which merge with what is said.

    Attributes:
        replies: what opens a reply, where it is not the same everywhere: after a tool's result.
        others: what opens a turn of somebody else.
        ends: the tokens that end a reply: within a conversation, at its end.
        blanks: tokens of white space beside the marks.
        inside: special tokens written between the first token and the last turn's end: where they
            stand in a row tells nothing of where a text begins or ends.
        header_after: what the template writes after the last reply's end: the mark of another.
        begins: the token that every conversation begins with, and that stands nowhere else.
        style: the name of the template's style, where it is a known one.
        learned: whether an example could be rendered.
        system: what opens a system message, where that has a mark of its own.
    """

    replies: Marks = ()
    others: Marks = ()
    ends: tuple[int, ...] = ()
    blanks: tuple[int, ...] = ()
    inside: tuple[int, ...] = ()
    header_after: tuple[int, ...] = ()
    begins: int | None = None
    style: str | None = None
    learned: bool = False
    system: tuple[int, ...] = ()


def nested(input_ids: tuple[int, ...], marks: Marks, between: Collection[int | None]) -> bool:
    """Return whether a mark stands directly behind another one: a turn begins where one began.

    Args:
        input_ids: the sequence.
        marks: what opens turns, of those who ask or of those who reply.
        between: tokens that may stand between the two.

    Examples:
        >>> [nested(ids, ((7, 5),), {4}) for ids in ((7, 5, 4, 7, 5), (7, 5, 6, 7, 5))]
        [True, False]
    """
    length = len(input_ids)
    for mark in marks:
        place = -1
        for _ in range(input_ids.count(mark[0])):
            place = input_ids.index(mark[0], place + 1)
            after = place + len(mark)
            if input_ids[place:after] != mark:
                continue
            while after < length and input_ids[after] in between:
                after += 1
            if any(input_ids[after : after + len(other)] == other for other in marks):
                return True
    return False


def replies(
    input_ids: tuple[int, ...],
    opening: Marks,
    others: Marks,
    stops: Collection[int],
    blanks: Collection[int],
) -> Spans:
    """Return the replies in a sequence.

    A reply ends before a token that ends turns, before the mark of the next turn where the template
    writes no such token, or with the sequence. A mark at the very end opens nothing.

    Args:
        input_ids: the sequence.
        opening: marks that open a reply.
        others: marks that open somebody else's turn.
        stops: tokens that end a turn.
        blanks: tokens of white space beside marks.

    Examples:
        >>> replies((7, 5, 2, 8, 9, 4, 4, 2, 8, 9, 6), ((8, 9),), (), {2}, set())
        ((5, 7), (10, 11))
        >>> replies((7, 5, 8, 9, 4, 4, 1, 7, 5), ((8, 9),), ((7,),), (), {1})
        ((4, 6),)
    """
    marks: dict[int, list[tuple[tuple[int, ...], bool]]] = {}
    for pieces, is_reply in ((opening, True), (others, False)):
        for piece in sorted(pieces, key=len, reverse=True):
            marks.setdefault(piece[0], []).append((piece, is_reply))
    for found in marks.values():
        found.sort(key=lambda mark: len(mark[0]), reverse=True)
    spans: list[tuple[int, int]] = []
    start: int | None = None
    place, length = 0, len(input_ids)

    def close(end: int) -> None:
        while start is not None and end > start and input_ids[end - 1] in blanks:
            end -= 1
        if start is not None and end > start:
            spans.append((start, end))

    # Most tokens are what is said: only those that may begin a mark or end a turn are looked at.
    told = marks.keys() | set(stops)
    for at in compress(count(), map(told.__contains__, input_ids)):
        if at < place:
            continue
        token = input_ids[at]
        mark = next(
            (m for m in marks.get(token, ()) if input_ids[at : at + len(m[0])] == m[0]), None
        )
        if mark is not None:
            close(at)
            place = at + len(mark[0])
            start = None
            if mark[1]:
                # One at most: more of them are what the reply begins with.
                place += place < length and input_ids[place] in blanks
                start = place
        elif start is not None and token in stops:
            spans.append((start, at))
            start = None
    close(length)
    return tuple(spans)
