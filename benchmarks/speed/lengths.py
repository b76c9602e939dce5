"""How long ``sftdiag lengths`` takes beside the tokenizer alone, and how much memory it needs.

    python benchmarks/speed/lengths.py                          # 100,000 rows
    python benchmarks/speed/lengths.py --rows 1000000 --write   # and writes docs/speed_lengths.md

The rows are split over files. For each file the whole of ``sftdiag lengths`` (reading, template,
tokenizing, counting) and the tokenizer alone on the same rows, already in memory and in the same
batches, run in turn, so that a busy machine slows both alike. The tokenizer alone is timed twice:
as everybody calls it, and its compiled part without the Python lists. Peak memory is that of
fresh processes over a tenth of the rows and over all of them.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sftdiag.rows.lengths import measure_lengths
from sftdiag.rows.row_tokens import RowTokens, load_tokenizer
from sftdiag.sources.rows import BATCH, Rows
from sftdiag.tuning.lengths import count

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed_lengths.md"
FILES = 10
MOST = 1.2
"""The most that the project allows, as a multiple of the tokenizer as everybody calls it."""

MOST_MEMORY = 1.1
"""The peak over all rows as a multiple of that over a tenth of them: constant, but for noise."""

TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"


def make_tokenizer(folder: Path) -> None:
    """Write a byte-level BPE tokenizer of 8,000 tokens, trained on made-up words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words, draw = vocabulary(), random.Random(0)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((text(draw, words, 30) for _ in range(3000)), trainer)
    make: Any = PreTrainedTokenizerFast
    fast = make(tokenizer_object=bpe, eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


def vocabulary() -> list[str]:
    """Return made-up words."""
    draw = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(5000)]


def text(draw: random.Random, words: list[str], count: int) -> str:
    """Return a text of ``count`` words."""
    return " ".join(draw.choices(words, k=count))


def write_rows(folder: Path, rows: int, *, chat: bool) -> list[Path]:
    """Write short rows over several files."""
    words, draw = vocabulary(), random.Random(2)
    paths = []
    for number in range(FILES):
        path = folder / f"{number}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for _ in range(rows // FILES):
                question, answer = (text(draw, words, draw.randint(3, 20)) for _ in range(2))
                row: dict[str, Any] = {"text": f"{question} {answer}"}
                if chat:
                    turns = (("user", question), ("assistant", answer))
                    row = {"messages": [{"role": role, "content": said} for role, said in turns]}
                file.write(json.dumps(row) + "\n")
        paths.append(path)
    return paths


def tokenize_alone(path: Path, tokenizer: Any, *, compiled: bool) -> float:
    """Return the seconds that the tokenizer takes for the rows of a file, read before."""
    backend = tokenizer.backend_tokenizer
    seconds = 0.0
    for rows in Rows(path).batches(BATCH):
        chat = "messages" in rows[0]
        values = [row["messages"] if chat else row["text"] for row in rows]
        start = time.perf_counter()
        if chat and not compiled:
            tokenizer.apply_chat_template(values, tokenize=True, return_dict=True)
        elif compiled:
            texts = tokenizer.apply_chat_template(values, tokenize=False) if chat else values
            backend.encode_batch_fast(texts, add_special_tokens=not chat)
        else:
            tokenizer(values)
        seconds += time.perf_counter() - start
    return seconds


def everything(path: Path, tokenizer: Any) -> float:
    """Return the seconds from the file to the distribution of its lengths.

    Loading the tokenizer is not among them: it takes the same for one row and for a million.
    """
    start = time.perf_counter()
    tokens = RowTokens(tokenizer, "tokenizer", str(path))
    count(tokens.lengths(rows) for rows in Rows(path).batches())
    return time.perf_counter() - start


def ratios(paths: list[Path], folder: Path) -> tuple[list[float], list[float]]:
    """Return, for each file, the time of it all over the two times of the tokenizer."""
    ours, theirs = (load_tokenizer(str(folder)) for _ in range(2))
    called, compiled = [], []
    for path in paths:
        whole = everything(path, ours)
        called.append(whole / tokenize_alone(path, theirs, compiled=False))
        compiled.append(whole / tokenize_alone(path, theirs, compiled=True))
    return called, compiled


def peak_memory(data: Path, folder: Path) -> float:
    """Return the peak memory of a fresh process that measures the rows, in MiB."""
    command = [sys.executable, __file__, "--measure", str(data), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    """Print the tables; return 1 when a limit of the project is missed."""
    parser = argparse.ArgumentParser(description="Times sftdiag lengths.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="write docs/speed_lengths.md too")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_lengths(*options.measure)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    lines = [
        f"{options.rows:,} short rows of JSON lines, in {FILES} files; medians over the files.\n",
        "| rows | all of it / tokenizer as called | at most | all of it / its compiled part "
        "| peak memory, a tenth of the rows | all rows |",
        "|---|---|---|---|---|---|",
    ]
    missed = False
    with tempfile.TemporaryDirectory() as place:
        tokenizer = Path(place) / "tokenizer"
        make_tokenizer(tokenizer)
        for chat in (False, True):
            folder = Path(place) / ("chat" if chat else "text")
            folder.mkdir()
            paths = write_rows(folder, options.rows, chat=chat)
            called, compiled = (statistics.median(r) for r in ratios(paths, tokenizer))
            tenth, whole = peak_memory(paths[0], tokenizer), peak_memory(folder, tokenizer)
            missed |= called > MOST or whole > MOST_MEMORY * tenth
            lines.append(
                f"| {'messages' if chat else 'text'} | {called:.2f} | {MOST} | {compiled:.2f} "
                f"| {tenth:.0f} MiB | {whole:.0f} MiB |"
            )
    table = "\n".join(lines)
    print(table)
    if options.write:
        command = f"python benchmarks/speed/lengths.py --rows {options.rows} --write"
        DOCS.write_text(f"# Speed of `sftdiag lengths`\n\nPrinted by `{command}`.\n\n{table}\n")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
