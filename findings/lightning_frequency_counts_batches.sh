#!/usr/bin/env bash
# One would guess: {"scheduler": ..., "interval": "step", "frequency": 10} steps the schedule after every
#   tenth step of the optimizer (Lightning's manual: "how many steps should pass"), whatever
#   accumulate_grad_batches is.
# What happens: without accumulation it does. With it the schedule is stepped where the batch's number
#   within the epoch is a multiple of the frequency and an optimizer step ends there: with 4 batches a
#   step a frequency of 2 or 4 means every step, 10 every fifth, and only 3 what it says. The number
#   starts anew with each epoch: with 18 batches an epoch a frequency of 10 never comes. At a frequency
#   of 1 nothing of it shows; the rate that is logged is the true one.
# Versions: lightning 2.6.6, torch 2.13.0, Python 3.11.
# Output seen (a schedule that halves the rate; optimizer steps between two cuts):
#   accumulation 1, 240 batches an epoch: frequency 1: 1, 2: 2, 3: 3, 4: 4, 10: 10
#   accumulation 4, 240 batches an epoch: frequency 1: 1, 2: 1, 3: 3, 4: 1, 10: 5
#   accumulation 4, 18 batches an epoch: frequency 10: no cut in 50 steps
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 lightning==2.6.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import logging

import lightning
import torch
from torch.utils.data import DataLoader

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    def __init__(self, frequency):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.frequency = frequency
        self.rates = []

    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()

    def on_before_optimizer_step(self, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        how = {"scheduler": scheduler, "interval": "step", "frequency": self.frequency}
        return {"optimizer": optimizer, "lr_scheduler": how}


def cuts(accumulation, batches, frequency):
    """Return after which optimizer steps the rate was cut, of 50 steps."""
    model = Model(frequency)
    trainer = lightning.Trainer(
        max_steps=50,
        max_epochs=-1,
        accumulate_grad_batches=accumulation,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(torch.ones(2 * batches, 1), batch_size=2))
    assert len(model.rates) == 50
    return [step for step in range(1, 50) if model.rates[step] != model.rates[step - 1]]


between = {}
for accumulation in (1, 4):
    found = {}
    for frequency in (1, 2, 3, 4, 10):
        steps = cuts(accumulation, 240, frequency)
        gaps = {after - before for before, after in zip([0, *steps], steps, strict=False)}
        assert len(gaps) == 1, (frequency, steps)
        found[frequency] = gaps.pop()
    between[accumulation] = found
    text = ", ".join(f"{frequency}: {gap}" for frequency, gap in found.items())
    print(f"accumulation {accumulation}, 240 batches an epoch: frequency {text}", flush=True)
never = cuts(4, 18, 10)
print(f"accumulation 4, 18 batches an epoch: frequency 10: {never or 'no cut'} in 50 steps")

assert between[1] == {1: 1, 2: 2, 3: 3, 4: 4, 10: 10}
assert between[4] == {1: 1, 2: 1, 3: 3, 4: 1, 10: 5}
assert never == []
PY
