"""Writes an untrained model of litgpt's own, and the rows as it reads them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.utils import save_config


def main(folder: Path, vocabulary: int) -> None:
    """Write ``litgpt/``, and ``json/`` with both sets."""
    config = Config(
        name="tiny",
        block_size=256,
        vocab_size=vocabulary,
        padded_vocab_size=vocabulary,
        n_layer=3,
        n_head=4,
        n_embd=64,
        intermediate_size=128,
    )
    torch.manual_seed(0)
    there = folder / "litgpt"
    there.mkdir()
    torch.save(GPT(config).state_dict(), there / "lit_model.pth")
    save_config(config, there)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "model" / name, there / name)
    (folder / "json").mkdir()
    for name in ("train", "val"):
        lines = (folder / "data" / f"{name}.jsonl").read_text("utf-8").splitlines()
        turns = [[turn["content"] for turn in json.loads(line)["messages"]] for line in lines]
        rows = [{"instruction": asked, "output": said} for asked, said in turns]
        (folder / "json" / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
