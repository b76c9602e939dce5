#!/usr/bin/env bash
# One would guess: with accumulate_grad_batches=4 the logged train_loss of a step is the mean over
#   its four micro-batches (as transformers and litgpt log it).
# What happens: self.log keeps the last value before the logging step, so the curve is that of
#   every fourth micro-batch: twice the noise, and three quarters of the batches are never seen.
#   (on_epoch=True averages, over the epoch.) LearningRateMonitor writes a row of its own per
#   micro-batch: 32 rows for the 8 steps beside the 8 with a loss.
# Versions: lightning 2.6.6, torch 2.13.0, Python 3.11.
# Output seen:
#   losses of the micro-batches 0 1 2 3 | 4 5 6 7 | ...: logged [3, 7, 11, 15, 19, 23, 27, 31]
#   means of the steps [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5], epoch mean 15.5
#   optimizer steps 8, rows with a loss 8, rows with a learning rate 32
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 lightning==2.6.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import csv
import logging
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Known(lightning.LightningModule):
    """Its loss is the row's own number, so that each micro-batch is known in the log."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        loss = (self.weight * 0 + batch).mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


losses = torch.arange(32.0).reshape(32, 1)
trainer = lightning.Trainer(
    max_epochs=1,
    accumulate_grad_batches=4,
    log_every_n_steps=1,
    logger=CSVLogger("logs"),
    callbacks=[LearningRateMonitor()],
    enable_progress_bar=False,
    enable_model_summary=False,
    enable_checkpointing=False,
    accelerator="cpu",
)
trainer.fit(Known(), DataLoader(losses, batch_size=1))
with next(Path("logs").rglob("metrics.csv")).open() as file:
    rows = list(csv.DictReader(file))
logged = [float(row["train_loss_step"]) for row in rows if row["train_loss_step"]]
epoch = [float(row["train_loss_epoch"]) for row in rows if row["train_loss_epoch"]]
rates = [row for row in rows if row.get("lr-SGD")]
means = losses.reshape(8, 4).mean(1).tolist()
print("losses of the micro-batches 0 1 2 3 | 4 5 6 7 | ...: logged", [int(x) for x in logged])
print(f"means of the steps {means}, epoch mean {epoch[0]}")
print(
    f"optimizer steps {trainer.global_step}, rows with a loss {len(logged)}, "
    f"rows with a learning rate {len(rates)}"
)

assert trainer.global_step == 8
assert logged == losses.reshape(8, 4)[:, -1].tolist()
assert logged != means and epoch == [15.5]
assert len(rates) == 32
PY
