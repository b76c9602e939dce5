"""Climb: how far the train loss stands above the lowest it was, from means over windows."""

from __future__ import annotations

from math import ceil, inf, sqrt

from sftdiag.signals.blocks import MAX_BLOCKS, Closing, Columns
from sftdiag.signals.noise import AUTOCORRELATION, cautious_noise, mean, median
from sftdiag.signals.stream import Signals
from sftdiag.values import Value

WINDOW_BLOCKS = 5
"""Block means averaged at least, when two parts of the run are compared."""

WINDOW_STEPS = 50
"""Optimizer steps averaged at least, where a saw-tooth must not matter: transformers groups rows by
length in mega-batches of at most 50 batches, and the loss rises and falls with each."""

WINDOW_SHARE = 8
"""Of a longer run an eighth of its blocks."""

LARGEST_WINDOW = max(WINDOW_BLOCKS, MAX_BLOCKS // WINDOW_SHARE)
"""Blocks of a window at the most, where it need not span steps."""

ABOVE_START = 1.15
"""Times the loss of the start above which what was learned is lost: the last window of a healthy
run of the corpus is at no step above 1.02 of the first, labelled blow-ups reach 1.2 to 20."""


SURELY_BELOW = 1.0 - 1e-9
"""Share of a bound below which two ways of adding up the same numbers agree that they are."""


class Climb(Value):
    """How far the train loss stands above its lowest window, with the noise of a window's mean.

    ``accuracy_gain`` is the token accuracy of the last window over that of the lowest, or None.
    """

    start: float
    lowest: float
    lowest_step: int
    recent: float
    noise: float
    accuracy_gain: float | None

    @property
    def rise(self) -> float:
        """The rise from the lowest window to the last one, in the loss's unit."""
        return self.recent - self.lowest


def climb_of(signals: Signals, window_steps: int = 0, least: float = 0.0) -> Climb | None:
    """Return how the last window stands against the lowest of those before it.

    Windows follow each other without a gap, counted from the last block. None while there are fewer
    than two, where the last one is no higher than the lowest, and where the lowest is not above 0:
    no likelihood is.

    Args:
        signals: the run so far.
        window_steps: optimizer steps that a window must span.
        least: rise as a share of the lowest below which None will do: most looks end there.
    """
    size = window_size(signals, window_steps)
    if size is None:
        return None
    recent, lowest, end = signals.windows.get(size) or _windows(signals, size)
    if lowest <= 0.0 or recent <= (1.0 + least) * lowest:
        return None
    losses, blocks = signals.block_losses, signals.blocks
    last = losses[-size:]
    # A few odd blocks move a mean, not a median: they are spikes, not a climb.
    recent = min(recent, median(last))
    lowest = max(lowest, median(losses[end - size : end]))
    before = mean(block.mean_token_accuracy for block in blocks[end - size : end])
    after = mean(block.mean_token_accuracy for block in blocks[-size:])
    return Climb(
        start=sum(losses[:size]) / size,
        lowest=lowest,
        lowest_step=blocks[end - 1].last_step,
        recent=recent,
        noise=cautious_noise(losses) * AUTOCORRELATION / sqrt(size),
        accuracy_gain=after - before if before is not None and after is not None else None,
    )


def _windows(signals: Signals, size: int) -> tuple[float, float, int]:
    """Return the mean of the last window, that of the lowest before it, and the block it ends at.

    Kept by the signals until the next block closes: several detectors ask for the same.
    """
    losses = signals.block_losses
    ends = range(len(losses) - size, size - 1, -size)
    means = [sum(losses[end - size : end]) / size for end in ends]
    lowest = min(means)
    found = sum(losses[-size:]) / size, lowest, ends[means.index(lowest)]
    signals.windows[size] = found
    return found


def may_climb(closing: Closing, window_steps: int, least: float, until: float = inf) -> bool:
    """Return whether :func:`climb_of` may find a climb at any block that closes.

    Args:
        closing: the blocks.
        window_steps: as there.
        least: likewise.
        until: the last step of a block that matters.
    """
    sums, columns = closing.sums, closing.columns
    lasts = columns.last_steps
    # Two windows of so many steps do not fit in fewer.
    enough = columns.first_steps[0] + 2 * window_steps
    for count in closing.counts:
        if not enough <= lasts[count - 1] <= until:
            continue
        size = _size(columns, count, window_steps)
        if size is None:
            continue
        recent = sums[count] - sums[count - size]
        ends = range(count - size, size - 1, -size)
        lowest = min([sums[end] - sums[end - size] for end in ends])
        if recent > (1.0 + least) * lowest * SURELY_BELOW:
            return True
    return False


def window_size(signals: Signals, window_steps: int = 0) -> int | None:
    """Return the blocks in a window that spans these steps; None when two do not fit."""
    return _size(signals.columns, len(signals.block_losses), window_steps)


def _size(columns: Columns, count: int, window_steps: int) -> int | None:
    """Return the same of the first so many blocks."""
    size = max(WINDOW_BLOCKS, count // WINDOW_SHARE)
    if count < 2 * size:
        return None
    if window_steps:
        span = (columns.last_steps[count - 1] - columns.first_steps[0]) / count
        size = max(size, ceil(window_steps / span)) if span else size
    return size if count >= 2 * size else None
