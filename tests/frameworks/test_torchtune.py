"""torchtune's metric logger, by what recipes call; for real in tests/acceptance."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import logs
import pytest
import stand_ins

import sftdiag
from sftdiag.frameworks import torchtune
from sftdiag.sources import journal, open_run


class DiskLogger:
    """Keeps what it is given, and for whom."""

    def __init__(self, log_dir: str, filename: str | None = None) -> None:
        self.log_dir, self.rows, self.closed = log_dir, [], False  # type: ignore[var-annotated]

    def log_config(self, config: Any) -> None:
        self.config = config

    def log_dict(self, payload: Any, step: int) -> None:
        self.rows.append((step, dict(payload)))

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.put(monkeypatch, "torchtune.training.metric_logging", DiskLogger=DiskLogger)
    container = SimpleNamespace(to_container=lambda config, resolve: dict(config))
    stand_ins.put(monkeypatch, "omegaconf", OmegaConf=container)


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "epochs": 3,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "clip_grad_norm": "inf",
        "optimizer": {"_component_": "torch.optim.AdamW", "lr": 2e-5, "weight_decay": 0.01},
        "lr_scheduler": {"num_warmup_steps": 100},
        "model": {"_component_": "torchtune.models.qwen2.lora_qwen2_7b", "lora_rank": 8},
        "tokenizer": {"max_seq_len": 2048},
        "metric_logger": {},
        **changes,
    }


class Recipe:
    """A recipe, as far as it logs."""

    total_epochs, _steps_per_epoch = 3, 20

    def __init__(self, logger: Any, settings: dict[str, Any]) -> None:
        self.logger = logger
        logger.log_config(settings)

    def train(self, losses: list[float], first: int = 1) -> None:
        for step, loss in enumerate(losses, first):
            self.logger.log_dict({"loss": loss, "lr": 2e-5, "grad_norm": 1.0}, step=step)
        self.logger.close()


WELL = [logs.decay(step, 60) for step in range(1, 61)]
BLOWN = [*WELL[:30], *[math.nan] * 30]


def test_all_is_handed_on_and_looked_at(tmp_path: Path) -> None:
    made = torchtune.MetricLogger(log_dir="logs", filename="a.txt")
    Recipe(made, config(tmp_path)).train(WELL)
    assert [step for step, _ in made.rows] == list(range(1, 61))
    assert (made.log_dir, made.closed) == ("logs", True)
    rows = list(open_run(tmp_path).entries)
    assert (rows[0]["epoch"], rows[-1]["epoch"], rows[-1]["step"]) == (0.05, 3.0, 60)
    assert sftdiag.analyze(tmp_path).verdict == "healthy"


def test_what_the_settings_say(tmp_path: Path) -> None:
    made = torchtune.MetricLogger(log_dir="logs")
    Recipe(made, config(tmp_path)).train(WELL)
    known = open_run(tmp_path).context
    assert (known.framework, known.method, known.lora_r, known.max_steps) == (
        *("torchtune", "lora", 8),
        60,
    )
    assert (known.learning_rate, known.weight_decay, known.optim) == (2e-5, 0.01, "adamw")
    assert (known.per_device_train_batch_size, known.gradient_accumulation_steps) == (4, 2)
    assert (known.warmup_steps, known.max_length, known.max_grad_norm) == (100, 2048, None)


def test_a_stop_ends_the_recipe(tmp_path: Path) -> None:
    made = torchtune.MetricLogger(log_dir="logs", stop_on="error")
    with pytest.raises(SystemExit) as left:
        Recipe(made, config(tmp_path)).train(BLOWN)
    assert left.value.code == 1
    assert made.rows[-1][0] <= 33
    assert made.closed
    events = journal.read(str(tmp_path))
    assert (events[-1]["verdict"], events[-1]["stopped_by"]) == ("error", "SFT106@32")


def test_a_resumed_recipe_goes_on(tmp_path: Path) -> None:
    Recipe(torchtune.MetricLogger(log_dir="logs"), config(tmp_path)).train(WELL[:30])
    settings = config(tmp_path, resume_from_checkpoint=True)
    Recipe(torchtune.MetricLogger(log_dir="logs"), settings).train(WELL[30:], first=31)
    assert [row["step"] for row in open_run(tmp_path).entries] == list(range(1, 61))


@pytest.mark.parametrize("settings", [lambda f: {}, lambda f: config(f, optimizer="odd")])
def test_settings_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Callable[[Path], dict[str, Any]]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = torchtune.MetricLogger(log_dir="logs", stop_on="error")
    with pytest.raises(SystemExit):
        Recipe(made, settings(tmp_path)).train(BLOWN)


def test_off_and_wrong(tmp_path: Path) -> None:
    made = torchtune.MetricLogger(log_dir="logs", stop_on="error", enabled=False)
    Recipe(made, config(tmp_path)).train(BLOWN)
    assert not list(tmp_path.iterdir())
    with pytest.raises(sftdiag.ConfigError):
        torchtune.MetricLogger(log_dir="logs", stop_on="eror")
