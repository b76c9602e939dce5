from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftdiag.sources import open_run

TABLES = {
    "a tick behind a number": """| Epoch | Train Loss | Val Loss |
| :---- | :---- | :---- |
| 1 | 3.5 | 3.0 ✓ |
| 2 | 2.5 | 2.0 **✓** |
""",
    "a cell without words": """| Epoch | Train Loss | Val Loss | Score | 備注 |
|---|---|---|---|---|
| 1 | 3.5 | 3.0 | +0.002 | |
| 2 | 2.5 | 2.0 | **+0.03** 🌟 | ← best |
""",
    "a cell that was not filled": """| Epoch | Train Loss | Val Loss | LR |
|------:|-----------:|---------:|---:|
| 1 | 3.5 | 3.0 | 0.001 |
| **2** | 2.5 | **2.0** | — |
""",
}


def losses(path: Path) -> list[tuple[Any, Any]]:
    found = [dict(row) for row in open_run(path).entries]
    return [(row.get("loss"), row.get("eval_loss")) for row in found]


@pytest.mark.parametrize("name", TABLES)
def test_tables_as_people_fill_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(TABLES[name], encoding="utf-8")
    assert losses(path) == [("3.5", "3.0"), ("2.5", "2.0")]


def test_a_table_by_iterations(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "| Iter | Val loss | Δ |\n|---|---|---|\n| 0 | 1.45 | (base) |\n| 200 | 0.7 | −0.7 |\n"
    )
    assert [(row["step"], row["eval_loss"]) for row in open_run(path).entries] == [
        (0, "1.45"),
        (200, "0.7"),
    ]


TUTORIALS = {
    "torchvision": """Epoch 0/1
----------
train Loss: 3.5000 Acc: 0.5733
val Loss: 3.0000 Acc: 0.6690

Epoch 1/1
----------
train Loss: 2.5000 Acc: 0.8822
val Loss: 2.0000 Acc: 0.7113

Training complete in 1m 2s
Best val Acc: 0.711300
""",
    "sentiment": """Epoch: 01 | Epoch Time: 0m 53s
\tTrain Loss: 3.5000 | Train Acc: 73.75%
\t Val. Loss: 3.0000 |  Val. Acc: 83.94%
Epoch: 02 | Epoch Time: 0m 42s
\tTrain Loss: 2.5000 | Train Acc: 86.10%
\t Val. Loss: 2.0000 |  Val. Acc: 90.47%
""",
}


@pytest.mark.parametrize("name", TUTORIALS)
def test_losses_below_an_epochs_heading(name: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(TUTORIALS[name])
    rows = [dict(row) for row in open_run(path).entries]
    assert losses(path) == [
        ("3.5000", None),
        (None, "3.0000"),
        ("2.5000", None),
        (None, "2.0000"),
    ]
    assert [row["step"] for row in rows] == [10, 10, 20, 20]
    assert [int(float(row["epoch"])) for row in rows] == [1, 1, 2, 2]


def test_where_steps_are_logged_a_heading_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    rows = "".join(f"step {step}: loss 2.5\n" for step in (10, 20, 30))
    path.write_text(f"Epoch 0/1\n{rows}train Loss: 9.0\nEpoch 1/1\n{rows}")
    assert {loss for loss, _ in losses(path)} == {"2.5"}
