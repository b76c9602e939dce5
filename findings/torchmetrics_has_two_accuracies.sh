#!/usr/bin/env bash
# One would guess: torchmetrics' MulticlassAccuracy(num_classes) is Accuracy(task="multiclass",
#   num_classes): the latter makes the former, as its text says.
# What happens: the first is the mean over the classes of each one's accuracy, the second the share of
#   predictions that are right (average="macro" and "micro", each the default of its name; of
#   functional.classification.multiclass_accuracy and functional.accuracy, too). As a token accuracy
#   the first gives the rarest token of the vocabulary the weight of the most frequent one: it is far
#   below the mean_token_accuracy that TRL logs for the same model, moves with the batch, and the mean
#   over batches in which tokens are missing is neither.
# Versions: torchmetrics 1.9.0, torch 2.13.0, Python 3.11.
# Output seen (4,096 tokens of a vocabulary of 200, each as frequent as words of its rank are; a model
#   that knows the ten most frequent ones):
#   share that is right: 0.491
#   Accuracy(task): 0.491
#   functional.accuracy(task): 0.491
#   MulticlassAccuracy: 0.050
#   multiclass_accuracy: 0.050
#   MulticlassAccuracy, mean over 16 batches: 0.114
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torchmetrics import Accuracy, functional
from torchmetrics.classification import MulticlassAccuracy

WORDS, TOKENS, KNOWN = 200, 4096, 10
frequency = 1 / torch.arange(1, WORDS + 1).float()
target = torch.multinomial(
    frequency, TOKENS, replacement=True, generator=torch.Generator().manual_seed(0)
)
predicted = torch.where(target < KNOWN, target, 0)
right = (predicted == target).float().mean().item()
settings = {"num_classes": WORDS}
seen = {
    "Accuracy(task)": Accuracy(task="multiclass", **settings)(predicted, target),
    "functional.accuracy(task)": functional.accuracy(
        predicted, target, task="multiclass", **settings
    ),
    "MulticlassAccuracy": MulticlassAccuracy(**settings)(predicted, target),
    "multiclass_accuracy": functional.classification.multiclass_accuracy(
        predicted, target, **settings
    ),
}
seen = {name: value.item() for name, value in seen.items()}
metric = MulticlassAccuracy(**settings)
batches = [metric(*part) for part in zip(predicted.split(256), target.split(256), strict=True)]
print(f"share that is right: {right:.3f}")
for name, value in seen.items():
    print(f"{name}: {value:.3f}")
print(f"MulticlassAccuracy, mean over 16 batches: {sum(batches) / len(batches):.3f}")

by_task, by_class = list(seen.values())[:2], list(seen.values())[2:]
assert all(abs(value - right) < 1e-6 for value in by_task), seen
assert all(value < right / 3 for value in by_class), seen
PY
