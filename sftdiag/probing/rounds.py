"""One round of questions to a model: what it is asked, and the measures of its answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sftdiag import probes as probes_package
from sftdiag import texts
from sftdiag.probes import Probe
from sftdiag.probes.answers import Losses, Reply
from sftdiag.probes.base import SKIPPED
from sftdiag.probes.forgetting import LEAST_TEXTS, ForgettingProbe
from sftdiag.probes.settings import Probes
from sftdiag.probing.ask import Asker
from sftdiag.probing.deadline import Budget, Deadline
from sftdiag.probing.prompts import (
    Prompt,
    Tokens,
    from_given,
    from_samples,
    opening_of,
)
from sftdiag.samples import Sample
from sftdiag.texts import LANGUAGES

Kept = Mapping[str, Sequence[float]]
"""Losses of the model before training, by series."""


class Questions:
    """What one model is asked, at every evaluation the same."""

    def __init__(self, settings: Probes, tokenizer: Any, ends: frozenset[int]) -> None:
        self.settings = settings
        self.prompts: list[Prompt] = []
        self.general: list[Tokens] = []
        self.given: list[Tokens] = []
        self._tokenizer, self._ends = tokenizer, ends
        if settings.prompts is not None:
            self.prompts = from_given(settings.prompts, tokenizer, ends)
            self.given = [(*p.ids, *(p.reference or ())) for p in self.prompts]

    def take_samples(self, samples: Sequence[Sample]) -> None:
        """Make prompts of evaluation rows, unless the user gave some."""
        if not self.prompts:
            opening, tokens = opening_of(self._tokenizer), self.settings.reply_tokens
            self.prompts = from_samples(samples, self._ends, opening, tokens)

    def take_texts(self, asker: Asker) -> None:
        """Choose the general text: given, or shipped."""
        chosen = self.settings.texts
        if chosen is None:
            shipped = (
                texts.load(probes_package.__file__, "general_text", lang) for lang in LANGUAGES
            )
            chosen = [text for language in shipped for text in language["texts"]]
        self.general = asker.texts(chosen)

    @property
    def fingerprint(self) -> str:
        """Identifies the texts whose losses are kept, without holding them."""
        return "#" + hashlib.sha256(repr((self.general, self.given)).encode()).hexdigest()[:16]


class Round:
    """One round of questions to a model in one state, under the time budget of each probe."""

    def __init__(
        self, asker: Asker, questions: Questions, kept: Kept | None, budget: Budget
    ) -> None:
        self._asker, self._questions, self._kept = asker, questions, kept
        self._budget = budget
        self._replies: list[Reply] | None = None
        self._finite: bool | None = None
        self.losses: dict[str, list[float]] = {}

    @property
    def replies(self) -> Sequence[Reply]:
        """The replies that were made, to the first of the prompts; empty where none were."""
        return self._replies or ()

    def measures(self, kind: type[Probe]) -> dict[str, float]:
        """Return a probe's measures, or the reason why there are none."""
        deadline = self._budget.deadline(kind.name)
        found = self._measures(kind, deadline)
        self._budget.next()
        return found or {f"{SKIPPED}over_budget": self._budget.seconds}

    def _measures(self, kind: type[Probe], deadline: Deadline) -> dict[str, float]:
        """Return a probe's measures, or nothing where the time is over."""
        if self._finite is None and deadline.left <= 0:
            return {}
        if not self._is_finite():
            return {f"{SKIPPED}not_finite": 1.0}
        if "losses" in kind.asks:
            return self._measure_losses(kind, deadline)
        if not self._questions.prompts:
            return {f"{SKIPPED}no_prompts": 1.0}
        return self._measure_replies(kind, deadline)

    def _is_finite(self) -> bool:
        """Return whether the model says anything at all; one with NaN in its weights does not.

        The first call of the round, which tells how long others may take: the smallest one.
        """
        if self._finite is None:
            asked = [prompt.ids for prompt in self._questions.prompts] + self._questions.general
            self._finite = not asked or self._asker.is_finite([min(asked, key=len)])
        return self._finite

    def _measure_replies(self, kind: type[Probe], deadline: Deadline) -> dict[str, float]:
        settings = self._questions.settings
        if self._replies is None:
            sampled = any("samples" in chosen.asks for chosen in settings.kinds)
            self._replies = self._asker.replies(
                self._questions.prompts, settings.reply_tokens, deadline, sampled=sampled
            )
        measure: Callable[[Sequence[Reply]], dict[str, float]] = kind.measures  # type: ignore[attr-defined]
        with self._budget.ending(kind.name):
            measured = measure(self._replies) if self._replies else {}
        if settings.prompts is not None:
            # Answers that were given have no labels: whether their end was trained is not known.
            measured.pop("reference_ends", None)
        return measured

    def _measure_losses(self, kind: type[Probe], deadline: Deadline) -> dict[str, float]:
        series = {"general": self._questions.general, "given": self._questions.given}
        if not any(series.values()):
            return {"texts": 0.0}
        self.losses = {n: self._asker.losses(t, deadline) for n, t in series.items()}
        against = {name: self._against(name) for name in series}
        if all(_cut_short(against[name], asked) for name, asked in series.items() if asked):
            return {}
        with self._budget.ending(kind.name):
            general, given = against.values()
            vocabulary = self._asker.model.config.get_text_config().vocab_size
            return ForgettingProbe.measures(general, given, math.log(vocabulary))

    def _against(self, name: str) -> Losses:
        now = self.losses[name]
        if self._kept is None:
            return Losses(tuple(now))
        before = self._kept.get(name, ())
        both = min(len(now), len(before))
        return Losses(tuple(now[:both]), tuple(before[:both]))


def _cut_short(losses: Losses, asked: Sequence[Tokens]) -> bool:
    """Return whether the time was over before there were losses enough to compare."""
    return len(losses.now) < min(LEAST_TEXTS, len(asked))
