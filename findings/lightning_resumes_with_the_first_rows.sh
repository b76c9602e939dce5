#!/usr/bin/env bash
# One would guess: trainer.fit(model, loader, ckpt_path=...) of a checkpoint that was written within an
#   epoch goes on with the rows that are left of it.
# What happens: the epoch has as many batches as were left, but they are the loader's first: the rows of
#   before the checkpoint are trained again and those at the end never, also without any shuffling, where
#   which rows are left is plain. batch_idx and global_step count on as if all was well. Lightning warns
#   of "unreliable results", once. With torchdata's StatefulDataLoader, which has the state_dict that it
#   asks for, each row is trained once.
# Versions: lightning 2.6.6, torch 2.13.0, torchdata 0.11.0, Python 3.11.
# Output seen (40 rows, batch 4: 10 steps an epoch; a run of two epochs stopped and resumed; the interrupted
#   epoch):
#   in order, resumed at step 4: 16 rows twice, 16 rows never
#   in order, resumed at step 16: 16 rows twice, 16 rows never
#   shuffled, resumed at step 4: 16 rows twice, 16 rows never
#   shuffled, resumed at step 16: 10 rows twice, 10 rows never
#   StatefulDataLoader, shuffled, resumed at step 4: 0 rows twice, 0 rows never
#   StatefulDataLoader, shuffled, resumed at step 16: 0 rows twice, 0 rows never
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 lightning==2.6.6 \
  torchdata==0.11.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import logging
from collections import Counter

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
ROWS, BATCH, EPOCH = 40, 4, 10


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch.flatten().int().tolist()))
        return self.layer(batch / ROWS).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def run(loader, shuffle, stop=None, resumed=None):
    lightning.seed_everything(0, verbose=False)
    rows = torch.arange(float(ROWS)).unsqueeze(1)
    model, save = Model(), ModelCheckpoint(".", filename="kept", every_n_train_steps=stop)
    trainer = lightning.Trainer(
        max_epochs=2,
        max_steps=stop or -1,
        accelerator="cpu",
        logger=False,
        callbacks=[save] if stop else [],
        enable_checkpointing=bool(stop),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader(rows, batch_size=BATCH, shuffle=shuffle), ckpt_path=resumed)
    return model.seen, save.best_model_path, trainer.global_step


def compare(name, loader, shuffle, stop):
    first, kept, _ = run(loader, shuffle, stop)
    second, _, steps = run(loader, shuffle, resumed=kept)
    epoch = stop // EPOCH
    numbers = [number for at, number, _ in first + second if at == epoch]
    rows = Counter(row for at, _, batch in first + second if at == epoch for row in batch)
    twice, never = sum(count > 1 for count in rows.values()), ROWS - len(rows)
    print(f"{name}, resumed at step {stop}: {twice} rows twice, {never} rows never", flush=True)
    assert numbers == list(range(EPOCH)) and steps == 2 * EPOCH, (numbers, steps)
    return twice, never


plain = [compare("in order", DataLoader, False, stop) for stop in (4, 16)]
mixed = [compare("shuffled", DataLoader, True, stop) for stop in (4, 16)]
cured = [
    compare("StatefulDataLoader, shuffled", StatefulDataLoader, True, stop) for stop in (4, 16)
]
assert plain == [(16, 16), (16, 16)], plain
assert all(twice == never > 4 for twice, never in mixed), mixed
assert cured == [(0, 0), (0, 0)], cured
PY
