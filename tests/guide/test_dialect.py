"""Fixes in a framework's own words."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path

import pytest
from logs import report_of

import sftdiag
from sftdiag.context import RunContext
from sftdiag.findings import Fix
from sftdiag.guide.dialect import DIALECTS, NO_SETTING, in_its_words
from sftdiag.monitor import Monitor

PACKAGE = Path(sftdiag.__file__).parent

UNITS = sorted((*(PACKAGE / "guide").glob("*.toml"), *(PACKAGE / "checks").glob("*.toml")))

SENTENCES = {
    (lang, path.stem, key): text.replace("{patience}", "3")
    for path in UNITS
    for lang, unit in tomllib.loads(path.read_text(encoding="utf-8")).items()
    if isinstance(fixes := unit.get("fixes"), dict)
    for key, text in fixes.items()
}
"""Every sentence that says what to change."""

OTHERS = ("ms-swift", "llama-factory", "axolotl", "torchtune", "litgpt", "lightning", "loop")
"""Frameworks with settings of their own for the mask, packing and the order of rows."""

ROWS = [
    {"step": s, "loss": 2.0 if s < 60 else 90.0, "learning_rate": 1e-3} for s in range(2, 90, 2)
]


def test_there_are_sentences() -> None:
    assert len(SENTENCES) > 300


@pytest.mark.parametrize("framework", OTHERS)
@pytest.mark.parametrize("name", [*NO_SETTING, "SFTConfig", "EarlyStoppingCallback"])
def test_no_sentence_names_a_setting_of_others(framework: str, name: str) -> None:
    left = {
        key: told
        for key, text in SENTENCES.items()
        if name != "eos_token" and name in (told := in_its_words(Fix(text), framework, key[0]).text)
    }
    assert left == {}


@pytest.mark.parametrize(
    ("framework", "told"),
    [
        ("ms-swift", "raise --max_length to 512; --warmup_ratio 0.1, then --bf16 true"),
        ("llama-factory", "raise cutoff_len to 512; warmup_ratio: 0.1, then bf16: true"),
        ("axolotl", "raise sequence_len to 512; warmup_ratio: 0.1, then bf16: true"),
        ("trl", "raise --max_length to 512; --warmup_steps 0.1, then --bf16 true"),
        (
            "torchtune",
            "raise tokenizer.max_seq_len to 512; lr_scheduler.num_warmup_steps, then dtype=bf16",
        ),
        (
            "litgpt",
            "raise --train.max_seq_length to 512; --train.lr_warmup_steps, then "
            "--precision bf16-mixed",
        ),
        (
            "lightning",
            'raise max_length to 512; warmup_steps=max_steps // 10, then precision="bf16-mixed"',
        ),
        (
            "loop",
            "raise max_length to 512; warmup_steps=max_steps // 10, "
            "then autocast to torch.bfloat16",
        ),
    ],
)
def test_names_and_values(framework: str, told: str) -> None:
    text = "raise max_length to 512; warmup_steps=0.1, then bf16=True"
    assert in_its_words(Fix(text), framework, "en").text == told


def test_words_of_the_field_stay() -> None:
    told = in_its_words(Fix("train in bf16 (bf16=True); packing hides it"), "ms-swift", "en").text
    assert told == "train in bf16 (--bf16 true); packing hides it"


def test_a_name_beside_chinese_text() -> None:
    assert in_its_words(Fix("提高max_length到512"), "axolotl", "zh").text == "提高sequence_len到512"


@pytest.mark.parametrize(
    ("framework", "told"),
    [
        ("ms-swift", "--early_stop_interval 3 with --load_best_model_at_end true"),
        ("llama-factory", "early_stopping_steps: 3 with load_best_model_at_end: true"),
        ("axolotl", "early_stopping_patience: 3 with load_best_model_at_end: true"),
    ],
)
def test_early_stopping(framework: str, told: str) -> None:
    text = SENTENCES["en", "eval_loss_rising", "early_stopping"].format(
        patience=3, series="eval_loss"
    )
    assert told in in_its_words(Fix(text), framework, "en").text


@pytest.mark.parametrize(
    ("framework", "changes"),
    [
        ("ms-swift", {"--lora_rank": (8, 16), "--learning_rate": (1, 2)}),
        ("llama-factory", {"lora_rank": (8, 16), "learning_rate": (1, 2)}),
        ("axolotl", {"lora_r": (8, 16), "learning_rate": (1, 2)}),
        ("trl", {"--lora_r": (8, 16), "--learning_rate": (1, 2), "--packing_strategy": (1, 2)}),
    ],
)
def test_settings_that_a_fix_changes(framework: str, changes: dict[str, tuple[int, int]]) -> None:
    given = {
        "LoraConfig.r": (8, 16),
        "SFTConfig.learning_rate": (1, 2),
        "SFTConfig.packing_strategy": (1, 2),
    }
    assert in_its_words(Fix("so", given), framework, "en").changes == changes


RATES = {
    "ms-swift": "--learning_rate",
    "llama-factory": "learning_rate",
    "axolotl": "learning_rate",
    "trl": "--learning_rate",
    "torchtune": "optimizer.lr",
    "litgpt": "optimizer.init_args.lr",
    "lightning": "lr",
    "loop": "learning_rate",
}
"""What each calls the learning rate."""


@pytest.mark.parametrize("framework", [*DIALECTS, None, "another"])
def test_a_run_of_a_framework_is_told_in_its_words(framework: str | None) -> None:
    context = sftdiag.RunContext(framework=framework, learning_rate=1e-3, max_steps=400)
    report = sftdiag.analyze({"log_history": ROWS}, context=context)
    assert report.primary is not None
    fixes = [fix for cause in report.primary.causes for fix in cause.fixes]
    names = {name for fix in fixes for name in fix.changes}
    assert RATES.get(str(framework), "SFTConfig.learning_rate") in names
    assert all(name.startswith("SFTConfig") for name in names) == (framework not in DIALECTS)


def test_the_log_of_a_framework_is_told_in_its_words(tmp_path: Path) -> None:
    keys = {"step": "current_steps", "learning_rate": "lr"}
    rows = [{keys.get(key, key): value for key, value in row.items()} for row in ROWS]
    log = tmp_path / "trainer_log.jsonl"
    log.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert "learning_rate:" in str(sftdiag.analyze(log))
    assert "SFTConfig" not in str(sftdiag.analyze(log))


@pytest.mark.parametrize(
    ("older", "told", "changed"),
    [
        ("transformers-4", "raise max_length; warmup_ratio=0.1", "SFTConfig.max_length"),
        ("trl-0.15", "raise max_seq_length; warmup_ratio=0.1", "SFTConfig.max_seq_length"),
    ],
)
def test_older_versions_of_the_same(older: str, told: str, changed: str) -> None:
    """warmup_steps=0.1 would be no warm-up at all there."""
    fix = Fix("raise max_length; warmup_steps=0.1", {"SFTConfig.max_length": (8, 32)})
    assert in_its_words(fix, older, "en") == Fix(told, {changed: (8, 32)})
    assert in_its_words(Fix("the learning_rate"), older, "en").text == "the learning_rate"


def test_settings_are_named_by_the_classes_that_are_translated() -> None:
    """A setting named by another class would reach every framework untranslated."""
    named = [
        found
        for path in PACKAGE.rglob("*.py")
        for found in re.findall(r'"(\w+(?:Config|Arguments))\.\w+"', path.read_text("utf-8"))
    ]
    assert len(named) > 30
    assert set(named) == {"SFTConfig", "LoraConfig"}


def test_a_change_whose_value_means_something_else_is_left_out() -> None:
    change = {"SFTConfig.gradient_accumulation_steps": (1, 8), "SFTConfig.learning_rate": (2, 1)}
    fix = Fix("gradient_accumulation_steps=8, and lower learning_rate", change)
    told = in_its_words(fix, "litgpt", "en")
    assert told.changes == {"optimizer.init_args.lr": (2, 1)}
    assert told.text == "gradient_accumulation_steps=8, and lower optimizer.init_args.lr"


CLIPPING = {
    "torchtune": "clip_grad_norm=1.0",
    "lightning": "gradient_clip_val=1.0",
    "loop": "torch.nn.utils.clip_grad_norm_, max_norm=1.0",
    "litgpt": "litgpt",
}
"""How each clips at 1; litgpt's finetune commands do not, and say no to the setting."""


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("framework", CLIPPING)
def test_clipping(framework: str, lang: str) -> None:
    told = [
        in_its_words(Fix(SENTENCES[lang, *key].replace("{new:.1f}", "1.0")), framework, lang).text
        for key in (
            ("shared", "clip"),
            ("shared", "clip_on"),
            ("loss_spike", "clip_generally"),
            ("loss_spike", "clip_lower"),
        )
    ]
    assert CLIPPING[framework] in told[0]
    assert CLIPPING[framework] in told[2]
    assert "max_grad_norm" not in str(told)
    if framework == "litgpt":
        assert all(
            "--train.max_norm" in each and "--train.lr_warmup_steps" in each for each in told
        )


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("framework", ["lightning", "loop"])
def test_a_checkpoint_is_no_folder_of_transformers(framework: str, lang: str) -> None:
    named = [
        text for (of, *_), text in SENTENCES.items() if of == lang and "checkpoint-{check" in text
    ]
    assert named
    for text in named:
        told = in_its_words(Fix(text.replace("{checkpoint}", "40")), framework, lang).text
        assert "checkpoint-40" not in told
        assert "40" in told


@pytest.mark.parametrize("framework", ["torchtune", "litgpt"])
def test_frameworks_apart_get_no_flag_that_they_lack(framework: str) -> None:
    for (lang, *_), text in SENTENCES.items():
        told = in_its_words(Fix(text), framework, lang).text
        for lacking in ("early_stopping", "load_best_model", "use_liger_kernel", "max_grad_norm"):
            assert f"--{lacking}" not in told
            assert not (lacking == "early_stopping" and lacking in told)


@pytest.mark.parametrize(
    ("framework", "told"),
    [
        ("torchtune", "train in bf16 (dtype=bf16) and log it"),
        ("litgpt", "train in bf16 (--precision bf16-mixed) and log it"),
        ("lightning", 'train in bf16 (precision="bf16-mixed") and log it'),
        ("loop", "train in bf16 (autocast to torch.bfloat16) and log it"),
        ("axolotl", "train in bf16 (bf16: true, fp16: false) and log it"),
    ],
)
def test_two_settings_that_are_one_elsewhere(framework: str, told: str) -> None:
    fix = Fix("train in bf16 (bf16=True, fp16=False) and log it")
    assert in_its_words(fix, framework, "en").text == told


@pytest.mark.parametrize(
    ("framework", "told"),
    [("loop", "context=sftdiag.RunContext("), ("trl", "train with DiagnosticsCallback")],
)
def test_how_a_number_format_is_told(framework: str, told: str) -> None:
    monitor = Monitor(RunContext(framework=framework))
    for step in range(1, 60):
        monitor.feed_entry({"step": step, "loss": 2.0 if step < 40 else math.nan})
    (lost,) = [f for f in monitor.report().findings if f.code == "SFT106"]
    (missing,) = [c.missing for c in lost.causes if c.id == "quantization-or-dtype"]
    assert told in missing[0]


OF_THE_TRAINER = re.compile(
    r"optimizer\.pt|save_only_model|ignore_data_skip|resume_from_checkpoint|num_items_in_batch"
    r"|compute_loss|full_eval|use_liger_kernel|warmup_steps=0\.1|set gradient_checkpointing_kwargs"
    r"|say so with lr_scheduler_type|adam_epsilon|label_smoothing_factor|dataloader_"
)
"""Arguments and parts of transformers' Trainer, which a loop has not."""


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("framework", ["lightning", "loop"])
def test_no_fix_of_a_loop_names_a_part_of_the_trainer(framework: str, lang: str) -> None:
    """The checks before step 1 are not among them: they look at a trainer."""
    units = {path.stem for path in (PACKAGE / "guide").glob("*.toml")}
    left = {
        key: told
        for (of, unit, key), text in SENTENCES.items()
        if of == lang and unit in units
        # As they are told, with their braces.
        for told in [in_its_words(Fix(text.replace("{{", "{").replace("}}", "}")), framework, lang)]
        if OF_THE_TRAINER.search(told.text)
    }
    assert left == {}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_word_of_the_trainer_that_is_told_otherwise_stands_in_a_fix(lang: str) -> None:
    words = tomllib.loads((PACKAGE / "guide" / "dialect.toml").read_text("utf-8"))[lang]["apart"]
    told = [text.replace("{{", "{") for (of, *_), text in SENTENCES.items() if of == lang]
    left = [key for key, word in words.items() if not any(word["of"] in text for text in told)]
    assert left == []


@pytest.mark.parametrize(
    ("framework", "told"),
    [("loop", "max_norm 0.001"), ("lightning", "gradient_clip_val 0.001"), (None, "max_grad_norm")],
)
def test_sentences_of_a_loop_name_its_settings(framework: str | None, told: str) -> None:
    known = RunContext(
        framework=framework, optim="sgd", max_grad_norm=0.001, max_steps=100, learning_rate=0.1
    )
    rows = [
        {"step": n, "loss": 2 + 0.01 * (n % 3), "learning_rate": 0.1, "grad_norm": 1.0}
        for n in range(1, 40)
    ]
    (finding,) = (f for f in report_of(rows, known).findings if f.code == "SFT101")
    said = [finding.message, *(s for c in finding.causes for s in (*c.because, *c.against))]
    assert told in finding.message
    assert any(told in sentence for sentence in said[1:])
    assert framework is None or not any("max_grad_norm" in sentence for sentence in said)
