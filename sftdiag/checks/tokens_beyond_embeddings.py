"""SFT427 tokens-beyond-embeddings: the tokenizer knows tokens that the model has no embedding for.

Sees: rows with token ids that the model's input embeddings have no row for. They end the run at the
batch that holds one: with an IndexError on a CPU, with a device-side assert on a GPU, which names
no token. An error; in an evaluation set, which may not be asked for, a warning. Where no row that
was looked at has one, a padding token beyond the embeddings is a warning, since any batch of rows
of unlike length holds it, and other tokens that were added are a note.

Cannot see: models of more than text, which take ids without an embedding for images, and
embeddings of other kinds than torch's.

Example:
    >>> from sftdiag.context import RunContext
    >>> from sftdiag.samples import Sample, Split, Tokenization
    >>> row = Sample((5, 49152), (5, 49152))
    >>> inputs = Inputs(RunContext(embedding_rows=49152), Split("train", (row,), 1))
    >>> (found,) = TokensBeyondEmbeddingsCheck().look(inputs)
    >>> found.severity.label, found.evidence["token"]
    ('error', 49152)

References:
    transformers documentation, PreTrainedModel.resize_token_embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from sftdiag.checks._shares import share_of_rows
from sftdiag.checks.base import ARGUMENTS, Check, Inputs
from sftdiag.findings import Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Split


class TokensBeyondEmbeddingsCheck(Check):
    """Compares the rows' token ids with the rows of the embeddings."""

    code: ClassVar[str] = "SFT427"
    name: ClassVar[str] = "tokens-beyond-embeddings"
    severity: ClassVar[Severity] = Severity.ERROR
    causes: ClassVar[tuple[str, ...]] = ("vocabulary-size",)

    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """See :meth:`Check.look`."""
        rows = inputs.context.embedding_rows
        if rows is None:
            return Skip("no_embeddings")
        seen = (self._in_rows(inputs, split, rows) for split in inputs.splits)
        found = tuple(one for one in seen if one is not None)
        return found or tuple(self._of_the_tokenizer(inputs, rows))

    def _in_rows(self, inputs: Inputs, split: Split, rows: int) -> Observation | None:
        """Return what ends the run: a row with a token that has no embedding."""
        beyond = [i for i, s in enumerate(split.samples) if max(s.input_ids, default=0) >= rows]
        if not beyond:
            return None
        tokens = (max(split.samples[i].input_ids) for i in beyond)
        places = split.places
        first = places[beyond[0]] if places is not None else beyond[0]
        return self.observation(
            Severity.ERROR if split is inputs.train else Severity.WARNING,
            series=split.name,
            evidence={
                **share_of_rows(len(beyond), split),
                "token": max(tokens),
                "embeddings": rows,
                "row": first,
            },
            fixes=(FixText("resize"), FixText("tokenizer")),
            example=beyond[0],
        )

    def _of_the_tokenizer(self, inputs: Inputs, rows: int) -> Iterator[Observation]:
        """Yield that the tokenizer has more tokens, of which no row that was seen holds one."""
        known = inputs.tokenization
        if known is None:
            return
        pad = known.pad_token_id
        if pad is not None and pad >= rows:
            yield self.observation(
                Severity.WARNING,
                series=ARGUMENTS,
                variant="padding",
                evidence={"token": pad, "name": known.name(pad), "embeddings": rows},
                fixes=(FixText("resize"), FixText("pad")),
            )
        elif known.vocabulary is not None and known.vocabulary > rows:
            yield self.observation(
                Severity.INFO,
                series=ARGUMENTS,
                variant="unused",
                evidence={"vocabulary": known.vocabulary, "embeddings": rows},
                fixes=(FixText("resize"),),
            )
