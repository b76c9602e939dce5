"""The guide, row by row, with what sftdiag does with it: docs/generate.py writes docs/guide.md.

Ranges and their sources are those of sftdiag/ranges.py, so that page and code cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sftdiag import ranges
from sftdiag.ranges import Range
from sftdiag.tuning.numbers import number

Rows = Iterable[Sequence[str]]


def page() -> str:
    """Return the page below its note."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (
        "# The guide",
        "",
        (
            'The causes and fixes that sftdiag knows begin with a course page, "SFT '
            '超参数实践指南" (a practical'
        ),
        (
            "guide to the hyperparameters of supervised fine-tuning). Below is every row of "
            "it, what newer work"
        ),
        (
            "says beside it, and what sftdiag does with it. A range alone never makes an "
            "error: it says where"
        ),
        "others trained, and the run's own curves say whether that matters here.",
        "",
    )
    yield from _settings()
    yield from _symptoms()
    yield from _curves()
    yield from _search()


def _settings() -> Iterator[str]:
    yield from ("## Learning rate 学习率", "")
    yield (
        "The most sensitive of all. Too large forgets what was known before (灾难性遗忘), too small"
    )
    yield "learns too little (欠拟合). Smaller is safer for a full fine-tune."
    yield ""
    yield from _ranges({name: ranges.LEARNING_RATE[name] for name in ("full", "lora", "qlora")})
    yield from _does(
        "SFT501 holds the rate against the method's ranges, both told with their source, as a note "
        f"or a warning; at 0, or from {ranges.ANY_LEARNING_RATE:g} on with Adam, it is more than a "
        "note, in models of any size.",
        "A curve that stands still, swings or blows up is SFT101, SFT103 or SFT104, with "
        "the rate as a "
        "cause where the run's numbers speak for it, and the new rate in the run's own numbers.",
        f"`recommend` begins at {number(ranges.USUAL_LEARNING_RATE['full'])} for full fine-tunes "
        f"and {number(ranges.USUAL_LEARNING_RATE['qlora'])} for adapters, by size and batch.",
    )
    yield from ("### Schedule and warm-up", "")
    yield "Linear from 0 to the peak over the warm-up, then a cosine down:"
    yield ""
    yield (
        "```\nrate(t) = low + (peak - low) / 2 * (1 + cos(pi * (t - warm-up) / (total - "
        "warm-up)))\n```"
    )
    yield ""
    yield from _ranges({"warm-up, share of the steps": ranges.WARMUP})
    yield from _does(
        "SFT508 sees a warm-up that takes much of the run, in a log alone SFT118, SFT513 a "
        "schedule that ends before it, "
        "SFT110 one that begins anew in mid-run, SFT116 a rate that leaves it upwards.",
        "A rise of the evaluation loss (SFT201) becomes an error only where the rest of the decay "
        "could not take it back.",
    )
    yield from ("## Batch size 批量大小", "")
    yield "Effective batch = rows a device × gradient accumulation × devices."
    yield ""
    yield from _table(
        ("effective batch", "effect", "for"),
        (
            ("4-8", "noisy gradients, unstable", "not recommended"),
            ("16-32", "stable, good", f"the usual: 4 × 8 = {ranges.USUAL_BATCH} on one GPU"),
            ("64-128", "very stable, may need a larger rate", "much data"),
        ),
    )
    yield from _ranges(ranges.EFFECTIVE_BATCH)
    yield from _does(
        "SFT502 says where the effective batch lies outside, as a note or a warning.",
        "Short of memory, `recommend` raises the accumulation before it shrinks the batch.",
    )
    yield from ("## Epochs 训练轮数", "")
    low, middle, much = ranges.EPOCHS
    yield from _table(
        ("samples", "epochs", "note"),
        (
            (f"< {middle.from_samples:,}", _span(low.epochs), "little data"),
            (
                f"{middle.from_samples:,}-{much.from_samples - 1:,}",
                _span(middle.epochs),
                "the usual case",
            ),
            (f"> {much.from_samples - 1:,}", _span(much.epochs), "enough data"),
        ),
    )
    yield (
        f"With good data {_span(ranges.HIGH_QUALITY_EPOCHS)} are best. Beyond "
        f"{ranges.MOST_EPOCHS} nearly every"
    )
    yield (
        "run overfits: the train loss falls while the evaluation loss rises, outputs become "
        "uniform, new"
    )
    yield "tasks get worse."
    yield ""
    yield from _ranges({"epochs, newer work": ranges.NEWER_EPOCHS})
    yield from _does(
        "SFT503 holds the epochs against the samples before step 1.",
        "SFT201 sees the evaluation loss turn up and names the epoch of the best evaluation as the "
        "number to plan; SFT202 sees rows learned by heart where nothing is evaluated.",
    )
    yield from ("## Sequence length 序列长度", "")
    yield "The memory of attention grows as batch × length squared."
    yield ""
    yield from _table(
        ("length", "memory", "for"),
        (
            ("512", "low", "short, single turns"),
            ("1024-2048", "medium", "the usual, several turns"),
            ("4096", "high", "long documents"),
            ("8192 and more", "very high", "with Flash Attention only"),
        ),
    )
    cover = ranges.COVERAGE
    yield (
        f"Measure the tokens of the samples and cover {cover.low:.0%} to {cover.high:.0%} of "
        "them: the 95th"
    )
    yield "percentile, rounded up to a power of two. What is longer is cut."
    yield ""
    yield from _does(
        "`sftdiag lengths` measures them through the tokenizer and its template, and says "
        "what each "
        "length holds, cuts and costs.",
        "SFT415 sees a length that covers too few rows, SFT408 answers that are cut off, "
        "SFT403 rows "
        "that were dropped for it.",
    )
    yield from ("## LoRA", "")
    yield from _table(
        ("parameter", "value", "effect", "sftdiag"),
        (
            ("rank r", f"16-64, begin at {ranges.USUAL_RANK}", "capacity", "SFT504"),
            ("alpha", "2 × r", "scale: the update is (alpha / r) B A", "SFT505"),
            ("target modules", "all linear layers", "wider is better", "SFT506"),
            ("dropout", "0.05-0.1, more with little data", "against overfitting", "SFT507"),
        ),
    )
    yield from _ranges(
        {
            "rank": ranges.LORA_RANK,
            "alpha / r": ranges.ALPHA_OVER_RANK,
            "dropout": ranges.LORA_DROPOUT,
        }
    )
    yield from _table(
        ("preset", "for", "r", "alpha", "dropout", "modules", "rate", "epochs"),
        (
            (
                "conservative 保守",
                "< 5K samples, < 3B, a first try",
                "16",
                "32",
                "0.1",
                "q, v",
                "1e-5",
                "3",
            ),
            (
                "standard 标准",
                "5K-50K, 3B-8B",
                "32",
                "64",
                "0.05",
                "q k v o gate up down",
                "2e-5",
                "1-2",
            ),
            ("aggressive 激进", "> 50K, ample compute", "64", "128", "0", "all seven", "5e-5", "1"),
        ),
    )
    yield from _does(
        "`recommend` prints the preset that fits and what it changes of it, each with its source.",
        "A rank that is too large is a cause of forgetting (SFT302): 64 to 32 to 16.",
    )
    yield from ("## The full template 完整配置", "")
    yield from _table(
        ("setting", "value", "sftdiag"),
        (
            ("epochs", "1", "SFT503"),
            ("rows a device, train and evaluation", "4", "SFT502"),
            ("gradient accumulation", "8 (32 in all)", "SFT502, SFT518"),
            ("learning rate", "2e-5; QLoRA 2e-4", "SFT501"),
            ("schedule", "cosine, warm-up 0.1", "SFT508, SFT513"),
            ("weight decay", "0.01", "SFT511"),
            ("bf16", "on", "SFT509"),
            ("gradient checkpointing", "on, `use_reentrant` false", "SFT516"),
            ("length", "2048", "SFT415"),
            ("text field", "`text`", "SFT424, SFT426 (what no one reads)"),
            ("packing", "off; throughput, with care", "SFT412"),
            (
                "logging, evaluation, saving",
                "every 10, 100, 200 steps, 3 kept",
                "what has no evaluation is named as not judged",
            ),
            ("best model at the end", "by eval_loss", "SFT517"),
            ("report to", "wandb or none", "alerts go where `report_to` names"),
            ("seed", "42", "`compare` counts what another seed explains as noise"),
        ),
    )
    yield from _does("`recommend` writes it with today's names of TRL, as Python, YAML or JSON.")


SYMPTOMS = (
    (
        "train loss does not fall 训练损失不下降",
        "learning rate too small",
        "raise it, 2e-5 to 5e-5",
        "SFT101",
    ),
    (
        "",
        "wrong data format",
        "check chat template and mask",
        "SFT101, SFT107, SFT108, SFT401, SFT404, SFT410, SFT419",
    ),
    (
        "",
        "vanishing gradient",
        "check the quantization config, use BF16",
        "SFT101, SFT112, SFT509, SFT516",
    ),
    (
        "train loss falls, then rises 训练损失下降后又上升",
        "learning rate too large",
        "lower it, 5e-5 to 1e-5",
        "SFT102, SFT104, SFT109",
    ),
    ("", "too many epochs", "fewer, or early stopping", "SFT102, SFT201"),
    (
        "output repeats itself 模型输出大量重复",
        "overfitting",
        "fewer epochs, more dropout",
        "SFT301",
    ),
    (
        "",
        "temperature too low",
        "0.7 or more at inference",
        "SFT301 (greedy and sampled replies are held apart)",
    ),
    ("", "data not diverse", "more sources or samples", "SFT301, SFT416, SFT417"),
    (
        "model forgets 模型“忘记”预训练知识",
        "catastrophic forgetting",
        "lower rate, fewer epochs",
        "SFT302",
    ),
    ("", "LoRA rank too large", "64 to 32 to 16", "SFT302, SFT504"),
    ("eval loss keeps rising 验证损失持续上升", "overfitting", "train less", "SFT201"),
    ("", "evaluation set of another distribution", "check the split", "SFT201, SFT414"),
    ("replies unnatural 回复风格不自然", "poor data", "clean it, add good samples", "SFT303"),
    ("", "wrong template", "check the chat template", "SFT303, SFT406, SFT410"),
)
"""Symptom, cause, fix of the guide, and the codes that see it."""


def _symptoms() -> Iterator[str]:
    yield from ("## Symptom, cause, fix 问题诊断表", "")
    yield from _table(("symptom", "cause", "fix", "sftdiag"), SYMPTOMS)
    yield from _does(
        "Each cause is `confirmed`, `likely`, `possible` or `ruled out` by the run's own "
        "evidence, and "
        "each fix stands in its own numbers; what would settle an open one is named.",
    )


def _curves() -> Iterator[str]:
    yield from ("## Four loss curves 损失曲线解读", "")
    yield from _table(
        ("curve", "shape", "sftdiag"),
        (
            (
                "healthy",
                "train falls smoothly, evaluation follows, the gap is small",
                "silent at every step",
            ),
            (
                "overfitting",
                "train goes on falling, evaluation turns up: stop at its minimum",
                "SFT201, with the step and the nearest checkpoint",
            ),
            (
                "learning rate too high",
                "the loss swings violently: lower it",
                "SFT103, SFT104; with Adam mostly SFT109",
            ),
            (
                "data format error",
                (
                    "hardly moves (3.0, 2.8, 2.6): the loss is taken on other tokens than the "
                    "answers', or the template does not match"
                ),
                "SFT101, SFT108; before step 1 SFT405, SFT410",
            ),
        ),
    )
    yield from ("`sftdiag explain curves` prints them.", "")


def _search() -> Iterator[str]:
    yield from ("## Search order 搜索策略", "")
    yield from (
        (
            "1. The learning rate over 1e-5, 2e-5, 5e-5 (QLoRA 1e-4, 2e-4, 3e-4), the rest "
            "fixed; the lowest"
        ),
        "   evaluation loss stays.",
        "2. With it 3 epochs; where the evaluation loss turns up is the number of epochs.",
        "3. The LoRA rank over 16, 32, 64: quality against cost.",
        "4. The effective batch over 16, 32, 64, by accumulation.",
        "",
    )
    yield from _does(
        "`sftdiag search` goes these four steps ([tutorial](search.md)): every trial is "
        "watched, ends "
        "early when it is broken or cannot become the best, and a difference inside the "
        "noise keeps "
        "the cheaper choice.",
    )
    yield from ("## Smoke test 烟雾测试", "")
    yield (
        "Before the real run 100 steps, a log row every 10, 4 rows a device, accumulation 4, "
        "rate 2e-5: without a"
    )
    yield "clear fall, check the data's format and the settings."
    yield ""
    yield from _does(
        "`sftdiag.smoke_test(trainer)` trains 100 steps at the peak rate, says go, no-go "
        "or unclear with the diagnosis, and puts everything back; the real run is bit-identical to "
        "one without it.",
    )


def _does(*sentences: str) -> Iterator[str]:
    yield "What sftdiag does:"
    yield ""
    yield from (f"- {sentence}" for sentence in sentences)
    yield ""


def _ranges(named: Mapping[str, Iterable[Range]]) -> Iterator[str]:
    rows = [(name, _span(one), one.source) for name, of in named.items() for one in of]
    yield from _table(("of", "value", "source"), rows)


def _span(one: Range) -> str:
    low, high = number(one.low), number(one.high)
    return low if low == high else f"{low} to {high}"


def _table(head: Sequence[str], rows: Rows) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
