"""The runs of the second base. Fixed before the first scored run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.gpu.finetunes.smollm2.specs import Tune

FULL = Tune()
LORA = replace(FULL, method="lora", learning_rate=5e-4)
PAIRS = replace(FULL, form="pairs", source="python")
CHINESE = replace(LORA, form="pairs", source="commands", rows=500, epochs=2)
TRANSLATION = replace(FULL, source="translation", rows=700)
TOKENS = replace(FULL, form="tokens")
PACKED = replace(FULL, form="packed", rows=2400, batch=2)
PLAIN = replace(FULL, form="plain", source="handbook", rows=800, logging_steps=1)
TOOLS = replace(FULL, source="tools", rows=800, eval_steps=10)
THINKING = replace(FULL, source="thinking", rows=800, eval_steps=10)
THINKING_TURNS = replace(THINKING, turns=2)
TURNS = replace(FULL, turns=3, rows=600, batch=4)
TEXT = replace(LORA, form="text", source="handbook", rows=800)
FEW = replace(FULL, rows=64, epochs=4, eval_steps=4, logging_steps=1)
SMALL = replace(FULL, rows=240, epochs=3, eval_steps=10)
SMALL_LORA = replace(LORA, rows=240, epochs=3, eval_steps=10)
SMALL_CHINESE = replace(CHINESE, rows=120, epochs=4, eval_steps=6)
SGD = replace(FULL, optim="sgd", learning_rate=0.1)
TWINS: tuple[tuple[Tune, int], ...] = (
    (FULL, 4),
    (LORA, 4),
    (PAIRS, 3),
    (CHINESE, 3),
    (TRANSLATION, 2),
    (TOKENS, 3),
    (PACKED, 3),
    (PLAIN, 2),
    (TOOLS, 3),
    (THINKING, 2),
    (THINKING_TURNS, 2),
    (TURNS, 2),
    (TEXT, 2),
    (FEW, 2),
    (SMALL, 3),
    (SMALL_LORA, 2),
    (SMALL_CHINESE, 2),
    (SGD, 2),
)
"""Plain healthy runs, and how many seeds of each: at least two where a fault has them as twins."""

MORE_LOGS = {0: 2, 1: 1, 2: 5, 3: 10}
"""Steps between two log rows, by seed."""


def _more(spec: Tune, **more: Any) -> Tune:
    return replace(spec, more=(*spec.more, *more.items()))


def _traps() -> Iterator[tuple[str, Tune, int]]:
    """Yield healthy runs that look odd, and how many seeds of each."""
    yield "copies", replace(FULL, source="copies", rows=640, eval_steps=10), 3
    yield "at-its-floor", replace(TEXT, learning_rate=2e-5), 2
    yield "at-its-floor", replace(TEXT, method="full", learning_rate=1e-5, form="plain"), 1
    yield "one-word-answers", replace(FULL, source="kinds"), 2
    yield "one-word-answers", replace(LORA, source="kinds", form="pairs"), 1
    yield "long-warm-up", replace(FULL, warmup=0.5), 2
    yield "two-eval-sets", replace(FULL, others=("python",)), 2
    yield "two-eval-sets", replace(CHINESE, others=("words",)), 1
    yield "tiny-eval", replace(FULL, eval_rows=6, eval_steps=5), 2
    yield "no-eval", replace(FULL, eval_rows=0), 1
    yield "no-eval", replace(CHINESE, eval_rows=0), 1
    yield "batch-1", replace(FULL, batch=1, rows=200, learning_rate=2e-5, eval_steps=20), 2
    yield "accumulation", replace(FULL, batch=2, accumulation=4), 2
    yield "constant", replace(FULL, scheduler="constant_with_warmup"), 2
    yield "restarts", replace(FULL, scheduler="cosine_with_restarts"), 1
    yield "linear", replace(PAIRS, scheduler="linear", warmup=0.03), 1
    yield "resumed", replace(FULL, onset=0.5), 1
    yield "resumed", replace(LORA, onset=0.5), 1
    yield "length-grouping", replace(TRANSLATION, grouped=True, logging_steps=1), 2
    yield "gentle", replace(FULL, learning_rate=2e-5), 2
    yield "gentle", replace(LORA, learning_rate=1e-4), 1
    yield "high-lora-rate", replace(LORA, learning_rate=1e-3), 2
    yield "staircase", replace(SMALL, epochs=4, learning_rate=5e-5), 2
    plateau = replace(FULL, epochs=2, learning_rate=1e-5, scheduler="constant")
    yield "plateau", plateau, 1
    yield "history-without-thinking", replace(THINKING_TURNS, kind="stripped"), 2
    yield "tool-calls", replace(TOOLS, method="lora", learning_rate=5e-4), 2
    yield "languages", replace(FULL, kind="mixed", eval_source="words"), 2
    yield "label-smoothing", _more(FULL, label_smoothing_factor=0.1), 1
    yield "noisy-embeddings", _more(LORA, neftune_noise_alpha=5), 1
    yield "tight-clip", _more(FULL, max_grad_norm=0.3), 1
    yield "weight-decay", _more(FULL, weight_decay=0.1), 1
    yield "eval-on-start", _more(PAIRS, eval_on_start=True), 1
    yield "packed-pairs", replace(PACKED, source="thinking", form="packed", rows=1500), 2
    yield (
        "whole-texts",
        replace(TEXT, method="full", learning_rate=5e-5, source="words", rows=1000),
        1,
    )
    yield "system-turn", replace(FULL, kind="system"), 2


def healthy() -> Iterator[Tune]:
    """Yield the healthy runs: twins of the faulty ones by seed, and traps."""
    for spec, seeds in TWINS:
        for seed in range(seeds):
            yield replace(spec, seed=seed, logging_steps=MORE_LOGS[seed])
    for trap, spec, seeds in _traps():
        for seed in range(seeds):
            yield replace(spec, trap=trap, seed=seed)


def _early() -> Iterator[Tune]:
    """Yield the runs whose rows, labels or template are at fault."""
    for fault, kind, specs in (
        ("mask-inverted", "", (TOKENS, replace(LORA, form="tokens"))),
        ("end-of-turn", "labels", (TOKENS,)),
        ("end-of-turn", "marks", (FULL, LORA)),
        ("end-of-turn", "template", (PAIRS, TURNS)),
        ("end-of-turn", "collator", (TOKENS,)),
        ("wrong-template", "alpaca", (TOKENS,)),
        ("wrong-template", "vicuna", (TOKENS,)),
        ("wrong-template", "llama-3", (TOKENS,)),
        ("answers-of-others", "neighbour", (FULL, CHINESE, PAIRS)),
        ("answers-of-others", "shuffled", (FULL, LORA, TOKENS)),
        ("empty-answers", "half", (FULL, PAIRS)),
        ("empty-answers", "all", (FULL,)),
        ("eval-in-train", "", (FULL, CHINESE, PAIRS)),
        ("padding-trained", "rows", (TOKENS,)),
        ("padding-trained", "collator", (TOKENS,)),
        ("contradictory", "", (FULL, PAIRS)),
        ("duplicates", "", (FULL, CHINESE)),
        ("content-left-out", "calls", (TOOLS,)),
        ("content-left-out", "reasoning", (THINKING,)),
        ("content-left-out", "history", (THINKING_TURNS,)),
        ("answers-cut", "", (PLAIN, THINKING)),
        ("eval-template", "", (FULL, LORA)),
        ("misaligned", "", (TOKENS, replace(LORA, form="tokens"))),
        ("all-masked", "", (FULL, PAIRS)),
        ("prompt-trained", "", (FULL, PAIRS)),
    ):
        for at, spec in enumerate(specs):
            yield replace(spec, fault=fault, kind=kind, seed=at)
    yield replace(FULL, fault="eval-distribution", eval_source="python")
    yield replace(CHINESE, fault="eval-distribution", eval_source="words")
    yield replace(PACKED, fault="packing-wrapped", more=(("packing_strategy", "wrapped"),))


def _settings() -> Iterator[Tune]:
    """Yield the runs whose settings or weights are at fault."""
    for fault, specs in (
        ("weights-not-loaded", (FULL, LORA, PAIRS)),
        ("lora-no-gradient", (LORA, CHINESE)),
        ("frozen", (FULL, PAIRS)),
        ("fp16", (FULL,)),
        ("outside-optimizer", (FULL,)),
        ("schedule-early", (FULL, PAIRS)),
    ):
        for at, spec in enumerate(specs):
            yield replace(spec, fault=fault, seed=at)
    for spec in (FULL, replace(PAIRS, seed=1)):
        yield replace(spec, fault="bf16-tiny-rate", learning_rate=1e-6)
    for at, (spec, norm) in enumerate(((FULL, 1e-9), (PAIRS, 1e-10), (SGD, 1e-3))):
        yield replace(_more(spec, max_grad_norm=norm), fault="clip", seed=at % 2)
    for at, spec in enumerate((FULL, LORA, PAIRS)):
        yield replace(spec, fault="accumulation", batch=2, accumulation=4, seed=at)
    yield replace(_more(FULL, adam_epsilon=1.0), fault="adam")
    yield replace(_more(FULL, weight_decay=100.0), fault="regularization", kind="decay")
    smooth = _more(LORA, label_smoothing_factor=0.9)
    yield replace(smooth, fault="regularization", kind="smoothing")
    yield replace(FULL, fault="warmup", warmup=1500)
    for spec in (FULL, LORA):
        yield replace(spec, fault="rate-zero", learning_rate=0.0)
    for spec, rate in ((FULL, 1e-8), (PAIRS, 1e-7), (LORA, 1e-8), (CHINESE, 1e-7)):
        yield replace(spec, fault="learning-rate-too-low", learning_rate=rate)
    for spec, rate in (
        (FULL, 3e-3),
        (FULL, 0.03),
        (FULL, 0.3),
        (PAIRS, 0.01),
        (LORA, 0.1),
        (CHINESE, 0.05),
        (SGD, 30.0),
    ):
        yield replace(spec, fault="learning-rate-too-high", learning_rate=rate)


def _later() -> Iterator[Tune]:
    """Yield the runs whose fault begins later."""
    for rows, epochs in ((64, 30), (240, 12)):
        for seed in range(2):
            spec = replace(FULL, rows=rows, epochs=epochs, seed=seed, learning_rate=2e-4)
            yield replace(spec, fault="overfitting", eval_steps=rows // 8, onset=0.1)
    yield replace(SMALL_LORA, fault="overfitting", epochs=12, learning_rate=1e-3, onset=0.1)
    yield replace(SMALL_CHINESE, fault="overfitting", epochs=20, learning_rate=1e-3, onset=0.1)
    for at, spec in enumerate((FULL, PAIRS)):
        yield replace(spec, fault="rate-spike", kind="schedule", seed=at, onset=0.6)
    for at, spec in enumerate((FULL, LORA)):
        yield replace(spec, fault="rate-spike", kind="hidden", seed=at, onset=0.6)
    for seed in range(2):
        yield replace(FULL, fault="corrupted-shard", seed=seed, ordered=True, onset=0.4)
    for spec in (SMALL, replace(FULL, epochs=2), replace(PAIRS, epochs=2)):
        yield replace(spec, fault="shard-returns", ordered=True, onset=0.4)
    for spec in (FULL, PAIRS):
        other = "commands" if spec is FULL else "words"
        yield replace(spec, fault="unshuffled", kind=other, ordered=True, onset=0.5)
        yield replace(spec, fault="lost-optimizer", onset=0.5)


def faulty() -> Iterator[Tune]:
    """Yield the runs with a fault."""
    yield from _early()
    yield from _settings()
    yield from _later()


def matrix() -> list[Tune]:
    """Return all runs, healthy and faulty in turn, so that any slice has both."""
    left, right = list(healthy()), list(faulty())
    mixed = [spec for pair in zip(left, right, strict=False) for spec in pair]
    short = min(len(left), len(right))
    return mixed + left[short:] + right[short:]
