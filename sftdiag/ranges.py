"""Hyperparameter ranges, each with its source: the guide's, and newer evidence beside it.

A number that a detector, a cause, a check or a recommendation compares a run with stands here
once. In a tuple of ranges the guide's comes first.
"""

from __future__ import annotations

from math import inf

from sftdiag.values import Value

GUIDE = "SFT guide"
LEARNING_RATE_TABLE = f"{GUIDE}, learning-rate table"
BATCH_TABLE = f"{GUIDE}, batch-size table"
EPOCH_TABLE = f"{GUIDE}, epoch table"
LENGTH_TABLE = f"{GUIDE}, sequence-length table"
LORA_TABLE = f"{GUIDE}, LoRA table"
PRESETS = f"{GUIDE}, LoRA presets"
TEMPLATE = f"{GUIDE}, full template"

PAREJA = "Pareja et al. 2024, arXiv 2412.13337"
TULU = "Tulu 3, Allen AI 2024"
REGRET = "Schulman 2025, LoRA Without Regret"
BIDERMAN = "Biderman et al. 2024, LoRA Learns Less and Forgets Less"
QLORA_PAPER = "Dettmers et al. 2023, QLoRA"
TINKER = "Tinker sweep of 35 models, Thinking Machines 2025"
BATCH_SWEEP = "arXiv 2506.14681, Llama 3 8B"


class Range(Value):
    """A closed interval of sensible values with its source."""

    low: float
    high: float
    source: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


LEARNING_RATE: dict[str, tuple[Range, ...]] = {
    "full": (
        Range(1e-5, 5e-5, LEARNING_RATE_TABLE),
        Range(1e-6, 2e-5, f"{PAREJA}, 1e-6 Mistral 7B, 2e-5 Granite"),
        Range(2e-6, 5e-6, f"{TULU}, 5e-6 at 8B, 2e-6 at 70B"),
    ),
    "lora": (
        Range(1e-5, 5e-5, LEARNING_RATE_TABLE),
        Range(1e-4, 5e-4, f"{REGRET}, about 10 times the full rate"),
        Range(5e-5, 5e-4, f"{BIDERMAN}, one order above the full rate"),
        Range(1e-4, 1e-3, f"{TINKER}, 3e-4 best for 22, 1e-3 for 10, 3e-3 mostly diverges"),
    ),
    "qlora": (
        Range(1e-4, 3e-4, LEARNING_RATE_TABLE),
        Range(1e-4, 2e-4, f"{QLORA_PAPER}, 2e-4 up to 13B, 1e-4 above"),
    ),
    "prompt-tuning": (Range(1e-3, 3e-2, "p-tuning v2 runs of ChatGLM: 2e-2"),),
}
"""Peak learning rate by method, in optimizer units for Adam; the guide's range first."""

USUAL_LEARNING_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4, "prompt-tuning": 2e-2}
"""Where to start while size and batch are not known: the guide's 2e-5 for full and 2e-4 for QLoRA;
for LoRA the newer 10 times."""

SWEPT_BATCH = 128
"""Rows an optimizer step in the Tinker sweep: LoRA, 780 steps, tulu3."""

SMALLEST_MODEL = 100_000_000
"""Parameters of the smallest model that the ranges speak of: their sources trained 0.5 to 70
billion, and the narrower a model, the larger the rate it bears."""


SOURCED_MODEL = 400_000_000
"""Parameters of the smallest model that a source trained (Qwen2.5-0.5B has 0.49 billion). Of a
smaller one only what lies far outside of every range is said: it bears larger rates and is trained
in smaller batches, and a note on nearly every such run is none."""

SMALL_MODEL_RATE = 1e-3
"""A rate that smaller models than those were trained at in full: SmolLM2's of 135M and 360M
(alignment-handbook, recipes/smollm2)."""


ANY_LEARNING_RATE = 0.05
"""From here on no model of any size learns well with Adam, which moves every weight by about the
rate at each step: the weights of a layer of width n are about 1/sqrt(n) large, 0.125 at the width
of 64 of a toy and 0.016 at 4096. The largest rate of any source is 0.03, of a few prompt vectors.
A toy's loss still falls at 0.09, smoothly, and ends eight times as high as at 0.003."""

ANY_SGD_LEARNING_RATE = 100.0
"""The same of plain SGD: where the gradient is clipped to a norm of 1, a step is as long as the
rate, and all weights of a model of 25 million parameters, 0.02 each, are together 100 long. The
largest rates that are published end at 3 (super-convergence, arXiv 1708.07120)."""

SGD_LEARNING_RATE = 0.1
"""Where to start with plain SGD: the rate of most recipes, at which the fine-tunes of this
project's second base learn as well."""

LEAST_LEARNING_RATE = 1e-9
"""Below it no model of any size learns with Adam: a weight of 0.016, as a layer of width 4096 has
them, lies 1.9e-9 from its next neighbours in float32, so that a step of half of that is rounded
away; and an adapter that begins at 0 comes to 1e-6 in a thousand steps, which changes no output."""

LOWEST_LEARNING_RATE = 1e-6
"""The lowest rate in any source above (Pareja et al., Mistral 7B): below it nothing was trained."""

FAR = 10.0
"""Factor beyond every range, or a run's own peak, from which a rate is far out: sweeps find the
best rate of a method within one order of magnitude for unlike models (methods disagree by less)."""

LARGE_MODEL = 13e9
"""Parameters above which the lower rate of a range is the start (QLoRA: 1e-4 above 13B; full:
OLMo 2 5e-6 at 13B, 4e-6 at 32B; Tulu 3 2e-6 at 70B)."""


def learning_rate_ranges(method: str | None) -> tuple[Range, ...]:
    """Return the ranges for a method; those of full fine-tuning and LoRA when it is unknown.

    Without the last of LoRA's, then: 1e-3 is no rate for a run that may train every weight.
    """
    if method in LEARNING_RATE:
        return LEARNING_RATE[method]
    return LEARNING_RATE["full"] + LEARNING_RATE["lora"][1:-1]


def beyond_any(rate: float | None, method: str | None, *, adaptive: bool) -> bool:
    """Return whether a rate is above those at which any model learns well.

    Known of Adam and its kin and of plain SGD, not of methods that train a few vectors, such as
    prompt tuning.
    """
    weights = method is None or (method in LEARNING_RATE and method != "prompt-tuning")
    return weights and rate is not None and rate >= bound_of_any(adaptive=adaptive)


def bound_of_any(*, adaptive: bool) -> float:
    """Return the rate from which on no model of any size learns well."""
    return ANY_LEARNING_RATE if adaptive else ANY_SGD_LEARNING_RATE


def speak_of(parameters: int | None) -> bool:
    """Return False where a model is known to be smaller than any that the ranges come from."""
    return parameters is None or parameters >= SMALLEST_MODEL


def come_from(parameters: int | None) -> bool:
    """Return False where a model is known to be smaller than those that the sources trained."""
    return parameters is None or parameters >= SOURCED_MODEL


class Band(Value):
    """A row of a table of the guide: an interval, half open, and what it is called.

    Attributes:
        low: the first value inside.
        high: the first value outside.
        name: what the row says, a key of the texts.
    """

    low: float
    high: float
    name: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value < self.high


EFFECTIVE_BATCH: dict[str, tuple[Range, ...]] = {
    "full": (
        Range(16, 32, BATCH_TABLE),
        Range(32, 32, f"{BATCH_SWEEP}, best of 32, 64, 128 and 256"),
        Range(128, 128, TULU),
        Range(3840, 7680, f"{PAREJA}, better than 128"),
    ),
    "lora": (
        Range(16, 32, BATCH_TABLE),
        Range(1, 32, f"{REGRET}, as TRL reads it: LoRA tolerates large batches worse"),
        Range(SWEPT_BATCH, SWEPT_BATCH, f"{TINKER}, the only one tried"),
    ),
    "qlora": (Range(16, 32, BATCH_TABLE), Range(16, 64, f"{QLORA_PAPER}, 16 at 7B, 64 at 65B")),
}
"""Rows an optimizer step: per device x accumulation x number of GPUs."""

SMALLEST_BATCH = 4
"""The guide's table begins here, at "not recommended"."""

USUAL_BATCH = 32
"""The guide: 4 a device x 8 accumulation on one GPU."""


MUCH_DATA = 50_001
"""Samples from which on the guide calls it large data and trains one epoch."""

LITTLE_DATA = 5_000
"""Samples below which the guide trains carefully: more epochs, a smaller adapter, more dropout."""


class EpochBand(Value):
    """A row of the guide's epoch table: from how many samples on, and how many epochs."""

    from_samples: int
    epochs: Range
    usual: int


EPOCHS = (
    EpochBand(0, Range(3, 5, EPOCH_TABLE), 3),
    EpochBand(LITTLE_DATA, Range(1, 3, EPOCH_TABLE), 2),
    EpochBand(MUCH_DATA, Range(1, 1, EPOCH_TABLE), 1),
)
"""The middle row's 2 is the guide's standard preset (1-2) and Tulu 3's choice; the first row's 3 is
the conservative preset's, since beyond 3 a run nearly always overfits."""


def epoch_band(samples: int) -> EpochBand:
    """Return the guide's row for so many samples."""
    return max((b for b in EPOCHS if samples >= b.from_samples), key=lambda b: b.from_samples)


NEWER_EPOCHS = (
    Range(2, 2, f"{TULU}, 3 to 7 gained nothing"),
    Range(15, 15, "LIMA, Zhou et al. 2023, 1,000 samples, eval loss uninformative"),
    Range(128, 128, "Kopiczko 2026, reasoning: 128 x 400 samples beat 1 x 51,200"),
)

SWEPT_EPOCHS = 7
"""Tulu 3 swept up to here, without gain over 2."""

MOST_EPOCHS = 3
"""The guide: beyond 3 epochs a run nearly always overfits."""

HIGH_QUALITY_EPOCHS = Range(1, 2, f"{GUIDE}: high-quality data, 1-2 is usually best")


LENGTH_BANDS = (
    Band(0, 1024, "length_low"),
    Band(1024, 4096, "length_medium"),
    Band(4096, 8192, "length_high"),
    Band(8192, inf, "length_very_high"),
)
"""The guide's rows 512, 1024-2048, 4096 and 8192+; its lengths are powers of two."""

COVERAGE = Range(0.90, 0.95, f"{LENGTH_TABLE}: longer samples are cut")
"""Share of the samples that max_length should hold."""

TOLERATED_ROWS = 0.05
"""Share of rows that may be odd (cut, without a label, repeated): the guide's length rule gives up
as many on purpose."""

USUAL_MAX_LENGTH = 2048
"""The guide's template."""


LORA_RANK = (
    Range(16, 64, LORA_TABLE),
    Range(64, 64, QLORA_PAPER),
    Range(256, 256, f"{BIDERMAN}; {REGRET} uses 256 and finds the best rate independent of rank"),
)
USUAL_RANK = 32

ALPHA_OVER_RANK = (
    Range(2, 2, LORA_TABLE),
    Range(2, 2, BIDERMAN),
    Range(0.25, 0.25, f"{QLORA_PAPER}, rank 64, alpha 16"),
    Range(0.125, 2, f"{REGRET}, alpha 32 at every rank"),
)
"""The update is (alpha / r) B A."""

LORA_DROPOUT = (Range(0.05, 0.1, LORA_TABLE), Range(0.0, 0.0, f"{PRESETS}, aggressive"))
"""More with little data."""

ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL_LINEAR = (*ATTENTION_MODULES, "gate_proj", "up_proj", "down_proj")
"""The guide: all linear layers, wider is better. LoRA Without Regret and Biderman et al. agree:
attention alone learns less, even at equal parameters."""


SCHEDULER = "cosine"
WARMUP_SHARE = 0.1
"""Of the steps. Newer: Pareja et al. find 0, 25 and 100 warm-up steps equal and a constant rate as
good as cosine; Tulu 3 uses linear with 0.03."""

WARMUP = (
    Range(0.1, 0.1, TEMPLATE),
    Range(0.03, 0.03, f"{TULU}, linear"),
    Range(0.0, 0.0, f"{PAREJA}, 0, 25 and 100 steps are equal, constant ties cosine"),
)

LONG_WARMUP = 0.8
"""Share of the steps from which on a warm-up is far too long: the mean rate is below 0.6 of the one
asked for even with a constant rest. Half of the run costs nothing that shows: SmolLM2-135M ends at
2.865 and 2.839 with it, and at 2.873 and 2.829 with a tenth (benchmarks/gpu/runs/smollm2)."""

TRIAL_STEPS = 20
"""Below this a share is a matter of single steps, and the run a trial."""

WEIGHT_DECAY = (
    Range(0.0, 0.01, TEMPLATE),
    Range(0.0, 0.1, f"{TULU} 0; Touvron et al. 2023, Llama 2, pretraining 0.1"),
)
LABEL_SMOOTHING = (Range(0.0, 0.1, "Vaswani et al. 2017, Attention Is All You Need"),)
MODEL_DROPOUT = (
    Range(0.0, 0.1, "Vaswani et al. 2017 and GPT-2, 0.1; models since Llama have none"),
)
GRADIENT_CLIP = (
    Range(1.0, 1.0, "transformers' default; Touvron et al. 2023, Llama 2"),
    Range(0.3, 0.3, QLORA_PAPER),
)
"""A larger one, and 0 in transformers, is no clipping."""

ADAM_BETA1 = (Range(0.9, 0.9, "Kingma and Ba 2015, Adam"), Range(0.8, 0.95, "common variants"))
ADAM_BETA2 = (
    Range(0.999, 0.999, "Kingma and Ba 2015, Adam"),
    Range(0.95, 0.999, "Touvron et al. 2023, Llama 2, 0.95"),
)
ADAM_EPSILON = (
    Range(1e-8, 1e-8, "Kingma and Ba 2015, Adam"),
    Range(1e-9, 1e-5, "Vaswani et al. 2017 1e-9; Touvron et al. 2023, Llama 2, 1e-5"),
)


LEAST_TEMPERATURE = 0.7
"""The guide: sample at 0.7 or more at inference."""
