"""litgpt's commands under watch, by what they call; for real in tests/acceptance."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import logs
import pytest
import stand_ins

pytest.importorskip("torch", reason="needs the extra trainer")

import sftdiag
from sftdiag.frameworks import litgpt
from sftdiag.sources import journal, open_run

WELL = [logs.decay(step, 60) for step in range(1, 61)]
BLOWN = [*WELL[:30], *[math.nan] * 30]


class Logger:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


class Train(SimpleNamespace):
    """litgpt's TrainArgs."""

    def gradient_accumulation_iters(self, devices: int, nodes: int = 1) -> int:
        return int(self.global_batch_size // self.micro_batch_size // devices // nodes)


TRAIN = Train(
    epochs=3,
    micro_batch_size=8,
    global_batch_size=8,
    max_steps=60,
    lr_warmup_steps=6,
    max_seq_length=512,
)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One of litgpt's modules, with its command's function."""
    made = SimpleNamespace(from_file=lambda path: SimpleNamespace(padded_vocab_size=512))
    stand_ins.put(monkeypatch, "litgpt.config", Config=made)
    stand_ins.put(
        monkeypatch, "lightning.fabric.utilities.rank_zero", rank_zero_only=SimpleNamespace(rank=0)
    )
    module = ModuleType("litgpt.finetune.lora")
    module.logger = Logger()  # type: ignore[attr-defined]

    def choose_logger(logger_name: str, out_dir: Path, name: str) -> Any:
        return module.logger

    def setup(
        checkpoint_dir: Path,
        out_dir: Path = Path("out"),
        losses: Any = None,
        lora_r: int = 8,
        devices: int = 1,
        train: Any = TRAIN,
        optimizer: Any = None,
        resume: bool = False,
        first: int = 1,
    ) -> None:
        """Finetune a model."""
        logger = module.choose_logger("csv", out_dir, name="finetune")
        for step, loss in enumerate(losses, first):
            logger.log_metrics(
                metrics={"loss": loss, "iter": step, "step": step // 4, "epoch": 0}, step=step
            )
            if step % 20 == 0:
                logger.log_metrics({"val_loss": loss + 0.01, "val_ppl": 3.0}, step=step)

    module.choose_logger, module.setup = choose_logger, setup  # type: ignore[attr-defined]
    return module


def test_what_it_logs_is_seen(module: ModuleType, tmp_path: Path) -> None:
    original = module.choose_logger
    run = litgpt.watched(module.setup, module)
    assert inspect.signature(run) == inspect.signature(module.setup)
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    run(tmp_path, tmp_path, WELL, optimizer=optimizer)
    assert module.choose_logger is original
    assert len(module.logger.rows) == 63
    seen = open_run(tmp_path)
    rows = list(seen.entries)
    assert [row["step"] for row in rows if "eval_loss" in row] == [20, 40, 60]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 61))
    known = seen.context
    assert (known.framework, known.method, known.lora_r, known.vocab_size) == (
        *("litgpt", "lora"),
        *(8, 512),
    )
    assert (known.learning_rate, known.optim, known.max_steps) == (1e-3, "adamw", 60)
    assert sftdiag.analyze(tmp_path).verdict == "healthy"


def test_a_stop_ends_the_command(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTDIAG_STOP_ON", "error")
    with pytest.raises(SystemExit) as left:
        litgpt.watched(module.setup, module)(tmp_path, tmp_path, BLOWN)
    assert left.value.code == 1
    assert module.logger.rows[-1][0] <= 33
    assert journal.read(str(tmp_path))[-1]["stopped_by"] == "SFT106@32"


def test_several_devices_are_told_of_and_not_stopped(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from torch import distributed

    monkeypatch.setenv("SFTDIAG_STOP_ON", "error")
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    litgpt.watched(module.setup, module)(tmp_path, tmp_path, BLOWN)
    assert len(module.logger.rows) == 63
    assert litgpt.SEVERAL in caplog.text
    assert sftdiag.analyze(tmp_path).verdict == "error"


def test_a_resumed_run_goes_on(module: ModuleType, tmp_path: Path) -> None:
    run = litgpt.watched(module.setup, module)
    run(tmp_path, tmp_path, WELL[:30])
    run(tmp_path, tmp_path, WELL[30:], resume=True, first=31)
    assert sftdiag.analyze(tmp_path).summary.records == 63


def test_an_error_of_the_run_is_its_own(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        litgpt.watched(module.setup, module)(tmp_path, tmp_path, None)
