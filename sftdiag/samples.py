"""Sample, Split, Tokenization: the rows as the loss sees them, and how they were written.

All that a check before step 1 reads of the data. Plain values: no tensor, no tokenizer, no dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdiag.observations import Skip
from sftdiag.values import Value

IGNORE_INDEX = -100
"""The label that torch's cross entropy leaves out of the loss."""


class Sample(Value):
    """A tokenized row.

    Attributes:
        input_ids: token ids, shape (tokens,).
        labels: the target at each position, shape (tokens,), :data:`IGNORE_INDEX` where the
            position is left out of the loss.
        row: the raw row it was made from, or None.
        split: ``"train"`` or the name of the evaluation set.

    Raises:
        ValueError: input_ids and labels differ in length.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    row: Mapping[str, Any] | None = None
    split: str = "train"

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
        return sum(label != IGNORE_INDEX for label in self.labels[1:])


class Split(Value):
    """Rows of one set, as many as were looked at.

    Attributes:
        name: ``"train"`` or the name of the evaluation set.
        samples: rows evenly spaced over the set, in its order.
        total: rows of the set; None when unknown.
        unseen: why there are no samples.
    """

    name: str
    samples: tuple[Sample, ...] = ()
    total: int | None = None
    unseen: Skip | None = None


class Tokenization(Value):
    """What is known of the tokenizer and its chat template, as token ids.

    Attributes:
        eos_token_ids: every token that ends generation: the tokenizer's and the model's.
    """

    eos_token_ids: tuple[int, ...] = ()
