"""sftdiag probe on finished tiny models: sound, sick, an adapter, and what cannot be read."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from logs import train_rows, write_state

from sftdiag.cli.main import main

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

import tiny_models  # noqa: E402

pytestmark = pytest.mark.slow

PROBES = ["repetitive-output", "forgetting", "unnatural-replies"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and files: what a user has after a few fine-tunes."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("models")
    tokenizer = finetune.make_tokenizer()
    general = tiny_models.general_rows(tokenizer)
    chat = tiny_models.chat_rows(tokenizer, 320)
    unended = tiny_models.chat_rows(tokenizer, 320, end_trained=False)
    mixed = random.Random(0).sample(chat + general * 4, len(chat) + 4 * len(general))

    def tuned(name: str, rows: Any, steps: int, *, lora: bool = False) -> None:
        model = tiny_models.pretrained() if name == "base" else load(folder / "base")
        if lora:
            wide = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear")
            model = get_peft_model(model, wide)
        tiny_models.train(model, rows, steps=steps, rate=1e-2 if lora else 3e-3)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)

    tuned("base", [], 0)
    tuned("good", mixed, 80)
    tuned("endless", unended, 60)
    tuned("adapter", chat, 40, lora=True)
    held_out = finetune.conversations(finetune.FAULTS["none"], 16, seed=2, held_out=True)
    pairs = [(m[0]["content"], m[1]["content"]) for m in held_out["messages"]]
    files = {
        "messages.jsonl": [{"messages": m} for m in held_out["messages"]],
        "pairs.jsonl": [{"prompt": q, "completion": a} for q, a in pairs],
        "rendered.jsonl": [
            {"prompt": f"<|user|> {q} <|end|> <|assistant|>", "completion": f"{a} <|end|>"}
            for q, a in pairs
        ],
        "texts.jsonl": [{"text": text} for text in tiny_models.GENERAL],
    }
    for name, rows in files.items():
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
    (folder / "pairs.json").write_text(json.dumps(files["pairs.jsonl"]))
    (folder / "prompts.txt").write_text("\n".join(q for q, _ in pairs))
    (folder / "texts.txt").write_text("\n".join(tiny_models.GENERAL))
    return folder


def load(folder: Path) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)


def probe(folder: Path, model: str, *options: str, prompts: str = "messages.jsonl") -> int:
    """Call the command; options that name something in the folder mean that."""
    given = [str(folder / option) if (folder / option).exists() else option for option in options]
    return main(["probe", str(folder / model), "--prompts", str(folder / prompts), *given])


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    return report


AGAINST_BASE = ("--base", "base", "--texts", "texts.txt")
SICK = ("endless", *AGAINST_BASE, "--fail-on", "warning")


def test_a_sound_model_is_silent_and_was_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(folder, "good", *AGAINST_BASE, "--fail-on", "info", "--format", "json") == 0
    found = report(capsys)
    assert (found["verdict"], found["findings"], found["checks"]["skipped"]) == ("healthy", [], {})
    assert found["checks"]["ran"] == PROBES


def test_a_sick_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It never ends its replies, and has forgotten what the base knew."""
    assert probe(folder, *SICK, "--format", "json") == 1
    found = report(capsys)
    causes = {f["code"]: f["causes"][0]["id"] for f in found["findings"]}
    assert causes["SFT303"] == "chat-template"
    assert "SFT302" in causes
    assert found["source"] == str(folder / "endless")


def test_both_languages_tell_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for lang in ("en", "zh"):
        assert probe(folder, *SICK, "--lang", lang) == 1
        told[lang] = capsys.readouterr().out
    assert "end by themselves" in told["en"]
    assert "能自行结束" in told["zh"]
    numbers = [re.findall(r"\d+(?:\.\d+)?%?", text) for text in told.values()]
    assert sorted(numbers[0]) == sorted(numbers[1])
    assert not any(line.endswith("·") for text in told.values() for line in text.splitlines())


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("base", ("--adapter", "adapter")),
        ("adapter", ("--base", "base")),
        ("adapter", ()),
    ],
)
def test_an_adapter_is_compared_with_itself_switched_off(
    model: str, options: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ("--texts", "texts.jsonl", "--format", "json")
    assert probe(folder, model, *options, *texts) == 0
    found = report(capsys)
    assert found["checks"]["ran"] == PROBES
    assert found["source"] == str(folder / "adapter")
    (forgot,) = [f for f in found["findings"] if f["code"] == "SFT302"]
    assert forgot["evidence"]["before"] < 1.0 < forgot["evidence"]["loss"]
    (rank,) = [cause for cause in forgot["causes"] if cause["id"] == "lora-rank-too-large"]
    assert [fix["changes"] for fix in rank["fixes"]] == [
        {"LoraConfig.r": [32, 16], "LoraConfig.lora_alpha": [64, 32]}
    ]


def test_the_log_beside_a_model_is_read_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it nothing is known of the learning rate."""
    causes = {}
    for beside in (False, True):
        if beside:
            rows = [
                {**row, "learning_rate": 1e-2}
                for row in train_rows([3.0 - i / 50 for i in range(100)])
            ]
            write_state(folder / "endless" / "trainer_state.json", rows)
        assert probe(folder, *SICK, "--format", "json") == 1
        found = report(capsys)
        (forgot,) = [f for f in found["findings"] if f["code"] == "SFT302"]
        first = forgot["causes"][0]
        causes[beside] = (first["id"], first["status"])
        assert found["summary"]["records"] == 100 * beside
    (folder / "endless" / "trainer_state.json").unlink()
    cause = "learning-rate-too-high"
    assert causes == {False: (cause, "possible"), True: (cause, "likely")}


@pytest.mark.parametrize("prompts", ["pairs.json", "rendered.jsonl", "prompts.txt"])
def test_prompts_in_every_form(
    prompts: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rendered as the template does it, whoever did it: the sick model shows, the sound one not."""
    assert probe(folder, "good", *AGAINST_BASE, "--format", "json", prompts=prompts) == 0
    assert report(capsys)["findings"] == []
    probe(folder, *SICK, "--format", "json", prompts=prompts)
    found = {finding["code"] for finding in report(capsys)["findings"]}
    # Without answers nothing says where a reply should end.
    assert ("SFT303" in found) is (prompts != "prompts.txt")


def test_why_it_cannot_judge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "few.txt").write_text("what colour has the cup of Ada")
    assert probe(folder, "good", "--format", "json", prompts="few.txt") == 0
    found = report(capsys)
    assert found["verdict"] == "inconclusive"
    assert found["checks"]["skipped"]["repetitive-output"] == "too few prompts: 1 of 6"
    assert probe(folder, "good", "--texts", "texts.txt") == 0
    assert "give --base" in capsys.readouterr().out


def test_a_model_saved_without_its_tokenizer_has_its_bases(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(folder / "good").save_pretrained(folder / "bare")
    assert probe(folder, "bare", *AGAINST_BASE, "--format", "json") == 0
    assert report(capsys)["checks"]["ran"] == PROBES
    assert probe(folder, "bare") == 2
    assert "bare: no tokenizer can be loaded" in capsys.readouterr().err


BAD_LINES = {
    "question.jsonl": '{"prompt": "a"}\n{"question": "b"}',
    "numbers.jsonl": '{"prompt": "a"}\n{"prompt": 3}',
    "answer.jsonl": '{"prompt": "a"}\n{"prompt": "a", "completion": 5}',
    "roles.jsonl": '{"prompt": "a"}\n{"messages": [{"role": "user"}]}',
    "unasked.jsonl": '{"prompt": "a"}\n{"messages": [{"role": "assistant", "content": "x"}]}',
    "parts.jsonl": '{"prompt": "a"}\n{"messages": [{"role": "user", "content": [{}]}]}',
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_an_entry_that_is_no_prompt(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(BAD_LINES[name])
    assert probe(folder, "good", prompts=name) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    start = f"sftdiag: {folder / name}: entry 2: expected a text, {{'prompt': ...}}"
    assert said.err.startswith(start)
    assert "; got an object with '" in said.err


@pytest.mark.parametrize("given", ["0", "-1", "nan", "soon"])
def test_seconds_are_a_time(given: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(folder, "good", "--seconds", given) == 2
    assert f"argument --seconds: invalid seconds value: '{given}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "options", "prompts", "said"),
    [
        ("good", (), "nowhere.txt", "nowhere.txt: no such file"),
        ("good", (), "empty.txt", "empty.txt: is empty; expected a text"),
        ("good", (), "broken.jsonl", "broken.jsonl: line 2: expected a JSON object"),
        ("good", (), "latin.txt", "latin.txt: cannot be read"),
        ("good", ("--texts", "pairs.jsonl"), "messages.jsonl", "pairs.jsonl: entry 1: expected a"),
        ("good", ("--base", "nowhere"), "messages.jsonl", "nowhere: no such folder, and no"),
        ("nowhere", (), "messages.jsonl", "nowhere: no such folder, and no tokenizer"),
        ("hollow", (), "messages.jsonl", "hollow: holds no tokenizer: expected a folder"),
        ("good", ("--adapter", "good"), "messages.jsonl", "good: no adapter can be loaded"),
        ("adapter", ("--adapter", "adapter"), "messages.jsonl", "is an adapter already"),
        ("good", (), "refused.jsonl", "prompt 1 cannot be asked: no system"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(
    model: str,
    options: tuple[str, ...],
    prompts: str,
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "empty.txt").write_text("\n\n")
    (folder / "broken.jsonl").write_text('{"prompt": "a"}\n{"prompt": \n')
    (folder / "latin.txt").write_bytes("Farbe für Ü".encode("latin-1"))
    (folder / "hollow").mkdir(exist_ok=True)
    system = {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}]}
    (folder / "refused.jsonl").write_text(json.dumps(system))
    template = folder / "good" / "chat_template.jinja"
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    kept = template.read_text()
    template.write_text(refusal + kept)
    try:
        assert probe(folder, model, *options, prompts=prompts) == 2
    finally:
        template.write_text(kept)
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("sftdiag: ")
    assert said in told.err


def test_prompts_are_required(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(folder / "good")]) == 2
    assert "--prompts" in capsys.readouterr().err
