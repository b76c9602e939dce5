"""recommend against the guide's tables, row by row, and against the real config classes."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag import ranges
from sftdiag.tuning import formats, recipes
from sftdiag.tuning.setup import parse_size, power_of_two

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def ask(samples: int = 12_000, parameters: float = 7e9, method: str = "lora", **more: Any) -> Any:
    return sftdiag.recommend(samples, parameters, method, **more)


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [("full", 1e-5, 5e-5), ("lora", 1e-5, 5e-5), ("qlora", 1e-4, 3e-4)],
)
def test_learning_rate_rows(method: str, low: float, high: float) -> None:
    guide = ranges.LEARNING_RATE[method][0]
    assert (guide.low, guide.high) == (low, high)
    setting = ask(method=method).setting("learning_rate")
    shown = " ".join((setting.source, *setting.beside))
    assert "SFT guide, learning-rate table" in shown
    assert len(setting.beside) >= 1
    if method != "lora":
        assert setting.value in guide


def test_learning_rate_of_the_summary() -> None:
    assert ask(method="full").sft_config["learning_rate"] == 2e-5
    assert ask(method="qlora").sft_config["learning_rate"] == 2e-4
    lora = ask(method="lora").setting("learning_rate")
    assert lora.value == 2.5e-4
    assert "1e-5 to 5e-5 [SFT guide, learning-rate table]" in lora.beside
    assert ask(samples=900, method="full").sft_config["learning_rate"] == 1e-5
    assert ask(parameters=32e9, method="full").sft_config["learning_rate"] == 1e-5
    assert ask(parameters=32e9, method="qlora").sft_config["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    ("parameters", "batch", "rate"),
    [
        (1e9, 128, 1e-3),
        (3.2e9, 128, 1e-3),
        (4e9, 128, 5e-4),
        (8e9, 128, 5e-4),
        (14e9, 128, 3e-4),
        (70e9, 128, 3e-4),
        (8e9, 32, 2.5e-4),
        (70e9, 8, 7.5e-5),
        (8e9, 512, 5e-4),
    ],
)
def test_the_lora_rate_follows_size_and_batch(parameters: float, batch: int, rate: float) -> None:
    setting = ask(parameters=parameters, effective_batch=batch).setting("learning_rate")
    assert setting.value == rate
    assert "Tinker" in setting.source
    assert ("scaled by the square root" in setting.reason) == (batch < 128)


def test_quantised_bases_are_not_covered_by_the_sweep() -> None:
    assert "no sweep of rates covers 4-bit" in ask(method="qlora").setting("learning_rate").reason


def test_large_data_takes_the_guides_large_batch() -> None:
    assert ask(samples=50_000).plan["effective_batch_size"] == 32
    assert ask(samples=99_840).plan["effective_batch_size"] == 128
    assert ask(samples=99_840).plan["steps"] == 780
    assert ask(samples=99_840, effective_batch=16).plan["effective_batch_size"] == 16


def test_scheduler() -> None:
    found = ask()
    assert found.sft_config["lr_scheduler_type"] == "cosine"
    assert found.sft_config["warmup_steps"] == 0.1
    plan = found.plan
    assert (plan["steps"], plan["warmup_steps"]) == (750, 75)
    assert plan["learning_rate"]["0"] == plan["learning_rate"]["750"] == 0
    assert plan["learning_rate"]["75"] == 2.5e-4


@pytest.mark.slow
def test_the_schedule_is_that_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
    schedule = get_cosine_schedule_with_warmup(optimizer, 75, 750)
    for step in range(751):
        wanted = recipes.cosine_rate(step, 750, 75, 2e-4)
        assert schedule.get_last_lr()[0] == pytest.approx(wanted, rel=1e-9, abs=1e-18)
        optimizer.step()
        schedule.step()


def test_the_batch_is_told_beside_the_guides_others() -> None:
    reason = ask().setting("gradient_accumulation_steps").reason
    assert "= 32 rows" in reason
    assert "4 to 8 are noisy, 64 to 128" in reason


@pytest.mark.parametrize(
    ("gpus", "rows", "accumulation"), [(1, 4, 8), (2, 4, 4), (8, 4, 1), (16, 2, 1), (32, 1, 1)]
)
def test_the_effective_batch_stays_32(gpus: int, rows: int, accumulation: int) -> None:
    config = ask(gpus=gpus).sft_config
    assert config["per_device_train_batch_size"] == rows
    assert config["gradient_accumulation_steps"] == accumulation


def test_short_of_memory_the_accumulation_grows() -> None:
    roomy = ask(gpu_memory=80, lengths={0.95: 8000}).sft_config
    tight = ask(gpu_memory=24, lengths={0.95: 8000}).sft_config
    assert roomy["per_device_train_batch_size"] == 4
    assert tight["per_device_train_batch_size"] < 4
    for config in (roomy, tight):
        product = config["per_device_train_batch_size"] * config["gradient_accumulation_steps"]
        assert product == 32


@pytest.mark.parametrize(
    ("samples", "low", "high"),
    [(800, 3, 5), (4_999, 3, 5), (5_000, 1, 3), (50_000, 1, 3), (50_001, 1, 1), (800_000, 1, 1)],
)
def test_epoch_rows(samples: int, low: int, high: int) -> None:
    setting = ask(samples=samples).setting("num_train_epochs")
    assert low <= setting.value <= min(high, ranges.MOST_EPOCHS)
    assert "beyond 3" in setting.reason
    if low < high:
        assert f"{low} to {high} epochs" in setting.reason
        assert "high-quality data needs 1 to 2" in setting.reason
    assert any("Tulu 3" in text for text in setting.beside)


@pytest.mark.parametrize(
    ("p95", "length", "says"),
    [
        (500, 512, "low attention memory, for short single-turn rows"),
        (513, 1024, "medium attention memory, for multi-turn rows"),
        (1500, 2048, "medium attention memory, for multi-turn rows"),
        (4000, 4096, "high attention memory, for long documents"),
        (5000, 8192, "needs Flash Attention"),
        (30_000, 32_768, "needs Flash Attention"),
    ],
)
def test_length_rows(p95: int, length: int, says: str) -> None:
    setting = ask(lengths={0.5: 10, 0.95: p95, 1.0: 10 * p95}).setting("max_length")
    assert setting.value == length
    assert says in setting.reason
    assert "batch x length squared" in setting.reason
    assert "longer rows are cut" in setting.reason


def test_unknown_lengths_get_the_template() -> None:
    setting = ask(lengths={0.5: 100}).setting("max_length")
    assert setting.value == 2048
    assert "cover 90 to 95 %" in setting.reason
    assert ask(lengths={0.9: 300}).sft_config["max_length"] == 512


@pytest.mark.parametrize(
    ("name", "samples", "parameters", "r", "alpha", "dropout", "modules", "rate", "epochs"),
    [
        ("conservative", 3_000, 1.5e9, 16, 32, 0.1, ("q_proj", "v_proj"), 1e-5, (3, 3)),
        ("standard", 20_000, 8e9, 32, 64, 0.05, SEVEN, 2e-5, (1, 2)),
        ("aggressive", 90_000, 70e9, 64, 128, 0.0, SEVEN, 5e-5, (1, 1)),
    ],
)
def test_presets(
    name: str,
    samples: int,
    parameters: float,
    r: int,
    alpha: int,
    dropout: float,
    modules: tuple[str, ...],
    rate: float,
    epochs: tuple[int, int],
) -> None:
    found = ask(samples=samples, parameters=parameters)
    (chosen,) = [preset for preset in found.presets if preset.chosen]
    assert (chosen.name, len(found.presets)) == (name, 3)
    assert dict(chosen.lora_config) == {
        "r": r,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": list(modules),
    }
    assert chosen.sft_config["learning_rate"] == rate
    assert chosen.sft_config["num_train_epochs"] == epochs[1]
    assert found.lora_config == {
        "r": r,
        "lora_alpha": 2 * r,
        "target_modules": "all-linear",
        "lora_dropout": dropout,
        "task_type": "CAUSAL_LM",
    }
    assert epochs[0] <= found.sft_config["num_train_epochs"] <= epochs[1]


def test_lora_rows() -> None:
    assert (ranges.LORA_RANK[0].low, ranges.LORA_RANK[0].high, ranges.USUAL_RANK) == (16, 64, 32)
    assert ranges.ALPHA_OVER_RANK[0].low == ranges.ALPHA_OVER_RANK[0].high == 2
    assert ranges.ALL_LINEAR == SEVEN
    assert (ranges.LORA_DROPOUT[0].low, ranges.LORA_DROPOUT[0].high) == (0.05, 0.1)
    assert "alpha / r" in ask().setting("lora_alpha").reason
    assert "wider is better" in ask().setting("target_modules").reason
    assert "more with little data" in ask().setting("lora_dropout").reason
    assert ask(method="full").lora_config is None


@pytest.mark.parametrize(
    ("method", "rates"),
    [("lora", (1e-5, 2e-5, 5e-5)), ("full", (1e-5, 2e-5, 5e-5)), ("qlora", (1e-4, 2e-4, 3e-4))],
)
def test_search_order(method: str, rates: tuple[float, ...]) -> None:
    steps = ask(method=method).search
    names = ["learning_rate", "num_train_epochs", "r", "effective_batch"]
    assert [step.name for step in steps] == [n for n in names if method != "full" or n != "r"]
    assert steps[0].values == rates
    assert steps[1].values == (3,)
    assert all(step.values == (16, 32, 64) for step in steps[2:])


def test_smoke_test_row() -> None:
    assert ask().smoke_test == {
        "max_steps": 100,
        "logging_steps": 10,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-5,
    }
    (note,) = [note for note in ask().notes if "before the real run" in note]
    assert "100 steps, logging every 10, 4 rows a device, accumulation 4" in note
    assert "no clear fall: check the data format and the configuration" in note


TEMPLATE = {
    "output_dir": "outputs",
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "learning_rate": 2e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "bf16": True,
    "max_length": 2048,
    "dataset_text_field": "text",
    "packing": False,
    "logging_steps": 10,
    "eval_strategy": "steps",
    "eval_steps": 100,
    "save_strategy": "steps",
    "save_steps": 200,
    "save_total_limit": 3,
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_loss",
    "greater_is_better": False,
    "report_to": "none",
    "seed": 42,
}


def test_the_full_template() -> None:
    config = ask(samples=60_000, method="qlora", effective_batch=32).sft_config
    checkpointing = {name: config.pop(name) for name in list(config) if "checkpointing" in name}
    assert config == TEMPLATE
    assert list(checkpointing.values()) == [True, {"use_reentrant": False}]
    for name, value in recipes.TEMPLATE_SETTINGS.items():
        assert TEMPLATE[name] == value or name == "learning_rate"


def test_every_setting_says_why_and_whence() -> None:
    for method in ("full", "lora", "qlora"):
        for lang in ("en", "zh"):
            for item in ask(method=method, lang=lang, gpu_memory=24).settings:
                assert item.reason
                assert item.source
                assert "{" not in item.reason


def test_a_short_run_is_logged_and_evaluated_often() -> None:
    config = ask(samples=500).sft_config
    assert config["logging_steps"] == 1
    assert config["save_steps"] % config["eval_steps"] == 0
    assert config["eval_steps"] < 20
    assert any("optimizer steps" in note for note in ask(samples=500).notes)


@pytest.mark.parametrize(
    ("gib", "parameters", "method"),
    [(24, 0.5e9, "full"), (24, 7e9, "lora"), (24, 20e9, "qlora"), (None, 7e9, "lora")],
)
def test_the_method_follows_from_the_memory(
    gib: float | None, parameters: float, method: str
) -> None:
    found = sftdiag.recommend(12_000, parameters, gpu_memory=gib)
    assert found.method == method
    assert "method" in found.notes[0]


def test_what_does_not_fit_is_said() -> None:
    assert "choose LoRA" in ask(method="full", gpu_memory=24).notes[0]
    assert "even QLoRA" in ask(parameters=700e9, method="qlora", gpu_memory=24).notes[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"samples": 0}, "samples must be above 0"),
        ({"parameters": -1}, "parameters must be above 0"),
        ({"effective_batch": 0}, "effective_batch must be above 0"),
        ({"gpus": 0}, "gpus must be above 0"),
        ({"gpu_memory": 0}, "gpu_memory must be above 0"),
        ({"method": "dora"}, "method must be one of full, lora, qlora; got 'dora'"),
        ({"lengths": {95: 100}}, "lengths must map shares of 0 to 1"),
        ({"lengths": {0.95: 700, 0.9: 900}}, "must not fall as the share of rows grows, got 0.9"),
        ({"lang": "fr"}, "lang must be one of"),
    ],
)
def test_what_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(sftdiag.ConfigError, match=says):
        ask(**change)


@pytest.mark.parametrize(("size", "meant"), [("7", "7B"), ("0.5", "0.5B"), ("70K", "70B")])
def test_a_size_without_its_unit_is_asked_about(size: str, meant: str) -> None:
    with pytest.raises(sftdiag.ConfigError, match=f"{meant}[?]"):
        parse_size(size)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("7B", "0.5b", "500M", "7e9")] == [7e9, 5e8, 5e8, 7e9]
    assert [power_of_two(n) for n in (1, 2, 3, 512, 513)] == [1, 2, 4, 512, 1024]
    for text in ("", "seven", "7Q", "1.2.3B", "0", "7e9B", "1e400"):
        with pytest.raises(sftdiag.ConfigError, match="7B, 500M or 7e9"):
            parse_size(text)


SETUPS = [(800, 0.5e9, "full"), (12_000, 7e9, "lora"), (90_000, 70e9, "qlora")]


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "parameters", "method"), SETUPS)
def test_the_real_classes_accept_it(
    samples: int, parameters: float, method: str, tmp_path: Path
) -> None:
    trl = pytest.importorskip("trl")
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

    found = ask(samples, parameters, method)
    chosen = {**found.sft_config, "output_dir": str(tmp_path), "use_cpu": True}
    config = trl.SFTConfig(**chosen)
    for name, value in chosen.items():
        got = getattr(config, name)
        assert getattr(got, "value", got) == (value if name != "report_to" else [])
    if found.lora_config is not None:
        assert LoraConfig(**found.lora_config).r == found.lora_config["r"]
        for preset in found.presets:
            assert set(LoraConfig(**preset.lora_config).target_modules) <= set(SEVEN)
    if found.quantization_config is not None:
        assert BitsAndBytesConfig(**found.quantization_config).load_in_4bit


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "parameters", "method"), SETUPS)
def test_trl_reads_the_yaml(samples: int, parameters: float, method: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    found = ask(samples, parameters, method)
    path = tmp_path / "sft.yaml"
    path.write_text(formats.render_yaml(found) + "use_cpu: true\n", encoding="utf-8")
    classes = (trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig, trl.DatasetMixtureConfig)
    parser = trl.TrlParser(classes)
    _, config, model, data = parser.parse_args_and_config(
        ["--config", str(path)], fail_with_unknown_args=True
    )
    assert config.learning_rate == found.sft_config["learning_rate"]
    assert config.warmup_steps == 0.1
    assert data.datasets[0].data_files == formats.NO_DATA
    adapter = trl.get_peft_config(model)
    if method == "full":
        assert adapter is None
    else:
        assert adapter.to_dict() == adapter.to_dict() | {
            k: v for k, v in found.lora_config.items() if k != "task_type"
        }
    assert model.load_in_4bit == (method == "qlora")


def test_json_is_the_arguments_and_the_reasons() -> None:
    found = ask()
    data = json.loads(formats.render_json(found))
    assert data["schema_version"] == 1
    assert data["sft_config"] == found.sft_config
    assert data["lora_config"] == found.lora_config
    assert data["settings"][0].keys() == {
        "config", "name", "value", "reason", "source", "beside",
    }  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("samples", "parameters", "method"), SETUPS)
def test_the_script_compiles(samples: int, parameters: float, method: str, lang: str) -> None:
    script = formats.render_python(ask(samples, parameters, method, lang=lang))
    compile(script, "train.py", "exec")
    assert max(map(len, script.splitlines())) <= 100
    assert "--lang" not in script


def shaped(form: str, rows: Any) -> tuple[str, ...]:
    """Return rows of a conversation's question and answer in another form, and its columns."""
    made = []
    for q, a in ((m[0]["content"], m[1]["content"]) for m in rows["messages"]):
        if form == "sharegpt":
            talk = [{"from": "human", "value": q}, {"from": "gpt", "value": a}]
            made.append({"conversations": talk})
        elif form == "alpaca":
            made.append({"instruction": q, "input": "", "output": a})
        else:
            talk = [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
            made.append({"messages": talk})
    return tuple(json.dumps(row) for row in made)


TALK = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
NAMED = [{"from": "user", "value": "one"}, {"from": "assistant", "value": "two"}]
HUMAN = [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"}]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"messages": TALK}, None),
        ({"conversations": NAMED}, None),
        ({"prompt": TALK[:1], "completion": TALK[1:]}, None),
        ({"text": "one two", "source": "a"}, None),
        ({"conversations": HUMAN}, "conversations"),
        ({"conversations": TALK}, "conversations"),
        ({"messages": HUMAN}, "messages"),
        ({"conversation": NAMED}, "conversation"),
        ({"instruction": "one", "input": "", "output": "two"}, "instruction"),
    ],
)
def test_the_yaml_says_how_rows_are_converted_that_trl_does_not_read(
    row: dict[str, Any],
    column: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its comment is a script, and makes rows of which TRL's trainer needs no more."""
    pytest.importorskip("datasets")
    from sftdiag.cli.main import main
    from sftdiag.rows import forms

    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("\n".join([json.dumps(row)] * 3))
    arguments = ("--model-size", "1B", "--data", "rows.jsonl", "--format", "yaml")
    assert main(["recommend", *arguments]) == 0
    text = capsys.readouterr().out
    assert f'"{"rows.trl.jsonl" if column else "rows.jsonl"}"' in text
    if column is None:
        assert "import datasets" not in text
        return
    assert f"the column {column}" in " ".join(text.split())
    script = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    start = script.index("#   import datasets")
    end = script.index("#   rows.to_json")
    last = script[end:].partition("\n")[0]
    exec("\n".join(line[4:] for line in (script[start:end] + last).splitlines()), {})
    (made, *_) = map(json.loads, Path("rows.trl.jsonl").read_text().splitlines())
    assert forms.to_convert(made) is None
    talk = forms.talk_of(made)
    assert talk is not None
    assert talk.messages == TALK


@pytest.mark.slow
@pytest.mark.parametrize("form", ["messages", "sharegpt", "alpaca"])
def test_the_script_trains_on_the_rows_it_was_given(form: str, tmp_path: Path) -> None:
    """And passes its own smoke test: a no-go would end it."""
    finetune = pytest.importorskip("finetune")
    from sftdiag.cli.main import main

    tokenizer = finetune.make_tokenizer()
    finetune.make_model(tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = finetune.conversations(finetune.FAULTS["none"], 200, seed=1)
    (tmp_path / "rows.jsonl").write_text("\n".join(shaped(form, rows)))
    said = io.StringIO()
    data = ("--data", str(tmp_path / "rows.jsonl"), "--model", str(tmp_path / "model"))
    with contextlib.redirect_stdout(said):
        assert main(["recommend", "--model-size", "1B", *data]) == 0
    script = said.getvalue().replace(
        "    bf16=True,\n", "    bf16=True,\n    use_cpu=True,\n    disable_tqdm=True,\n"
    )
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "sftdiag: " in done.stderr
    assert (tmp_path / "outputs" / "_sftdiag" / "context.json").is_file()
