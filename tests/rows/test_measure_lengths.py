"""Lengths of real rows: the ones that TRL trains on, from every kind of row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftdiag.errors import SourceError

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

from sftdiag.rows.lengths import measure_lengths  # noqa: E402
from sftdiag.rows.row_tokens import RowTokens, load_tokenizer  # noqa: E402

pytestmark = pytest.mark.slow

CHAT = [row["messages"] for row in finetune.conversations(finetune.FAULTS["none"], 40, seed=1)]
TEXTS = [" ".join(turn["content"] for turn in chat) for chat in CHAT]
SHAPES = {
    "messages": [{"messages": chat} for chat in CHAT],
    "conversations": [
        {"conversations": [{"from": m["role"], "value": m["content"]} for m in chat]}
        for chat in CHAT
    ],
    "text": [{"text": text} for text in TEXTS],
    "text-with-eos": [{"text": f"{text} <|end|>"} for text in TEXTS],
    "prompt-completion": [
        {"prompt": chat[0]["content"], "completion": " " + chat[1]["content"]} for chat in CHAT
    ],
    "prompt-completion-messages": [{"prompt": c[:1], "completion": c[1:]} for c in CHAT],
    "ids": [{"input_ids": list(range(4, 4 + n % 7 + 1))} for n in range(40)],
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    finetune.make_tokenizer().save_pretrained(folder)
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_the_lengths_are_those_of_trl(shape: str, tmp_path: Path, tokenizer_folder: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = load_tokenizer(str(tokenizer_folder))
    trainer = SFTTrainer(
        model=finetune.make_model(tokenizer),
        args=SFTConfig(str(tmp_path), max_length=None, bf16=False, use_cpu=True, report_to="none"),
        train_dataset=Dataset.from_list(SHAPES[shape]),
        processing_class=tokenizer,
    )
    wanted = [len(row["input_ids"]) for row in trainer.train_dataset]
    mine = load_tokenizer(str(tokenizer_folder))
    assert RowTokens(mine, "tokenizer", "data").lengths(SHAPES[shape]) == wanted


def test_a_saved_tokenizer_that_truncates_and_pads(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    rows = [{"text": "red blue green black"}]
    assert RowTokens(tokenizer, "tokenizer", "data").lengths(rows) == [5]  # and EOS


def test_tools_and_template_arguments_reach_the_template(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }} {% endfor %}{% if tools %}red red {% endif %}"
        "{% if think %}blue {% endif %}"
    )
    chat = [{"role": "user", "content": "cat", "tool_calls": None}]
    rows = [
        {"messages": chat},
        {"messages": chat, "tools": [{"type": "function"}]},
        {"messages": chat, "tools": '[{"type": "function"}]'},
        {"messages": chat, "chat_template_kwargs": {"think": True}},
    ]
    assert RowTokens(tokenizer, "tokenizer", "data").lengths(rows) == [1, 3, 3, 2]


def test_measure_a_file(tmp_path: Path, tokenizer_folder: Path) -> None:
    shares: list[float] = []
    path = write(tmp_path / "rows.jsonl", SHAPES["messages"] * 60)
    found = measure_lengths(path, tokenizer_folder, progress=shares.append)
    assert found.rows == 2400
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("rows", "column", "says"),
    [
        ([], None, "holds no rows"),
        (
            [{"text": "red"}, {"words": "red"}],
            None,
            "row 2: expected one of the columns text, messages",
        ),
        ([{"text": "red"}], "body", "row 1: expected the column body; the columns are text"),
        ([{"text": 3}], None, "row 1: expected one of the columns"),
        ([{"prompt": "red", "completion": None}], None, "row 1: expected one of the columns"),
    ],
)
def test_bad_data_is_one_line(
    rows: list[dict[str, Any]],
    column: str | None,
    says: str,
    tmp_path: Path,
    tokenizer_folder: Path,
) -> None:
    path = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(SourceError, match=says) as caught:
        measure_lengths(path, tokenizer_folder, column=column)
    assert str(caught.value).startswith(str(path))


def test_bad_tokenizers_are_one_line(tmp_path: Path, tokenizer_folder: Path) -> None:
    path = write(tmp_path / "rows.jsonl", SHAPES["messages"])
    with pytest.raises(SourceError, match="expected a tokenizer's folder, or a name") as caught:
        measure_lengths(path, tmp_path)
    assert str(caught.value).endswith("; this folder holds none")
    tokenizer = load_tokenizer(str(tokenizer_folder))
    for template, says in (
        (None, "has no chat template"),
        ("{{ raise_exception('roles must alternate') }}", "refuses one of rows 1 to 40: roles"),
    ):
        tokenizer.chat_template = template
        with pytest.raises(SourceError, match=says):
            RowTokens(tokenizer, "tokenizer", "data").lengths(SHAPES["messages"])
