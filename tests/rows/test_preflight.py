"""preflight(trainer) and a callback's checks: what they see, leave alone and keep to themselves."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sftdiag

setups = pytest.importorskip("setups", reason="needs the extra trainer")

from datasets import Dataset, IterableDataset  # noqa: E402

pytestmark = pytest.mark.slow

CANARY = "zanzibar"


class Counting(torch.utils.data.Dataset):
    """Rows made on demand; keeps which were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        self.asked.append(index)
        ids = [5 + (index * step) % 50 for step in range(1, 12)] + [2]
        return {"input_ids": ids, "labels": [-100] * 3 + ids[3:]}


def losses(trainer: Any) -> list[dict[str, float]]:
    trainer.train()
    return [
        {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
        for row in trainer.state.log_history
    ]


def test_a_healthy_trainer(tmp_path: Path) -> None:
    trainer = setups.finetune.make_trainer("none", tmp_path)
    report = sftdiag.preflight(trainer)
    assert (report.verdict, report.findings) == ("healthy", ())
    train, evaluation = report.rows
    assert (train.rows, train.total) == (256, 640)
    assert 0.014 < train.undetected < 0.015
    assert (evaluation.rows, evaluation.total, evaluation.undetected) == (80, 80, 0.0)
    assert list(tmp_path.iterdir()) == []
    assert [rows.rows for rows in sftdiag.preflight(trainer, full=True).rows] == [640, 80]


def test_every_label_masked(tmp_path: Path) -> None:
    report = sftdiag.preflight(setups.finetune.make_trainer("label-mask", tmp_path))
    assert report.primary is not None
    assert report.primary.code == "SFT401"
    (cause,) = report.primary.causes
    assert (cause.id, cause.status.name, cause.check) == ("label-mask", "CONFIRMED", "SFT401")
    with pytest.raises(sftdiag.UnhealthyRunError, match="SFT401 no-supervised-token"):
        report.raise_for("error")
    again = sftdiag.Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again.to_dict() == report.to_dict()


def test_answers_of_other_rows_are_told_before_a_run_begins(tmp_path: Path) -> None:
    """No curve shows them; the rows of a sample do."""
    wrong = setups.messages(setups.slipped(setups.talks(400)))
    trainer = setups.sft(tmp_path, wrong, setups.messages(setups.HELD_OUT))
    report = sftdiag.preflight(trainer, train_on_prompt=True)
    assert [finding.code for finding in report.findings] == ["SFT419"]
    (cause,) = report.primary.causes
    assert (cause.id, cause.check) == ("poor-data", "SFT419")
    assert 'ignore=["SFT419"]' in cause.fixes[-1].text
    sftdiag.attach(trainer, stop_on={"SFT419": "warning"})
    trainer.train()
    assert trainer.state.global_step <= 1


@pytest.mark.parametrize("way", ["attach", "callback"])
def test_rows_in_blocks_are_told_before_a_run_begins(tmp_path: Path, way: str) -> None:
    """A callback without the trainer sees no evaluation rows before, so it only warns."""
    _, _, make = setups.FAULTS["messages, one kind after another"]
    trainer = make(tmp_path)
    if way == "attach":
        callback = sftdiag.attach(trainer, stop_on="error")
    else:
        callback = sftdiag.DiagnosticsCallback(stop_on="error")
        trainer.add_callback(callback)
    trainer.train()
    (finding,) = [f for f in callback.report.findings if f.code == "SFT420"]
    assert (finding.fired_step, finding.series) == (0, "train")
    assert finding.severity.label == {"attach": "error", "callback": "warning"}[way]
    assert (trainer.state.global_step <= 1) is (way == "attach")
    (cause,) = finding.causes
    assert (cause.id, cause.status.name) == ("data-order", "CONFIRMED")
    assert 'ignore=["SFT420"]' in cause.fixes[-1].text


def test_a_curriculum_that_ends_on_what_is_evaluated_is_not_stopped(tmp_path: Path) -> None:
    trainer = setups.sft(
        tmp_path,
        setups.messages(setups.blocks()[::-1]),
        setups.messages(setups.HELD_OUT),
        assistant_only_loss=True,
        train_sampling_strategy="sequential",
    )
    report = sftdiag.preflight(trainer)
    assert {f.code: f.severity.label for f in report.findings}["SFT420"] == "warning"
    report.raise_for("error")
    told = sftdiag.preflight(trainer, ignore="SFT420")
    assert "SFT420" not in {finding.code for finding in told.findings}


def test_what_the_training_rows_show_explains_the_evaluation_rows(tmp_path: Path) -> None:
    rows = setups.tokens(setups.PAIRS, setups.nothing)
    held_out = setups.tokens(setups.HELD_OUT, setups.nothing)
    report = sftdiag.preflight(setups.plain(tmp_path, rows, held_out))
    first, second = (finding for finding in report.findings if finding.code == "SFT401")
    assert (first.series, first.consequence_of) == ("train", None)
    assert (second.series, second.consequence_of) == ("eval", first.id)


def test_codes_can_be_chosen(tmp_path: Path) -> None:
    trainer = setups.finetune.make_trainer("label-mask", tmp_path)
    report = sftdiag.preflight(trainer, ignore="SFT401", lang="zh")
    assert report.findings == ()
    assert report.skipped["no-supervised-token"] == "被 select 或 ignore 排除"
    with pytest.raises(sftdiag.ConfigError, match="unknown code"):
        sftdiag.preflight(trainer, select="SFT499")


def test_a_prompt_that_is_trained_on_purpose(tmp_path: Path) -> None:
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS))
    assert sftdiag.preflight(trainer).primary.code == "SFT405"
    report = sftdiag.preflight(trainer, train_on_prompt=True)
    assert report.findings == ()
    assert "on purpose" in report.skipped["prompt-trained"]


@pytest.mark.parametrize("way", ["attach", "callback", "preflight"])
def test_the_run_is_bit_identical(tmp_path: Path, way: str) -> None:
    """Dropout and shuffling on: the losses and weights of a run without sftdiag."""
    results = []
    for watched in (False, True):
        trainer = setups.finetune.make_trainer(
            "none", tmp_path / str(watched), dropout=0.2, max_steps=30, logging_steps=1
        )
        if watched and way == "attach":
            sftdiag.attach(trainer)
        elif watched and way == "callback":
            trainer.add_callback(sftdiag.DiagnosticsCallback())
        elif watched:
            sftdiag.preflight(trainer)
        results.append((losses(trainer), [p.detach().clone() for p in trainer.model.parameters()]))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


def test_a_collator_that_draws_leaves_no_trace(tmp_path: Path) -> None:
    def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        torch.rand(3), np.random.rand(3), random.random()
        return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}

    trainer = setups.plain(tmp_path, Counting(300), collator=collate)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    assert sftdiag.preflight(trainer).rows[0].rows == 256
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_a_large_set_is_not_read_through(tmp_path: Path) -> None:
    rows = Counting(50_000)
    trainer = setups.plain(tmp_path, rows)
    sftdiag.preflight(trainer)
    assert len(rows.asked) == len(set(rows.asked)) == 256
    assert max(rows.asked) > 49_000
    pairs = zip(rows.asked[::2], rows.asked[1::2], strict=True)
    assert all(second == first + 1 for first, second in pairs)
    rows.asked.clear()
    sftdiag.preflight(trainer)
    assert len(rows.asked) == 256


def test_a_stream_is_left_untouched(tmp_path: Path) -> None:
    read: list[int] = []

    def rows() -> Iterator[dict[str, list[int]]]:
        for index in range(100):
            read.append(index)
            yield {"input_ids": [5, 6, 2], "labels": [-100, 6, 2]}

    trainer = setups.plain(tmp_path, IterableDataset.from_generator(rows), max_steps=3)
    read.clear()
    callback = sftdiag.attach(trainer)
    report = sftdiag.preflight(trainer)
    assert read == []
    assert "would consume its rows" in report.skipped["no-supervised-token"]
    trainer.train()
    assert "would consume its rows" in callback.report.skipped["prompt-trained"]


def test_a_bare_callback_names_what_it_skipped(tmp_path: Path) -> None:
    """It sees the training rows at the start, the evaluation rows at their first evaluation."""
    callback = sftdiag.DiagnosticsCallback()
    arguments = {"eval_strategy": "steps", "eval_steps": 5, "assistant_only_loss": True}
    rows = setups.messages(setups.PAIRS)
    trainer = setups.sft(tmp_path, rows, rows[:40], max_steps=12, **arguments)
    trainer.add_callback(callback)

    class Look(setups.finetune.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                early.update(callback.report.skipped)

    early: dict[str, str] = {}
    trainer.add_callback(Look())
    trainer.train()
    assert "sftdiag.attach(trainer)" in early["train-rows-in-eval"]
    (leak,) = [f for f in callback.report.findings if f.code == "SFT413"]
    assert (leak.id, leak.fired_step, leak.severity.label) == ("SFT413@5:eval", 5, "warning")
    assert "prompt-trained" in callback.report.ran


def test_attach_checks_at_the_start_and_can_refuse_to_train(tmp_path: Path) -> None:
    trainer = setups.finetune.make_trainer("label-mask", tmp_path)
    sftdiag.attach(trainer, raise_on="SFT401")
    with pytest.raises(sftdiag.UnhealthyRunError, match=r"SFT401 .*, before step 1"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_set_that_was_dropped_whole_is_explained_before_train_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = setups.sft(tmp_path, setups.prompt_completion(setups.PAIRS[:20]), max_length=8)
    sftdiag.attach(trainer)
    (told,) = [r.getMessage() for r in caplog.records if r.name == "sftdiag"]
    assert "SFT403 rows-dropped, before step 1: 20 of 20 rows of train" in told
    with pytest.raises(ValueError, match="num_samples"):
        trainer.train()


@pytest.mark.parametrize("mask", [True, False])
def test_an_evaluation_set_that_was_dropped_whole_gives_no_loss(tmp_path: Path, mask: bool) -> None:
    rows = setups.tokens(setups.PAIRS[:40])
    if mask:
        held_out, length = setups.tokens(setups.HELD_OUT[:10], setups.nothing), 64
    else:
        held_out = [{**row, "labels": [-100] * 30 + row["labels"]} for row in rows[:10]]
        held_out = [{**row, "input_ids": [5] * 30 + row["input_ids"]} for row in held_out]
        length = 30
    trainer = setups.sft(tmp_path, rows, held_out, max_length=length, max_steps=1)
    report = sftdiag.preflight(trainer)
    (found,) = [f for f in report.findings if f.code == "SFT403"]
    assert found.series == "eval"
    assert "All 10 rows of eval were dropped" in found.message
    assert "gives no loss" in found.message
    assert ("mask left no label" in found.message) == mask
    trainer.train()
    assert "eval_loss" not in trainer.evaluate()


@pytest.mark.parametrize("weights", [(None, 0), (0, None), (1.0, 0.0), (1, None), (None, None)])
def test_replies_of_weight_0_are_trained_nevertheless(
    tmp_path: Path, weights: tuple[float | None, float | None]
) -> None:
    rows = []
    for row in setups.messages(setups.PAIRS):
        asked, answered = row["messages"]
        replies = [{**answered, "weight": weight} for weight in weights]
        rows.append({"messages": [asked, replies[0], asked, replies[1]]})
    report = sftdiag.preflight(setups.sft(tmp_path, rows, assistant_only_loss=True))
    codes = {f.code: f.severity.label for f in report.findings if f.code == "SFT426"}
    assert codes == ({"SFT426": "warning"} if 0 in weights else {})


@pytest.mark.parametrize("unlike", [True, False])
@pytest.mark.parametrize("rows_a_batch", [1, 8])
def test_a_collator_that_makes_labels_of_its_own(
    tmp_path: Path, unlike: bool, rows_a_batch: int
) -> None:
    """Of rows that TRL masked; transformers' own for language modelling does not pad labels."""
    pairs = [
        (q, a + " in the barn" * (i % 3 if unlike else 1)) for i, (q, a) in enumerate(setups.PAIRS)
    ]
    rows = setups.prompt_completion(pairs)
    trainer = setups.sft(tmp_path, rows, max_steps=1, per_device_train_batch_size=rows_a_batch)
    trainer.data_collator = setups.language_modeling(trainer.processing_class)
    report = sftdiag.preflight(trainer)
    fails = unlike and rows_a_batch > 1
    (found,) = report.at_least("warning")
    assert (found.code, found.severity.label) == ("SFT426", "error" if fails else "warning")
    assert "leave data_collator out" in found.causes[0].fixes[0].text
    assert ("make no batch (ValueError)" in found.message) == fails
    assert "SFT426" in report.skipped["prompt-trained"]
    if fails:
        with pytest.raises(ValueError, match="labels"):
            trainer.train()
    else:
        trainer.train()


def test_what_is_odd_is_skipped_with_its_reason(tmp_path: Path) -> None:
    good = setups.tokens(setups.PAIRS)
    rows = setups.Dataset.from_list(good)
    trainer = setups.plain(tmp_path, rows)

    def reason(**changes: Any) -> str:
        for name, value in changes.items():
            setattr(trainer, name, value)
        report = sftdiag.preflight(trainer)
        assert "failed" not in json.dumps(report.to_dict())
        for name in changes:
            setattr(trainer, name, kept[name])
        return report.skipped.get("no-supervised-token", "")

    kept = {n: getattr(trainer, n) for n in ("train_dataset", "data_collator", "processing_class")}
    assert reason(train_dataset=None) == "there is no such set"
    assert reason(train_dataset=Dataset.from_list([])) == "the set is empty"
    assert reason(data_collator=lambda rows: [1, 2]) == "the batch has no input_ids"
    assert "(ZeroDivisionError)" in reason(data_collator=lambda rows: 1 / 0)
    pixels = {"input_ids": [[1]], "labels": [[1]], "pixel_values": [[0.5]]}
    assert reason(data_collator=lambda rows: pixels) == "vision batches are not looked at"
    other = {"input_ids": [[1, 2, 3]], "labels": [[4]]}
    assert "encoder-decoder" in reason(data_collator=lambda rows: other)
    assert "labels" in reason(data_collator=lambda rows: {"input_ids": [[1]]})
    assert "token ids" in reason(data_collator=lambda rows: {"input_ids": [1.5], "labels": [1.5]})
    masking = type("Masking", (), {"mlm": True, "__call__": lambda self, rows: {}})()
    assert "at random" in reason(data_collator=masking)
    assert reason(processing_class=None) == ""
    odd = type("Odd", (), {"convert_ids_to_tokens": None})()
    assert reason(processing_class=odd) == ""


def test_no_row_leaves_the_terminal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word of the rows stands in what show() prints, and nowhere else."""
    caplog.set_level(logging.DEBUG)
    known = setups.tokenizer()
    known.add_tokens([CANARY])
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{CANARY} {row['messages'][0]['content']}"},
                {"role": "assistant", "content": f"{CANARY} {row['messages'][1]['content']}"},
            ]
        }
        for row in setups.messages(setups.PAIRS)
    ]
    trainer = setups.sft(tmp_path, rows, rows[:40], known=known, max_steps=4)
    report = sftdiag.preflight(trainer)
    assert report.findings
    callback = sftdiag.attach(trainer)
    trainer.train()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "preflight.json" for path in written)
    everything = [
        *(path.read_bytes().decode(errors="replace") for path in written),
        *(record.getMessage() for record in caplog.records if record.name.startswith("sftdiag")),
        json.dumps(report.to_dict()),
        json.dumps(callback.report.to_dict()),
        repr(report),
        repr(callback.report),
        capsys.readouterr().out,
    ]
    assert not any(CANARY in text for text in everything)
    report.show()
    assert CANARY in capsys.readouterr().out


def test_show_marks_what_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = setups.tokenizer(template=setups.OUTSIDE)
    rows = setups.messages([("what of the jar", "the jar is red")] * 4)
    report = sftdiag.preflight(setups.sft(tmp_path, rows, known=known, assistant_only_loss=True))
    capsys.readouterr()
    report.show()
    shown = capsys.readouterr().out
    assert "<|user|> what of the jar <|end|> <|assistant|> ⟦the jar is red⟧ <|end|>" in shown
    assert "(4 of 12 tokens are trained" in shown


def test_a_later_analyze_knows_what_the_checks_said(tmp_path: Path) -> None:
    trainer = setups.sft(tmp_path, setups.messages(setups.PAIRS), max_steps=4)
    callback = sftdiag.attach(trainer)
    trainer.train()
    trainer.save_state()
    offline = sftdiag.analyze(tmp_path)
    assert offline.replace(source="live").to_dict() == callback.report.to_dict()
    assert [finding.code for finding in offline.findings] == ["SFT405"]
    assert sftdiag.analyze(tmp_path, ignore="SFT405").findings == ()
    assert "助手" in sftdiag.analyze(tmp_path, lang="zh").findings[0].causes[0].fixes[0].text


def test_rows_with_a_completion_are_masked_by_completion_only_loss(tmp_path: Path) -> None:
    """Where their prompts are trained, texts and conversations are told the same setting."""
    for make in (setups.prompt_completion, setups.prompt_completion_messages):
        rows = make(setups.PAIRS)
        report = sftdiag.preflight(setups.sft(tmp_path, rows, completion_only_loss=False))
        (found,) = (f for f in report.findings if f.code == "SFT405")
        assert found.severity.label == "info"
        assert found.causes[0].fixes[0].changes == {"SFTConfig.completion_only_loss": (False, True)}
        assert "SFT409" not in {f.code for f in report.findings}


def test_a_template_that_trl_would_refuse_is_to_be_marked_first(tmp_path: Path) -> None:
    known = setups.tokenizer(template=setups.UNMARKED)
    rows = setups.messages(setups.PAIRS)
    with pytest.raises(ValueError, match="generation"):
        setups.sft(tmp_path, rows, known=known, assistant_only_loss=True)
    (unmarked,) = sftdiag.preflight(setups.sft(tmp_path, rows, known=known)).at_least("warning")
    marked = sftdiag.preflight(setups.sft(tmp_path, rows)).at_least("warning")[0]
    for found, told in ((unmarked, True), (marked, False)):
        fix = found.causes[0].fixes[0]
        assert (found.code, "{% generation %}" in fix.text) == ("SFT405", told)
        assert fix.changes == {"SFTConfig.assistant_only_loss": (False, True)}


@pytest.mark.parametrize("saved", [True, False])
def test_an_end_that_the_template_does_not_write_is_the_templates_to_write(
    tmp_path: Path, saved: bool
) -> None:
    known = setups.tokenizer()
    if saved:
        known.save_pretrained(tmp_path / "tokenizer")
        known = type(known).from_pretrained(tmp_path / "tokenizer")
    known.chat_template = known.chat_template.replace(" <|end|>", "")
    rows = setups.prompt_completion_messages(setups.PAIRS)
    report = sftdiag.preflight(setups.sft(tmp_path, rows, known=known))
    found = next(f for f in report.findings if f.code == "SFT406")
    (fix,) = found.causes[0].fixes
    assert "chat template" in fix.text
    assert ("saved beside the tokenizer" in fix.text) == saved
    assert "no token that ends a turn" in report.skipped["generation-end"]


@pytest.mark.parametrize(
    ("step", "skip", "bare"),
    [(8, False, False), (18, False, False), (18, False, True), (18, True, False)],
)
def test_a_stream_that_is_resumed_in_its_second_pass(
    tmp_path: Path, step: int, skip: bool, bare: bool
) -> None:
    """Of 15 steps a pass: it does not go on where it stood, unless the stream itself does."""

    def over_a_stream(**config: Any) -> Any:
        made = setups.sft(tmp_path, setups.messages(setups.PAIRS), **config)
        made.train_dataset = made.train_dataset.to_iterable_dataset()
        return made

    over_a_stream(max_steps=step, save_strategy="steps", save_steps=step).train()
    trainer = over_a_stream(max_steps=step + 2, ignore_data_skip=skip)
    callback = sftdiag.DiagnosticsCallback() if bare else sftdiag.attach(trainer)
    if bare:
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    found = [f for f in callback.report.findings if f.code == "SFT426"]
    assert [f.severity.label for f in found] == ["warning"] * (step == 18 and not skip)
    for finding in found:
        assert "resumed after step 18, in pass 2 over a stream" in finding.message
    assert sftdiag.analyze(tmp_path).verdict == callback.report.verdict
