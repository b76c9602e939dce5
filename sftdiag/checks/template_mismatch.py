"""SFT410 template-mismatch: rows are written in another chat template than the tokenizer's.

Sees: rows with the marks of another known template than the tokenizer's own, rows to which the
template was applied twice (a turn opens right where one has opened), training and evaluation rows
in different templates, conversations whose turns belong to roles that the template does not know
(human and gpt), and a tokenizer whose template is not the one saved beside it (a note).

Rows in another template stay a warning: it may be meant, and that the tokenizer has a template of
its own does not tell, since tokenizers of base models have one, too, and who serves the model may
write the rows' template. What such rows lack is told apart: an end that is never trained is an
error (SFT406).

Cannot see: templates that leave no mark that is known, and what the model was trained with before.

Example:
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((5, 6), (5, 6), style="Alpaca")
    >>> known = Tokenization(has_template=True)
    >>> inputs = Inputs(train=Split("train", (row,), 1), tokenization=known)
    >>> [(one.severity.label, one.variant) for one in TemplateMismatchCheck().look(inputs)]
    [('warning', 'not_own')]

References:
    The guide, rows 1 and 6: a wrong chat template keeps the loss from falling and makes replies
    unnatural.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import ARGUMENTS, Check, Inputs, without_rows
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import OWN_STYLE, Sample, Split, Tokenization

MOST = 0.5
"""Share of the rows that must have a style for it to be the set's."""

ALIASES = frozenset(
    {"human", "gpt", "chatgpt", "bing", "bard", "bot", "chatbot", "ai", "model", "instruction"}
    | {"output", "response", "observation", "function_call", "prompter", "User", "Assistant"}
)
"""What data sets call those who speak, where TRL and templates say user, assistant and tool. They
may be named in a report; other names are text of a row."""


class TemplateMismatchCheck(Check):
    """Compares the marks that templates leave in rows."""

    code: ClassVar[str] = "SFT410"
    name: ClassVar[str] = "template-mismatch"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("chat-template", "eval-distribution")

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        skip = without_rows(inputs.train)
        if skip is not None:
            return skip
        if inputs.tokenization is None:
            return Skip("no_tokenizer")
        return tuple(self._found(inputs))

    def _found(self, inputs: Inputs) -> Iterator[Observation]:
        known = inputs.tokenization
        style = _style(inputs.train)
        if style not in (None, OWN_STYLE) and known is not None and known.has_template:
            rows = [i for i, s in enumerate(inputs.train.samples) if s.style == style]
            yield self.observation(
                Severity.WARNING,
                variant="not_own",
                evidence={**share_of_rows(len(rows), inputs.train), "style": style},
                fixes=(FixText("own"), FixText("other_model")),
                example=rows[0],
            )
        twice = [i for i, s in enumerate(inputs.train.samples) if _twice(s, known)]
        if len(twice) >= MOST * len(inputs.train.samples):
            yield self.observation(
                Severity.WARNING,
                variant="twice",
                evidence=share_of_rows(len(twice), inputs.train),
                fixes=(FixText("once"),),
                example=twice[0],
            )
        strange = [i for i, s in enumerate(inputs.train.samples) if _strange(s)]
        if (
            known is not None
            and known.has_template
            and len(strange) >= MOST * len(inputs.train.samples)
        ):
            roles = {r for i in strange for r in inputs.train.samples[i].roles}
            yield self.observation(
                Severity.WARNING,
                variant="roles_left_out" if _left_out(inputs.train, strange) else "roles",
                evidence={
                    **share_of_rows(len(strange), inputs.train),
                    "roles": ", ".join(sorted(roles & ALIASES)) or "-",
                },
                fixes=(FixText("roles"),),
                example=strange[0],
            )
        for split in inputs.evaluations:
            other = _style(split) if split.samples else style
            if other != style:
                yield self.observation(
                    Severity.WARNING,
                    cause=self.causes[1],
                    series=split.name,
                    variant="eval_differs",
                    evidence={"train_style": style or "-", "eval_style": other or "-"},
                    fixes=(FixText("same"),),
                    example=0,
                )
        if known is not None and known.differs_from_saved:
            yield self.observation(
                Severity.INFO, series=ARGUMENTS, variant="replaced", fixes=(FixText("saved"),)
            )


def _twice(sample: Sample, known: Tokenization | None) -> bool:
    return known is not None and known.is_written_twice(sample.input_ids)


def _strange(sample: Sample) -> bool:
    """Return whether a conversation has no answer that the template writes as the assistant's."""
    others = set(sample.roles) - {"assistant"}
    return not sample.answers and not others.isdisjoint(ALIASES) and others == set(sample.roles)


def _left_out(split: Split, rows: Sequence[int]) -> bool:
    return all("roles" in split.samples[i].left_out for i in rows)


def _style(split: Split) -> str | None:
    """Return the style that most rows of a set have; None when most have no known one."""
    style, rows = Counter(sample.style for sample in split.samples).most_common(1)[0]
    return style if rows >= MOST * len(split.samples) else None
