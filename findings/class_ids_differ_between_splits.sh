#!/usr/bin/env bash
# One would guess: class_encode_column("label") of a DatasetDict gives a class the same id in all of
#   its splits.
# What happens: each split is encoded by itself, from the names that it holds. Where a split lacks a
#   class (a rare one, after train_test_split) all ids behind it are shifted by one: "refund" is
#   3 in training and 2 in evaluation. Both columns are ClassLabels, nothing is said, and all is
#   trained and evaluated: the loss falls, eval_loss rises with every epoch, as if by overfitting, and
#   a classifier without an error has an accuracy near 0. Encoded before the split, or with
#   cast_column("label", ClassLabel(names=...)), the ids are the same.
# Versions: datasets 5.2.0, Python 3.11.
# Output seen (100 rows, classes of 1, 33, 33 and 33 rows; 20 rows held out):
#   train: ['billing', 'delivery', 'other', 'refund'], refund is 3
#   test: ['delivery', 'other', 'refund'], refund is 2
#   accuracy of a classifier that is always right: 0.00
#   encoded before the split: refund is 3 and 3, accuracy 1.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile datasets==5.2.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import datasets

datasets.disable_progress_bars()
labels = ["billing"] + ["delivery", "other", "refund"] * 33
rows = datasets.Dataset.from_dict(
    {"text": [f"{x} {i}" for i, x in enumerate(labels)], "label": labels}
)


def compare(split):
    """Each split's id of "refund"; how often a classifier that knows each name is right."""
    train = split["train"].features["label"]
    hits = [
        train.str2int(text.split()[0]) == label
        for text, label in zip(split["test"]["text"], split["test"]["label"], strict=True)
    ]
    found = [part.features["label"].str2int("refund") for part in split.values()]
    return found, sum(hits) / len(hits)


split = rows.train_test_split(test_size=20, seed=0).class_encode_column("label")
found, right = compare(split)
for (name, part), number in zip(split.items(), found, strict=True):
    print(f"{name}: {part.features['label'].names}, refund is {number}")
print(f"accuracy of a classifier that is always right: {right:.2f}")

before, all_right = compare(
    rows.class_encode_column("label").train_test_split(test_size=20, seed=0)
)
print(f"encoded before the split: refund is {before[0]} and {before[1]}, accuracy {all_right:.2f}")

assert found == [3, 2] and right == 0.0
assert before == [3, 3] and all_right == 1.0
PY
