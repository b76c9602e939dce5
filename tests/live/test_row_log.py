"""The rows that a step is said to be made of are those that it was trained on."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from launch import HELPERS, LAUNCH
from seen_rows import flat, watch

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")


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


EVERY_KIND = ["-".join(map(str, kind)) for kind in product((1, 4), (0, 2), (0, 1))]
"""Batches accumulated, workers, packed or not; see tests/helpers/two_ranks_rows.py."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "kinds", [["4-0-1"], pytest.param(EVERY_KIND, marks=pytest.mark.acceptance)]
)
def test_each_of_two_ranks_knows_its_own(kinds: list[str], tmp_path: Path) -> None:
    """Over the end of an epoch, and resumed in the middle of the first and of the second."""
    command = (*LAUNCH, HELPERS / "two_ranks_rows.py", tmp_path, *kinds)
    done = subprocess.run(command, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{n}.json").read_text()) for n in (0, 1))
    assert [*first] == [*second] == [f"{kind} from {n}" for kind in kinds for n in (0, 5, 10)]
    for name, begun in first.items():
        ranks = begun["steps"], second[name]["steps"]
        resumed_from = int(name.split()[-1])
        for rank, steps in enumerate(ranks):
            assert [*map(int, steps)] == list(range(resumed_from + 1, 13)), name
            assert all(step["rank"] == rank and step["tokens"] for step in steps.values())
            assert all(step["same"] for step in steps.values()), (name, rank)
        # The batches at an epoch's end begin again with its first rows; all others are of one.
        for step in {"1", "2", "6", "11", "12"} & ranks[0].keys():
            assert not {*ranks[0][step]["rows"]} & {*ranks[1][step]["rows"]}, (name, step)
        if not resumed_from:
            epoch = [row for steps in ranks for n in range(1, 8) for row in steps[str(n)]["rows"]]
            assert {*epoch} == set(range(begun["rows"])), name
