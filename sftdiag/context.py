"""RunContext: what is known of the run besides its log. Every field may be unknown (None)."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from sftdiag.errors import ConfigError
from sftdiag.values import Value

RANDOM, SEQUENTIAL, BY_LENGTH = "random", "sequential", "group_by_length"
ORDERS = (RANDOM, SEQUENTIAL, BY_LENGTH)
"""Values of transformers' train_sampling_strategy: the order of the rows."""

SGD = "sgd"
"""transformers' optim of plain SGD: each step is the rate times the gradient."""

IN_BACKWARD = ("lomo", "adalomo")
"""transformers' optims that step within backward, beside those of a layer each."""

MOST = 10**15
"""No count and no setting of a run is larger: the largest models have 10**13 parameters."""

_NEVER_NONE = (
    *("vocab_size", "max_steps", "lora_r", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "world_size"),
)
"""Counts of which every run has one at least."""

_PROMPT_TYPES = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")


class RunContext(Value):
    """Facts about a run, filled live from the trainer or offline from the files beside the log.

    Attributes:
        method: ``"full"``, ``"lora"``, ``"qlora"`` or ``"prompt-tuning"``.
        model_type: the architecture's name in its configuration, such as ``"qwen2"``.
        vocab_size: tokens in the model's vocabulary; ln of it is the loss of a blind guess.
        embedding_rows: rows of the input embeddings of a model of text; a token id beyond them ends
            a run.
        dtype: the weights' dtype, such as ``"bfloat16"``.
        trainable_dtype: the dtype that the optimizer steps in: that of the weights that are
            trained, such as an adapter's, or of the float32 copies that DeepSpeed and FSDP keep.
        weight_scale: what nine of ten of the trained weights exceed in magnitude; looked at where
            they are bfloat16.
        precision: mixed precision in use: ``"bf16"``, ``"fp16"`` or ``"fp32"``.
        quantization: bits of the frozen base model's weights, such as ``"4bit"``.
        attn_implementation: the attention in use, such as ``"sdpa"``.
        trainable_parameters: number of parameters that receive a gradient.
        total_parameters: number of all parameters.
        learning_rate: the peak rate asked for; of parameter groups with several the highest.
        lr_scheduler_type: the scheduler's name in transformers; of another, its class or function.
        warmup_steps: optimizer steps of linear warm-up.
        schedule_steps: optimizer steps that the schedule was made for; None where it has no end.
        max_steps: optimizer steps planned.
        num_train_epochs: epochs planned.
        per_device_train_batch_size: rows a device and a micro-step.
        gradient_accumulation_steps: micro-steps an optimizer step.
        world_size: number of processes.
        epoch_batches: micro-steps that an epoch has on each process.
        least_eval_rows: rows of an evaluation batch of all processes, where one that is not full is
            left out.
        deepspeed: whether DeepSpeed makes the steps.
        train_samples: rows of the training set.
        eval_samples: rows of the evaluation set, or of all of them.
        train_fingerprint: tells whether the training rows are those of another start.
        eval_fingerprint: likewise for the evaluation rows.
        max_length: tokens after which TRL cuts a row.
        packing: whether several rows share a sequence.
        packing_strategy: how they are packed: ``"bfd"``, ``"bfd_split"`` or ``"wrapped"``.
        assistant_only_loss: TRL masks all but the assistant's tokens.
        completion_only_loss: TRL masks the prompt of prompt-completion rows.
        custom_loss: the loss is the user's own: a function, or a method of a trainer of theirs.
        summed_loss: the model's configuration makes its loss a sum over the labels, as wav2vec2's
            does for CTC unless ``ctc_loss_reduction`` is ``"mean"``.
        formatting_ignored: TRL was given a formatting function that it does not use.
        sampler: the order of the rows: ``"random"``, ``"sequential"`` or ``"group_by_length"``.
        optim: the optimizer's name in transformers; ``"sgd_momentum"`` where SGD has a momentum,
            the class's where the trainer was given one of another kind than Adam and SGD.
        own_optimizer: its class, where its settings are not those of the trainer's arguments.
        moments_as_weights: whether it keeps Adam's moments in the dtype of the weights.
        outside_optimizer: trainable parameters that the optimizer does not hold.
        unreached_parameters: trainable parameters that no gradient reaches.
        max_grad_norm: the gradient is clipped to this norm; 0 is off.
        weight_decay: share of each weight, times the rate, that a step takes off.
        adam_betas: decay of Adam's first and second moment.
        adam_epsilon: what Adam adds to the root of the second moment.
        label_smoothing: share of each target that goes to all other tokens.
        unshifted_model: the class by which the trainer finds no causal model in one, so that its
            label smoothing compares the output at a token with that token, not with the next.
        model_dropout: the largest dropout in the model's configuration.
        loss_type: TRL's loss, such as ``"nll"`` or ``"dft"``.
        metric_for_best_model: the metric that picks the best checkpoint.
        greater_is_better: whether its greatest value is taken for the best.
        plateau_mode: what a schedule that waits for a plateau of that metric takes for better,
            ``"min"`` or ``"max"``; None for other schedules.
        logging_nan_inf_filter: whether the trainer logs a NaN loss as 0.
        logged_digits: significant digits of the log's numbers, where they were rounded for print.
        lora_r: rank of the adapter.
        lora_alpha: scale of the adapter.
        lora_dropout: dropout of the adapter.
        target_modules: the adapted modules' names, or ``("all-linear",)``.
        modules_to_save: modules trained in full beside the adapter.
        experts_bare: share of the model's weights that is in experts which no adapter reaches; None
            where there are none.
        untied_embeddings: which of the embeddings that the model shares the adapter trains alone:
            ``"input"`` or ``"output"``.
        lora_b_zero_step: a step after which every B of the adapter was still exactly 0.
        lora_b_sharded: the adapter was spread over the ranks, so whether B left 0 was not seen.
        resumed_steps: steps after which the run was resumed; empty when it began at step 0.
        stream_pass: the pass over a training stream, from 2 on, that the run was resumed in; None
            where it was resumed in none, or knows its place.
        lost_state_steps: steps after which the run was resumed with an optimizer and a scheduler
            that had no state; empty when what it was resumed with had one.
        step_signals: why the single steps could not be seen although the trainer was known.
        versions: package to version, of the training libraries in use.
        framework: what trains with them under settings of its own: ``"ms-swift"``,
            ``"llama-factory"``, ``"axolotl"``, ``"trl"`` (its command line), ...; or older versions
            of them whose settings have other names: ``"transformers-4"``, ``"trl-0.15"``.
    """

    method: str | None = None
    model_type: str | None = None
    vocab_size: int | None = None
    embedding_rows: int | None = None
    dtype: str | None = None
    precision: str | None = None
    trainable_dtype: str | None = None
    weight_scale: float | None = None
    quantization: str | None = None
    attn_implementation: str | None = None
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    learning_rate: float | None = None
    lr_scheduler_type: str | None = None
    warmup_steps: int | None = None
    schedule_steps: int | None = None
    max_steps: int | None = None
    num_train_epochs: float | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    world_size: int | None = None
    epoch_batches: int | None = None
    least_eval_rows: int | None = None
    deepspeed: bool | None = None
    train_samples: int | None = None
    eval_samples: int | None = None
    train_fingerprint: str | None = None
    eval_fingerprint: str | None = None
    max_length: int | None = None
    packing: bool | None = None
    packing_strategy: str | None = None
    assistant_only_loss: bool | None = None
    completion_only_loss: bool | None = None
    custom_loss: bool | None = None
    summed_loss: bool | None = None
    formatting_ignored: bool | None = None
    sampler: str | None = None
    optim: str | None = None
    own_optimizer: str | None = None
    moments_as_weights: bool | None = None
    outside_optimizer: int | None = None
    unreached_parameters: int | None = None
    max_grad_norm: float | None = None
    weight_decay: float | None = None
    adam_betas: tuple[float, ...] | None = None
    adam_epsilon: float | None = None
    label_smoothing: float | None = None
    unshifted_model: str | None = None
    model_dropout: float | None = None
    loss_type: str | None = None
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    plateau_mode: str | None = None
    logging_nan_inf_filter: bool | None = None
    logged_digits: int | None = None
    lora_r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    target_modules: tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] | None = None
    experts_bare: float | None = None
    untied_embeddings: str | None = None
    lora_b_zero_step: int | None = None
    lora_b_sharded: bool | None = None
    resumed_steps: tuple[int, ...] | None = None
    lost_state_steps: tuple[int, ...] | None = None
    stream_pass: int | None = None
    step_signals: str | None = None
    versions: Mapping[str, str] | None = None
    framework: str | None = None

    @property
    def chance_loss(self) -> float | None:
        """The loss of a uniform guess over the vocabulary, ln V in nats, or None."""
        return log(self.vocab_size) if self.vocab_size and self.vocab_size > 1 else None

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer scales its steps as Adam does: the ranges of rates assume it.

        Not known of a class of another name: transformers' names are in small letters.
        """
        return self.optim is None or (
            self.optim.islower() and not self.optim.startswith((SGD, "lomo"))
        )

    @property
    def steps_in_backward(self) -> bool:
        """Whether weights are stepped within backward: no gradient is left then for a norm, of 0.

        findings/layerwise_optimizers_keep_the_full_rate.sh.
        """
        return self.optim is not None and (
            self.optim in IN_BACKWARD or self.optim.endswith("_layerwise")
        )

    @property
    def computes_in(self) -> str | None:
        """The number format of the run: that of mixed precision or, without it, the weights'."""
        if self.precision in (None, "fp32"):
            half = self.dtype if self.dtype in ("float16", "bfloat16") else None
            return half or self.precision or self.dtype
        return self.precision

    @property
    def trainable_share(self) -> float | None:
        """Trainable parameters as a share of all, or None."""
        if self.trainable_parameters is None or not self.total_parameters:
            return None
        return self.trainable_parameters / self.total_parameters

    @property
    def effective_batch_size(self) -> int | None:
        """Rows an optimizer step: per device x accumulation x processes, or None."""
        parts = (
            self.per_device_train_batch_size,
            self.gradient_accumulation_steps,
            self.world_size,
        )
        product = 1
        for part in parts:
            if part is None:
                return None
            product *= part
        return product

    def plausible(self) -> RunContext:
        """Return this context without numbers that no run has, as a damaged file may hold them."""
        absurd = [name for name in self.fields if _is_absurd(getattr(self, name))]
        absurd += [name for name in _NEVER_NONE if getattr(self, name) == 0]
        return self.replace(**dict.fromkeys(absurd)) if absurd else self

    def filled_from(self, other: RunContext) -> RunContext:
        """Return this context with its unknown fields taken from ``other``."""
        own = self.__dict__
        missing = {n: v for n, v in other.__dict__.items() if v is not None and own[n] is None}
        return self.replace(**missing) if missing else self


_KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a text"}


def of_user(context: object) -> RunContext:
    """Return a context that a user made; numbers may be 0-d arrays, or texts as YAML reads 2e-5.

    Raises:
        ConfigError: it is no context, or a field is of another type or a number that no run has.
    """
    if not isinstance(context, RunContext):
        told = f"context is a sftdiag.RunContext(...), got {type(context).__name__}"
        raise ConfigError(told)
    read = {}
    for name in context.fields:
        value = getattr(context, name)
        if value is None:
            continue
        plain = value.item() if hasattr(value, "item") else value
        try:
            read[name] = getattr(RunContext.from_dict(RunContext(**{name: plain}).to_dict()), name)
        except ValueError:
            kind = str(RunContext.__annotations__[name]).removesuffix(" | None")
            told = f"RunContext: {name} must be {_KINDS.get(kind, kind)}, got {value!r}"
            raise ConfigError(told) from None
    known = RunContext(**read)
    for name, value in known.plausible().to_dict().items():
        if value is None and name in read:
            raise ConfigError(f"RunContext: no run has {name} {read[name]!r}")
    return known


def _is_absurd(value: object) -> bool:
    """Return whether a number is none of a run: negative, not finite or beyond every count."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not 0 <= value <= MOST


def adapter_method(peft_type: str, quantization: str | None) -> str | None:
    """Return the method of an adapter of PEFT's type, such as ``"LORA"``; None for others."""
    if "LORA" in peft_type:
        return "qlora" if quantization else "lora"
    return "prompt-tuning" if peft_type in _PROMPT_TYPES else None
