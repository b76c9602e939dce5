"""No row has a label: which of the reasons it is, told by trainers and by files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sftdiag
from sftdiag.checks.base import Inputs
from sftdiag.checks.no_supervised_token import NoSupervisedTokenCheck
from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.observations import Observation
from sftdiag.rows.data_files import inspect_data
from sftdiag.samples import Sample, Split, Tokenization

setups = pytest.importorskip("setups", reason="needs the extra trainer")


def changes(report: sftdiag.Report) -> list[str]:
    """The one thing to change of what comes first: its words, or the argument."""
    assert report.primary is not None
    (cause,) = report.primary.causes
    return [f"{f.text} {dict(f.changes)}" for f in cause.fixes]


def of_file(folder: Path, rows: list[dict[str, Any]], known: Any, **options: Any) -> sftdiag.Report:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    known.save_pretrained(folder / "tokenizer")
    report = inspect_data(path, folder / "tokenizer", settings=Settings(), **options)
    assert "SFT401" in {finding.code for finding in report.findings}
    return report


class MaskAll:
    """Looks for a response template that is spelled otherwise than in the rows."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, rows: list[Any]) -> Any:
        batch = dict(self.collate(rows))
        batch["labels"] = batch["labels"].clone().fill_(-100)
        return batch


def test_labels_that_came_masked(tmp_path: Path) -> None:
    rows = setups.tokens(setups.PAIRS, setups.nothing)
    report = sftdiag.preflight(setups.plain(tmp_path, rows))
    assert "labels of their own" in report.primary.message
    (change,) = changes(report)
    assert change.startswith("set the column labels")


@pytest.mark.parametrize("labels", [True, False])
def test_a_collator_that_masks_all(tmp_path: Path, labels: bool) -> None:
    rows = setups.tokens(setups.PAIRS)
    if not labels:
        rows = [{"input_ids": row["input_ids"]} for row in rows]
    trainer = setups.plain(tmp_path, rows)
    trainer.data_collator = MaskAll(
        setups.DataCollatorForLanguageModeling(setups.tokenizer(), mlm=False)
        if not labels
        else trainer.data_collator
    )
    report = sftdiag.preflight(trainer)
    assert report.primary.code == "SFT401"
    change, where_a_template_is_given = changes(report)
    assert "data collator" in change
    assert "template" in where_a_template_is_given


def test_a_template_without_marks(tmp_path: Path) -> None:
    known = setups.tokenizer(template=setups.UNMARKED)
    report = of_file(tmp_path, setups.messages(setups.PAIRS), known, assistant_only_loss=True)
    assert report.primary.code == "SFT409"
    (change,) = changes(report)
    assert "{% generation %}" in change
    assert {f.consequence_of for f in report.findings if f.code == "SFT401"} == {"SFT409@0"}


@pytest.mark.parametrize("tokenized", [True, False])
def test_rows_cut_before_their_answers(tmp_path: Path, tokenized: bool) -> None:
    pairs = setups.PAIRS
    rows = setups.tokens(pairs) if tokenized else setups.prompt_completion(pairs)
    report = of_file(tmp_path, rows, setups.tokenizer(), max_length=5)
    assert (report.primary.code, report.primary.severity.label) == ("SFT408", "error")
    change, _ = changes(report)
    assert "'SFTConfig.max_length': (5, 32)" in change
    assert "100% of" in report.primary.message
    assert {f.consequence_of for f in report.findings if f.code == "SFT401"} == {"SFT408@0"}


def test_labels_that_came_masked_are_not_told_as_cut(tmp_path: Path) -> None:
    rows = setups.tokens(setups.PAIRS, setups.nothing)
    report = of_file(tmp_path, rows, setups.tokenizer(), max_length=5)
    assert report.primary.code == "SFT401"
    assert "max_length" in " ".join(changes(report))


def test_completions_that_are_empty(tmp_path: Path) -> None:
    talks = setups.prompt_completion_messages(setups.PAIRS)
    rows = [{**row, "completion": []} for row in talks]
    report = of_file(tmp_path, rows, setups.tokenizer())
    assert [f.text for f in report.primary.causes[0].fixes] == [
        "fill the column completion with the answers"
    ]


def one(context: RunContext, known: Tokenization, **facts: Any) -> Observation:
    samples = tuple(Sample((5, 6, 7), (-100,) * 3, **facts) for _ in range(8))
    inputs = Inputs(context, Split("train", samples, 8, "conversation"), tokenization=known)
    (found,) = NoSupervisedTokenCheck().look(inputs)  # type: ignore[misc]
    return found


def test_roles_that_assistant_only_loss_does_not_know() -> None:
    known = Tokenization(has_template=True, generation_markers=True)
    context = RunContext(assistant_only_loss=True)
    found = one(context, known, roles=("human", "gpt"))
    assert (found.variant, found.evidence["roles"]) == ("roles", "human, gpt")
    assert one(context, known, roles=("user", "assistant")).variant == "default"


def test_the_beginnings_of_rows_are_cut_off() -> None:
    known = Tokenization(has_template=True, generation_markers=True, truncates_left=True)
    context = RunContext(assistant_only_loss=True, max_length=3)
    found = one(context, known, roles=("user", "assistant"), full_tokens=9)
    assert (found.variant, [fix.key for fix in found.fixes]) == ("left", ["left"])


def test_what_nothing_proves_keeps_both_reasons() -> None:
    found = one(RunContext(), Tokenization())
    assert found.variant == "default"
    assert [fix.key for fix in found.fixes] == ["check_mask", "spelling", "length"]
