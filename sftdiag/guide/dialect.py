"""Fixes in the words of the framework that trains: its settings' names, written as it takes them.

The guide and the checks name the settings of transformers, TRL and PEFT. A framework that trains
with them has a file or flags of its own, where some names differ and the label mask, packing and
the order of rows are set in another way.

>>> in_its_words(Fix("raise max_length", {"SFTConfig.max_length": (8, 32)}), "axolotl", "en")
Fix(text='raise sequence_len', changes={'sequence_len': (8, 32)})
>>> in_its_words(Fix("warm up: warmup_steps=0.1"), "ms-swift", "en").text
'warm up: --warmup_ratio 0.1'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from sftdiag import texts
from sftdiag.context import RunContext
from sftdiag.findings import Cause, Finding, Fix
from sftdiag.values import Value

COMMON = (
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "max_steps", "num_train_epochs"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "max_grad_norm"),
    *("weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "label_smoothing_factor"),
    *("bf16", "fp16", "eval_strategy", "load_best_model_at_end", "metric_for_best_model"),
    *("greater_is_better", "save_only_model", "ignore_data_skip", "dataloader_num_workers"),
    *("dataloader_drop_last", "use_liger_kernel", "max_length", "attn_implementation"),
    *("lora_dropout", "lora_alpha", "target_modules", "packing", "early_stopping_patience"),
)
"""Settings that the sentences name as transformers, TRL and PEFT do."""

NO_SETTING = (
    *("assistant_only_loss", "completion_only_loss", "packing_strategy"),
    *("train_sampling_strategy", "eos_token"),
)
"""Settings of TRL and transformers that the others do not have: a sentence says what to do."""

INSTEAD = MappingProxyType(
    {
        "mask": r"assistant_only_loss|completion_only_loss|\{% generation|response template",
        "packing": r"packing_strategy|packing=False",
        "shuffle": r"train_sampling_strategy|group_by_length|shuffle_dataset|\.shuffle\(",
        "adapter": r"peft_config",
        "template": r"chat_template_path",
        "stopping": r"EarlyStoppingCallback",
        "clip_and_warm_up": r"max_grad_norm=1\.0[)）]",
        "clip": r"(?:clip the gradient|裁剪梯度|裁剪得更低).*max_grad_norm",
        "evaluate": r"eval_strategy",
    }
)
"""Key of dialect.toml to what a sentence has that it stands for."""


class Dialect(Value):
    """How a framework takes settings.

    Attributes:
        name: how a setting is called: ``"--{}"`` or ``"{}"``.
        value: how it is given.
        names: TRL's name to its own, None where it has none whose value means the same; where it
            is given with one value, that to what is written.
    """

    name: str
    value: str
    names: Mapping[str, str | None]


FLAG, YAML, CODE = ("--{}", "--{} {}"), ("{}", "{}: {}"), ("{}", "{}={}")

WORDS = ("{}", "{} {}")
"""Where some are flags, which are written with their dashes, and others are not."""

UNKNOWN = dict.fromkeys(COMMON)
"""For frameworks whose settings are none of the Trainer's: what they lack keeps its plain name."""

OF_AN_OPTIMIZER = MappingProxyType(
    {
        "learning_rate": "lr",
        "weight_decay": "weight_decay",
        "adam_beta1": "betas[0]",
        "adam_beta2": "betas[1]",
        "adam_epsilon": "eps",
    }
)
"""What the arguments say of the optimizer, by the names that torch gives it."""

LOOP = "loop"
"""A loop of one's own, which names its settings as it likes: TRL's names, without TRL."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "ms-swift": Dialect(
            *FLAG,
            {
                "r": "lora_rank",
                "attn_implementation": "attn_impl",
                "early_stopping_patience": "early_stop_interval",
                "warmup_steps=0.1": "--warmup_ratio 0.1",
                "target_modules=all-linear": "--target_modules all-linear",
            },
        ),
        "llama-factory": Dialect(
            *YAML,
            {
                "max_length": "cutoff_len",
                "r": "lora_rank",
                "target_modules": "lora_target",
                "use_liger_kernel": "enable_liger_kernel",
                "attn_implementation": "flash_attn",
                "early_stopping_patience": "early_stopping_steps",
                "warmup_steps=0.1": "warmup_ratio: 0.1",
                "target_modules=all-linear": "lora_target: all",
                "attn_implementation=eager": "flash_attn: disabled",
            },
        ),
        "axolotl": Dialect(
            *YAML,
            {
                "max_length": "sequence_len",
                "num_train_epochs": "num_epochs",
                "per_device_train_batch_size": "micro_batch_size",
                "lr_scheduler_type": "lr_scheduler",
                "packing": "sample_packing",
                "r": "lora_r",
                "target_modules": "lora_target_modules",
                "warmup_steps=0.1": "warmup_ratio: 0.1",
                "target_modules=all-linear": "lora_target_linear: true",
            },
        ),
        "trl": Dialect(*FLAG, {"r": "lora_r", "target_modules": "lora_target_modules"}),
        "torchtune": Dialect(
            *CODE,
            {
                **UNKNOWN,
                "learning_rate": "optimizer.lr",
                "weight_decay": "optimizer.weight_decay",
                "adam_epsilon": "optimizer.eps",
                "lr_scheduler_type": "lr_scheduler",
                "warmup_steps": "lr_scheduler.num_warmup_steps",
                "num_train_epochs": "epochs",
                "gradient_accumulation_steps": "gradient_accumulation_steps",
                "per_device_train_batch_size": "batch_size",
                "max_grad_norm": "clip_grad_norm",
                "max_length": "tokenizer.max_seq_len",
                "packing": "dataset.packed",
                "r": "model.lora_rank",
                "lora_alpha": "model.lora_alpha",
                "lora_dropout": "model.lora_dropout",
                "target_modules": "model.lora_attn_modules",
                "warmup_steps=0.1": "lr_scheduler.num_warmup_steps",
                "bf16=True": "dtype=bf16",
                "fp16=False": "dtype=bf16",
                "fp16=True": "dtype=bf16",
            },
        ),
        "litgpt": Dialect(
            *WORDS,
            {
                **UNKNOWN,
                # The YAML's: its command line keeps --optimizer.init_args.lr beside init_args.
                "learning_rate": "optimizer.init_args.lr",
                "weight_decay": "optimizer.init_args.weight_decay",
                "adam_epsilon": "optimizer.init_args.eps",
                "warmup_steps": "--train.lr_warmup_steps",
                "max_steps": "--train.max_steps",
                "num_train_epochs": "--train.epochs",
                "per_device_train_batch_size": "--train.micro_batch_size",
                "max_length": "--train.max_seq_length",
                "r": "--lora_r",
                "lora_alpha": "--lora_alpha",
                "lora_dropout": "--lora_dropout",
                "warmup_steps=0.1": "--train.lr_warmup_steps",
                "bf16=True": "--precision bf16-mixed",
                "fp16=False": "--precision bf16-mixed",
                "fp16=True": "--precision bf16-mixed",
            },
        ),
        "lightning": Dialect(
            *CODE,
            {
                "learning_rate": "lr",
                "num_train_epochs": "max_epochs",
                "per_device_train_batch_size": "batch_size",
                "gradient_accumulation_steps": "accumulate_grad_batches",
                "max_grad_norm": "gradient_clip_val",
                "dataloader_num_workers": "num_workers",
                "dataloader_drop_last": "drop_last",
                "adam_epsilon": "eps",
                "label_smoothing_factor": "label_smoothing",
                "warmup_steps=0.1": "warmup_steps=max_steps // 10",
                "bf16=True": 'precision="bf16-mixed"',
                "fp16=False": 'precision="bf16-mixed"',
                "fp16=True": 'precision="16-mixed"',
                "load_best_model_at_end=True": "ModelCheckpoint",
            },
        ),
        LOOP: Dialect(
            *CODE,
            {
                "max_grad_norm": "clip_grad_norm_ max_norm",
                "adam_epsilon": "eps",
                "label_smoothing_factor": "label_smoothing",
                "dataloader_num_workers": "num_workers",
                "dataloader_drop_last": "drop_last",
                "warmup_steps=0.1": "warmup_steps=max_steps // 10",
                "max_grad_norm=1.0": "torch.nn.utils.clip_grad_norm_, max_norm=1.0",
                "bf16=True": "autocast to torch.bfloat16",
                "fp16=False": "autocast to torch.bfloat16",
            },
        ),
    }
)
"""The frameworks that have names of their own; read from ms-swift 4.6.0, LLaMA-Factory 0.9.5,
axolotl 0.21.0, TRL 1.16.0, torchtune 0.6.1, litgpt 0.5.13 and Lightning 2.6.6."""

TELL_THEIR_CONTEXT = ("lightning", LOOP)
"""Those whose callback or loop is given what it cannot see, ``context=RunContext(...)``."""

OWN_LOOPS = ("torchtune", "litgpt", "lightning", LOOP)
"""Those without a trainer of transformers, which the checks before step 1 look at."""

OLDER: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "transformers-4": {"warmup_steps=0.1": "warmup_ratio=0.1"},
        "trl-0.15": {"warmup_steps=0.1": "warmup_ratio=0.1", "max_length": "max_seq_length"},
    }
)
"""What transformers before 5 and TRL before 0.16 call it; all else as the sentences do."""

_VALUE = r"True|False|None|\"[^\"]*\"|'[^']*'|-?[0-9](?:[0-9.e-]*[0-9])?"

_WORDS = ("bf16", "fp16", "packing")
"""Names that are words of the field, too: settings only where a value follows."""

_NAMES = re.compile(
    rf"(?<![\w.-])(?<!\w\()({'|'.join(sorted(COMMON, key=len, reverse=True))})"
    rf"(?:=({_VALUE}))?(?![\w(=])",
    re.ASCII,
)

_STOPPING = re.compile(r"EarlyStoppingCallback(?:\(early_stopping_patience(=\d+)\))?")

_TWICE = re.compile(r"([(（])(.+?)(?:, |，)\2(?=[)）])")
"""Two settings of TRL that are one setting elsewhere."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)", re.ASCII)
"""A checkpoint's folder, as transformers calls it."""

_WRITTEN = {"True": "true", "False": "false", "None": "null"}


def spoken(finding: Finding, known: RunContext, lang: str) -> Finding:
    """Return a finding with its fixes in the words of a run; as it is where that has none.

    Of a loop's the settings that its sentences name, too.

    Those are its framework's, and the names that an optimizer has of its own which the trainer was
    given: what the arguments say of it then changes nothing.
    """
    framework, optimizer = known.framework, known.own_optimizer
    if framework not in DIALECTS and framework not in OLDER:
        framework = None
    if framework is None and optimizer is None:
        return finding
    told = tuple(_cause(each, framework, optimizer, lang) for each in finding.causes)
    if framework not in OWN_LOOPS:
        return finding.replace(causes=told)
    (message,) = _named((finding.message,), DIALECTS[framework])
    return finding.replace(causes=told, message=message)


def _cause(cause: Cause, framework: str | None, optimizer: str | None, lang: str) -> Cause:
    fixes: Iterable[Fix] = cause.fixes
    if framework is not None:
        fixes = [in_its_words(fix, framework, lang) for fix in fixes]
    if optimizer is not None and framework not in DIALECTS:
        fixes = [of_the_optimizer(fix, optimizer) for fix in fixes]
    # Several of TRL's ways may be one of the framework's.
    told = cause.replace(fixes=tuple({fix.text: fix for fix in fixes}.values()))
    if framework not in OWN_LOOPS:
        return told
    dialect = DIALECTS[framework]
    return told.replace(
        because=_named(cause.because, dialect),
        against=_named(cause.against, dialect),
        missing=_named(cause.missing, dialect),
    )


def _named(sentences: Iterable[str], dialect: Dialect) -> tuple[str, ...]:
    """Return sentences of evidence with settings by the names that they have in a loop."""
    return tuple(_NAMES.sub(lambda found: _setting(found, dialect), each) for each in sentences)


def of_the_optimizer(fix: Fix, optimizer: str) -> Fix:
    """Return one fix by the names of the optimizer that the trainer was given.

    >>> of_the_optimizer(Fix("set adam_beta2=0.95", {"SFTConfig.adam_beta2": (1, 0.95)}), "AdamW")
    Fix(text='set betas[1]=0.95', changes={'AdamW.betas[1]': (1, 0.95)})
    """
    text, changes = fix.text, dict(fix.changes)
    for name, own in OF_AN_OPTIMIZER.items():
        text = re.sub(rf"(?<![\w.]){name}(?!\w)", own, text)
        if (pair := changes.pop(f"SFTConfig.{name}", None)) is not None:
            changes[f"{optimizer}.{own}"] = pair
    return Fix(text, changes)


def in_its_words(fix: Fix, framework: str, lang: str) -> Fix:
    """Return one fix in a framework's words."""
    if framework in OLDER:
        return _in_older_words(fix, OLDER[framework])
    dialect, words = DIALECTS[framework], texts.load(__file__, "dialect", lang)
    own = words.get(framework, {})
    if framework in OWN_LOOPS:
        text = fix.text
        for each in words["apart"].values():
            text = text.replace(each["of"], each["instead"])
        fix = Fix(text, fix.changes)
    text = next((own[key] for key, seen in _instead() if key in own and seen.search(fix.text)), "")
    if not text:
        named = _STOPPING.sub(r"early_stopping_patience\1", fix.text)
        kept = framework == "trl"
        text = _NAMES.sub(lambda found: _setting(found, dialect), fix.text if kept else named)
        text = _TWICE.sub(r"\1\2", text)
    if framework in OWN_LOOPS and (called := own.get("checkpoint")):
        text = _CHECKPOINT.sub(lambda found: called.format(step=found[1]), text)
    changes = ((_change(name, dialect), pair) for name, pair in fix.changes.items())
    return Fix(text, {name: pair for name, pair in changes if name is not None})


def _in_older_words(fix: Fix, names: Mapping[str, str]) -> Fix:
    text = fix.text
    for new, old in names.items():
        text = re.sub(rf"(?<!\w){re.escape(new)}(?!\w)", old, text)
    split = {name: name.rpartition(".") for name in fix.changes}
    told = {name: owner + dot + names.get(own, own) for name, (owner, dot, own) in split.items()}
    return Fix(text, {told[name]: pair for name, pair in fix.changes.items()})


@cache
def _instead() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((key, re.compile(seen)) for key, seen in INSTEAD.items())


def _setting(found: re.Match[str], dialect: Dialect) -> str:
    name, value = found.groups()
    own = dialect.names.get(name, name)
    plain = value.strip("\"'") if value is not None else ""
    if (whole := dialect.names.get(f"{name}={plain}")) is not None:
        return whole
    if own is None or (value is None and name in _WORDS):
        return found[0]
    if value is None:
        return dialect.name.format(own)
    return dialect.value.format(own, _written(plain, dialect))


def _written(value: str, dialect: Dialect) -> str:
    """Return a value as it is written: in code as it stands."""
    return value if dialect.value == CODE[1] else _WRITTEN.get(value, value)


def _change(name: str, dialect: Dialect) -> str | None:
    """Return what a framework calls a setting that a fix changes; None where it has none."""
    owner, _, own = name.rpartition(".")
    if owner not in ("SFTConfig", "LoraConfig"):
        return name
    if own in NO_SETTING and dialect is not DIALECTS["trl"]:
        return None
    called = dialect.names.get(own, own)
    return dialect.name.format(called) if called is not None else None
