#!/usr/bin/env bash
# One would guess: to an early stopping rule a NaN is no improvement (skorch, for one, counts it
#   against the patience).
# What happens: ignite's EarlyStopping takes NaN as the new best score and sets its counter to 0;
#   the next value, however bad, is an improvement again. So one NaN forgets the best that there
#   was, and a run that stays NaN is never stopped. Its Checkpoint fails in the other direction: a
#   NaN at the first evaluation is "best" for ever, no later model is saved.
# Versions: pytorch-ignite 0.5.5, skorch 1.4.0, torch 2.13.0, Python 3.11.
# Output seen (patience 2):
#   losses 3 2 4 5 6 7: stopped at evaluation 4
#   losses 3 2 nan 4 5 6: stopped at evaluation 6, best then 4
#   losses 3 2 nan nan nan nan nan nan: never stopped, best nan
#   skorch, losses 3 2 nan nan nan nan nan nan: stopped at evaluation 4
#   checkpoint of losses nan 3 2 1: best_nan.pt
#   checkpoint of losses 3 nan 2 1: best_-1.0000.pt
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 pytorch-ignite==0.5.5 skorch==1.4.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import math
import tempfile
from pathlib import Path

import torch
from ignite.engine import Engine
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping
from skorch.callbacks import EarlyStopping as SkorchStopping

logging.disable(logging.CRITICAL)
nan = math.nan


def spoken(losses):
    return " ".join(f"{loss:g}" for loss in losses)


def stopped(losses):
    trainer, evaluator = (Engine(lambda engine, batch: None) for _ in range(2))
    rule = EarlyStopping(patience=2, score_function=lambda e: -e.state.loss, trainer=trainer)
    for number, loss in enumerate(losses, 1):
        evaluator.state.loss = loss
        rule(evaluator)
        if trainer.should_terminate:
            return number, -rule.best_score
    return None, -rule.best_score


def skorch_stopped(losses):
    rule = SkorchStopping(monitor="valid_loss", patience=2, threshold=0, sink=lambda text: None)
    rule.initialize()

    class Net:
        history = None
        verbose = 0

    rule.on_train_begin(Net())
    for number, loss in enumerate(losses, 1):
        net = Net()
        net.history = {(-1, "valid_loss"): loss, (-1, "epoch"): number}
        try:
            rule.on_epoch_end(net)
        except KeyboardInterrupt:
            return number
    return None


def kept(losses):
    with tempfile.TemporaryDirectory() as folder:
        evaluator = Engine(lambda engine, batch: None)
        saver = Checkpoint(
            {"model": torch.nn.Linear(1, 1)},
            DiskSaver(folder, require_empty=False),
            n_saved=1,
            filename_pattern="best_{score}.{ext}",
            score_function=lambda e: -e.state.loss,
        )
        for loss in losses:
            evaluator.state.loss = loss
            saver(evaluator)
        return [path.name for path in Path(folder).iterdir()]


plain = [3, 2, 4, 5, 6, 7]
once = [3, 2, nan, 4, 5, 6]
staying = [3, 2] + [nan] * 6
results = {}
for losses in (plain, once, staying):
    number, best = results[spoken(losses)] = stopped(losses)
    when = f"stopped at evaluation {number}" if number else "never stopped"
    print(f"losses {spoken(losses)}: {when}, best then {best:g}")
other = skorch_stopped(staying)
print(f"skorch, losses {spoken(staying)}: stopped at evaluation {other}")
files = {spoken(losses): kept(losses) for losses in ([nan, 3, 2, 1], [3, nan, 2, 1])}
for losses, names in files.items():
    print(f"checkpoint of losses {losses}: {', '.join(names)}")

assert results[spoken(plain)] == (4, 2)
assert results[spoken(once)] == (6, 4)
assert results[spoken(staying)][0] is None and math.isnan(results[spoken(staying)][1])
assert other == 4
assert "nan" in files["nan 3 2 1"][0]
assert "-1" in files["3 nan 2 1"][0]
PY
