"""The rows that a step is said to be made of are those that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import sftdiag

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")


def tokens(batch: Any) -> list[list[int]]:
    """Return a batch's rows as they were before padding; a packed batch as one."""
    if "attention_mask" not in batch:
        return [batch["input_ids"].flatten().tolist()]
    pairs = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True)
    return [[token for token, here in zip(*pair, strict=True) if here] for pair in pairs]


def flat(rows: list[list[int]]) -> list[int]:
    return [token for row in rows for token in row]


def watch(trainer: Any, resume_from: str | None = None) -> Iterator[tuple[Any, Any]]:
    """Train; yield for each step what the trainer saw and what the row log says of it."""
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


def check(
    trainer: Any, *, steps: int, resume_from: str | None = None, packed: bool = False
) -> None:
    count = 0
    for rows, said in watch(trainer, resume_from):
        held = [trainer.train_dataset[i]["input_ids"] for i in said.rows]
        assert (flat(held) if packed else held) == (flat(rows) if packed else rows)
        count += 1
    assert count == steps


@pytest.mark.parametrize(("accumulated", "workers"), list(product((1, 4), (0, 2))))
def test_over_accumulation_and_workers(accumulated: int, workers: int, tmp_path: Path) -> None:
    """Also over the end of an epoch, whose last step has fewer batches."""
    trainer = finetune.make_trainer(
        *("none", tmp_path),
        max_steps=9,
        per_device_train_batch_size=640 // 7 // accumulated,
        gradient_accumulation_steps=accumulated,
        dataloader_num_workers=workers,
        eval_strategy="no",
    )
    check(trainer, steps=9)


@pytest.mark.parametrize("accumulated", [1, 3])
def test_resumed_in_mid_epoch(accumulated: int, tmp_path: Path) -> None:
    chosen = {
        "max_steps": 8,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": accumulated,
        "save_strategy": "steps",
        "save_steps": 5,
        "eval_strategy": "no",
    }
    finetune.make_trainer("none", tmp_path, **chosen).train()
    trainer = finetune.make_trainer("none", tmp_path, **chosen)
    check(trainer, steps=3, resume_from=str(tmp_path / "checkpoint-5"))


@pytest.mark.parametrize("sampling", ["random", "group_by_length", "sequential"])
def test_packed_rows_and_other_orders(sampling: str, tmp_path: Path) -> None:
    packed = sampling == "sequential"
    trainer = finetune.make_trainer(
        *("none", tmp_path),
        max_steps=5,
        per_device_train_batch_size=4,
        train_sampling_strategy=sampling,
        packing=packed,
        max_length=64 if packed else None,
        eval_strategy="no",
    )
    check(trainer, steps=5, packed=packed)


def test_a_stream_is_told_by_its_places(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("none", tmp_path, max_steps=6, eval_strategy="no")
    rows = [dict(row) for row in trainer.train_dataset]
    trainer.train_dataset = trainer.train_dataset.to_iterable_dataset()
    steps = list(watch(trainer))
    assert len(steps) == 6
    for seen, said in steps:
        assert said.stream
        assert [rows[i]["input_ids"] for i in said.rows] == seen
