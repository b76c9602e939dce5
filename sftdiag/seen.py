"""What a report says of how much was seen: steps, rows, curves."""

from __future__ import annotations

from sftdiag.values import Value


class Summary(Value):
    """How much of the run the log shows.

    Attributes:
        records: log rows.
        first_step: of the first row; ``last_step`` of the last.
        max_steps: the steps planned, or None.
        epochs: done, where the log says so.
        sound_until: the last step before the weights were spoiled, by what is not over; or None.
    """

    records: int = 0
    first_step: int | None = None
    last_step: int | None = None
    max_steps: int | None = None
    epochs: float | None = None
    sound_until: int | None = None

    def is_sound(self, step: int) -> bool:
        """Return whether the weights of a step are those of a run that had not broken."""
        return self.sound_until is None or step <= self.sound_until


class RowsSeen(Value):
    """How many rows of a set the checks looked at.

    Attributes:
        split: ``"train"`` or the name of the evaluation set.
        rows: rows looked at.
        total: rows of the set; None when unknown.
        undetected: a fault in fewer of the rows may not show (95 %); 0 when all were looked at.
        trained: share of the rows' tokens that reach the loss; None when unknown.
    """

    split: str
    rows: int
    total: int | None
    undetected: float
    trained: float | None = None


class Curve(Value):
    """A metric over the run as a bounded number of (step, mean) points, for drawing.

    ``gaps``: the steps of points behind which it was lost for a while; no line leads on from there.
    """

    series: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    gaps: tuple[int, ...] = ()


class StepRows(Value):
    """The rows that one rank trained on in an optimizer step.

    Attributes:
        step: the step, counted as in the log: the first is 1.
        epoch: epochs done with it.
        rows: their numbers in the training set as the trainer holds it, in the order trained on.
        rank: whose they were.
        stream: the set is a stream: the numbers are places in it, counted from its beginning.
        losses: of each row, in the same order, by the model at the end of training; where they
            were asked for.
        usual: the median loss of other rows by the same model.
    """

    step: int
    epoch: float | None
    rows: tuple[int, ...]
    rank: int = 0
    stream: bool = False
    losses: tuple[float, ...] | None = None
    usual: float | None = None
