#!/usr/bin/env bash
# One would guess: accelerator.load_state(), and skip_first_batches(loader, done) for the epoch
#   that was interrupted, go on with the rows that are left, as the manual shows it; the random
#   state is restored, after all.
# What happens: a shuffled loader draws its order from torch's random state at the epoch's start.
#   What load_state restores is the state of the step that was saved, in the middle of the epoch,
#   so the order that is drawn then is another one, and the first batches of that are skipped. Of
#   the rows of this epoch some are trained twice and as many not at all; the loss looks as ever.
#   With DataLoaderConfiguration(use_seedable_sampler=True), which is not the default, and
#   set_epoch the resumed run sees the very batches of the whole one.
# Versions: accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (40 rows, batch 4, a run of two epochs stopped and resumed; the interrupted epoch):
#   resumed at step 4 of 10: 8 rows twice, 8 rows never
#   resumed at step 14, in the second epoch: 9 rows twice, 9 rows never
#   use_seedable_sampler, step 4: 0 rows twice, 0 rows never
#   use_seedable_sampler, step 14: 0 rows twice, 0 rows never
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from collections import Counter

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.utils.data import DataLoader, TensorDataset

ROWS, BATCH = 40, 4
PER_EPOCH = ROWS // BATCH


def run(seedable, stop=2 * PER_EPOCH, resume=0):
    """The rows of each step, from `resume` to `stop`."""
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=seedable)
    )
    set_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Dropout(0.1), torch.nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    loader = DataLoader(TensorDataset(torch.arange(ROWS)), batch_size=BATCH, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if resume:
        accelerator.load_state("state")
    first, done = divmod(resume, PER_EPOCH)
    seen = []
    for epoch in range(first, 2):
        loader.set_epoch(epoch)
        skipped = done if epoch == first else 0
        batches = accelerator.skip_first_batches(loader, skipped) if skipped else loader
        for (rows,) in batches:
            accelerator.backward(model(rows[:, None].float()).mean())
            optimizer.step()
            optimizer.zero_grad()
            seen.append(sorted(rows.tolist()))
            if resume + len(seen) == stop:
                accelerator.save_state("state")
                return seen
    return seen


for seedable in (False, True):
    whole = run(seedable)
    for at in (4, 14):
        before = run(seedable, stop=at)
        both = before + run(seedable, resume=at)
        assert before == whole[:at]
        assert len(both) == len(whole)
        start = at // PER_EPOCH * PER_EPOCH
        times = Counter(row for batch in both[start : start + PER_EPOCH] for row in batch)
        twice, never = sum(times.values()) - len(times), ROWS - len(times)
        name = f"use_seedable_sampler, step {at}" if seedable else f"resumed at step {at}"
        if not seedable:
            name += " of 10" if at < PER_EPOCH else ", in the second epoch"
        print(f"{name}: {twice} rows twice, {never} rows never")
        assert (both == whole) is seedable
        assert twice == never == 0 if seedable else twice == never > 4
PY
