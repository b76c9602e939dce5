"""The probes on real tiny trainers: what they find, what they leave as it was, what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.errors import ConfigError
from sftdiag.findings import Finding
from sftdiag.probes import PROBES

finetune = pytest.importorskip("finetune", reason="needs the extra trainer")

import tiny_models  # noqa: E402
from tiny_models import GENERAL  # noqa: E402

from sftdiag.probing.ask import Asker  # noqa: E402
from sftdiag.probing.prompts import from_samples  # noqa: E402
from sftdiag.samples import Sample  # noqa: E402
from sftdiag.sources import probes as probe_rows  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pretrained() -> Any:
    """A tiny model that knows GENERAL: what there is to forget."""
    return tiny_models.pretrained()


def run(
    folder: Path, probes: Any = True, setup: Any = None, fault: str = "none", **args: Any
) -> Any:
    """Train a tiny model under the probes; return the trainer and the callback."""
    trainer = finetune.make_trainer(fault, folder, **{"max_steps": 40, "eval_steps": 20, **args})
    if setup is not None:
        setup(trainer)
    callback = sftdiag.attach(trainer, probes=probes)
    trainer.train()
    finetune.save_log(trainer, folder)
    offline = sftdiag.analyze(folder)
    live = {code: finding.to_dict() for code, finding in found(callback.report).items()}
    assert {code: f.to_dict() for code, f in found(offline).items()} == live
    return trainer, callback


def found(report: sftdiag.Report) -> dict[str, Finding]:
    return {f.code: f for f in report.findings if f.code.startswith("SFT3")}


def asking(*names: str, **options: Any) -> Any:
    return sftdiag.Probes(names or None, seconds=60, **{"reply_tokens": 24, **options})


def with_weights(model: Any) -> Any:
    return lambda trainer: trainer.model.load_state_dict(model.state_dict())


def test_it_forgets_at_a_large_rate_and_not_at_a_small_one(tmp_path: Path, pretrained: Any) -> None:
    probes, setup = asking("forgetting", texts=GENERAL), with_weights(pretrained)
    _, callback = run(tmp_path / "large", probes, setup, learning_rate=1e-2)
    forgot = found(callback.report)["SFT302"]
    assert forgot.causes[0].id == "learning-rate-too-high"
    assert forgot.evidence["texts"] == len(GENERAL)
    _, callback = run(tmp_path / "small", probes, setup, learning_rate=1e-5)
    assert found(callback.report) == {}
    assert "forgetting" in callback.report.ran


def test_an_end_of_turn_outside_the_loss(tmp_path: Path) -> None:
    """The loss looks healthy, the replies never end; with the end inside it they do."""
    inside = "<|end|>{% endgeneration %}"
    assert inside in finetune.TEMPLATE
    outside = finetune.TEMPLATE.replace(" " + inside, "{% endgeneration %} <|end|>")
    probes = asking("unnatural-replies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "TEMPLATE", outside)
        _, callback = run(tmp_path / "outside", probes, max_steps=80)
    unnatural = found(callback.report)["SFT303"]
    assert (unnatural.causes[0].id, unnatural.causes[0].status.name) == (
        *("chat-template", "CONFIRMED"),
    )
    _, callback = run(tmp_path / "inside", probes, max_steps=80)
    assert found(callback.report) == {}
    assert "unnatural-replies" in callback.report.ran


def circling(trainer: Any) -> None:
    """Train on answers that go round in circles; the evaluation rows stay as they were."""
    tokenizer = trainer.processing_class
    end = tokenizer.eos_token_id

    def turn(row: dict[str, Any]) -> dict[str, Any]:
        ids, labels = list(row["input_ids"]), list(row["labels"])
        start = next(index for index, label in enumerate(labels) if label != -100)
        answer = [*ids[start : start + 3] * 7, end]
        return {"input_ids": [*ids[:start], *answer], "labels": [-100] * start + answer}

    trainer.train_dataset = trainer.train_dataset.map(turn)


def test_it_repeats_what_it_was_taught(tmp_path: Path) -> None:
    probes = asking("repetitive-output")
    _, callback = run(tmp_path / "circles", probes, circling, max_steps=80)
    repeats = found(callback.report)["SFT301"]
    assert repeats.causes[0].id == "overfitting"
    statuses = {cause.id: cause.status.name for cause in repeats.causes}
    assert statuses["sampling-temperature"] == "RULED_OUT"
    _, callback = run(tmp_path / "plain", probes, max_steps=80)
    assert found(callback.report) == {}
    assert "repetitive-output" in callback.report.ran


def one_word(trainer: Any) -> None:
    """Train on one word ten times as every answer; the evaluation rows stay as they were."""
    tokenizer = trainer.processing_class
    answer = [tokenizer.convert_tokens_to_ids("red")] * 10 + [tokenizer.eos_token_id]

    def turn(row: dict[str, Any]) -> dict[str, Any]:
        start = next(index for index, label in enumerate(row["labels"]) if label != -100)
        ids = [*row["input_ids"][:start], *answer]
        return {"input_ids": ids, "labels": [-100] * start + answer}

    trainer.train_dataset = trainer.train_dataset.map(turn)


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "in the reference answers"), ("zh", "参考答案中为 0%")]
)
def test_a_bare_callback_names_one_word_by_the_reference_answers(
    tmp_path: Path, lang: str, words: str
) -> None:
    """Nothing was measured before training, and what was first asked repeats itself already."""
    trainer = finetune.make_trainer("none", tmp_path, max_steps=40, eval_steps=10)
    one_word(trainer)
    callback = sftdiag.DiagnosticsCallback(probes=asking("repetitive-output"), lang=lang)
    trainer.add_callback(callback)
    trainer.train()
    finetune.save_log(trainer, tmp_path)
    assert probe_rows.read(str(tmp_path))[0]["step"] == 10
    repeats = found(callback.report)["SFT301"]
    assert (repeats.onset_step, repeats.fired_step, repeats.resolved_step) == (20, 30, None)
    assert repeats.evidence["best"] is None
    assert words in repeats.message
    assert found(sftdiag.analyze(tmp_path, lang=lang)) == {"SFT301": repeats}


@pytest.mark.acceptance
def test_a_lora_run_knows_its_base_from_the_adapter(tmp_path: Path, pretrained: Any) -> None:
    from peft import LoraConfig, get_peft_model

    def adapt(trainer: Any) -> None:
        with_weights(pretrained)(trainer)
        wide = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear")
        trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, wide)

    probes = asking("forgetting", texts=GENERAL)
    trainer, callback = run(tmp_path, probes, adapt, learning_rate=2e-2)
    assert "SFT302" in found(callback.report)
    assert all("lora" in n for n, p in trainer.model.named_parameters() if p.requires_grad)


@pytest.mark.acceptance
def test_a_resume_compares_with_the_model_before_training(tmp_path: Path) -> None:
    save = {"save_strategy": "steps", "save_steps": 20}
    probes = asking("forgetting", texts=GENERAL)
    run(tmp_path, probes, max_steps=20, **save)
    file = tmp_path / "_sftdiag" / "probes.jsonl"
    first = [json.loads(line) for line in file.read_text().splitlines()]
    for kept in (True, False):
        if not kept:
            file.unlink()
        trainer = finetune.make_trainer("none", tmp_path, max_steps=40, eval_steps=20, **save)
        callback = sftdiag.attach(trainer, probes=probes)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-20"))
        reason = callback.report.skipped.get("forgetting", "")
        assert ("before training was not measured" in reason) is not kept
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        if kept:
            assert rows[: len(first)] == first
        assert rows[-1]["step"] == 40


def test_what_is_written_holds_numbers_only(tmp_path: Path) -> None:
    run(tmp_path, asking(prompts=["what colour has the lamp of Hana"] * 6), max_steps=20)
    text = (tmp_path / "_sftdiag" / "probes.jsonl").read_text()
    assert "probe/repetitive-output/greedy" in text
    for word in ("Hana", "lamp", "colour", str(tmp_path)):
        assert word not in text
    for line in text.splitlines():
        for name, value in json.loads(line).items():
            assert isinstance(value, (int, float)) or name == "kept"


def test_a_fault_of_the_probes_costs_the_probes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Asker, "losses", broken)
    _, callback = run(tmp_path, max_steps=20)
    assert callback.report.summary.last_step == 20
    assert "failed" in callback.report.skipped["forgetting"]


def test_prompts_of_packed_masked_and_plain_rows() -> None:
    ends, opening = frozenset({9}), (7, 8)
    masked = Sample((1, 2, 7, 8, 4, 5, 9), (-100,) * 4 + (4, 5, 9))
    (prompt,) = from_samples([masked], ends, opening, 24)
    assert (prompt.ids, prompt.reference, prompt.ends) == ((1, 2, 7, 8), (4, 5), True)
    cut = Sample((1, 2, 7, 8, 4, 5, 9), (-100,) * 4 + (4, 5, -100))
    assert from_samples([cut], ends, opening, 24)[0].ends is False
    unmasked = Sample(masked.input_ids, masked.input_ids)
    assert from_samples([unmasked], ends, opening, 24) == [prompt]
    text = Sample((1, 2, 3, 4), (1, 2, 3, 4))
    (half,) = from_samples([text], ends, (), 24)
    assert (half.ids, half.reference, half.ends) == ((1, 2), (3, 4), None)
    other = (3, 2, 7, 8, 6, 9)
    both = Sample(
        (*masked.input_ids, *other),
        (*masked.labels, *(-100,) * 4, 6, 9),
        {"seq_lengths": [len(masked.input_ids), len(other)]},
    )
    assert [p.reference for p in from_samples([both], ends, opening, 24)] == [(4, 5), (6,)]


def test_a_bare_callback_asks_the_rows_of_the_first_evaluation(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("none", tmp_path, max_steps=80, eval_steps=40)
    callback = sftdiag.DiagnosticsCallback(probes=asking(texts=GENERAL))
    trainer.add_callback(callback)
    trainer.train()
    assert {"repetitive-output", "unnatural-replies"} <= set(callback.report.ran)
    rows = probe_rows.read(str(tmp_path))
    assert [row["step"] for row in rows] == [0, 40, 80]
    assert rows[0].keys() >= {"probe/before", "probe/forgetting/loss"}
    assert "probe/repetitive-output/greedy" not in rows[0]
    assert rows[-1]["probe/repetitive-output/prompts"] == 16


def test_rows_that_stream_are_not_taken_from_the_evaluation(tmp_path: Path) -> None:
    trainer = finetune.make_trainer("none", tmp_path, max_steps=4, eval_steps=2)
    trainer.eval_dataset = trainer.eval_dataset.to_iterable_dataset()
    callback = sftdiag.attach(trainer, probes=asking(texts=GENERAL))
    trainer.train()
    assert "no prompts" in callback.report.skipped["repetitive-output"]


def test_a_model_of_nan_is_not_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, callback = run(tmp_path, asking(), None, "nan-weights", max_steps=80, eval_steps=40)
    assert "SFT106" in {finding.code for finding in callback.report.findings}
    assert found(callback.report) == {}
    last = probe_rows.read(str(tmp_path))[-1]
    names = {f"probe/{kind.name}/skipped/not_finite" for kind in PROBES}
    assert last.keys() - {"step", "epoch"} == names
    assert "failed" not in caplog.text


def test_wrong_arguments_are_refused_before_training() -> None:
    for wrong in (["nonsense"], "SFT1", {"seconds"}):
        with pytest.raises(ConfigError):
            sftdiag.DiagnosticsCallback(probes=wrong)
    for options in ({"seconds": 0}, {"prompts": "one"}, {"reply_tokens": 2}):
        with pytest.raises(ConfigError):
            sftdiag.Probes(**options)
    assert sftdiag.Probes(["SFT302"]).kinds == (PROBES[1],)


def test_texts_that_there_was_no_time_for_are_not_called_unknown(
    pretrained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Asker.losses
    monkeypatch.setattr(Asker, "losses", lambda self, texts, end: ask(self, texts[:1], end))
    few = {"max_steps": 4, "eval_steps": 2}
    _, callback = run(tmp_path, asking("forgetting"), with_weights(pretrained), **few)
    assert "the time budget of 60 s was too short" in callback.report.skipped["forgetting"]
    assert "forgetting (the time budget" in str(callback.report)
