"""Real fine-tunes on a GPU with injected faults, watched live and stopped.

    python -m benchmarks.gpu.finetunes text  --to TEXT           # anywhere with apt-get and dpkg
    python -m benchmarks.gpu.finetunes run   --text TEXT --to RUNS --minutes 9  # on the GPU
    python -m benchmarks.gpu.finetunes known --text TEXT --runs RUNS  # anywhere: the checks, again
    python -m benchmarks.gpu.finetunes report --runs RUNS --write  # anywhere; plots need matplotlib

``run`` does what is left of the matrix and can be called again; ``--tiny`` tries all of it on the
CPU. Nothing is downloaded on the GPU's machine.
"""
