#!/usr/bin/env bash
# One would guess: TensorBoard's EventAccumulator gives back what SummaryWriter.add_scalar wrote.
# What happens: with torch's new_style=True a scalar is stored as a tensor. Tags()["scalars"] does
#   not list it, and of tensors the reader keeps a random 10 by default, so 1,000 losses become
#   10. Of the old style it keeps 10,000: of 12,000 losses 2,000 are gone from the middle (the
#   last one is always kept). No warning; size_guidance={"tensors": 0, "scalars": 0} keeps all.
# Versions: tensorboard 2.21.0, torch 2.13.0, Python 3.11.
# Output seen:
#   scalars ['old'], tensors ['new']
#   old: 10000 of 12000, last step 11999
#   new: 10 of 1000, last step 999, steps in between [225, 304, 352, 505, 668, 789, 818, 924, 929]
#   with size_guidance 0: old 12000, new 1000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 tensorboard==2.21.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

with SummaryWriter("run") as writer:
    for step in range(12_000):
        writer.add_scalar("old", 1.0 / (step + 1), step)
    for step in range(1_000):
        writer.add_scalar("new", 1.0 / (step + 1), step, new_style=True)


def steps(**settings):
    reader = EventAccumulator("run", **settings)
    reader.Reload()
    tags = reader.Tags()
    old = [event.step for event in reader.Scalars("old")]
    return tags, old, [event.step for event in reader.Tensors("new")]


tags, old, new = steps()
print(f"scalars {tags['scalars']}, tensors {tags['tensors']}")
print(f"old: {len(old)} of 12000, last step {old[-1]}")
print(f"new: {len(new)} of 1000, last step {new[-1]}, steps in between {new[:-1]}")
_, all_old, all_new = steps(size_guidance={"tensors": 0, "scalars": 0})
print(f"with size_guidance 0: old {len(all_old)}, new {len(all_new)}")

assert tags["scalars"] == ["old"] and tags["tensors"] == ["new"]
assert len(old) == 10_000 and old[-1] == 11_999
assert len(new) == 10 and new[-1] == 999
assert (len(all_old), len(all_new)) == (12_000, 1_000)
PY
