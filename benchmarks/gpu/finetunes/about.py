"""What the names of the matrix's faults and traps mean, for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FAULTS: Mapping[str, str] = {
    "all-masked": "the collator masks every label",
    "answers-of-others": "each question has the answer of the next row",
    "corrupted-shard": "the answers' characters are scrambled in 15% of the rows, taken in order",
    "end-of-turn": "the chat template leaves the end of the turn untrained",
    "eval-distribution": "the evaluation asks about Python, the training about words",
    "eval-template": "the evaluation rows are rendered with another template",
    "fp16": "the weights are float16, without mixed precision",
    "frozen": "only the last norm is trained",
    "late-rise": "8 epochs over 4000 rows at 1.5 times the rate",
    "learning-rate-too-high": "5 to 5000 times the twin's rate with AdamW, 10 to 3000 times with "
    "SGD; with batches of one, the rate of batches of 16",
    "learning-rate-too-low": "a rate of 1e-6, 1e-7 or 1e-8",
    "lora-no-gradient": "the adapter's gradients are 0",
    "lost-optimizer": "resumed at half of the run without optimizer and schedule",
    "misaligned": "the labels stand one token off",
    "overfitting": "many epochs over 64 to 1000 rows",
    "prompt-trained": "the questions are trained on, too",
    "unshuffled": "the rows are taken in order, the second half asks about Python",
}

TRAPS: Mapping[str, str] = {
    "plain": "the faulty runs' twins, of all sizes",
    "accumulation": "4 batches of 4 a step",
    "batch-1": "batches of one",
    "constant": "the rate stays constant after its warm-up",
    "gentle": "half the rate",
    "length-grouping": "batches of rows of like length",
    "one-epoch-slow": "one epoch at a low rate",
    "plateau": "4 epochs at a low, constant rate",
    "python": "questions about Python",
    "restarts": "a cosine schedule with a restart",
    "resumed": "resumed at half of the run, with optimizer and schedule",
    "staircase": "4 epochs over 1000 rows",
    "tiny-eval": "8 evaluation rows",
}


def of_all(names: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """Return what the names mean, as a list in Markdown."""
    return [*(f"- **{name}**: {known[name]}" for name in sorted(names)), ""]
