"""Agreement: the words of the ranks of one run, and what all of them go by."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sftdiag import texts
from sftdiag.config import Settings
from sftdiag.faults import say
from sftdiag.findings import StepRows
from sftdiag.live.ranks import LONG_PATIENCE, PATIENCE, Ranks
from sftdiag.live.resume import Past
from sftdiag.observations import Outcome, over_ranks
from sftdiag.policy import Policy
from sftdiag.values import Value

BY_PROMPT = frozenset({"generation-markers", "prompt-trained"})
"""Checks whose word depends on the setting train_on_prompt, which each host may have its own of."""


class Start(Value):
    """What rank 0 starts with and the others take over: its settings, and what its disk says."""

    policy: Policy
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    lang: str
    past: Past

    @classmethod
    def of(cls, policy: Policy, settings: Settings, past: Past) -> Start:
        """Return what this rank starts with."""
        select, ignore = tuple(sorted(settings.select)), tuple(sorted(settings.ignore))
        return cls(policy, select, ignore, settings.lang, past)

    def settings(self, own: Settings) -> Settings:
        """Return a rank's settings with those that must not differ."""
        select, ignore = frozenset(self.select), frozenset(self.ignore)
        return own.replace(select=select, ignore=ignore, lang=self.lang)


class Word(Value):
    """What one rank tells the others.

    Attributes:
        checked: what the checks said of its rows.
        on_prompt: its setting train_on_prompt.
        seconds: what it may have to say at an evaluation takes so long; none where it has nothing.
        start: what it starts with.
        rows: what was measured on the model.
        steps: it sees every step.
    """

    checked: Outcome | None = None
    on_prompt: bool = False
    seconds: tuple[float, ...] = ()
    start: Start | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    steps: bool = False


class Agreement:
    """The words of the ranks of one ``train()``, seen from one of them.

    Args:
        ranks: of the run.

    Attributes:
        ranks: of the run.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._seconds: float | None = None

    def meet(self, word: Word, device: Any) -> list[Word]:
        """Give the first word and take those of all; none where a rank is missing.

        Args:
            word: of this rank.
            device: it trains on; the first step on it ends on no rank before all have begun it.
        """
        _synchronize(device)
        words = [Word.from_dict(given) for given in self.ranks.meet(word.to_dict())]
        self._seconds = max((s for word in words for s in word.seconds), default=None)
        return words

    def at_evaluation(self, word: Word) -> list[Word]:
        """Likewise at an evaluation; where no rank can have a word, this one's only."""
        if self._seconds is None:
            return [word]
        patience = LONG_PATIENCE + self._seconds
        given = self.ranks.exchange(word.to_dict(), patience=patience)
        return [Word.from_dict(each) for each in given]

    def at_rows(self, mine: Sequence[StepRows]) -> list[StepRows]:
        """Tell the other ranks which rows of this one steps were made of; return those of all."""
        words = self.ranks.exchange([rows.to_dict() for rows in mine], patience=PATIENCE)
        return [StepRows.from_dict(rows) for word in words for rows in word] or list(mine)

    def at_action(self, action: str) -> bool:
        """Return whether every rank is about to do the same: to stop, or to raise, and why."""
        words = self.ranks.exchange(action, patience=PATIENCE)
        if words and any(word != action for word in words):
            self.ranks.differ()
            return False
        return bool(words)

    def say_who_is_missing(self, lang: str, *, wanted: bool) -> None:
        """Say in one line, on one rank, which ranks are missing and what is not done therefore.

        Args:
            lang: language of the line.
            wanted: whether this rank was asked to do any of it.
        """
        ranks, unheard = self.ranks, 0 in self.ranks.missing
        if ranks.why is None or not (wanted or unheard) or not ranks.speaks:
            return
        words = texts.load(__file__, "ranks", lang)
        missing = ", ".join(map(str, ranks.missing))
        untold = words["untold"] if unheard else ""
        line = words[ranks.why].format(
            ranks=missing, count=ranks.count, untold=untold, reason=ranks.reason
        )
        say(logging.WARNING, line)


def joined(words: Sequence[Word]) -> Outcome | None:
    """Return what the checks said on any rank, with the ranks that saw it; None for nothing."""
    if all(word.checked is None for word in words):
        return None
    outcomes = []
    for word in words:
        said = word.checked or Outcome()
        if word.on_prompt != words[0].on_prompt:
            kept = tuple(o for o in said.observations if o.name not in BY_PROMPT)
            said = said.replace(observations=kept)
        outcomes.append(said)
    return over_ranks(outcomes)


def _synchronize(device: Any) -> None:
    """Wait until the device has done what it was given, the exchange of a step's gradients too."""
    kind = getattr(device, "type", "cpu")
    if kind == "cpu":
        return
    import torch

    synchronize = getattr(getattr(torch, kind, None), "synchronize", None)
    if synchronize is not None:
        synchronize()
