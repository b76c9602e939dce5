"""What the model was asked at one evaluation, and what it said. Tokens and numbers, no text."""

from __future__ import annotations

from sftdiag.values import Value


class Reply(Value):
    """The model's continuations of one prompt.

    Attributes:
        greedy: tokens of the likeliest continuation, the end token left out.
        ended: whether it ended with an end token within the limit.
        sampled: tokens of a continuation sampled at :data:`sftdiag.ranges.LEAST_TEMPERATURE`.
        marked: whether the greedy one opens a turn of the user or holds a special token that no
            reference answer holds.
        reference: tokens of the reference answer without its end token, cut at the limit; None when
            there is none.
        fits: whether the whole reference answer fits into a reply.
        reference_ends: whether the reference answer ends with an end token that is trained; None
            when it was cut.
        reference_marked: whether it opens a turn of the user.
        end_probability: what the model gives the end tokens where the reference answer is over.
    """

    greedy: tuple[int, ...]
    ended: bool
    sampled: tuple[int, ...] | None = None
    marked: bool = False
    reference: tuple[int, ...] | None = None
    fits: bool = False
    reference_ends: bool | None = None
    reference_marked: bool = False
    end_probability: float | None = None


class Losses(Value):
    """Mean loss a token, in nats, of each text now and before training; None where unknown."""

    now: tuple[float, ...]
    before: tuple[float, ...] | None = None
