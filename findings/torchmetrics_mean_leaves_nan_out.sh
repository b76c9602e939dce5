#!/usr/bin/env bash
# One would guess: a loss followed by torchmetrics' MeanMetric is NaN from the epoch on in which it becomes
#   NaN, as what Lightning's self.log makes of the bare number is.
# What happens: nan_strategy is "warn": NaNs are taken out of the mean, after a warning. The epoch in which
#   the weights became NaN has a mean as good as any; only an epoch of nothing but NaN is NaN. EarlyStopping
#   with check_finite looks at that mean and lets the run go on for one epoch more, and the checkpoint of
#   the broken weights is the best so far. MeanMetric(nan_strategy="disable") keeps them.
# Versions: torchmetrics 1.9.0, lightning 2.6.6, torch 2.13.0, Python 3.11.
# Output seen (20 steps an epoch, weights NaN from step 30 on; the means of the epochs, how many epochs were
#   trained under EarlyStopping, and whether the best checkpoint's weights are finite):
#   bare number: 0.114 nan; 2 epochs, best finite True
#   MeanMetric: 0.114 0.032 nan; 3 epochs, best finite False
#   MeanMetric, disable: 0.114 nan; 2 epochs, best finite True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 lightning==2.6.6 \
  torchmetrics==1.9.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import logging
from math import isnan

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    def __init__(self, metric):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.metric = metric
        self.means = []

    def training_step(self, batch, batch_idx):
        loss = (self.layer(batch) - 1).pow(2).mean()
        if self.global_step == 29:
            loss = loss * float("nan")
        if self.metric is None:
            self.log("loss", loss, on_step=False, on_epoch=True)
        else:
            self.metric.update(loss.detach())
            self.log("loss", self.metric, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)


class Keep(lightning.Callback):
    def on_train_epoch_end(self, trainer, module):
        module.means.append(float(trainer.callback_metrics["loss"]))


def run(name, metric):
    lightning.seed_everything(0, verbose=False)
    best = ModelCheckpoint(name, monitor="loss", save_on_train_epoch_end=True)
    stop = EarlyStopping("loss", patience=9, check_finite=True, check_on_train_epoch_end=True)
    model = Model(metric)
    trainer = lightning.Trainer(
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        callbacks=[Keep(), stop, best],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(torch.ones(40, 1), batch_size=2))
    kept = torch.load(best.best_model_path, weights_only=False)["state_dict"]
    finite = all(weight.isfinite().all() for weight in kept.values())
    means = " ".join(f"{mean:.3f}" for mean in model.means)
    print(f"{name}: {means}; {trainer.current_epoch} epochs, best finite {finite}", flush=True)
    return model.means, trainer.current_epoch, finite


bare = run("bare number", None)
usual = run("MeanMetric", MeanMetric())
cured = run("MeanMetric, disable", MeanMetric(nan_strategy="disable"))
for means, epochs, finite in (bare, cured):
    assert epochs == 2 and means[0] > 0 and isnan(means[1]) and finite, (means, epochs, finite)
means, epochs, finite = usual
assert epochs == 3 and means[1] < means[0] and isnan(means[2]) and not finite, usual
PY
