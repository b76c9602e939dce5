"""Told: the texts of the first prompts and answers, for a person who looks at the live report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sftdiag.probes.answers import Reply
from sftdiag.probing.prompts import Prompt
from sftdiag.report.answers import SHOWN, Answers, Asked, Said


class Told:
    """What one model said before training and at the last evaluation; in memory, nowhere else."""

    def __init__(self) -> None:
        self._asked: list[Asked] = []
        self._step: int | None = None

    def __repr__(self) -> str:
        return f"Told of {len(self._asked)} prompts"

    @property
    def answers(self) -> Answers:
        """What can be shown now."""
        return Answers(self._asked, self._step)

    def take(
        self,
        prompts: Sequence[Prompt],
        replies: Sequence[Reply],
        tokenizer: Any,
        step: int | None,
    ) -> None:
        """Take in the replies of a round; without a step, of the model before training.

        A tokenizer that cannot write its own tokens costs the texts and no more.
        """
        if not replies and (step is None or not self._asked):
            return
        try:
            said = [Said(tokenizer.decode(list(r.greedy)), r.ended) for r in replies[:SHOWN]]
            if not self._asked:
                self._asked = [_asked(prompt, tokenizer) for prompt in prompts[:SHOWN]]
        except Exception:
            self._asked = []
            return
        by_prompt = [*said, *[None] * SHOWN]
        name = "before" if step is None else "after"
        pairs = zip(self._asked, by_prompt, strict=False)
        self._asked = [asked.replace(**{name: reply}) for asked, reply in pairs]
        self._step = self._step if step is None else step


def _asked(prompt: Prompt, tokenizer: Any) -> Asked:
    reference = tokenizer.decode(list(prompt.reference)) if prompt.reference else None
    return Asked(tokenizer.decode(list(prompt.ids)), reference)
