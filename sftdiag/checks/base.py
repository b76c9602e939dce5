"""The shape of a check: it looks at rows, arguments and template before step 1, and says so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from sftdiag.context import RunContext
from sftdiag.findings import Scalar, Severity
from sftdiag.observations import FixText, Observation, Skip
from sftdiag.samples import Sample, Split, Tokenization
from sftdiag.values import EMPTY, Value

ARGUMENTS = "arguments"
"""The series of an observation that no row shows."""

SHORT_ANSWER = 8
"""Tokens below which an answer is a label or a number: it repeats because the task is so, and who
reads it takes the first tokens, whatever follows."""

LEAST_ROWS = 20
"""Rows or answers whose diversity is judged; fewer are looked at by eye."""


class Inputs(Value):
    """All that checks look at; frozen, and free of any training library.

    Attributes:
        context: what is known of the run.
        train: rows of the training set as the loss sees them.
        evaluations: the same of each evaluation set.
        tokenization: what is known of the tokenizer and its chat template, or None.
        train_on_prompt: the prompt is trained on purpose.
        step: optimizer steps done; 0 is before training.
        gains: where the model was asked, by set: for each of some rows, by how many nats it found
            the answer likelier after its own prompt than after another row's.
    """

    context: RunContext = RunContext()
    train: Split = Split("train")
    evaluations: tuple[Split, ...] = ()
    tokenization: Tokenization | None = None
    train_on_prompt: bool = False
    step: int = 0
    gains: Mapping[str, tuple[float, ...]] = EMPTY

    @property
    def splits(self) -> tuple[Split, ...]:
        """The training set and the evaluation sets, those with rows to look at."""
        return tuple(split for split in (self.train, *self.evaluations) if split.samples)


class Check(ABC):
    """Base class of all checks: pure functions of :class:`Inputs`.

    Attributes:
        code: stable code of the finding.
        name: what is seen; never the remedy.
        severity: the highest severity it finds.
        causes: ids of the causes that it can confirm.
        by_rows: whether it looks at rows; what it cannot exclude then depends on their number.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    causes: ClassVar[tuple[str, ...]]
    by_rows: ClassVar[bool] = True

    @abstractmethod
    def look(self, inputs: Inputs) -> Sequence[Observation] | Skip:
        """Return what was found, nothing when all is well, or why it cannot be judged."""

    def observation(
        self,
        severity: Severity,
        *,
        cause: str | None = None,
        series: str = "train",
        variant: str = "default",
        evidence: Mapping[str, Scalar] = EMPTY,
        fixes: Sequence[FixText] = (),
        example: int | None = None,
    ) -> Observation:
        """Return an observation of this check; the cause is its first one unless given."""
        return Observation(
            self.code,
            self.name,
            severity,
            cause or self.causes[0],
            series,
            variant,
            dict(evidence),
            tuple(fixes),
            example,
        )


def without_rows(split: Split) -> Skip | None:
    """Return why a split has no rows to look at, or None when it has some."""
    if split.samples:
        return None
    return split.unseen or Skip("no_rows")


def without_evaluation(inputs: Inputs) -> Skip | None:
    """Return why no evaluation set has rows to look at, or None when one has."""
    if not inputs.evaluations:
        return Skip("no_evaluation")
    skips = [without_rows(split) for split in inputs.evaluations]
    return None if None in skips else skips[0]


def labelled(samples: Sequence[Sample]) -> list[int]:
    """Return the indices of the samples of which a token reaches the loss."""
    return [index for index, sample in enumerate(samples) if sample.supervised_tokens]


def unmasked(samples: Sequence[Sample]) -> list[int]:
    """Return the indices of the samples that train what the rows' own labels leave out.

    It is the collator's doing, which treats all alike: some of them show it, and then all are
    looked at.
    """
    some = samples[:: max(1, len(samples) // LEAST_ROWS)]
    if not any(sample.is_unmasked for sample in some):
        return []
    return [index for index, sample in enumerate(samples) if sample.is_unmasked]
