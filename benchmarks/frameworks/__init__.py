"""A tiny model trained with each framework, in a venv each: healthy, blown up, overfitting."""

FRAMEWORKS = {
    "accelerate": "benchmarks.frameworks.accelerate",
    "axolotl": "benchmarks.frameworks.axolotl",
    "lightning": "benchmarks.frameworks.lightning",
    "litgpt": "benchmarks.frameworks.litgpt",
    "llamafactory": "benchmarks.frameworks.llamafactory",
    "ms-swift": "benchmarks.frameworks.ms_swift",
    "torchtune": "benchmarks.frameworks.torchtune",
    "trl": "benchmarks.frameworks.trl",
    "unsloth": "benchmarks.frameworks.unsloth",
}
"""Name on the command line to the module that runs it."""
