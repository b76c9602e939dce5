"""sftdiag lengths, and recommend on measured data, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import call

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path: Path) -> Path:
    finetune.make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    rows = finetune.conversations(finetune.FAULTS["none"], 100, seed=1)
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.select([0]).to_json(tmp_path / "one.jsonl")
    (tmp_path / "empty.jsonl").touch()
    return tmp_path


def test_the_table_and_json(files: Path) -> None:
    arguments = ("lengths", files / "rows.parquet", "--tokenizer", files / "tokenizer")
    done = call(*arguments)
    assert done.returncode == 0
    assert "100 rows" in done.stdout
    assert "max_length=32" in done.stdout
    assert done.stderr == ""
    data = json.loads(call(*arguments, "--format", "json").stdout)
    assert data["rows"] == 100
    assert data["max_length"] == 32


def test_one_row_is_told_in_the_singular(files: Path) -> None:
    done = call("lengths", files / "one.jsonl", "--tokenizer", files / "tokenizer")
    assert done.stdout.startswith("1 row, ")


def test_recommend_measures_the_data(files: Path) -> None:
    done = call(
        *("recommend", "--model-size", "7B", "--format", "json"),
        *("--data", files / "rows.parquet", "--tokenizer", files / "tokenizer"),
    )
    data = json.loads(done.stdout)
    assert data["about"].startswith("100 samples")
    assert data["sft_config"]["max_length"] == 32
    assert data["sft_config"]["assistant_only_loss"] is True


@pytest.mark.parametrize(
    ("data", "tokenizer", "more", "says"),
    [
        ("rows.parquet", "none", (), "expected a tokenizer's folder, or a name"),
        ("empty.jsonl", "tokenizer", (), "holds no rows"),
        ("none.jsonl", "tokenizer", (), "no such file or folder"),
        ("rows.parquet", "tokenizer", ("--column", "body"), "expected the column body"),
    ],
)
def test_bad_input(
    files: Path, data: str, tokenizer: str, more: tuple[str, ...], says: str
) -> None:
    done = call("lengths", files / data, "--tokenizer", files / tokenizer, *more)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
