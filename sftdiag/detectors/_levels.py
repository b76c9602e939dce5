"""Levels that a mean cross entropy has, and those that it cannot have."""

from __future__ import annotations

from math import log

from sftdiag.ranges import LARGEST_VOCABULARY, PUBLISHED_VOCABULARIES
from sftdiag.signals.stream import Signals

ABOVE = 1.05
"""Loss over ln V beyond a blind guess: untrained models start at 1.00 to 1.02."""

FAR = 3.0
"""Loss over ln V that no model is wrong enough for: labels of another text reach 1.3, padding that
is trained 1.7 on public logs; beyond 3 every one of them was a sum or a broken model."""

BLIND = 0.005
"""How near to ln V a blind guess is: logits of an untrained model are small, not 0, and cost that
much more."""

NEAR_BLIND = 0.9
"""Share of ln V from which a first loss and its entropy are those of a blind guess, and below which
it is left: TRL's first row is a mean over ten steps, in which random weights learn a tenth."""

TOY_SHARE = 0.5
"""Share of ln of the smallest vocabulary in use below which a vocabulary is a toy's, made on the
spot: random weights are meant there."""

RESTING = 6.0
"""Loss, in nats, above which no pretrained model rests on text that it can read: the highest
labelled run that must stay silent ends at 5.0. It is half of ln V for 150,000 tokens."""

NEAR_ZERO = 0.002
"""Loss, in nats, below which unseen text cannot be: one token in 500 that costs one nat is more.
Labelled runs there are classes told from a constant text, leaked rows and trivial targets."""

USUAL_SHARE = 0.5
"""Share of ln V below which a loss is a usual one: pretrained models have 1 to 4 nats."""


def chance(signals: Signals) -> float:
    """Return the loss of a blind guess over the known vocabulary, else over the largest in use."""
    return signals.context.chance_loss or log(LARGEST_VOCABULARY)


def blind_guess(signals: Signals, low: float, high: float) -> float | None:
    """Return ln V where all losses between two are a blind guess over V tokens, or None.

    V is the known vocabulary; without one, any published one.
    """
    known = signals.context.chance_loss
    for level in (known,) if known else map(log, PUBLISHED_VOCABULARIES):
        if (1 - BLIND) * level <= low and high <= (1 + BLIND) * level:
            return level
    return None
