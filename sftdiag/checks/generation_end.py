"""SFT423 generation-end: what ends a reply in training does not end generation.

Sees: answers that are trained up to the template's end of turn, which is neither the tokenizer's
end-of-text token nor among those in the model's saved generation_config: generate() then writes on
past the end of its reply, into a turn of the user's.

Cannot see: stop words that a server is given, and what generate() is called with.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((5, 8, 9, 4, 3), (-100, -100, -100, 4, 3), answers=((3, 4),))
    >>> split = Split("train", (row,) * 20, 20)
    >>> for ends in ((1,), (1, 3)):
    ...     known = Tokenization(eos_token_ids=ends, end_of_turn=3, generation_eos_ids=ends)
    ...     found = GenerationEndCheck().look(Inputs(train=split, tokenization=known))
    ...     print([one.severity.label for one in found])
    ['warning']
    []

References:
    Llama 3: <|end_of_text|> ends a text and <|eot_id|> a turn; its generation_config names both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sftdiag.checks.base import Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip

MOST = 0.5
"""Share of the rows whose last answer is trained to end so, from which it is what is learned."""


class GenerationEndCheck(Check):
    """Compares the end of the answers with what the model's generation stops at."""

    code: ClassVar[str] = "SFT423"
    name: ClassVar[str] = "generation-end"
    severity: ClassVar[Severity] = Severity.WARNING
    causes: ClassVar[tuple[str, ...]] = ("chat-template",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        split, known = inputs.train, inputs.tokenization
        skip = without_rows(split)
        if skip is not None:
            return skip
        if known is None:
            return Skip("no_tokenizer")
        if not known.generation_eos_ids:
            return Skip("no_generation_config")
        if known.end_of_turn is None:
            return Skip("no_end_of_turn" if known.has_template else "no_template")
        end = known.end_of_turn
        if end in known.eos_token_ids:
            return ()
        answered = [s for s in split.samples if s.answers]
        ended = [s for s in answered if _ends(s.labels, (s.answers or ())[-1][1], end)]
        # Where a token that generation stops at is trained right behind, it stops there.
        stopped = [s for s in ended if not set(known.eos_token_ids).isdisjoint(s.labels)]
        if not answered or len(ended) - len(stopped) <= MOST * len(answered):
            return ()
        ids = [*known.generation_eos_ids, end]
        return [
            self.observation(
                Severity.WARNING,
                evidence={
                    "end": known.name(end),
                    "stops": ", ".join(map(known.name, known.eos_token_ids)),
                },
                fixes=(
                    FixText(
                        "config",
                        changes={
                            "model.generation_config.eos_token_id": (
                                str(list(known.generation_eos_ids)),
                                str(ids),
                            )
                        },
                    ),
                    FixText("eos", changes={"SFTConfig.eos_token": (None, known.name(end))}),
                ),
            )
        ]


def _ends(labels: Sequence[int], place: int, end: int) -> bool:
    return place < len(labels) and labels[place] == end
