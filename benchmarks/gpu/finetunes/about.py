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


SECOND_FAULTS: Mapping[str, str] = {
    **FAULTS,
    "accumulation": "the losses of a step's four micro-batches are added, not averaged",
    "adam": "Adam's epsilon is 1",
    "answers-cut": "max_length cuts most answers",
    "answers-of-others": "each question has the answer of the next row, or of any other",
    "bf16-tiny-rate": "weights in pure bfloat16 at a rate of 1e-6",
    "clip": "max_grad_norm is 1e-10 to 1e-9 with AdamW, 1e-3 with SGD",
    "content-left-out": "the template leaves out tool calls, reasoning, or thinking in the history",
    "contradictory": "each question stands four times, with four answers",
    "duplicates": "each row stands twenty times",
    "empty-answers": "half or all of the answers are empty",
    "end-of-turn": "the end of the turn is not trained: by the labels, the template's marks, the "
    "template itself, or a collator that masks the padding",
    "eval-in-train": "the evaluation rows are among the training rows",
    "eval-distribution": "the evaluation asks about something else",
    "eval-template": "the evaluation rows are rendered in the Alpaca template",
    "learning-rate-too-high": "30 to 3000 times the twin's rate",
    "learning-rate-too-low": "a rate of 1e-7 or 1e-8",
    "mask-inverted": "the prompt is trained and the answer is not",
    "outside-optimizer": "the optimizer has the norms only",
    "overfitting": "12 to 30 epochs over 64 to 240 rows",
    "packing-wrapped": "rows are packed without boundaries",
    "padding-trained": "rows are padded by hand, and the padding is trained",
    "rate-spike": "for 5% of the run the rate is 30 times as high, by the schedule or unlogged",
    "rate-zero": "the rate is 0",
    "regularization": "a weight decay of 100, or a label smoothing of 0.9",
    "schedule-early": "the rate is 0 after 15% of the run",
    "shard-returns": "a corrupted shard that is met in each epoch",
    "unshuffled": "the rows are taken in order, the second half is about something else",
    "warmup": "the warm-up is longer than the run",
    "weights-not-loaded": "the weights are random",
    "wrong-template": "rows in the Alpaca, Vicuna or Llama 3 template",
}

SECOND_TRAPS: Mapping[str, str] = {
    **TRAPS,
    "at-its-floor": "a low rate on prose that the base knows how to continue",
    "copies": "the answer repeats the question's text: a loss near 0 from the start",
    "eval-on-start": "an evaluation before step 1",
    "high-lora-rate": "LoRA at 1e-3",
    "history-without-thinking": "the thinking is stripped from all turns but the last",
    "label-smoothing": "0.1",
    "languages": "half of the rows are translations into Chinese",
    "linear": "a linear schedule with a short warm-up",
    "long-warm-up": "half of the run is warm-up",
    "no-eval": "no evaluation set",
    "noisy-embeddings": "NEFTune",
    "one-word-answers": "few tokens are trained",
    "packed-pairs": "packed rows with thinking",
    "plateau": "2 epochs at a low, constant rate",
    "staircase": "4 epochs over 240 rows",
    "system-turn": "each row has a system turn of its own",
    "tight-clip": "max_grad_norm is 0.3",
    "tiny-eval": "6 evaluation rows",
    "tool-calls": "LoRA on calls and their results",
    "two-eval-sets": "a second evaluation set of another kind",
    "weight-decay": "0.1",
    "whole-texts": "every token is trained",
}


def of_all(names: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """Return what the names mean, as a list in Markdown."""
    return [*(f"- **{name}**: {known[name]}" for name in sorted(names)), ""]
