"""Two ranks of one run over DDP, FSDP2 and ZeRO: nothing hangs, both decide alike.

    python -m benchmarks.gpu.ranks run --device cuda --out benchmarks/gpu/ranks/results
    python -m benchmarks.gpu.ranks run --device cpu --backends ddp fsdp2 --out /tmp/ranks
    python -m benchmarks.gpu.ranks report --results benchmarks/gpu/ranks/results --write

``run`` needs two GPUs, or none with ``--device cpu`` (gloo); ZeRO needs DeepSpeed. One json file a
backend. ``report``, anywhere, prints docs/ranks.md from them.
"""
