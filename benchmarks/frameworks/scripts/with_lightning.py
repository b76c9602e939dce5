"""A Lightning module and its Trainer, with the line of docs/frameworks.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import batches
import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

from sftdiag.frameworks.lightning import DiagnosticsCallback


class Module(lightning.LightningModule):
    """A causal language model with a cosine schedule."""

    def __init__(self, folder: Path, rate: float, warmup: int) -> None:
        super().__init__()
        self.model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
        self.rate, self.warmup = rate, warmup

    def training_step(self, batch: Any, index: int) -> Any:
        """Return the loss, and log it."""
        loss = self.model(**batch).loss
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """Log the loss of a batch of the evaluation set."""
        self.log("val_loss", self.model(**batch).loss)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule."""
        optimizer = torch.optim.AdamW(self.model.parameters(), self.rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = get_cosine_schedule_with_warmup(optimizer, self.warmup, steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main(folder: Path, rate: float, warmup: int, epochs: int, batch: int) -> None:
    """Train in the folder."""
    lightning.seed_everything(0)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        val_check_interval=10,
        check_val_every_n_epoch=None,
        log_every_n_steps=2,
        enable_checkpointing=False,
        enable_progress_bar=False,
        logger=CSVLogger(folder, name="", version="out"),
        callbacks=[DiagnosticsCallback()],
    )
    train = batches.loader(folder, "train.jsonl", batch, shuffle=True)
    held_out = batches.loader(folder, "val.jsonl", 80, shuffle=False)
    trainer.fit(Module(folder, rate, warmup), train, held_out)


if __name__ == "__main__":
    where, rate, *numbers = sys.argv[1:]
    main(Path(where), float(rate), *(int(number) for number in numbers))
