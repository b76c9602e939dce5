#!/usr/bin/env bash
# One would guess: accelerate's FSDP plugin, asked not to offload, has a cpu_offload that is false,
#   so that `if plugin.cpu_offload:` tells the two apart.
# What happens: what was given as False becomes an object of torch's, which is true like any other: of
#   FSDP 1 one with offload_params=False, of FSDP 2 an OffloadPolicy without such a field, the base
#   class of the policy that does offload: isinstance with it does not tell them apart either.
# Versions: accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   FSDP 1, cpu_offload=False: CPUOffload(offload_params=False), true
#   FSDP 1, cpu_offload=True: CPUOffload(offload_params=True), true
#   FSDP 2, cpu_offload=False: OffloadPolicy(), true
#   FSDP 2, cpu_offload=True: CPUOffloadPolicy(pin_memory=True), true
#   CPUOffloadPolicy is an OffloadPolicy: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from accelerate import FullyShardedDataParallelPlugin
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy

seen = {}
for version in (1, 2):
    for asked in (False, True):
        plugin = FullyShardedDataParallelPlugin(fsdp_version=version, cpu_offload=asked)
        kept = seen[version, asked] = plugin.cpu_offload
        print(f"FSDP {version}, cpu_offload={asked}: {kept}, {'true' if kept else 'false'}")
print("CPUOffloadPolicy is an OffloadPolicy:", issubclass(CPUOffloadPolicy, OffloadPolicy))

assert all(seen.values())
assert [seen[1, asked].offload_params for asked in (False, True)] == [False, True]
assert type(seen[2, False]) is OffloadPolicy and type(seen[2, True]) is CPUOffloadPolicy
assert issubclass(CPUOffloadPolicy, OffloadPolicy)
PY
