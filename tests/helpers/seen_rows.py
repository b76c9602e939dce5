"""What a trainer is trained on at each step, beside what the row log says of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def tokens(batch: Any) -> list[list[int]]:
    """Return a batch's rows as they were before padding; a packed batch as one."""
    if "attention_mask" not in batch:
        return [batch["input_ids"].flatten().tolist()]
    pairs = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True)
    return [[token for token, here in zip(*pair, strict=True) if here] for pair in pairs]


def flat(rows: list[list[int]]) -> list[int]:
    """Return rows as one."""
    return [token for row in rows for token in row]


def watch(trainer: Any, resume_from: str | None = None) -> Iterator[tuple[Any, Any]]:
    """Train; yield for each step what the trainer saw and what the row log says of it."""
    import sftdiag

    seen: dict[int, list[list[int]]] = {}
    train = trainer.training_step

    def training_step(model: Any, inputs: Any, *args: Any) -> Any:
        seen.setdefault(trainer.state.global_step + 1, []).extend(tokens(inputs))
        return train(model, inputs, *args)

    trainer.training_step = training_step
    callback = sftdiag.attach(trainer)
    log = callback.steps.rows  # type: ignore[union-attr]
    known: dict[int, Any] = {}
    stepped = log.stepped

    def note(step: int, epoch: float | None, batches: int) -> None:
        stepped(step, epoch, batches)
        known.update({rows.step: rows for rows in log.of([step])})

    log.stepped = note  # type: ignore[method-assign]
    trainer.train(resume_from_checkpoint=resume_from)
    assert vars(trainer)["training_step"] is training_step
    for step, rows in seen.items():
        yield rows, known[step]
