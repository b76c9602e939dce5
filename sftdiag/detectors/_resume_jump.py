"""The training loss jumps within one record where the run was resumed, and stays up."""

from __future__ import annotations

from collections.abc import Sequence

from sftdiag.findings import Scalar
from sftdiag.records import LogRecord
from sftdiag.signals.edge import Jump
from sftdiag.signals.noise import median
from sftdiag.signals.stream import Signals

RESUMED, RESTARTED = "resumed", "restarted"
"""The variants: at a resume that is known or that the log shows; where the loss is back at its
first level, as if the run had begun again."""

ROWS = {RESUMED: 3, RESTARTED: 5}
"""Records in a row, the jump's among them, that stay up: as many as an odd batch does not have, and
more where nothing but the level says that the run was resumed."""

STAYS = 0.5
"""Share of the jump above which each of them is."""

AT_ONCE = 1.1
"""Times its first record that a jump may reach later: a blow-up goes on climbing, weights that were
not loaded are worst in the first record and learn from then on."""

LIKE_THE_START = 0.05
"""Share by which the height of a jump may miss the first loss: rows of another kind, which a model
that has learned sees for the first time, cost less than it did."""

LEARNED = 0.8
"""Share of the first loss that the level before must be below, for that to say anything."""


def resumed_at(signals: Signals, jump: Jump) -> int | None:
    """Return the step after which a known resume lies at the jump, or None."""
    context = signals.context
    known = (*(context.resumed_steps or ()), *(context.lost_state_steps or ()))
    return next((step for step in known if jump.before <= step < jump.step), None)


def back_at_the_start(signals: Signals, jump: Jump, may_miss: float = LIKE_THE_START) -> bool:
    """Return whether what was learned is gone with the jump: the loss is where the run began."""
    first = signals.first_loss
    if first is None or jump.level > LEARNED * first:
        return False
    return abs(jump.height - first) <= may_miss * first


class ResumeJump:
    """Follows the rows since the last jump."""

    def __init__(self) -> None:
        self._jump: Jump | None = None
        self._rows: list[float] = []

    def look(
        self, signals: Signals, record: LogRecord
    ) -> tuple[str, int, dict[str, Scalar]] | None:
        """Return the variant, the step before the jump and its numbers, once they are sure."""
        jump = signals.edge.jump
        if jump is None or signals.lost:
            return None
        if jump is not self._jump:
            self._jump, self._rows = jump, []
        loss = record.metrics["loss"]
        if len(self._rows) > max(ROWS.values()) or jump.highest > AT_ONCE * jump.height:
            return None
        self._rows.append(loss)
        variant = self._variant(signals, record, jump)
        if variant is None or len(self._rows) != ROWS[variant]:
            return None
        if min(self._rows) <= jump.level + STAYS * (jump.height - jump.level):
            return None
        return variant, jump.before, _numbers(jump, self._rows)

    def passes(self, signals: Signals) -> bool:
        """Return whether no row can tell more of the last jump."""
        jump = signals.edge.jump
        if jump is None:
            return True
        over = len(self._rows) > max(ROWS.values()) or jump.highest > AT_ONCE * jump.height
        return jump is self._jump and over

    def _variant(self, signals: Signals, record: LogRecord, jump: Jump) -> str | None:
        if jump.sign is not None or resumed_at(signals, jump) is not None:
            return RESUMED
        # Where token accuracy is logged, it says whether what was learned is gone: SuddenJump.
        unknown = record.get("mean_token_accuracy") is None
        return RESTARTED if unknown and back_at_the_start(signals, jump) else None


def _numbers(jump: Jump, rows: Sequence[float]) -> dict[str, Scalar]:
    return {
        "loss_lowest": jump.level,
        "loss_recent": median(rows),
        "noise": jump.noise,
        "jump_step": jump.step,
        "before_step": jump.before,
        "loss_jump": jump.height,
    }
