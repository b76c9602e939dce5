"""Blow-ups: NaN or 0 after a jump, leaps that stay, divergence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.accuracy.curves import Draw
from benchmarks.accuracy.ladders.rungs import Bed, Ladder, Sick


def _onset(draw: Draw, rows: int) -> int:
    """Return a row, from 1, in the first half of a run, with a row before it and two after."""
    return int(draw.integers(2, max(3, rows // 2 + 1)))


def _nan_after_jump(draw: Draw, bed: Bed, size: float) -> Sick:
    """One row at ``size`` times the loss, then NaN: in the open, or as 0.0 with a NaN norm."""
    jump = _onset(draw, bed.shape.rows)
    log_ = bed.log(draw, np.where(bed.row == jump, bed.level * size, bed.level))
    lost = np.arange(1, bed.shape.rows + 1) > jump
    loss = np.where(lost, np.nan, log_.loss)
    return Sick(log_._replace(loss=loss, hidden=draw.random() < 0.5), jump + 1)


def _zero_after_jump(draw: Draw, bed: Bed, size: float) -> Sick:
    """The same with a norm that looks sound: the trainer wrote the NaN as 0.0."""
    jump = _onset(draw, bed.shape.rows)
    log_ = bed.log(draw, np.where(bed.row == jump, bed.level * size, bed.level))
    lost = np.arange(1, bed.shape.rows + 1) > jump
    # An optimizer that clips writes 1.0, the bound; others what they had.
    assert log_.grad_norm is not None
    norm = np.where(lost, 1.0, log_.grad_norm) if draw.random() < 0.5 else None
    return Sick(log_._replace(loss=np.where(lost, 0.0, log_.loss), grad_norm=norm), jump + 1)


def _leap(row: int) -> Callable[[Draw, Bed, float], Sick]:
    """From this row on at ``size`` times the first loss, with the noise of its own height."""

    def make(draw: Draw, bed: Bed, size: float) -> Sick:
        high = bed.level[0] * size * (1 - 0.05 * bed.shape.share)
        return Sick(bed.log(draw, np.where(bed.row >= row, high, bed.level)), row)

    return make


def _divergence(draw: Draw, bed: Bed, size: float) -> Sick:
    """A climb of five rows to ``size`` times the start, which stays."""
    onset = _onset(draw, bed.shape.rows)
    climb = np.clip((bed.row - onset + 1) / 5, 0.0, 1.0)
    log_ = bed.log(draw, bed.level + climb * (size * bed.level[0] - bed.level))
    assert log_.grad_norm is not None
    return Sick(log_._replace(grad_norm=log_.grad_norm * (1 + 10 * bed.shape.ends(climb))), onset)


JUMPS = (3.0, 30.0, 1000.0)

LEAPS = (1.5, 3.0, 10.0, 100.0)

LADDERS = {
    "NaN after a jump": Ladder("nan", "times the loss", JUMPS, _nan_after_jump),
    "zero after a jump": Ladder("zero_or_nan", "times the loss", JUMPS, _zero_after_jump),
    "leap at row 2": Ladder("lr-high", "times the first loss", LEAPS, _leap(2)),
    "leap at row 5": Ladder(
        "lr-high", "times the first loss", LEAPS, _leap(5), rows=(10, 20, 50, 200)
    ),
    "leap at row 50": Ladder("lr-high", "times the first loss", LEAPS, _leap(50), rows=(200,)),
    "divergence": Ladder(
        "divergence",
        "times the start",
        (1.3, 2.0, 3.0, 6.0),
        _divergence,
        rows=(10, 20, 50, 200),
    ),
}
