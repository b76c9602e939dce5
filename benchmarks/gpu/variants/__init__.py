"""How the step is computed: kernels, precision, checkpointing, compiling, optimizers of 8 bits.

    python -m benchmarks.gpu.variants run --rows ROWS --base BASE --to FILE     # on the GPU
    python -m benchmarks.gpu.variants report --results FILE --write             # anywhere

One healthy and one faulty fine-tune of the second base (:mod:`benchmarks.gpu.finetunes.smollm2`,
whose rows, base and training they are) with each: the healthy one twice without sftdiag and once
with it, the faulty one with it. ``report`` puts its table into docs/gpu.md.
"""
